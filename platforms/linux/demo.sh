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
mkdir -p build/demo
build/bin/mote-convert converter/models/denoise-edge -o build/demo/denoise-edge.mote --steps 1,2,4
echo "== restore"
build/bin/mote-demo build/demo/denoise-edge.mote tests/photos/tulips.png build/demo
cat <<'END'

Your own photos:
  build/bin/mote restore IN.jpg -o OUT.png --model build/demo/denoise-edge.mote
END
