#!/usr/bin/env bash
# Brings Vulkan drivers that are not installed here, from Debian's packages:
#
#   fetch.sh FOLDER DRIVER...      DRIVER: swiftshader, mesa-backports, mesa-testing
#
# leaves FOLDER/DRIVER with icd.json, which the Vulkan loader takes, and identity, which the driver's name and version
# as it gives them begin with; does nothing, and needs no network, where they are. Nothing is installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../platforms/linux/apt_beside.sh"
[ $# -ge 2 ] || { echo "usage: $0 FOLDER swiftshader|mesa-backports|mesa-testing..." >&2; exit 2; }
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift

# download PACKAGE of SUITE: $deb
download() {
    apt_beside "$work/apt" "$2" deb
    (cd "$work/apt" && apt_get download "$1" >&2)
    deb=$(echo "$work"/apt/"$1"_*.deb)
}
mesa_identity() { # of the package $deb
    echo "llvmpipe Mesa $(dpkg-deb --field "$deb" Version)"
}
take() { # FILE of $deb, into $work
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work" --transform 's,.*/,,' ".$1"
}

# Google's software driver, part of Chromium, nothing of Mesa: subgroups of 4, no fp16 arithmetic, no 16-bit storage.
fetch_swiftshader() {
    download chromium-common bookworm
    take /usr/lib/chromium/libvk_swiftshader.so
    library=libvk_swiftshader.so
    echo "SwiftShader driver" >"$work/identity"
}

# The newest lavapipe that runs on the libraries of Debian 12.
fetch_mesa-backports() {
    download mesa-vulkan-drivers bookworm-backports
    take /usr/lib/x86_64-linux-gnu/libvulkan_lvp.so
    library=libvulkan_lvp.so
    mesa_identity >"$work/identity"
}

# The newest lavapipe that Debian has. It needs a newer libc than Debian 12 has, so all libraries come with it. And the
# newest validation layer: Debian 12's knows no VK_KHR_cooperative_matrix, which this driver has.
fetch_mesa-testing() {
    apt_beside "$work/apt" testing deb
    apt_get install --download-only --yes --no-install-recommends mesa-vulkan-drivers \
        vulkan-validationlayers >&2
    mkdir "$work/root"
    for deb in "$work"/apt/cache/archives/*.deb; do
        case $deb in
        # The loader is the tests' own.
        */libvulkan1_*) ;;
        *) dpkg-deb --extract "$deb" "$work/root" ;;
        esac
    done
    deb=$(echo "$work"/apt/cache/archives/mesa-vulkan-drivers_*.deb)
    library=root/usr/lib/x86_64-linux-gnu/libvulkan_lvp.so
    mesa_identity >"$work/identity"
}

work=
finish() {
    local status=$?
    if [ "$status" -ne 0 ] && [ -n "$work" ]; then
        echo "$0: '$driver' is not in $folder and Debian's packages could not be had (see above). It needs the network" \
            "once; a copy of that folder from another machine with Debian 12 does as well." >&2
    fi
    [ -z "$work" ] || rm -rf "$work"
}
trap finish EXIT

for driver in "$@"; do
    case $driver in
    swiftshader | mesa-backports | mesa-testing) ;;
    *) echo "$0: found driver '$driver', expected swiftshader, mesa-backports or mesa-testing" >&2; exit 2 ;;
    esac
    [ -e "$folder/$driver/icd.json" ] && continue
    echo "$driver: from Debian's packages into $folder" >&2
    work=$folder/$driver.part
    rm -rf "$work"
    mkdir "$work"
    "fetch_$driver"
    printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "./%s", "api_version": "1.1.0"}}\n' "$library" \
        >"$work/icd.json"
    rm -rf "$work/apt"
    mv "$work" "$folder/$driver"
    work=
done
