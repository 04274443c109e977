# Rewrites the cooperative matrices of a module from SPV_NV_cooperative_matrix, which Debian 12's glslang and SPIRV-Tools
# know (so that the module has been optimised and validated), to SPV_KHR_cooperative_matrix, which drivers have.
#
# The two say the same things in other numbers and another order. Only the KHR form names a matrix's use: A is M x K, B
# K x N, an accumulator M x N, and K is the specialisation constant of id K_CONSTANT. Only row-major loads and stores
# are known. WORDS: the variable of the module's words as hexadecimal digits, eight a word, highest digit first.
#
# Numbers: SPV_NV_cooperative_matrix, SPV_KHR_cooperative_matrix, https://github.com/KhronosGroup/SPIRV-Registry.
# "0x1f" to "0000001f".
function(mote_word RESULT NUMBER)
    string(REGEX REPLACE "^0x" "0000000" DIGITS ${NUMBER})
    string(REGEX REPLACE "^.*(........)$" "\\1" DIGITS ${DIGITS})
    set(${RESULT} ${DIGITS} PARENT_SCOPE)
endfunction()

function(mote_khr_matrices WORDS K_CONSTANT)
    set(CAPABILITY 00020011000014ed) # OpCapability CooperativeMatrixNV
    if(NOT "${${WORDS}}" MATCHES "${CAPABILITY}")
        return()
    endif()
    # The extensions' names; either fills seven words.
    set(NV_NAME 5f565053635f564e65706f6f697461726d5f65766972746100000078)
    set(KHR_NAME 5f5650535f52484b706f6f63746172655f6576697274616d00007869)
    set(IN "${${WORDS}}")
    string(LENGTH "${IN}" END)
    # Three more ids, of constants 0, 1 and 2: the uses; 0 is row-major too.
    string(SUBSTRING "${IN}" 0 24 OUT)
    string(SUBSTRING "${IN}" 24 8 BOUND)
    foreach(I RANGE 3)
        math(EXPR ID "0x${BOUND} + ${I}" OUTPUT_FORMAT HEXADECIMAL)
        mote_word(NEW_${I} ${ID})
    endforeach()
    string(APPEND OUT "${NEW_3}00000000")
    math(EXPR K_CONSTANT "${K_CONSTANT}" OUTPUT_FORMAT HEXADECIMAL)
    mote_word(K_CONSTANT ${K_CONSTANT})
    set(DECLARED FALSE)
    set(K_ID "")
    set(AT 40)
    while(AT LESS END)
        string(SUBSTRING "${IN}" ${AT} 4 COUNT)
        math(EXPR DIGITS "0x${COUNT} * 8")
        string(SUBSTRING "${IN}" ${AT} ${DIGITS} ALL)
        math(EXPR AT "${AT} + ${DIGITS}")
        string(SUBSTRING "${ALL}" 4 4 OPCODE)
        string(SUBSTRING "${ALL}" 8 -1 REST)
        if(OPCODE STREQUAL "0047" AND REST MATCHES "^(........)00000001${K_CONSTANT}$") # OpDecorate SpecId
            set(K_ID ${CMAKE_MATCH_1})
        elseif(OPCODE STREQUAL "0015" AND REST MATCHES "^(........)0000002000000000$") # OpTypeInt 32 0
            set(UINT ${CMAKE_MATCH_1})
        elseif(ALL STREQUAL CAPABILITY)
            set(ALL "0002001100001786")
        elseif(OPCODE STREQUAL "000a") # OpExtension
            string(REPLACE "${NV_NAME}" "${KHR_NAME}" ALL "${ALL}")
        elseif(OPCODE STREQUAL "14ee") # OpTypeCooperativeMatrixNV result component scope rows columns
            if(NOT DECLARED)
                foreach(I RANGE 2)
                    string(APPEND OUT "0004002b${UINT}${NEW_${I}}0000000${I}") # OpConstant
                endforeach()
                set(DECLARED TRUE)
            endif()
            string(SUBSTRING "${REST}" 24 8 ROWS)
            string(SUBSTRING "${REST}" 32 8 COLUMNS)
            set(USE ${NEW_2})
            if(COLUMNS STREQUAL K_ID)
                set(USE ${NEW_0})
            elseif(ROWS STREQUAL K_ID)
                set(USE ${NEW_1})
            endif()
            set(ALL "00071168${REST}${USE}")
        elseif(OPCODE STREQUAL "14ef") # Load type result pointer stride column-major; with the layout before the stride
            string(SUBSTRING "${REST}" 0 24 BEFORE)
            string(SUBSTRING "${REST}" 24 8 STRIDE)
            string(SUBSTRING "${REST}" 40 -1 AFTER)
            set(ALL "${COUNT}1169${BEFORE}${NEW_0}${STRIDE}${AFTER}")
        elseif(OPCODE STREQUAL "14f0") # Store pointer object stride column-major
            string(SUBSTRING "${REST}" 0 16 BEFORE)
            string(SUBSTRING "${REST}" 16 8 STRIDE)
            string(SUBSTRING "${REST}" 32 -1 AFTER)
            set(ALL "${COUNT}116a${BEFORE}${NEW_0}${STRIDE}${AFTER}")
        elseif(OPCODE STREQUAL "14f1") # MulAdd
            set(ALL "${COUNT}116b${REST}")
        endif()
        string(APPEND OUT "${ALL}")
    endwhile()
    set(${WORDS} "${OUT}" PARENT_SCOPE)
endfunction()
