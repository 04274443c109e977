// Files whose checksums are right and whose content is not: each must be refused with a message that names
// the file, the field, what was found and what was expected, before any work that the content asks for is
// done.
#include "model/format.h"
#include "model/reader.h"
#include "model/sample_model.h"
#include "model/validate.h"
#include "model/writer.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <limits>

#include "mote_generated.h"

namespace mote::test {
namespace {

const float kNaN = std::numeric_limits<float>::quiet_NaN();
const float kInfinity = std::numeric_limits<float>::infinity();

struct Hostile {
    const char *name;
    const char *field; // what the message must hold
    std::function<void(RawFile &)> spoil;
    StatusCode code = StatusCode::InvalidModel;
};

Graph &unet(RawFile &raw) {
    return raw.model.graphs[0];
}
// The ops of the sample by their place.
enum : size_t {
    kConcat,
    kConvIn,
    kNorm1,
    kDown,
    kNorm2,
    kQkv,
    kAttention,
    kProject,
    kUpsample,
    kFirDown,
    kFirUp,
    kPoint,
    kNorm3,
    kConvOut
};
Op &op(RawFile &raw, size_t index) {
    return unet(raw).ops[index];
}
StepRow &row(RawFile &raw, size_t index) {
    return raw.model.recipes[1].rows[index];
}
Weight &weight(RawFile &raw, uint32_t index) {
    return raw.model.weights[index];
}

// Where a segment behind the first could begin.
uint64_t alignedEnd(const RawFile &raw) {
    return (raw.model.segments[0].offset + raw.model.segments[0].bytes + kAlignment - 1) / kAlignment *
           kAlignment;
}

// A second graph that runs per step before the first and gives it nothing.
Graph &addGraph(RawFile &raw) {
    Graph graph = unet(raw);
    graph.name = "second";
    graph.order = 1;
    graph.ports[2].source = PortSource::App;
    raw.model.graphs.push_back(graph);
    return raw.model.graphs.back();
}

// A further weight behind the others.
uint32_t addWeight(RawFile &raw, DataType type, std::vector<uint32_t> shape) {
    Weight added;
    added.name = "added";
    added.type = type;
    added.bytes = elementBytes(type);
    for (const uint32_t dimension : shape)
        added.bytes *= dimension;
    added.shape = std::move(shape);
    Segment &segment = raw.model.segments[0];
    added.offset = (segment.bytes + kAlignment - 1) / kAlignment * kAlignment;
    segment.bytes = added.offset + added.bytes;
    raw.payloads.emplace_back(static_cast<size_t>(added.bytes));
    raw.model.weights.push_back(added);
    return static_cast<uint32_t>(raw.model.weights.size() - 1);
}

const std::vector<Hostile> &table() {
    static const std::vector<Hostile> kTable = {
        // Header
        {"a format version from the future", "header.format_version: found 2, expected 1",
         [](RawFile &r) { r.formatVersion = 2; }, StatusCode::Unsupported},
        {"a runtime from the future", "header.minimum_runtime: found 1.0.0", [](RawFile &r) { r.minimumRuntime = 1u << 22; },
         StatusCode::Unsupported},
        {"a root that is not aligned", "header.root_offset", [](RawFile &r) { r.gap = 8; }},
        {"a root over the header", "header.root_offset: found 0", [](RawFile &r) { r.rootOffset = 0; }},
        {"a root of nothing", "header.root_bytes: found 0", [](RawFile &r) { r.rootBytes = 0; }},
        {"a root beyond the file", "header.root_offset", [](RawFile &r) { r.rootOffset = 1u << 30; }},
        {"a root that wraps around", "header.root_offset", [](RawFile &r) { r.rootOffset = ~uint64_t{63}; }},
        {"a root of 17 MB", "header.root_bytes: found 17825792", [](RawFile &r) { r.rootBytes = 17u << 20; }},
        {"a root of all bytes there are", "header.root_bytes", [](RawFile &r) { r.rootBytes = ~uint64_t{0}; }},
        {"a file that says it is longer", "header.file_bytes", [](RawFile &r) { r.fileBytes = 1u << 20; }},
        {"reserved bytes in use", "header.reserved: found 9, expected 0", [](RawFile &r) { r.reserved = 9; }},
        {"bytes behind the root", "root.offset", [](RawFile &r) { r.behind = {0}; }},
        {"a gap of a whole alignment", "a gap of less than 64", [](RawFile &r) { r.gap = 64; }},
        {"padding that holds something", "padding: found byte 1", [](RawFile &r) { r.padding = 1; }},
        // Features and segments
        {"a feature that is not known", "required_features: found 'guidance'",
         [](RawFile &r) { r.features = {"guidance"}; }, StatusCode::Unsupported},
        {"a required segment that is not known", "segments[1] 'codebook': found required kind 77",
         [](RawFile &r) {
             r.model.segments.push_back({});
             r.model.segments[1].offset = alignedEnd(r);
             r.model.segments[1].bytes = 64;
             r.labels.push_back({"codebook", 77, true});
         },
         StatusCode::Unsupported},
        {"a segment over the header", "segments[0].offset", [](RawFile &r) { r.model.segments[0].offset = 0; }},
        {"a segment that is not aligned", "segments[0].offset: found 65", [](RawFile &r) { r.model.segments[0].offset = 65; }},
        {"a segment beyond the file", "segments[0].bytes", [](RawFile &r) { r.model.segments[0].offset = uint64_t{1} << 40; }},
        {"a segment that wraps around", "segments[0].bytes", [](RawFile &r) { r.model.segments[0].offset = ~uint64_t{63}; }},
        {"an empty segment", "segments[0].bytes: found 0", [](RawFile &r) { r.model.segments[0].bytes = 0; }},
        {"a segment over the root", "segments[1].offset: found root until byte",
         [](RawFile &r) {
             r.model.segments.push_back({});
             r.model.segments[1].offset = alignedEnd(r) + 64;
             r.model.segments[1].bytes = 64;
             r.model.segments[1].checksums = {0};
             r.labels.push_back({"over the root", 0, true});
             r.segmentsWritten = 1;
         }},
        {"two segments over each other", "segments[1].offset: found segments[0] until byte",
         [](RawFile &r) {
             r.model.segments.push_back(r.model.segments[0]);
             r.labels.push_back({"again", 0, true});
         }},
        {"a checksum too few", "segments[0].checksums: found 0",
         [](RawFile &r) { r.keepChecksums = true; }},
        {"a checksum too many", "segments[0].checksums: found 2",
         [](RawFile &r) {
             r.keepChecksums = true;
             r.model.segments[0].checksums = {1, 2};
         }},
        {"a thousand segments", "segments: found 1000 entries",
         [](RawFile &r) {
             r.model.segments.assign(1000, {});
             r.labels.assign(1000, {"s", 0, true});
         }},
        // Weights
        {"a weight beyond its segment", "weights[0] 'conv_in.weight'.offset",
         [](RawFile &r) { weight(r, 0).offset = 1u << 30; }},
        {"a weight that wraps around", "weights[0] 'conv_in.weight'.offset",
         [](RawFile &r) { weight(r, 0).offset = ~uint64_t{63}; }},
        {"a weight that is not aligned", "weights[0] 'conv_in.weight'.offset: found 32",
         [](RawFile &r) { weight(r, 0).offset = 32; }},
        {"two weights over each other", "offset: found 0, inside 'conv_in.weight'",
         [](RawFile &r) { weight(r, 1).offset = 0; }},
        {"a weight in no segment", "segment: found 3, expected less than 1",
         [](RawFile &r) { weight(r, 0).segment = 3; }},
        {"a weight of another type", "weights[0] 'conv_in.weight'.type: found 2",
         [](RawFile &r) { weight(r, 0).type = static_cast<DataType>(2); }},
        {"a weight with fewer bytes than its shape", "weights[0] 'conv_in.weight'.bytes",
         [](RawFile &r) { weight(r, 0).bytes -= 2; }},
        {"a weight whose shape overflows", "weights[0] 'conv_in.weight'.bytes",
         [](RawFile &r) { weight(r, 0).shape = {1u << 31, 1u << 31, 1u << 31, 8}; }},
        {"a weight whose shape overflows to its bytes", "weights[0] 'conv_in.weight'.bytes",
         [](RawFile &r) {
             weight(r, 0).shape = {1u << 31, 1u << 31, 2, 8}; // 2^68 bytes, 0 in 64 bits
             weight(r, 0).bytes = 0;
         }},
        {"a weight with a dimension of zero", "weights[0] 'conv_in.weight'.bytes",
         [](RawFile &r) {
             weight(r, 0).shape[1] = 0;
             weight(r, 0).bytes = 0;
         }},
        {"a weight without a shape", "weights[0] 'conv_in.weight'.shape: found 0 dimensions",
         [](RawFile &r) { weight(r, 0).shape.clear(); }},
        {"a weight of five dimensions", "weights.shape: found 5",
         [](RawFile &r) { weight(r, 0).shape = {1, 1, 1, 1, 1}; }},
        {"a weight without a name", "weights[0].name: found 0 bytes", [](RawFile &r) { weight(r, 0).name = ""; }},
        {"two weights of one name", "weights[1].name: found 'conv_in.weight' again",
         [](RawFile &r) { weight(r, 1).name = weight(r, 0).name; }},
        {"a convolution's weight in fp32", "weight: found 'conv_in.weight' of F32",
         [](RawFile &r) {
             weight(r, 0).type = DataType::F32;
             weight(r, 0).shape[0] /= 2;
         }},
        {"a weight for other input channels", "[kh][kw][6]",
         [](RawFile &r) {
             weight(r, 0).shape = {4, 3, 3, 12};
         }},
        {"a kernel of 72 pixels", "kh and kw at most 31", [](RawFile &r) { weight(r, 0).shape = {1, 72, 1, 6}; }},
        {"a bias for other channels", "bias: found 'conv_in.bias' of F32 [4][4]",
         [](RawFile &r) { weight(r, 1).shape = {4, 4}; }},
        {"a bias for three of two timesteps", "R = 1 or 2",
         [](RawFile &r) { op(r, kConvIn).bias = addWeight(r, DataType::F32, {3, 8}); }},
        {"an affine table without beta", "affine: found 'norm1.affine' of F32 [2][1][8]",
         [](RawFile &r) { weight(r, op(r, kNorm1).affine).shape = {2, 1, 8}; }},
        // Tensors
        {"a tensor of no channels", "tensors[3] 'high'.channels: found 0", [](RawFile &r) { unet(r).tensors[3].channels = 0; }},
        {"a tensor of four billion channels", "tensors[3] 'high'.channels: found 4294967295",
         [](RawFile &r) { unet(r).tensors[3].channels = ~0u; }},
        {"a tensor of another kind", "tensors[3].kind: found 9", [](RawFile &r) { unet(r).tensors[3].kind = static_cast<TensorKind>(9); }},
        {"two tensors of one name", "tensors[4].name: found 'high' again", [](RawFile &r) { unet(r).tensors[4].name = "high"; }},
        {"a tensor that nothing makes", "'orphan': found no op that makes it",
         [](RawFile &r) { unet(r).tensors.push_back({"orphan", TensorKind::Activation, 8}); }},
        {"a port's tensor without a port", "'orphan': found no port",
         [](RawFile &r) { unet(r).tensors.push_back({"orphan", TensorKind::Port, 8}); }},
        {"an output that nothing uses", "'high_norm': found no op that uses it", [](RawFile &r) { op(r, kDown).inputs = {3}; }},
        {"a name with an escape sequence", "tensors[3].name: found control character 27",
         [](RawFile &r) { unet(r).tensors[3].name = "\x1b[2J"; }},
        {"a name that is not UTF-8", "tensors[3].name: found bytes that are not UTF-8 at 1",
         [](RawFile &r) { unet(r).tensors[3].name = "a\xff"; }},
        {"a name in overlong UTF-8", "not UTF-8", [](RawFile &r) { unet(r).tensors[3].name = "\xc0\xaf"; }},
        {"a name of a surrogate", "not UTF-8", [](RawFile &r) { unet(r).tensors[3].name = "\xed\xa0\x80"; }},
        {"a name of 256 bytes", "tensors[3].name: found 256 bytes",
         [](RawFile &r) { unet(r).tensors[3].name = std::string(256, 'a'); }},
        // Ops
        {"an op of a kind that the converter alone knows", "found 68 (Scale)",
         [](RawFile &r) { op(r, kConvIn).kind = OpKind::Scale; }, StatusCode::Unsupported},
        {"an op of a kind that nobody knows", "ops[1] 'conv_in'.kind: found 9 (unknown)",
         [](RawFile &r) { op(r, kConvIn).kind = static_cast<OpKind>(9); }, StatusCode::Unsupported},
        {"an op without a name", "ops[1].name: found 0 bytes", [](RawFile &r) { op(r, kConvIn).name = ""; }},
        {"two ops of one name", "ops[13].name: found 'conv_in' again", [](RawFile &r) { op(r, kConvOut).name = "conv_in"; }},
        {"an input that is no tensor", "ops[1] 'conv_in'.inputs[0]: found 99", [](RawFile &r) { op(r, kConvIn).inputs = {99}; }},
        {"an input made later", "found 'mixed', which no port or earlier op makes",
         [](RawFile &r) { op(r, kQkv).inputs = {9}; }},
        {"an op that reads its own output", "found 'qkv', which no port",
         [](RawFile &r) {
             op(r, kQkv).inputs = {7};
         }},
        {"an output that is no tensor", "ops[1] 'conv_in'.output: found 4294967295", [](RawFile &r) { op(r, kConvIn).output = kNone; }},
        {"an output made twice", "found 'joined', which is made already",
         [](RawFile &r) {
             Op again = op(r, kConcat);
             again.name = "again";
             unet(r).ops.insert(unet(r).ops.begin() + 1, again);
         }},
        {"an output over an input port", "'x', which is made already",
         [](RawFile &r) { op(r, kConvOut).output = 0; }},
        {"a norm that writes a port", "found 'model_output', a port's tensor", [](RawFile &r) { op(r, kNorm3).output = 12; }},
        {"no inputs", "ops[1] 'conv_in'.inputs: found 0", [](RawFile &r) { op(r, kConvIn).inputs.clear(); }},
        {"three inputs of a convolution", "ops[1] 'conv_in'.inputs: found 3", [](RawFile &r) { op(r, kConvIn).inputs = {2, 2, 2}; }},
        {"nine inputs of a concatenation", "graphs.ops.inputs: found 9", [](RawFile &r) { op(r, kConcat).inputs.assign(9, 0); }},
        {"a million inputs", "graphs.ops.inputs: found 1000000", [](RawFile &r) { op(r, kConcat).inputs.assign(1000000, 0); }},
        {"a concatenation of activations", "found 'joined', expected a port's tensor",
         [](RawFile &r) {
             Op again = op(r, kConcat);
             again.name = "again";
             again.inputs = {2, 2};
             unet(r).ops.insert(unet(r).ops.begin() + 1, again);
         }},
        {"a concatenation with one scale", "input_scale: found 1 and 2 offsets", [](RawFile &r) { op(r, kConcat).inputScale = {1}; }},
        {"a concatenation with an infinite scale", "input_scale[0]: found inf", [](RawFile &r) { op(r, kConcat).inputScale[0] = kInfinity; }},
        {"a convolution of a port", "found 'x', expected an activation", [](RawFile &r) { op(r, kConvIn).inputs = {0, 0}; }},
        {"a weight index beyond all", "ops[1] 'conv_in'.weight: found 4294967295", [](RawFile &r) { op(r, kConvIn).weight = kNone; }},
        {"a bias index beyond all", "ops[1] 'conv_in'.bias: found 1000", [](RawFile &r) { op(r, kConvIn).bias = 1000; }},
        {"a stride of zero", "stride: found 0, expected 1 or 2", [](RawFile &r) { op(r, kConvIn).stride = 0; }},
        {"a stride of three", "stride: found 3, expected 1 or 2", [](RawFile &r) { op(r, kConvIn).stride = 3; }},
        {"padding of four billion", "pad_top: found 4294967295", [](RawFile &r) { op(r, kConvIn).padTop = ~0u; }},
        {"padding wider than the kernel", "pad_right: found 3, expected less than the kernel's 3",
         [](RawFile &r) { op(r, kConvIn).padRight = 3; }},
        {"an averaged input", "input_resample: found 2", [](RawFile &r) { op(r, kConvIn).inputResample = Resample::AverageDown2; }},
        {"an unknown resampling", "residual_resample: found 7",
         [](RawFile &r) { op(r, kProject).residualResample = static_cast<Resample>(7); }},
        {"a residual of other channels", "residual: found 'high' of 8 channels, expected 16",
         [](RawFile &r) { op(r, kProject).residual = 3; }},
        {"a residual made later", "residual: found 'up', which no port", [](RawFile &r) { op(r, kProject).residual = 10; }},
        {"a resampled residual without a residual", "residual_resample: found a value",
         [](RawFile &r) { op(r, kConvIn).residualResample = Resample::NearestUp2; }},
        {"a NaN in the output scale", "output_scale: found nan", [](RawFile &r) { op(r, kConvIn).outputScale = kNaN; }},
        {"groups that do not divide", "groups: found 3, expected a divisor of 8", [](RawFile &r) { op(r, kNorm1).groups = 3; }},
        {"no groups", "groups: found 0", [](RawFile &r) { op(r, kNorm1).groups = 0; }},
        {"an epsilon of zero", "epsilon: found 0,", [](RawFile &r) { op(r, kNorm1).epsilon = 0; }},
        {"an unknown activation", "activation: found 5", [](RawFile &r) { op(r, kNorm1).activation = static_cast<ActivationFunction>(5); }},
        {"a norm that upsamples", "output_resample: found 1", [](RawFile &r) { op(r, kNorm1).outputResample = Resample::NearestUp2; }},
        {"a resampling that does nothing", "ops[9] 'fir_down'.output_resample: found 0, expected 1 to 5",
         [](RawFile &r) { op(r, kFirDown).outputResample = Resample::None; }},
        {"a resampling that nobody knows", "output_resample: found 6",
         [](RawFile &r) { op(r, kFirDown).outputResample = static_cast<Resample>(6); }},
        {"a resampling of two maps", "ops[9] 'fir_down'.inputs: found 2, expected 1 to 1",
         [](RawFile &r) { op(r, kFirDown).inputs = {3, 3}; }},
        {"a resampling that changes the channels", "output: found 'filtered' of 9 channels, expected 8",
         [](RawFile &r) { unet(r).tensors[13].channels = 9; }},
        {"a resampling with an activation", "activation: found a value, expected none for Resample",
         [](RawFile &r) { op(r, kFirDown).activation = ActivationFunction::Silu; }},
        {"a pointwise op of three maps", "ops[11] 'point'.inputs: found 3, expected 1 to 2",
         [](RawFile &r) { op(r, kPoint).inputs = {3, 3, 3}; }},
        {"a pointwise op of a port", "found 'x', expected an activation", [](RawFile &r) { op(r, kPoint).inputs = {0}; }},
        {"a pointwise op with a stride", "stride: found a value, expected none for Pointwise",
         [](RawFile &r) { op(r, kPoint).stride = 2; }},
        {"a pointwise op with an unknown activation", "'point'.activation: found 5",
         [](RawFile &r) { op(r, kPoint).activation = static_cast<ActivationFunction>(5); }},
        {"a pointwise table that is not there", "'point'.affine: found 1000", [](RawFile &r) { op(r, kPoint).affine = 1000; }},
        {"a pointwise table of other channels", "'point'.affine: found 'added' of F32 [1][2][7], expected F32 [R][2][8]",
         [](RawFile &r) { op(r, kPoint).affine = addWeight(r, DataType::F32, {1, 2, 7}); }},
        {"a pointwise map in a graph of any size", "one of each per element, expected ports of one size",
         [](RawFile &r) { op(r, kPoint).affine = addWeight(r, DataType::F32, {2, 8, 4, 4}); }},
        {"a pointwise map of other channels", "expected F32 [2][8][H][W]",
         [](RawFile &r) { op(r, kPoint).affine = addWeight(r, DataType::F32, {2, 9, 4, 4}); }},
        {"a pointwise map of halfs", "expected F32 [2][8][H][W]",
         [](RawFile &r) { op(r, kPoint).affine = addWeight(r, DataType::F16, {2, 8, 4, 4}); }},
        {"a pointwise residual of other channels", "'point'.residual: found 'low' of 16 channels, expected 8",
         [](RawFile &r) { op(r, kPoint).residual = 5; }},
        {"a pointwise output of other channels", "output: found 'low_norm'",
         [](RawFile &r) { op(r, kPoint).output = 6; }},
        {"a port of one height and any width", "shape[2]: found 8 of symbol 0, expected a number of pixels for both",
         [](RawFile &r) { for (Port &port : unet(r).ports) port.shape[2] = {DimensionSymbol::One, 8, 1}; }},
        {"ports of two sizes", "shape[3]: found 9 of symbol 0, expected a number of pixels",
         [](RawFile &r) {
             for (Port &port : unet(r).ports)
                 port.shape[2] = port.shape[3] = {DimensionSymbol::One, 8, 1};
             unet(r).ports[1].shape[3].numerator = 9;
         }},
        {"a size of four billion", "shape[2]: found 4294967295/1",
         [](RawFile &r) {
             for (Port &port : unet(r).ports)
                 port.shape[2] = port.shape[3] = {DimensionSymbol::One, ~0u, 1};
         }},
        {"half a pixel", "shape[2]: found 1/2",
         [](RawFile &r) {
             for (Port &port : unet(r).ports)
                 port.shape[2] = port.shape[3] = {DimensionSymbol::One, 1, 2};
         }},
        {"a convolution that filters its input", "input_resample: found 3",
         [](RawFile &r) { op(r, kUpsample).inputResample = Resample::FirUp2; }},
        {"a residual that is filtered", "residual_resample: found 4",
         [](RawFile &r) { op(r, kProject).residualResample = Resample::FirDown2; }},
        {"a norm that filters", "output_resample: found 4", [](RawFile &r) { op(r, kNorm1).outputResample = Resample::FirDown2; }},
        {"scales for other timesteps", "output_scales: found 1, expected none or 2",
         [](RawFile &r) { op(r, kConvOut).outputScales = {1}; }},
        {"a NaN among the scales", "output_scales[1]: found nan", [](RawFile &r) { op(r, kConvOut).outputScales[1] = kNaN; }},
        {"more scales than timesteps can be", "graphs.ops.output_scales: found 4097",
         [](RawFile &r) { op(r, kConvOut).outputScales.assign(4097, 1); }},
        {"scales of a norm", "output_scales: found a value, expected none for GroupNorm",
         [](RawFile &r) { op(r, kNorm1).outputScales = {1, 1}; }},
        {"heads that do not divide", "heads: found 3 for 48", [](RawFile &r) { op(r, kAttention).heads = 3; }},
        {"no heads", "heads: found 0", [](RawFile &r) { op(r, kAttention).heads = 0; }},
        {"an attention over a tensor that is not q, k, v", "heads: found 2 for 16",
         [](RawFile &r) { op(r, kAttention).inputs = {6}; }},
        {"a field that the kind does not have", "heads: found a value, expected none for Conv2d",
         [](RawFile &r) { op(r, kConvIn).heads = 4; }},
        {"a graph without ops", "graphs[0].ops: found 0", [](RawFile &r) { unet(r).ops.clear(); }},
        {"more ops than any graph has", "graphs.ops: found 4097", [](RawFile &r) { unet(r).ops.resize(4097); }},
        // Conditioning
        {"a conditioning of a kind that nobody knows", "conditioning.kind: found 7", [](RawFile &r) { unet(r).conditioning.kind = static_cast<ConditioningKind>(7); }},
        {"step embeddings that are not there", "conditioning.step_embeddings: found 999", [](RawFile &r) { unet(r).conditioning.stepEmbeddings = 999; }},
        {"step embeddings of another count", "conditioning.step_embeddings: found 'classes' of F32 [5][6], expected F32 [2][E]",
         [](RawFile &r) { unet(r).conditioning.stepEmbeddings = unet(r).conditioning.classes; }},
        {"no table of classes", "conditioning.classes: found 4294967295", [](RawFile &r) { unet(r).conditioning.classes = kNone; }},
        {"classes of another length", "conditioning.classes: found 'classes' of F32 [6][5]",
         [](RawFile &r) { weight(r, unet(r).conditioning.classes).shape = {6, 5}; }},
        {"a null class that is none of the classes", "null_class: found 5, expected less than 5", [](RawFile &r) { unet(r).conditioning.nullClass = 5; }},
        {"vectors with a table of classes", "classes: found ", [](RawFile &r) { unet(r).conditioning.kind = ConditioningKind::Vectors; }},
        {"a projection without conditioning", "ops[3] 'down'.projection: found",
         [](RawFile &r) {
             unet(r).conditioning = {};
             for (Recipe &recipe : r.model.recipes)
                 for (StepRow &each : recipe.rows)
                     each.guided = false, each.guidance = 1, each.guidanceRescale = 0;
         }},
        {"a projection that is not there", "ops[3] 'down'.projection: found 999", [](RawFile &r) { op(r, kDown).projection = 999; }},
        {"a projection to other outputs", "expected F16 [32][6]", [](RawFile &r) { op(r, kNorm2).projection = op(r, kDown).projection; }},
        {"a projection beside rows for timesteps", "expected one row",
         [](RawFile &r) {
             op(r, kConvIn).projection = addWeight(r, DataType::F16, {8, 6});
         }},
        {"a projection of an attention", "projection: found a value, expected none for Attention", [](RawFile &r) { op(r, kAttention).projection = 0; }},
        // Ports
        {"a port on no tensor", "ports[0] 'x'.tensor: found 4294967295", [](RawFile &r) { unet(r).ports[0].tensor = kNone; }},
        {"a port on an activation", "ports[0] 'x'.tensor: found 2", [](RawFile &r) { unet(r).ports[0].tensor = 2; }},
        {"two ports on one tensor", "ports[1] 'condition'.tensor: found 0 again", [](RawFile &r) { unet(r).ports[1].tensor = 0; }},
        {"two ports of one name", "ports[1].name: found 'x' again", [](RawFile &r) { unet(r).ports[1].name = "x"; }},
        {"a port of tokens", "ports[1] 'condition'.kind: found 2", [](RawFile &r) { unet(r).ports[1].kind = PortKind::Tokens; },
         StatusCode::Unsupported},
        {"a port of three dimensions", "shape: found 3 dimensions", [](RawFile &r) { unet(r).ports[0].shape.pop_back(); }},
        {"a port of five dimensions", "ports.shape: found 5", [](RawFile &r) { unet(r).ports[0].shape.push_back({}); }},
        {"a port divided by zero", "shape[2]: found 1/0", [](RawFile &r) { unet(r).ports[0].shape[2].denominator = 0; }},
        {"a port a million times the image", "shape[3]: found 1000000/1", [](RawFile &r) { unet(r).ports[0].shape[3].numerator = 1000000; }},
        {"a port with other channels than its tensor", "shape[1]: found 4, expected the tensor's 3",
         [](RawFile &r) { unet(r).ports[0].shape[1].numerator = 4; }},
        {"a port over symbols in another order", "shape[2].symbol: found 3", [](RawFile &r) { unet(r).ports[0].shape[2].symbol = DimensionSymbol::W; }},
        {"a port over an unknown symbol", "shape[2].symbol: found 200",
         [](RawFile &r) { unet(r).ports[0].shape[2].symbol = static_cast<DimensionSymbol>(200); }},
        {"an input that takes the model's output", "ports[0] 'x'.source: found 2", [](RawFile &r) { unet(r).ports[0].source = PortSource::ModelOutput; }},
        {"an output that takes the state", "ports[2] 'model_output'.source: found 1", [](RawFile &r) { unet(r).ports[2].source = PortSource::State; }},
        {"a source that nobody knows", "source: found 17", [](RawFile &r) { unet(r).ports[0].source = static_cast<PortSource>(17); }},
        {"a port fed by a graph that is not there", "source_port: found 0 of graph 9",
         [](RawFile &r) {
             unet(r).ports[1].source = PortSource::Graph;
             unet(r).ports[1].sourceGraph = 9;
             unet(r).ports[1].sourcePort = 0;
         }},
        {"a port fed by its own graph", "source_graph: found 'unet', which does not run before it",
         [](RawFile &r) {
             unet(r).ports[1].source = PortSource::Graph;
             unet(r).ports[1].sourceGraph = 0;
             unet(r).ports[1].sourcePort = 2;
         }},
        {"a port fed by a later graph", "source_graph: found 'unet', which does not run before it",
         [](RawFile &r) {
             Graph &second = addGraph(r);
             second.ports[1].source = PortSource::Graph;
             second.ports[1].sourceGraph = 0;
             second.ports[1].sourcePort = 2;
         }},
        {"a port fed by an input port", "source_port: found 0 of graph 1",
         [](RawFile &r) {
             addGraph(r);
             unet(r).ports[1].source = PortSource::Graph;
             unet(r).ports[1].sourceGraph = 1;
             unet(r).ports[1].sourcePort = 0;
         }},
        {"a port fed by a constant that is not there", "source_weight: found 999",
         [](RawFile &r) {
             unet(r).ports[1].source = PortSource::Constant;
             unet(r).ports[1].sourceWeight = 999;
         }},
        {"an app's port with a source graph", "source_graph: found 0, expected none", [](RawFile &r) { unet(r).ports[1].sourceGraph = 0; }},
        {"an image whose white is black", "value_low: found 2 with value_high -0.5",
         [](RawFile &r) { std::swap(unet(r).ports[0].valueLow, unet(r).ports[0].valueHigh); }},
        {"an image of NaNs", "value_low: found nan", [](RawFile &r) { unet(r).ports[0].valueLow = kNaN; }},
        // Graphs
        {"no graph", "graphs: found none", [](RawFile &r) { r.model.graphs.clear(); }},
        {"seventeen graphs", "graphs: found 17", [](RawFile &r) { r.model.graphs.resize(17); }},
        {"two graphs of one name", "graphs[1].name: found 'unet' again", [](RawFile &r) { addGraph(r).name = "unet"; }},
        {"two graphs at one place", "graphs[1].order: found 3 again", [](RawFile &r) { addGraph(r).order = 3; }},
        {"two model outputs", "graphs: found 2 model outputs", [](RawFile &r) { addGraph(r).ports[2].source = PortSource::ModelOutput; }},
        {"no model output", "graphs: found 0 model outputs", [](RawFile &r) { unet(r).ports[2].source = PortSource::App; }},
        {"a model output that is not per step", "source: found the model's output", [](RawFile &r) { unet(r).phase = Phase::PerImage; }},
        {"a phase that nobody knows", "phase: found 9", [](RawFile &r) { unet(r).phase = static_cast<Phase>(9); }},
        {"a size multiple of zero", "size_multiple: found 0", [](RawFile &r) { unet(r).sizeMultiple = 0; }},
        {"a size multiple of four billion", "size_multiple: found 4294967295", [](RawFile &r) { unet(r).sizeMultiple = ~0u; }},
        // Recipes
        {"no recipes for a model output", "recipes: found none",
         [](RawFile &r) { r.model.recipes.clear(); }},
        {"a recipe without rows", "recipes[1].rows: found 0 rows", [](RawFile &r) { r.model.recipes[1].rows.clear(); }},
        {"a recipe of five thousand rows", "recipes.rows: found 5000", [](RawFile &r) { r.model.recipes[1].rows.resize(5000); }},
        {"a hundred recipes", "recipes: found 100", [](RawFile &r) { r.model.recipes.resize(100); }},
        {"two recipes of one name", "recipes[1].name: found '1' again", [](RawFile &r) { r.model.recipes[1].name = "1"; }},
        {"a recipe of no steps", "recipes[1].steps: found 0", [](RawFile &r) { r.model.recipes[1].steps = 0; }},
        {"an infinite start", "init_noise: found inf", [](RawFile &r) { r.model.recipes[1].initNoise = kInfinity; }},
        {"a start from a condition that no port gives", "init_condition: found 0.75", [](RawFile &r) { unet(r).ports[1].name = "other"; }},
        {"a start scaled by zero", "init_scale: found 0", [](RawFile &r) { r.model.recipes[1].initScale = 0; }},
        {"a timestep index beyond the list", "recipes[1].rows[1].timestep_index: found 2", [](RawFile &r) { row(r, 1).timestepIndex = 2; }},
        {"a timestep that its index does not have", "recipes[1].rows[1].timestep: found 3", [](RawFile &r) { row(r, 1).timestep = 3; }},
        {"a NaN in a coefficient", "recipes[1].rows[1].b: found nan", [](RawFile &r) { row(r, 1).b = kNaN; }},
        {"an infinity in a register's coefficient", "recipes[1].rows[1].h1: found inf", [](RawFile &r) { row(r, 1).h[1] = kInfinity; }},
        {"a register read before it is written", "recipes[1].rows[1].h2: found 0.5", [](RawFile &r) { row(r, 1).h[2] = 0.5f; }},
        {"a fifth register", "recipes[1].rows[1].store: found 4", [](RawFile &r) { row(r, 1).store = 4; }},
        {"a clip that nobody knows", "clip: found 3", [](RawFile &r) { row(r, 1).clip = static_cast<ClipKind>(3); }},
        {"a clip to nothing", "clip_low: found 0.875, expected less than 0.875", [](RawFile &r) { row(r, 0).clipLow = 0.875f; }},
        {"a threshold at a quantile above one", "quantile: found 1.5", [](RawFile &r) { row(r, 1).quantile = 1.5f; }},
        {"seven draws", "draws: found 7", [](RawFile &r) { row(r, 1).draws = 7; }},
        {"noise without a draw", "draws: found 0 with c = ", [](RawFile &r) { row(r, 1).draws = 0; }},
        {"an infinite guidance", "recipes[1].rows[0].guidance: found inf", [](RawFile &r) { row(r, 0).guidance = kInfinity; }},
        {"a guidance rescaled by more than all", "recipes[1].rows[0].guidance_rescale: found 1.5", [](RawFile &r) { row(r, 0).guidanceRescale = 1.5f; }},
        {"a guidance scale in a row without guidance", "recipes[1].rows[1].guidance: found 2", [](RawFile &r) { row(r, 1).guidance = 2; }},
        {"guidance without a class that stands for none", "guided: found a row with guidance", [](RawFile &r) { unet(r).conditioning.nullClass = kNone; }},
        {"a Langevin step without a draw", "draws: found 0 with c = 0,",
         [](RawFile &r) {
             row(r, 1).c = row(r, 1).knownNoise = 0;
             row(r, 1).draws = 0;
         }},
        {"a variance that nobody knows", "variance: found 3, expected 0 to 2", [](RawFile &r) { row(r, 1).variance = static_cast<VarianceKind>(3); }},
        {"a variance that no port gives", "variance: found 1, expected 0", [](RawFile &r) { row(r, 1).variance = VarianceKind::Interpolated; }},
        {"an exponent of a fixed variance", "variance_exponent: found 0.5", [](RawFile &r) { row(r, 1).varianceExponent = 0.5f; }},
        {"a known image where nothing is known", "recipes[1].rows[0].known_image: found 1 with noise 0", [](RawFile &r) { row(r, 0).knownImage = 1; }},
        {"a NaN in a known region", "known_noise: found nan", [](RawFile &r) { row(r, 1).knownNoise = kNaN; }},
        {"a condition beside a known region", "rows[1].e: found 0.25, expected 0", [](RawFile &r) { row(r, 1).e = 0.25f; }},
        {"two variances", "found 2 variances of 3 channels",
         [](RawFile &r) {
             addGraph(r).ports[2].source = PortSource::ModelVariance;
             Graph &third = addGraph(r);
             third.name = "third";
             third.order = 2;
             third.ports[2].source = PortSource::ModelVariance;
         }},
        {"an input that takes the variance", "ports[0] 'x'.source: found 6", [](RawFile &r) { unet(r).ports[0].source = PortSource::ModelVariance; }},
        {"a scale of zero", "recipes[1].rows[1].scale: found 0", [](RawFile &r) { row(r, 1).scale = 0; }},
        {"a timestep of NaN", "timesteps[0]: found nan", [](RawFile &r) { r.model.timesteps[0] = kNaN; }},
        {"five thousand timesteps", "timesteps: found 5000", [](RawFile &r) { r.model.timesteps.resize(5000); }},
        // Self-check
        {"a self-check of no graph", "self_check.graph: found 4", [](RawFile &r) { r.model.selfCheck.graph = 4; }},
        {"a self-check at no timestep", "self_check.timestep_index: found 9", [](RawFile &r) { r.model.selfCheck.timestepIndex = 9; }},
        {"a self-check of no class", "self_check.label: found 5, expected less than 5", [](RawFile &r) { r.model.selfCheck.label = 5; }},
        {"a self-check of a size that is not legal", "self_check.height: found 3", [](RawFile &r) { r.model.selfCheck.height = 3; }},
        {"a self-check of four billion rows", "self_check.height: found 4294967294", [](RawFile &r) { r.model.selfCheck.height = ~1u; }},
        {"a self-check with an input too few", "self_check.inputs[1]: found nothing", [](RawFile &r) { r.model.selfCheck.inputs.pop_back(); }},
        {"a self-check with an input too many", "self_check.inputs: found 3 arrays", [](RawFile &r) { r.model.selfCheck.inputs.push_back({}); }},
        {"a self-check with a short input", "self_check.inputs[1]: found 47 floats, expected 48", [](RawFile &r) { r.model.selfCheck.inputs[1].pop_back(); }},
        {"a self-check with a short output", "self_check.output: found 47 floats, expected 48", [](RawFile &r) { r.model.selfCheck.output.pop_back(); }},
        {"a self-check that expects NaN", "self_check.output: found nan", [](RawFile &r) { r.model.selfCheck.output[5] = kNaN; }},
        {"a self-check of an op that is not there", "self_check.ops[13].op: found 14", [](RawFile &r) { r.model.selfCheck.ops[13].op = 14; }},
        {"a self-check of one op twice", "self_check.ops[1].op: found 0", [](RawFile &r) { r.model.selfCheck.ops[1].op = 0; }},
        {"a self-check with more positions than values", "positions: found 3 with 2", [](RawFile &r) { r.model.selfCheck.ops[1].values.pop_back(); }},
        {"a self-check of 65 samples", "self_check.ops.positions: found 65", [](RawFile &r) { r.model.selfCheck.ops[1].positions.resize(65); }},
        {"a self-check of no tolerance", "self_check.ops[1].tolerance: found 0", [](RawFile &r) { r.model.selfCheck.ops[1].tolerance = 0; }},
        {"a self-check without ops", "self_check.ops: found none", [](RawFile &r) { r.model.selfCheck.ops.clear(); }},
        // Texts
        {"a model without a name", "name: found 0 bytes", [](RawFile &r) { r.model.name = ""; }},
        {"a licence of 70000 bytes", "licence: found 70000 bytes", [](RawFile &r) { r.model.licence.assign(70000, 'a'); }},
        {"a task that nobody knows", "task: found 'knit', expected one of: generate, restore, denoise", [](RawFile &r) { r.model.task = "knit"; }},
        {"an inpainting model without a mask", "task 'inpaint': found inputs 'condition' of 3 channels", [](RawFile &r) { r.model.task = "inpaint"; }},
        {"a colourising model of colours", "expected one image 'condition' of one channel and two channels in the state", [](RawFile &r) { r.model.task = "colourise"; }},
        {"a description with a bell", "description: found control character 7", [](RawFile &r) { r.model.description = "\a"; }},
        {"a statistics window of four billion", "statistics_window: found 4294967295", [](RawFile &r) { r.model.statisticsWindow = ~0u; }},
        {"a receptive field of two billion", "receptive_field: found 2147483648", [](RawFile &r) { r.model.receptiveField = 1u << 31; }},
    };
    return kTable;
}

Status readStatus(const std::vector<uint8_t> &file) {
    const Source source = std::move(Source::fromMemory(file.data(), file.size(), "hostile.mote").value());
    return readModel(source).status();
}

TEST(HostileModel, TheSampleItselfIsRead) {
    const Status status = readStatus(assemble(rawFile(sampleModel())));
    EXPECT_TRUE(status.ok()) << status.message;
}

TEST(HostileModel, EachIsRefusedByFileAndField) {
    const RawFile good = rawFile(sampleModel());
    for (const Hostile &hostile : table()) {
        RawFile raw = good;
        hostile.spoil(raw);
        const Status status = readStatus(assemble(raw));
        EXPECT_EQ(status.code, hostile.code) << hostile.name << ": " << status.message;
        EXPECT_EQ(status.message.rfind("hostile.mote: ", 0), 0u) << hostile.name << ": " << status.message;
        EXPECT_NE(status.message.find(hostile.field), std::string::npos)
            << hostile.name << ": expected '" << hostile.field << "' in: " << status.message;
        EXPECT_NE(status.message.find("found "), std::string::npos) << hostile.name << ": " << status.message;
        EXPECT_NE(status.message.find("expected "), std::string::npos)
            << hostile.name << ": " << status.message;
    }
    EXPECT_GE(table().size(), 40u);
}

// What is wrong in the model's structs must not leave the writer either.
TEST(HostileModel, TheWriterRefusesWhatTheReaderWould) {
    const Sample sample = sampleModel();
    const std::string path = freshDirectory("hostile_write") + "/model.mote";
    for (const Hostile &hostile : table()) {
        RawFile raw = rawFile(sample);
        hostile.spoil(raw);
        const std::string field = hostile.field;
        const bool layout = field.rfind("header", 0) == 0 || field.find("segment") != std::string::npos ||
                            field.find("offset") != std::string::npos || field.find("padding") == 0 ||
                            field.find("gap") != std::string::npos || field.find("required_features") == 0 ||
                            (field.find("weights[0]") == 0 && field.find(".bytes") != std::string::npos);
        if (layout)
            continue; // the writer's own choice
        const Status status = writeModel(
            raw.model,
            [](uint32_t, uint64_t, void *to, size_t bytes) {
                std::memset(to, 0, bytes);
                return Status{};
            },
            path);
        EXPECT_FALSE(status.ok()) << hostile.name;
    }
    EXPECT_TRUE(listDirectory(path.substr(0, path.rfind('/'))).empty());
}

TEST(HostileModel, AnUnknownOptionalSegmentIsSkipped) {
    RawFile raw = rawFile(sampleModel());
    raw.model.segments.push_back({});
    raw.model.segments[1].offset =
        (raw.model.segments[0].offset + raw.model.segments[0].bytes + 63) / 64 * 64;
    raw.model.segments[1].bytes = 100;
    raw.labels.push_back({"preview", 12345, false});
    const Status status = readStatus(assemble(raw));
    EXPECT_TRUE(status.ok()) << status.message;
    // But no weight may lie in it.
    raw.model.weights.back().segment = 1;
    raw.model.weights.back().offset = 0;
    const Status refused = readStatus(assemble(raw));
    EXPECT_NE(refused.message.find("segment: found 1, of a kind not known"), std::string::npos)
        << refused.message;
}

// FlatBuffers may share: 8192 tensors of one name of 250 bytes, or 16 graphs that are one. Such a root
// describes far more than it holds; an honest one does not, and pays for each part once.
TEST(HostileModel, PartsUsedOverAndOverAreRefused) {
    for (const bool wholeTensors : {false, true}) {
        flatbuffers::FlatBufferBuilder b;
        const auto longName = b.CreateString(std::string(250, 'n'));
        std::vector<flatbuffers::Offset<format::Tensor>> all;
        for (uint32_t i = 0; i < kMaxTensors; ++i)
            all.push_back(wholeTensors && i > 0 ? all[0] : format::CreateTensor(b, longName, 0, 8));
        const auto tensors = b.CreateVector(all);
        const auto graph = format::CreateGraph(b, b.CreateString("unet"), 2, 0, 1, tensors);
        const std::vector<flatbuffers::Offset<format::Graph>> graphs(wholeTensors ? kMaxGraphs : 1, graph);
        const auto graphVector = b.CreateVector(graphs);
        const auto name = b.CreateString("shared");
        format::RootBuilder root(b);
        root.add_name(name);
        root.add_graphs(graphVector);
        b.Finish(root.Finish());
        EXPECT_LT(b.GetSize(), 200000u);
        std::vector<uint8_t> file = assemble(rawFile(sampleModel()));
        file.resize(kHeaderBytes);
        file.insert(file.end(), b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize());
        storeLittle(file.data() + kHeaderRootOffset, kHeaderBytes, 8);
        storeLittle(file.data() + kHeaderRootBytes, b.GetSize(), 8);
        storeLittle(file.data() + kHeaderFileBytes, file.size(), 8);
        seal(file);
        const Status status = readStatus(file);
        EXPECT_EQ(status.code, StatusCode::InvalidModel);
        EXPECT_NE(
            status.message.find(wholeTensors ? "root: found a damaged FlatBuffer" : "used more than once"),
            std::string::npos)
            << status.message;
    }
}

} // namespace
} // namespace mote::test
