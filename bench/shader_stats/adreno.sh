#!/bin/bash
# usage: adreno.sh BIN_FOLDER [WORK_FOLDER]
# What Mesa's compiler for Adreno makes of every shader: A618, A630, A730 and A740, one table each. Fails where a
# default variant spills. WORK_FOLDER (build/mesa) keeps Mesa and its build: the first call takes minutes.
set -euo pipefail
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$(realpath -m "${2:-$here/../../build/mesa}")
"$here/mesa.sh" freedreno "$work"
failed=0
for gpu in 618 630 730 740; do
    VK_ICD_FILENAMES="$work/freedreno/icd.json" FD_GPU_ID=$gpu LD_PRELOAD="$work/freedreno/shim.so" \
        "$bin/mote-shader-stats" --check --defaults || failed=1
    echo
done
exit $failed
