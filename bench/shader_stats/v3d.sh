#!/bin/bash
# usage: v3d.sh BIN_FOLDER [WORK_FOLDER]
# What Mesa's compiler for VideoCore makes of every shader: V3D 4.2, the GPU of a Raspberry Pi 4. Fails where a
# default variant spills. WORK_FOLDER as in adreno.sh.
set -euo pipefail
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$(realpath -m "${2:-$here/../../build/mesa}")
"$here/mesa.sh" broadcom "$work"
VK_ICD_FILENAMES="$work/broadcom/icd.json" LD_PRELOAD="$work/broadcom/shim.so" "$bin/mote-shader-stats" --check --defaults
