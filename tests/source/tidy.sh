#!/usr/bin/env bash
# Runs clang-tidy with the checks of .clang-tidy over everything that the build tree $1 compiles from the source
# tree $2. Slow; run before calling a change done: cmake --build build --target tidy
set -euo pipefail
build=$1
source=$2
if ! command -v run-clang-tidy >/dev/null; then
    echo "clang-tidy is not installed: apt-get install clang-tidy" >&2
    exit 1
fi
# The commands are those of GCC, which knows warnings that clang does not.
run-clang-tidy -quiet -extra-arg=-Wno-unknown-warning-option -p "$build" "^$source/(runtime|converter|platforms|tests|bench)/.*\.(cpp|c)$"
