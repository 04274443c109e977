// Folding: the unfolded graph of a network becomes the few fused ops that a file can hold. Every pass keeps
// what the network computes (tests compare in double). fold() runs all of them in the order in which they are
// declared; a pass may rely on those before it. Constants stay in double.
#pragma once

#include "reference/network.h"

#include <cstddef>
#include <vector>

namespace mote::convert {

// A class vector joins the step embedding before it is activated, so that rows exist for each image only
// (Conditioning in model.h). The sum and all before it become two tables, of steps and of classes; a
// projection W, b stays with the op:
//     bias + b + W v;   gamma (1 + b_scale + W_scale v),  beta (1 + b_scale + W_scale v) + b_shift + W_shift
//     v
// are a row and a matrix times v once gamma and beta are multiplied into W. `nullClass`: kNone for none.
// Returns the number of ops that keep a projection.
size_t foldConditioning(Network &network, const std::vector<double> &timesteps, uint32_t nullClass);

// The timestep embedding, its MLP and every projection are evaluated at each timestep. A vector added to a
// convolution's output joins its bias, a scale_shift its GroupNorm's affine, and a division by the timestep
// becomes a factor, as one row per timestep; elsewhere they become a Pointwise with a row of factors and
// offsets:
//     bias[t] = bias + vector(t);   gamma[t] = gamma (1 + scale(t)),  beta[t] = beta (1 + scale(t)) +
//     shift(t)
// No op that depends on time alone remains. Returns the number of tables made.
size_t foldTime(Network &network, const std::vector<double> &timesteps);

// The three projections before an attention become one 1x1 convolution; softmax's 1/sqrt(d) stays in
// Attention. Other maps are put behind each other.
size_t foldQkv(Network &network);

// Heads whose channels are no multiple of 8 get channels of zeros, in the product before and the product
// behind the attention, so that a head is whole blocks of an activation: softmax(q k^T / sqrt(d)) v stays
// what it is when q is multiplied by sqrt(padded / d). Elsewhere they stay as they are.
size_t foldHeads(Network &network);

// A linear layer over the pixels is a 1x1 convolution.
size_t foldLinear(Network &network);

// SiLU after a GroupNorm joins it.
size_t foldActivation(Network &network);

// An addition joins the convolution that makes its second (else its first) operand, as the residual.
size_t foldResidual(Network &network);

// out = s * (conv + residual): a factor after a convolution, e.g. 1 / mid_block_scale_factor, is its
// outputScale. A factor and offset after the ports' Concat (center_input_sample) are its scale and offset.
// They cannot join the convolution's weights instead: the zero padding is not shifted by the offset.
size_t foldScale(Network &network);

// Nearest upsampling joins the convolution that reads it, as input or as residual. Average pooling joins the
// GroupNorm before it, or the convolution that adds it as residual. Other resampling stays an op.
size_t foldResample(Network &network);

// A concatenation of two maps becomes two inputs of each op that reads it. It is never a residual: a block's
// input on the way up has more channels than its output.
size_t foldConcat(Network &network);

// What no convolution or norm took in, each an op of its own: activations, additions, factors,
// concatenations. An activation or an addition joins the one before it.
size_t foldPointwise(Network &network);

struct FoldReport {
    size_t opsBefore = 0, opsAfter = 0;
    size_t tensorsBefore = 0, tensorsAfter = 0; // constants
    uint64_t parametersBefore = 0, parametersAfter = 0;
    size_t timeOps = 0; // that depended on time alone
    size_t tables = 0, rows = 0;
    size_t projections = 0;
    size_t qkv = 0, heads = 0, linears = 0, activations = 0, residuals = 0, scales = 0, resamples = 0,
           concats = 0, pointwise = 0;
};

// All of the above. `timesteps`: distinct, one row of the tables each, at least one. Throws std::logic_error,
// naming the op, if something remains that a file cannot hold.
FoldReport fold(Network &network, const std::vector<double> &timesteps, uint32_t nullClass = kNone);

} // namespace mote::convert
