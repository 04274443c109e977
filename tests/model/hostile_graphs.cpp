#include "model/hostile_cases.h"

namespace mote::test {

std::vector<Hostile> hostileGraphs() {
    return {
        // Tensors
        {"a tensor of no channels", "tensors[3] 'high'.channels: found 0",
         [](RawFile &r) { unet(r).tensors[3].channels = 0; }},
        {"a tensor of four billion channels", "tensors[3] 'high'.channels: found 4294967295",
         [](RawFile &r) { unet(r).tensors[3].channels = ~0u; }},
        {"a tensor of another kind", "tensors[3].kind: found 9",
         [](RawFile &r) { unet(r).tensors[3].kind = static_cast<TensorKind>(9); }},
        {"two tensors of one name", "tensors[4].name: found 'high' again",
         [](RawFile &r) { unet(r).tensors[4].name = "high"; }},
        {"a tensor that nothing makes", "'orphan': found no op that makes it",
         [](RawFile &r) {
             unet(r).tensors.push_back({"orphan", TensorKind::Activation, 8});
         }},
        {"a port's tensor without a port", "'orphan': found no port",
         [](RawFile &r) {
             unet(r).tensors.push_back({"orphan", TensorKind::Port, 8});
         }},
        {"an output that nothing uses", "'high_norm': found no op that uses it",
         [](RawFile &r) { op(r, kDown).inputs = {3}; }},
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
        {"two ops of one name", "ops[13].name: found 'conv_in' again",
         [](RawFile &r) { op(r, kConvOut).name = "conv_in"; }},
        {"an input that is no tensor", "ops[1] 'conv_in'.inputs[0]: found 99",
         [](RawFile &r) { op(r, kConvIn).inputs = {99}; }},
        {"an input made later", "found 'mixed', which no port or earlier op makes",
         [](RawFile &r) { op(r, kQkv).inputs = {9}; }},
        {"an op that reads its own output", "found 'qkv', which no port",
         [](RawFile &r) { op(r, kQkv).inputs = {7}; }},
        {"an output that is no tensor", "ops[1] 'conv_in'.output: found 4294967295",
         [](RawFile &r) { op(r, kConvIn).output = kNone; }},
        {"an output made twice", "found 'joined', which is made already",
         [](RawFile &r) {
             Op again = op(r, kConcat);
             again.name = "again";
             unet(r).ops.insert(unet(r).ops.begin() + 1, again);
         }},
        {"an output over an input port", "'x', which is made already",
         [](RawFile &r) { op(r, kConvOut).output = 0; }},
        {"a norm that writes a port", "found 'model_output', a port's tensor",
         [](RawFile &r) { op(r, kNorm3).output = 12; }},
        {"no inputs", "ops[1] 'conv_in'.inputs: found 0", [](RawFile &r) { op(r, kConvIn).inputs.clear(); }},
        {"three inputs of a convolution", "ops[1] 'conv_in'.inputs: found 3",
         [](RawFile &r) {
             op(r, kConvIn).inputs = {2, 2, 2};
         }},
        {"nine inputs of a concatenation", "graphs.ops.inputs: found 9",
         [](RawFile &r) { op(r, kConcat).inputs.assign(9, 0); }},
        {"a million inputs", "graphs.ops.inputs: found 1000000",
         [](RawFile &r) { op(r, kConcat).inputs.assign(1000000, 0); }},
        {"a concatenation of activations", "found 'joined', expected a port's tensor",
         [](RawFile &r) {
             Op again = op(r, kConcat);
             again.name = "again";
             again.inputs = {2, 2};
             unet(r).ops.insert(unet(r).ops.begin() + 1, again);
         }},
        {"a concatenation with one scale", "input_scale: found 1 and 2 offsets",
         [](RawFile &r) { op(r, kConcat).inputScale = {1}; }},
        {"a concatenation with an infinite scale", "input_scale[0]: found inf",
         [](RawFile &r) { op(r, kConcat).inputScale[0] = kInfinity; }},
        {"a convolution of a port", "found 'x', expected an activation",
         [](RawFile &r) {
             op(r, kConvIn).inputs = {0, 0};
         }},
        {"a weight index beyond all", "ops[1] 'conv_in'.weight: found 4294967295",
         [](RawFile &r) { op(r, kConvIn).weight = kNone; }},
        {"a bias index beyond all", "ops[1] 'conv_in'.bias: found 1000",
         [](RawFile &r) { op(r, kConvIn).bias = 1000; }},
        {"a stride of zero", "stride: found 0, expected 1 or 2",
         [](RawFile &r) { op(r, kConvIn).stride = 0; }},
        {"a stride of three", "stride: found 3, expected 1 or 2",
         [](RawFile &r) { op(r, kConvIn).stride = 3; }},
        {"padding of four billion", "pad_top: found 4294967295",
         [](RawFile &r) { op(r, kConvIn).padTop = ~0u; }},
        {"padding wider than the kernel", "pad_right: found 3, expected less than the kernel's 3",
         [](RawFile &r) { op(r, kConvIn).padRight = 3; }},
        {"an averaged input", "input_resample: found 2",
         [](RawFile &r) { op(r, kConvIn).inputResample = Resample::AverageDown2; }},
        {"an unknown resampling", "residual_resample: found 7",
         [](RawFile &r) { op(r, kProject).residualResample = static_cast<Resample>(7); }},
        {"a residual of other channels", "residual: found 'high' of 8 channels, expected 16",
         [](RawFile &r) { op(r, kProject).residual = 3; }},
        {"a residual made later", "residual: found 'up', which no port",
         [](RawFile &r) { op(r, kProject).residual = 10; }},
        {"a resampled residual without a residual", "residual_resample: found a value",
         [](RawFile &r) { op(r, kConvIn).residualResample = Resample::NearestUp2; }},
        {"a NaN in the output scale", "output_scale: found nan",
         [](RawFile &r) { op(r, kConvIn).outputScale = kNaN; }},
        {"groups that do not divide", "groups: found 3, expected a divisor of 8",
         [](RawFile &r) { op(r, kNorm1).groups = 3; }},
        {"no groups", "groups: found 0", [](RawFile &r) { op(r, kNorm1).groups = 0; }},
        {"an epsilon of zero", "epsilon: found 0,", [](RawFile &r) { op(r, kNorm1).epsilon = 0; }},
        {"an unknown activation", "activation: found 5",
         [](RawFile &r) { op(r, kNorm1).activation = static_cast<ActivationFunction>(5); }},
        {"a norm that upsamples", "output_resample: found 1",
         [](RawFile &r) { op(r, kNorm1).outputResample = Resample::NearestUp2; }},
        {"a resampling that does nothing", "ops[9] 'fir_down'.output_resample: found 0, expected 1 to 5",
         [](RawFile &r) { op(r, kFirDown).outputResample = Resample::None; }},
        {"a resampling that nobody knows", "output_resample: found 6",
         [](RawFile &r) { op(r, kFirDown).outputResample = static_cast<Resample>(6); }},
        {"a resampling of two maps", "ops[9] 'fir_down'.inputs: found 2, expected 1 to 1",
         [](RawFile &r) {
             op(r, kFirDown).inputs = {3, 3};
         }},
        {"a resampling that changes the channels", "output: found 'filtered' of 9 channels, expected 8",
         [](RawFile &r) { unet(r).tensors[13].channels = 9; }},
        {"a resampling with an activation", "activation: found a value, expected none for Resample",
         [](RawFile &r) { op(r, kFirDown).activation = ActivationFunction::Silu; }},
        {"a pointwise op of three maps", "ops[11] 'point'.inputs: found 3, expected 1 to 2",
         [](RawFile &r) {
             op(r, kPoint).inputs = {3, 3, 3};
         }},
        {"a pointwise op of a port", "found 'x', expected an activation",
         [](RawFile &r) { op(r, kPoint).inputs = {0}; }},
        {"a pointwise op with a stride", "stride: found a value, expected none for Pointwise",
         [](RawFile &r) { op(r, kPoint).stride = 2; }},
        {"a pointwise op with an unknown activation", "'point'.activation: found 5",
         [](RawFile &r) { op(r, kPoint).activation = static_cast<ActivationFunction>(5); }},
        {"a pointwise table that is not there", "'point'.affine: found 1000",
         [](RawFile &r) { op(r, kPoint).affine = 1000; }},
        {"a pointwise table of other channels",
         "'point'.affine: found 'added' of F32 [1][2][7], expected F32 [R][2][8]",
         [](RawFile &r) {
             op(r, kPoint).affine = addWeight(r, DataType::F32, {1, 2, 7});
         }},
        {"a pointwise map in a graph of any size", "one of each per element, expected ports of one size",
         [](RawFile &r) {
             op(r, kPoint).affine = addWeight(r, DataType::F32, {2, 8, 4, 4});
         }},
        {"a pointwise map of other channels", "expected F32 [2][8][H][W]",
         [](RawFile &r) {
             op(r, kPoint).affine = addWeight(r, DataType::F32, {2, 9, 4, 4});
         }},
        {"a pointwise map of halfs", "expected F32 [2][8][H][W]",
         [](RawFile &r) {
             op(r, kPoint).affine = addWeight(r, DataType::F16, {2, 8, 4, 4});
         }},
        {"a pointwise residual of other channels", "'point'.residual: found 'low' of 16 channels, expected 8",
         [](RawFile &r) { op(r, kPoint).residual = 5; }},
        {"a pointwise output of other channels", "output: found 'low_norm'",
         [](RawFile &r) { op(r, kPoint).output = 6; }},
        {"a port of one height and any width",
         "shape[2]: found 8 of symbol 0, expected a number of pixels for both",
         [](RawFile &r) {
             for (Port &port : unet(r).ports)
                 port.shape[2] = {DimensionSymbol::One, 8, 1};
         }},
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
        {"a norm that filters", "output_resample: found 4",
         [](RawFile &r) { op(r, kNorm1).outputResample = Resample::FirDown2; }},
        {"scales for other timesteps", "output_scales: found 1, expected none or 2",
         [](RawFile &r) { op(r, kConvOut).outputScales = {1}; }},
        {"a NaN among the scales", "output_scales[1]: found nan",
         [](RawFile &r) { op(r, kConvOut).outputScales[1] = kNaN; }},
        {"more scales than timesteps can be", "graphs.ops.output_scales: found 4097",
         [](RawFile &r) { op(r, kConvOut).outputScales.assign(4097, 1); }},
        {"scales of a norm", "output_scales: found a value, expected none for GroupNorm",
         [](RawFile &r) {
             op(r, kNorm1).outputScales = {1, 1};
         }},
        {"heads that do not divide", "heads: found 3 for 48",
         [](RawFile &r) { op(r, kAttention).heads = 3; }},
        {"no heads", "heads: found 0", [](RawFile &r) { op(r, kAttention).heads = 0; }},
        {"an attention over a tensor that is not q, k, v", "heads: found 2 for 16",
         [](RawFile &r) { op(r, kAttention).inputs = {6}; }},
        {"a field that the kind does not have", "heads: found a value, expected none for Conv2d",
         [](RawFile &r) { op(r, kConvIn).heads = 4; }},
        {"a graph without ops", "graphs[0].ops: found 0", [](RawFile &r) { unet(r).ops.clear(); }},
        {"more ops than any graph has", "graphs.ops: found 4097",
         [](RawFile &r) { unet(r).ops.resize(4097); }},
        // Conditioning
        {"a conditioning of a kind that nobody knows", "conditioning.kind: found 7",
         [](RawFile &r) { unet(r).conditioning.kind = static_cast<ConditioningKind>(7); }},
        {"a conditioning activated by nobody knows what", "conditioning.activation: found 9",
         [](RawFile &r) { unet(r).conditioning.activation = static_cast<ActivationFunction>(9); }},
        {"step embeddings that are not there", "conditioning.step_embeddings: found 999",
         [](RawFile &r) { unet(r).conditioning.stepEmbeddings = 999; }},
        {"step embeddings of another count",
         "conditioning.step_embeddings: found 'classes' of F32 [5][6], expected F32 [2][E]",
         [](RawFile &r) { unet(r).conditioning.stepEmbeddings = unet(r).conditioning.classes; }},
        {"no table of classes", "conditioning.classes: found 4294967295",
         [](RawFile &r) { unet(r).conditioning.classes = kNone; }},
        {"classes of another length", "conditioning.classes: found 'classes' of F32 [6][5]",
         [](RawFile &r) {
             weight(r, unet(r).conditioning.classes).shape = {6, 5};
         }},
        {"a null class that is none of the classes", "null_class: found 5, expected less than 5",
         [](RawFile &r) { unet(r).conditioning.nullClass = 5; }},
        {"vectors with a table of classes", "classes: found ",
         [](RawFile &r) { unet(r).conditioning.kind = ConditioningKind::Vectors; }},
        {"a projection without conditioning", "ops[3] 'down'.projection: found",
         [](RawFile &r) {
             unet(r).conditioning = {};
             for (Recipe &recipe : r.model.recipes)
                 for (StepRow &each : recipe.rows)
                     each.guided = false, each.guidance = 1, each.guidanceRescale = 0;
         }},
        {"a projection that is not there", "ops[3] 'down'.projection: found 999",
         [](RawFile &r) { op(r, kDown).projection = 999; }},
        {"a projection to other outputs", "expected F16 [32][6]",
         [](RawFile &r) { op(r, kNorm2).projection = op(r, kDown).projection; }},
        {"a projection beside rows for timesteps", "expected one row",
         [](RawFile &r) {
             op(r, kConvIn).projection = addWeight(r, DataType::F16, {8, 6});
         }},
        {"a projection of an attention", "projection: found a value, expected none for Attention",
         [](RawFile &r) { op(r, kAttention).projection = 0; }},
        // Ports
        {"a port on no tensor", "ports[0] 'x'.tensor: found 4294967295",
         [](RawFile &r) { unet(r).ports[0].tensor = kNone; }},
        {"a port on an activation", "ports[0] 'x'.tensor: found 2",
         [](RawFile &r) { unet(r).ports[0].tensor = 2; }},
        {"two ports on one tensor", "ports[1] 'condition'.tensor: found 0 again",
         [](RawFile &r) { unet(r).ports[1].tensor = 0; }},
        {"two ports of one name", "ports[1].name: found 'x' again",
         [](RawFile &r) { unet(r).ports[1].name = "x"; }},
        {"a port of tokens", "ports[1] 'condition'.kind: found 2",
         [](RawFile &r) { unet(r).ports[1].kind = PortKind::Tokens; }, StatusCode::Unsupported},
        {"a port of three dimensions", "shape: found 3 dimensions",
         [](RawFile &r) { unet(r).ports[0].shape.pop_back(); }},
        {"a port of five dimensions", "ports.shape: found 5",
         [](RawFile &r) { unet(r).ports[0].shape.push_back({}); }},
        {"a port divided by zero", "shape[2]: found 1/0",
         [](RawFile &r) { unet(r).ports[0].shape[2].denominator = 0; }},
        {"a port a million times the image", "shape[3]: found 1000000/1",
         [](RawFile &r) { unet(r).ports[0].shape[3].numerator = 1000000; }},
        {"a port with other channels than its tensor", "shape[1]: found 4, expected the tensor's 3",
         [](RawFile &r) { unet(r).ports[0].shape[1].numerator = 4; }},
        {"a port over symbols in another order", "shape[2].symbol: found 3",
         [](RawFile &r) { unet(r).ports[0].shape[2].symbol = DimensionSymbol::W; }},
        {"a port over an unknown symbol", "shape[2].symbol: found 200",
         [](RawFile &r) { unet(r).ports[0].shape[2].symbol = static_cast<DimensionSymbol>(200); }},
        {"an input that takes the model's output", "ports[0] 'x'.source: found 2",
         [](RawFile &r) { unet(r).ports[0].source = PortSource::ModelOutput; }},
        {"an output that takes the state", "ports[2] 'model_output'.source: found 1",
         [](RawFile &r) { unet(r).ports[2].source = PortSource::State; }},
        {"a source that nobody knows", "source: found 17",
         [](RawFile &r) { unet(r).ports[0].source = static_cast<PortSource>(17); }},
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
        {"an app's port with a source graph", "source_graph: found 0, expected none",
         [](RawFile &r) { unet(r).ports[1].sourceGraph = 0; }},
        {"an image whose white is black", "value_low: found 2 with value_high -0.5",
         [](RawFile &r) { std::swap(unet(r).ports[0].valueLow, unet(r).ports[0].valueHigh); }},
        {"an image of NaNs", "value_low: found nan", [](RawFile &r) { unet(r).ports[0].valueLow = kNaN; }},
        // Graphs
        {"no graph", "graphs: found none", [](RawFile &r) { r.model.graphs.clear(); }},
        {"seventeen graphs", "graphs: found 17", [](RawFile &r) { r.model.graphs.resize(17); }},
        {"two graphs of one name", "graphs[1].name: found 'unet' again",
         [](RawFile &r) { addGraph(r).name = "unet"; }},
        {"two graphs at one place", "graphs[1].order: found 3 again",
         [](RawFile &r) { addGraph(r).order = 3; }},
        {"two model outputs", "graphs: found 2 model outputs",
         [](RawFile &r) { addGraph(r).ports[2].source = PortSource::ModelOutput; }},
        {"no model output", "graphs: found 0 model outputs",
         [](RawFile &r) { unet(r).ports[2].source = PortSource::App; }},
        {"a model output that is not per step", "source: found the model's output",
         [](RawFile &r) { unet(r).phase = Phase::PerImage; }},
        {"a phase that nobody knows", "phase: found 9",
         [](RawFile &r) { unet(r).phase = static_cast<Phase>(9); }},
        {"a size multiple of zero", "size_multiple: found 0", [](RawFile &r) { unet(r).sizeMultiple = 0; }},
        {"a size multiple of four billion", "size_multiple: found 4294967295",
         [](RawFile &r) { unet(r).sizeMultiple = ~0u; }},
    };
}

} // namespace mote::test
