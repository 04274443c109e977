#!/usr/bin/env bash
# Every C and C++ file under the source tree $1 is formatted as .clang-format says.
set -euo pipefail
cd "$1"
find runtime converter platforms tests bench \( -name '*.cpp' -o -name '*.h' -o -name '*.c' \) -print0 2>/dev/null |
    xargs -0 clang-format --dry-run --Werror
