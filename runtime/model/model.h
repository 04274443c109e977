// The model in memory: plain structs, as the file holds them and as the rest of Mote uses them.
// runtime/model/reader fills them from a checked file, runtime/model/writer writes them, the converter builds
// them. Everything is spatially symbolic: no height, width or batch is stored here.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace mote {

constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max(); // an absent index

// ------------------------------------------------------------------------------------------------ weights
enum class DataType : uint8_t { F32 = 0, F16 = 1 };

// A constant array in a segment. Canonical and unpadded: convolutions [out][kernelHeight][kernelWidth][in]
// F16, bias tables [R][out] F32, affine tables [R][2][channels] F32 (gamma row, then beta row), and those of
// Conditioning below.
struct Weight {
    std::string name; // from the checkpoint, or "<op>.bias" for tables made by folding
    DataType type = DataType::F16;
    std::vector<uint32_t> shape;
    uint32_t segment = 0; // of Model::segments; this and the offset are the writer's to choose
    uint64_t offset = 0;  // bytes from the segment's start, a multiple of 64
    uint64_t bytes = 0;   // product of shape times element size
};

// ------------------------------------------------------------------------------------------------ graph
enum class TensorKind : uint8_t {
    Activation = 0, // fp16, channels in blocks of 8: [N][C/8][H][W][8]
    Port = 1,       // fp32, planar [N][C][H][W]; what the app, the state or another graph gives and takes
};

struct Tensor {
    std::string name;
    TensorKind kind = TensorKind::Activation;
    uint32_t channels = 0;
};

enum class OpKind : uint8_t {
    // Executable; the only kinds that a file can hold.
    Concat =
        0, // ports -> activation: per source i  out = scale[i] * in + offset[i], channels one after the other
    Conv2d = 1,    // see Op
    GroupNorm = 2, // see Op
    Attention = 3, // self-attention over H*W tokens; one input of 3*C channels: q, k, v; out C channels
    Resample = 4,  // see Op
    Pointwise = 5, // see Op
    // Only in the converter's unfolded graph. A writer refuses them by name.
    TimestepEmbedding = 64, // scalar timestep -> [channels] features (attributes in the converter)
    Linear = 65,
    Activation = 66,
    Add = 67,
    Scale = 68,            // out = (inputScale[0] * in + inputOffset[0]) * outputScales[row]
    Modulate = 69,         // inputs h and a vector of 2C: h * (1 + first half) + second half
    DivideByTimestep = 70, // out = in * (1 / timestep), the factor in fp32
    ClassEmbedding =
        71, // a vector per image: row of the weight [K][E] at its label; without one, the app's vector
};

enum class ActivationFunction : uint8_t {
    None = 0,
    Silu = 1, // x / (1 + exp(-x))
    Mish = 2, // x tanh(ln(1 + exp(x)))
    Gelu = 3, // x (1 + erf(x / sqrt(2))) / 2
    Relu = 4, // max(x, 0)
};

enum class Resample : uint8_t {
    None = 0,
    NearestUp2 = 1,   // source pixel (y/2, x/2)
    AverageDown2 = 2, // mean of the four source pixels (2y..2y+1, 2x..2x+1)
    // The filter [1, 3, 3, 1] along both axes; pixels outside the map are zero. Along one axis:
    FirUp2 = 3,   // out(2i) = (in(i-1) + 3 in(i)) / 4,  out(2i+1) = (3 in(i) + in(i+1)) / 4
    FirDown2 = 4, // out(i) = (in(2i-1) + 3 in(2i) + 3 in(2i+1) + in(2i+2)) / 8
    ZerosUp2 =
        5, // source pixel (y/2, x/2) where y and x are even, else 0: what a transposed convolution reads
};

// One executable operation. Which fields a kind uses is said beside them; the others keep their defaults.
//
// Conv2d:     out = (conv(resample(concat(inputs))) + bias[row] + resample(residual)) * outputScale *
//             outputScales[row]
//             cross-correlation with zero padding, as PyTorch's conv2d; a Linear over H*W tokens is a 1x1
//             Conv2d. `output` is an Activation, or a Port (then written in fp32: the last convolution).
// GroupNorm:  h = (x - mean_g) / sqrt(var_g + eps) * gamma[row] + beta[row]; h = activation(h); h =
// resample(h)
//             statistics over (channels of the group) x H x W of the concatenated inputs, biased variance.
// Resample:   out = resample(in), the channels as they are.
// Pointwise:  out = activation(concat(inputs) * gamma[row] + beta[row] + residual)
//             gamma and beta from the affine table of R rows, or one of each per element, [2][C][H][W], in a
//             graph that declares its size; without one gamma is 1 and beta 0.
// Attention:  per head h of `heads`, d = C / heads:  softmax(q_h k_h^T / sqrt(d)) v_h;  output channel = h*d
// + i.
struct Op {
    OpKind kind = OpKind::Conv2d;
    std::string name; // the module's name in the checkpoint, e.g. "down_blocks.0.resnets.0.conv1"
    std::vector<uint32_t>
        inputs; // tensors. Concat: 1..8 ports. Conv2d, GroupNorm: 1 or 2, concatenated over channels
    uint32_t output = kNone; // tensor

    // Concat
    std::vector<float> inputScale, inputOffset; // one of each per input

    // Conv2d
    uint32_t weight = kNone; // [out][kh][kw][in] F16
    uint32_t bias = kNone;   // [R][out] F32, R = 1 or Model::timesteps.size()
    uint32_t stride = 1;     // 1 or 2, both directions
    uint32_t padTop = 0, padLeft = 0, padBottom = 0, padRight = 0;
    Resample inputResample = Resample::None; // None or NearestUp2, before padding
    uint32_t residual = kNone;               // tensor with the output's channels, or kNone
    Resample residualResample = Resample::None;
    float outputScale = 1.0f;
    std::vector<float> outputScales; // one per entry of Model::timesteps; empty: 1

    // GroupNorm, Pointwise
    uint32_t affine = kNone; // [R][2][channels] F32; see Pointwise
    uint32_t groups = 1;
    float epsilon = 1e-5f;
    ActivationFunction activation = ActivationFunction::None;

    // GroupNorm: None or AverageDown2; Resample: any but None
    Resample outputResample = Resample::None;

    // Attention
    uint32_t heads = 1;

    // Conv2d, GroupNorm of a conditioned graph, or kNone: [out][E] or [2 * channels][E] F16, see
    // Conditioning. The bias or affine table then has one row.
    uint32_t projection = kNone;
};

// What each image is conditioned on as a vector c, which joins the step embedding before it is activated, so
// that the rows that follow cannot be tabulated: there is one for each image. At timestep index r
//   v            = activation(stepEmbeddings[r] + c)                                       [E]
//   bias[o]      = bias[0][o]      + sum_e projection[o][e] v[e]                           a Conv2d with a
//   projection affine[k][i] = affine[0][k][i] + sum_e projection[k * channels + i][e] v[e]            a
//   GroupNorm, k = 0, 1
enum class ConditioningKind : uint8_t {
    None = 0,
    Labels = 1,  // c = classes[label]
    Vectors = 2, // c comes from the app
};

struct Conditioning {
    ConditioningKind kind = ConditioningKind::None;
    uint32_t stepEmbeddings = kNone; // [Model::timesteps.size()][E] F32
    uint32_t classes = kNone;        // Labels: [K][E] F32
    // Labels: the label that stands for none, in guidance's second pass; kNone: there is no such label, and
    // no guidance. Vectors: that is c = 0.
    uint32_t nullClass = kNone;
    ActivationFunction activation = ActivationFunction::Silu;
};

enum class PortKind : uint8_t { Image = 0, Tensor = 1, Tokens = 2, ClassIds = 3, Scalar = 4 };

// What feeds an input port (or takes an output port).
enum class PortSource : uint8_t {
    App = 0,         // bound by the app, by name
    State = 1,       // the sampler's state x
    ModelOutput = 2, // output ports only: the sampler's m
    Graph = 3,       // another graph's output port (sourceGraph, sourcePort)
    Constant = 4,    // sourceWeight
    Noise = 5,       // the noise source
    // Output ports only: what the network says of the variance of the step's noise, of the state's channels
    ModelVariance = 6,
};

enum class DimensionSymbol : uint8_t { One = 0, N = 1, H = 2, W = 3, T = 4 };

// symbol * numerator / denominator; One * numerator is a constant.
struct Dimension {
    DimensionSymbol symbol = DimensionSymbol::One;
    uint32_t numerator = 1, denominator = 1;
};

struct Port {
    std::string name; // "x", "condition", "model_output", "prompt", ...
    bool output = false;
    PortKind kind = PortKind::Image;
    PortSource source = PortSource::App;
    uint32_t tensor = kNone;
    std::vector<Dimension> shape; // Image: N, C, H, W; numbers for H and W: the graph has this size only
    float valueLow = -1, valueHigh = 1; // Image: what 8-bit 0 and 255 become
    uint32_t sourceGraph = kNone, sourcePort = kNone, sourceWeight = kNone;
    std::string description;
};

enum class Phase : uint8_t { PerPrompt = 0, PerImage = 1, PerStep = 2, Final = 3 };

struct Graph {
    std::string name; // "unet"
    Phase phase = Phase::PerStep;
    uint32_t order = 0;        // among graphs of one phase
    uint32_t sizeMultiple = 1; // H and W of the image ports must be multiples of it
    std::vector<Tensor> tensors;
    std::vector<Op> ops; // in execution order: an op's inputs are ports or outputs of earlier ops
    std::vector<Port> ports;
    Conditioning conditioning;
};

// ------------------------------------------------------------------------------------------------ recipes
enum class ClipKind : uint8_t { None = 0, Clamp = 1, Threshold = 2 };

// What stands before z. v: the network's variance output at the element (PortSource::ModelVariance).
enum class VarianceKind : uint8_t {
    Fixed = 0,        // c
    Interpolated = 1, // c exp(l (v + 1) / 2): c and l say the least variance and its ratio to the largest
                      // (Nichol and Dhariwal 2021, "Improved DDPM", equation 15)
    Direct = 2,       // c sqrt(v)
};

// One row of the step table (the algebra is in converter/schedule/README.md and FORMAT.md):
//   m   = model(x, timestep)
//   x0  = N(p x + q m)
//   x'  = a x + b m + g x0 + sum_k h[k] r[k] + e y + c z
//   r_s = u x + v m + w x0        (s = store, or none; with the old x, after x' was formed)
// What depends on data is a flag: N = Threshold, langevin, variance, known.
struct StepRow {
    float timestep = 0;         // what the model was told; metadata at run time
    uint32_t timestepIndex = 0; // row of the bias and affine tables
    float p = 0, q = 0;
    ClipKind clip = ClipKind::None;
    float clipLow = -1, clipHigh = 1;          // Clamp
    float quantile = 0.995f, thresholdMax = 1; // Threshold
    float a = 0, b = 0, g = 0, e = 0, c = 0;
    std::array<float, 4> h{};
    uint32_t store = kNone; // 0..3 or kNone
    float u = 0, v = 0, w = 0;
    uint32_t draws = 0; // normals taken from the generator per element: 0 or 1
    float scale = 1;    // the scheduler's own state after this row is x' / scale

    // Classifier-free guidance: two passes as one batch, m = m_none + guidance (m_class - m_none), one pass
    // where guidance is 1. A run may replace the scale of all guided rows. Then, with guidanceRescale = phi
    // above 0 (Lin et al. 2023, eq. 15 and 16; standard deviations of each image):
    //   m = (phi std(m_class) / std(m) + 1 - phi) m
    bool guided = false;
    float guidance = 1;
    float guidanceRescale = 0; // 0..1

    bool langevin = false; // b and c are multiplied by rho^2 and rho, rho = |z| / |m| over the image
    VarianceKind variance = VarianceKind::Fixed;
    float varianceExponent = 0; // l of Interpolated
    // x' becomes M (knownImage y + knownNoise z) + (1 - M) x', y the run's `known`, M = 1 - its `mask`
    bool known = false;
    float knownImage = 0, knownNoise = 0;
};

struct Recipe {
    std::string name;                       // "4" or the user's
    std::string sampler;                    // "ddim"
    uint32_t steps = 0;                     // what the user asked for; rows.size() may differ (Heun has 2n-1)
    float initNoise = 1, initCondition = 0; // x = initNoise z + initCondition y
    float initScale = 1;                    // the scheduler's own first state is x / initScale
    std::vector<StepRow> rows;
};

// ------------------------------------------------------------------------------------------------ self-check
struct SelfCheckOp {
    uint32_t op = 0;
    float rms = 0;                   // of the whole output
    float tolerance = 0;             // |found - expected| <= tolerance * rms, per sample
    std::vector<uint32_t> positions; // linear NCHW indices, at most 64
    std::vector<float> values;
};

// Inputs and outputs of one forward pass of graphs[graph] at timesteps[timestepIndex], batch 1.
struct SelfCheck {
    uint32_t graph = 0, timestepIndex = 0, height = 0, width = 0;
    uint32_t label = 0;                     // of graphs conditioned on labels; vectors are 0
    std::vector<std::vector<float>> inputs; // per input port in port order, planar
    std::vector<float> output;              // the model_output port, whole
    float outputTolerance = 0;              // relative to the output's rms
    std::vector<SelfCheckOp> ops;
};

// ------------------------------------------------------------------------------------------------ segments
// A raw part of the file. Filled by the reader, chosen by the writer; the converter leaves the list empty.
enum class SegmentKind : uint8_t { Weights = 0 };

constexpr uint64_t kChunkBytes =
    1u << 20; // what one checksum covers; the last chunk of a segment may be shorter

struct Segment {
    SegmentKind kind = SegmentKind::Weights;
    uint64_t offset = 0; // bytes from the start of the file, a multiple of 64
    uint64_t bytes = 0;
    bool known = true;               // false: an optional kind of a newer version, skipped
    std::vector<uint64_t> checksums; // xxHash64 (seed 0), one per chunk
};

// ------------------------------------------------------------------------------------------------ model
struct Model {
    std::string name, version, licence, task, description, sourceClass;
    std::vector<Weight> weights;
    std::vector<Graph> graphs;
    std::vector<float> timesteps; // the distinct timesteps of all recipes; rows of bias and affine tables
    std::vector<Recipe> recipes;
    uint32_t statisticsWindow =
        0; // pixels a side over which GroupNorm statistics were learnt; 0 = not stated
    uint32_t receptiveField = kNone; // radius in pixels of one forward pass; kNone = whole image (attention)
    SelfCheck selfCheck;             // ops empty: none
    std::vector<Segment> segments;   // where the weights lie in the file
};

} // namespace mote
