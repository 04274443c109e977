#!/bin/bash
# usage: v3d.sh BIN_FOLDER [WORK_FOLDER]
# What Mesa's compiler for VideoCore makes of every shader: V3D 4.2, the GPU of a Raspberry Pi 4. Fails where a
# default variant spills. WORK_FOLDER as in adreno.sh.
. "$(dirname "$0")/over_mesa.sh" broadcom "$@"
table
exit $failed
