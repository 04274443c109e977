#!/usr/bin/env bash
# Runs a program on a driver that fetch.sh has brought, and on no other:
#
#   run.sh FOLDER/DRIVER PROGRAM [ARGUMENTS...]
set -euo pipefail
driver=$1
shift
[ -e "$driver/icd.json" ] || { echo "$0: no driver in $driver; tests/drivers/fetch.sh brings it" >&2; exit 1; }
# Every device that a test's instance shows is held to this (tests/support/validated_vulkan.cpp).
export MOTE_TEST_DRIVER
MOTE_TEST_DRIVER=$(cat "$driver/identity")
export VK_ICD_FILENAMES="$driver/icd.json" MESA_SHADER_CACHE_DIR="$driver/shader-cache"
unset VK_DRIVER_FILES # it would go before
libraries=$driver/root/usr/lib/x86_64-linux-gnu
if [ -e "$libraries/ld-linux-x86-64.so.2" ]; then
    # A libc of its own, which must then be the whole program's; and a validation layer as new as the driver.
    export VK_LAYER_PATH="$driver/root/usr/share/vulkan/explicit_layer.d"
    exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$@"
fi
exec "$@"
