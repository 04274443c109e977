#!/bin/bash
# usage: adreno.sh BIN_FOLDER [WORK_FOLDER]
# What Mesa's compiler for Adreno makes of every shader: A618, A630, A730 and A740, one table each. Fails where a
# default variant spills. over_mesa.sh says what WORK_FOLDER is.
. "$(dirname "$0")/over_mesa.sh" freedreno "$@"
for gpu in 618 630 730 740; do
    table FD_GPU_ID=$gpu
done
exit $failed
