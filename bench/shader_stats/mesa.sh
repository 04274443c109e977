#!/bin/bash
# usage: mesa.sh freedreno|broadcom|panfrost WORK_FOLDER
# Builds Mesa's Vulkan driver for a GPU that is not here, and the library that stands in for its kernel driver
# (drm-shim), from Debian's source package. Leaves WORK_FOLDER/DRIVER/{icd.json,shim.so}; does nothing where they
# are. Needs the packages below; what only this build needs (the source, a newer meson) is fetched into the work
# folder through apt with lists of its own, so that neither root nor a change of the machine's lists is needed.
set -euo pipefail
. "$(dirname "$0")/../../platforms/linux/apt_beside.sh"
driver=$1
work=$(mkdir -p "$2" && cd "$2" && pwd)
case $driver in
freedreno) icd=libvulkan_freedreno.so shim=libfreedreno_noop_drm_shim.so ;;
broadcom) icd=libvulkan_broadcom.so shim=libv3d_noop_drm_shim.so ;;
panfrost) icd=libvulkan_panfrost.so shim=libpanfrost_noop_drm_shim.so ;;
*) echo "mesa.sh: found driver '$driver', expected freedreno, broadcom or panfrost" >&2; exit 2 ;;
esac
[ -e "$work/$driver/icd.json" ] && exit

packages="gcc g++ pkg-config ninja-build bison flex glslang-tools xz-utils dpkg-dev python3-mako python3-packaging
python3-yaml libdrm-dev zlib1g-dev libexpat1-dev"
for package in $packages; do
    dpkg-query -W "$package" >/dev/null 2>&1 ||
        { echo "mesa.sh: '$package' is missing; it needs: apt-get install" $packages >&2; exit 1; }
done

cd "$work"
if [ ! -d source ]; then
    # The newest Mesa for Debian 12: the one of bookworm itself knows no Adreno 7xx.
    apt_beside "$work/apt" bookworm-backports deb deb-src
    apt_get source --tar-only --download-only mesa >&2
    apt_get download meson >&2
    dpkg -x meson_*.deb meson
    mkdir source.part
    tar -xf mesa_*.orig.tar.xz -C source.part --strip-components=1
    # v3dv asks the kernel for two features more than the shim knows of.
    sed -i 's/case DRM_V3D_PARAM_SUPPORTS_PERFMON:/case DRM_V3D_PARAM_SUPPORTS_MULTISYNC_EXT: case DRM_V3D_PARAM_SUPPORTS_CPU_QUEUE: &/' \
        source.part/src/broadcom/drm-shim/v3d_noop.c
    mv source.part source
fi

# Unoptimised: a driver that compiles some hundred shaders needs less time for that than to be built.
export PATH=/usr/bin:/bin PYTHONPATH="$work/meson/usr/lib/python3/dist-packages"
off="glx egl gbm gles1 gles2 llvm valgrind libunwind zstd shader-cache xmlconfig"
[ -e "build-$driver/build.ninja" ] ||
    python3 meson/usr/bin/meson setup "build-$driver" source --wrap-mode=nodownload --buildtype=plain -Db_ndebug=true \
        "-Dvulkan-drivers=$driver" -Dfreedreno-kmds=msm -Dtools=drm-shim -Dgallium-drivers= -Dplatforms= \
        -Dvideo-codecs= -Dopengl=false -Dbuild-tests=false $(printf -- '-D%s=disabled ' $off) >&2
nice -n 15 ninja -C "build-$driver" "src/$driver/vulkan/$icd" "src/$driver/drm-shim/$shim" >&2

mkdir -p "$driver"
ln -sf "../build-$driver/src/$driver/drm-shim/$shim" "$driver/shim.so"
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.1.0"}}\n' \
    "$work/build-$driver/src/$driver/vulkan/$icd" >"$driver/icd.json"
