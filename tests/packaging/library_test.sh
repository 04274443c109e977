#!/usr/bin/env bash
# What the libraries $1 (libmote.so) and $2 (libmote.a) hold and need. $3: the largest allowed size of the
# stripped shared library in bytes.
set -euo pipefail
shared=$1
static=$2
limit=$3
failures=0
fail() {
    echo "FAILED: $1"
    failures=$((failures + 1))
}
# Lines of stdin that match the pattern are failures.
none() {
    local found
    found=$(grep -E "$2" | sort -u | head -20) || return 0
    fail "$1:"
    echo "$found"
}

stripped=$(mktemp)
trap 'rm -f "$stripped"' EXIT
strip -o "$stripped" "$shared"
size=$(stat --format=%s "$stripped")
echo "libmote.so stripped: $size bytes of at most $limit"
[ "$size" -le "$limit" ] || fail "the shared library is too large"

exported=$(nm --dynamic --defined-only --format=posix "$shared" | cut -d' ' -f1)
echo "exports $(wc -l <<<"$exported") functions"
grep -qx mote_version <<<"$exported" || fail "mote_version is not exported"
sed '/^mote_/d' <<<"$exported" | none "exported, but not mote_*" .

needed=$(readelf --dynamic --wide "$shared" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
echo "needs ${needed//$'\n'/ }"
sed -E '/^(libc\.so\.6|libm\.so\.6|libstdc\+\+\.so\.6|libgcc_s\.so\.1|ld-linux.*)$/d' <<<"$needed" |
    none "needs a library that it may not need" .

# One entry of eight bytes is the compiler's own frame_dummy.
initialisers=$(readelf --sections --wide "$shared" | sed -n 's/.* \.init_array *INIT_ARRAY *[0-9a-f]* [0-9a-f]* \([0-9a-f]*\).*/\1/p')
[ "$((16#${initialisers:-0}))" -le 8 ] || fail "static initialisers: .init_array has 0x$initialisers bytes"
nm "$static" 2>/dev/null | none "static initialisers" '_GLOBAL__sub_I'

symbols=$(nm --demangle "$static" 2>/dev/null)
none "iostreams, locale, regex or filesystem" \
    'std::(basic_)?(io|i|o|if|of|f|string|istring|ostring)stream|std::(basic_)?ios|std::c(out|err|in|log)\b|std::(__cxx11::)?(basic_)?(string|istring|ostring)?stream(buf)?\b|std::locale|regex|std::filesystem' <<<"$symbols"
none "functions that print or end the process" ' U (printf|puts|putchar|abort|exit|_exit|perror|vprintf)$' <<<"$symbols"
none "an exception of our own" ' U __cxa_throw$' <<<"$symbols"
none "a function of libvulkan, not of our own table" ' U vk[A-Z]' <<<"$symbols"

[ "$failures" -eq 0 ]
