# Sourced by adreno.sh, mali.sh and v3d.sh: over_mesa.sh DRIVER BIN_FOLDER [WORK_FOLDER]
# WORK_FOLDER (build/mesa) keeps Mesa and its build: the first call takes minutes.
set -euo pipefail
driver=$1
bin=$(cd "$2" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(realpath -m "${3:-$here/../../build/mesa}")
"$here/mesa.sh" "$driver" "$work"
failed=0

# usage: table [VARIABLE=VALUE...]
# What the compiler makes of the defaults, where the variables tell the driver which GPU it is on.
table() {
    env "$@" VK_ICD_FILENAMES="$work/$driver/icd.json" LD_PRELOAD="$work/$driver/shim.so" \
        "$bin/mote-shader-stats" --check --defaults || failed=1
    echo
}
