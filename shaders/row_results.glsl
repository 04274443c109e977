// What a flagged row measures of each image before it is applied, in the session buffer behind its own words:
// words SESSION_RESULTS + image * RESULT_WORDS + one of these, each a Pair. The layout of the buffer in which
// the quantile is found. Included by GLSL and by C++ (runtime/kernels/row_flags.cpp).
#ifndef MOTE_ROW_RESULTS_GLSL
#define MOTE_ROW_RESULTS_GLSL

#define SESSION_RESULTS 16
#define RESULT_RATIO 0     // rho = |z| / |m|
#define RESULT_SQUARE 2    // rho^2
#define RESULT_THRESHOLD 4 // s
#define RESULT_WORDS 8

// Per image: how many leading bits of the order statistic are known and what they are is the prefix; rank
// among what begins so; the least number behind what begins so; counts by the next bits.
#define SELECTION_PREFIX 0
#define SELECTION_RANK 1
#define SELECTION_ABOVE 2
#define SELECTION_COUNTS 64
#define SELECTION_BINS 2048
#define SELECTION_WORDS (SELECTION_COUNTS + SELECTION_BINS)

#endif
