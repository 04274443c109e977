#!/usr/bin/env bash
# Builds the library, the converter, the command and the kernels' tests for 64-bit ARM, and runs them here under QEMU's
# user emulation on Debian's arm64 lavapipe, which has subgroups of 4 and no fp16 arithmetic, and whose compiler has no
# unpackHalf2x16:
#
#   aarch64.sh FOLDER [TEST ARGUMENTS...]      for kernels_test; by default all of it, a quarter of an hour with the build
#
# FOLDER/root gets Debian's arm64 packages (400 MB, once), FOLDER/build the build. Needs g++-aarch64-linux-gnu and
# qemu-user installed, beside what the tests need.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
. "$source/platforms/linux/apt_beside.sh"
[ $# -ge 1 ] || { echo "usage: $0 FOLDER [TEST ARGUMENTS...]" >&2; exit 2; }
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
for tool in aarch64-linux-gnu-g++:g++-aarch64-linux-gnu qemu-aarch64:qemu-user; do
    command -v "${tool%%:*}" >/dev/null || { echo "$0: no ${tool%%:*}; Debian's package ${tool#*:} has it" >&2; exit 1; }
done

packages=(libc6-dev libstdc++-12-dev libgtest-dev libpng-dev libjpeg-dev nlohmann-json3-dev libcli11-dev libflatbuffers-dev
          libvulkan-dev libxxhash-dev mesa-vulkan-drivers vulkan-validationlayers)
if [ ! -e "$folder/root" ]; then
    rm -rf "$folder/apt" "$folder/root.part"
    apt_architecture=arm64 apt_beside "$folder/apt" bookworm deb
    apt_get install --download-only --yes --no-install-recommends "${packages[@]}" >&2
    for deb in "$folder"/apt/cache/archives/*.deb; do
        dpkg-deb --extract "$deb" "$folder/root.part"
    done
    rm -rf "$folder/apt"
    mv "$folder/root.part" "$folder/root"
fi
root=$folder/root
cat >"$folder/toolchain.cmake" <<END
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_SYSROOT $root)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH $root)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
foreach(KIND LIBRARY INCLUDE PACKAGE)
    set(CMAKE_FIND_ROOT_PATH_MODE_\${KIND} ONLY)
endforeach()
END
cmake -G Ninja -S "$source" -B "$folder/build" -DCMAKE_TOOLCHAIN_FILE="$folder/toolchain.cmake" -DMOTE_BUILD_TESTS=ON
cmake --build "$folder/build" --target mote mote_command mote-convert kernels_test

libraries=$root/usr/lib/aarch64-linux-gnu
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.1.0"}}\n' \
    "$libraries/libvulkan_lvp.so" >"$folder/icd.json"
emulated() { # PROGRAM ARGUMENTS...
    qemu-aarch64 -L "$root" -E LD_LIBRARY_PATH="$folder/build/tests/support:$libraries:$root/lib/aarch64-linux-gnu" \
        -E VK_ICD_FILENAMES="$folder/icd.json" -E VK_LAYER_PATH="$root/usr/share/vulkan/explicit_layer.d" "$@"
}
unset VK_DRIVER_FILES # it would go before
emulated "$folder/build/bin/mote" devices
emulated "$folder/build/tests/kernels_test" "$@"
# A conversion has the same bytes on every machine.
if [ -x "$source/build/bin/mote-convert" ]; then
    emulated "$folder/build/bin/mote-convert" "$source/converter/models/restore" -o "$folder/restore.mote" --task restore
    "$source/build/bin/mote-convert" "$source/converter/models/restore" -o "$folder/restore.here.mote" --task restore
    cmp "$folder/restore.mote" "$folder/restore.here.mote"
    echo "conversions on both have the same bytes"
fi
