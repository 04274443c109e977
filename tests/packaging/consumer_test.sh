#!/usr/bin/env bash
# Installs the build tree $1 into an empty prefix under $2, moves it, and builds and runs the consumers against
# it: C99 and C++17, shared and static, through pkg-config and through find_package.
set -euo pipefail
build=$1
work=$2
source=$(cd "$(dirname "$0")/consumer" && pwd)
flags=(-Wall -Wextra -Wpedantic -Wconversion -Werror)

rm -rf "$work"
mkdir -p "$work"
cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix"
cd "$work"

echo "== command"
if [ -x "$work/prefix/bin/mote" ]; then
    "$work/prefix/bin/mote" devices
fi

echo "== pkg-config"
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name mote.pc)")
export PKG_CONFIG_PATH
libraries=$(pkg-config --variable=libdir mote)
read -ra cflags <<<"$(pkg-config --cflags mote)"
read -ra shared <<<"$(pkg-config --libs mote)"
read -ra static <<<"$(pkg-config --libs --static mote)"
static=("${static[@]/#-lmote/-l:libmote.a}")
gcc -std=c99 "${flags[@]}" "${cflags[@]}" "$source/consumer.c" -o c_shared "${shared[@]}"
g++ -std=c++17 "${flags[@]}" "${cflags[@]}" "$source/consumer.cpp" -o cpp_shared "${shared[@]}"
gcc -std=c99 "${flags[@]}" "${cflags[@]}" "$source/consumer.c" -o c_static "${static[@]}"
g++ -std=c++17 "${flags[@]}" "${cflags[@]}" "$source/consumer.cpp" -o cpp_static "${static[@]}"
LD_LIBRARY_PATH=$libraries ./c_shared
LD_LIBRARY_PATH=$libraries ./cpp_shared
./c_static
./cpp_static

echo "== find_package"
cmake -S "$source" -B cmake -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build cmake >/dev/null
for language in c cpp; do
    for library in mote static; do
        "cmake/consumer_${language}_$library"
    done
done
