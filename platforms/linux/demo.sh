#!/usr/bin/env bash
# From a clean clone to a restored photo: installs what is missing, builds, converts the shipped checkpoint,
# and restores a shipped photo. Everything made stays in build/, so that a second run is quick.
set -euo pipefail
cd "$(dirname "$0")/../.."

echo "== install"
platforms/linux/install-dependencies.sh
echo "== build"
# A tree that test.sh has configured keeps its tests.
[ -f build/CMakeCache.txt ] || cmake -G Ninja -S . -B build -DMOTE_BUILD_TESTS=OFF
cmake --build build --parallel "$(nproc)" --target mote_command mote-convert mote_demo
echo "== convert"
cmake --build build --target mote_models
echo "== restore"
mkdir -p build/demo
build/bin/mote-demo build/models/restore.mote tests/photos/tulips.png build/demo
cat <<'END'

Your own photos, PNG or JPEG:
  build/bin/mote restore IN.jpg -o OUT.png
END
