# Writes the 32-bit little-endian words of INPUT to OUTPUT as "0x0011," units of 16 bits, in half the bytes. What
# a unit's highest digit says of its word (gpu/packed_spirv.h reads it back):
#
#   0vvv            0x00000vvv   most ids and literals
#   tvvv            0x000t0vvv   t of 1 to d: most first words of an instruction, of t words
#   evvv xxxx       0x0vvvxxxx
#   f000 yyyy xxxx  0xyyyyxxxx
include(${CMAKE_CURRENT_LIST_DIR}/khr_matrices.cmake)
file(READ ${INPUT} HEX_TEXT HEX)
string(REGEX REPLACE "(..)(..)(..)(..)" "\\4\\3\\2\\1" HEX_TEXT "${HEX_TEXT}")
mote_khr_matrices(HEX_TEXT 12)
set(D "[0-9a-f]")
string(REGEX REPLACE "(${D}${D}${D}${D}${D}${D}${D}${D})" "0x\\1u," UNITS "${HEX_TEXT}")
string(REGEX REPLACE "0x0000(0${D}${D}${D})u," "0x\\1," UNITS "${UNITS}")
string(REGEX REPLACE "0x000([1-9a-d])0(${D}${D}${D})u," "0x\\1\\2," UNITS "${UNITS}")
string(REGEX REPLACE "0x0(${D}${D}${D})(${D}${D}${D}${D})u," "0xe\\1,0x\\2," UNITS "${UNITS}")
string(REGEX REPLACE "0x(${D}${D}${D}${D})(${D}${D}${D}${D})u," "0xf000,0x\\1,0x\\2," UNITS "${UNITS}")
# Fifteen units a line: 105 columns.
set(UNIT "0x${D}${D}${D}${D},")
string(REPEAT "${UNIT}" 15 LINE)
string(REGEX REPLACE "(${LINE})" "\\1\n" UNITS "${UNITS}")
file(WRITE ${OUTPUT} "${UNITS}\n")
