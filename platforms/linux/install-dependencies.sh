#!/usr/bin/env bash
# Installs what Mote needs from Debian 12, and nothing when all of it is there.
#
#   install-dependencies.sh          to build and run the library, the converter and the command
#   install-dependencies.sh tests    and to build and run the tests
#   install-dependencies.sh bench    and to run bench/run.sh
set -euo pipefail

packages=(
    # build
    g++ make cmake ninja-build ccache pkg-config
    # shaders to SPIR-V
    glslang-tools spirv-tools
    # library: Vulkan headers, FlatBuffers headers and schema compiler, xxHash header
    libvulkan-dev libflatbuffers-dev flatbuffers-compiler libxxhash-dev
    # converter and command
    nlohmann-json3-dev libcli11-dev libpng-dev libjpeg-dev
    # at run time: the Vulkan loader and drivers, Mesa's software driver among them
    libvulkan1 mesa-vulkan-drivers
)
case "${1:-}" in
    "") ;;
    bench)
        # PyTorch multiplies matrices with whatever BLAS is there: one that is fast, so that it is no easy mark
        packages+=(libbenchmark-dev libdnnl-dev libopenblas0-openmp python3-torch python3-numpy python3-matplotlib python3-pil)
        ;;
    tests)
        packages+=(libgtest-dev libbenchmark-dev vulkan-validationlayers clang-format binutils)
        # converter/distill: 220 MB of packages, 970 MB installed, a minute
        packages+=(python3-torch python3-skimage python3-matplotlib python3-pil python3-numpy python3-scipy)
        ;;
    *)
        echo "usage: $0 [tests | bench]" >&2
        exit 2
        ;;
esac

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    if [ "$state" != installed ]; then
        missing+=("$package")
    fi
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Not root and no sudo; as root run: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "Installing from Debian: ${missing[*]}"
"${as_root[@]}" apt-get update --quiet
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends "${missing[@]}"
