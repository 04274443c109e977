# Writes the 32-bit little-endian words of INPUT as "0x07230203," lines to OUTPUT.
file(READ ${INPUT} HEX_TEXT HEX)
string(REGEX REPLACE "(..)(..)(..)(..)" "0x\\4\\3\\2\\1u," WORDS "${HEX_TEXT}")
# Nine words a line: 108 columns.
set(WORD "0x[0-9a-f]+u,")
string(REGEX REPLACE "(${WORD}${WORD}${WORD}${WORD}${WORD}${WORD}${WORD}${WORD}${WORD})" "\\1\n" WORDS "${WORDS}")
file(WRITE ${OUTPUT} "${WORDS}\n")
