#!/usr/bin/env bash
# Builds the source tree $1 with AddressSanitizer and UndefinedBehaviorSanitizer in $2 and runs the tests there,
# without validation layers. ThreadSanitizer: run.sh SOURCE BUILD thread
set -euo pipefail
source=$1
build=$2
sanitizers=${3:-address,undefined}
cmake -G Ninja -S "$source" -B "$build" -DMOTE_SANITIZE="$sanitizers"
cmake --build "$build" --parallel "$(nproc)"
ctest --test-dir "$build" --label-regex "^ci\$" --output-on-failure --no-tests=error --parallel "$(nproc)"
