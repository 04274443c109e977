#!/usr/bin/env bash
# Builds the source tree $1 with AddressSanitizer and UndefinedBehaviorSanitizer in $2 and runs the tests there,
# without validation layers. ThreadSanitizer: run.sh SOURCE BUILD thread
set -euo pipefail
source=$1
build=$2
sanitizers=${3:-address,undefined}
# Unoptimised: the build is three times quicker, the tests little slower, for the driver's own code does most of the work.
cmake -G Ninja -S "$source" -B "$build" -DMOTE_SANITIZE="$sanitizers" -DCMAKE_BUILD_TYPE=Debug \
    -DCMAKE_C_FLAGS_DEBUG=-O0 -DCMAKE_CXX_FLAGS_DEBUG=-O0
cmake --build "$build" --parallel "$(nproc)"
ctest --test-dir "$build" --label-regex "^ci\$" --output-on-failure --no-tests=error --parallel "$(nproc)"
