#!/bin/bash
# usage: mali.sh BIN_FOLDER [WORK_FOLDER]
# What Mesa's compiler for Mali makes of every shader: G52 (Bifrost) and G610 (Valhall), one table each. Fails where a
# default variant spills. WORK_FOLDER as in adreno.sh.
. "$(dirname "$0")/over_mesa.sh" panfrost "$@"
# As the registers of the chips name themselves. Mesa serves Bifrost only where asked for, and as Vulkan 1.0.
for gpu in 7212 a867; do
    table PAN_GPU_ID=$gpu PAN_I_WANT_A_BROKEN_VULKAN_DRIVER=1 MESA_VK_VERSION_OVERRIDE=1.1 BIFROST_MESA_DEBUG=shaderdb
done
exit $failed
