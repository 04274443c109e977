#include "model/decode.h"

#include "model/format.h"
#include "model/validate.h"
#include "model/validate_rules.h"

#include "mote_generated.h"

#include <algorithm>

namespace mote {

namespace {

using flatbuffers::Offset;
template <typename T> using List = flatbuffers::Vector<T>;

// Converts tables to structs. FlatBuffers lets parts of a buffer be shared, so a small file can describe
// much: every string, vector and table converted is charged against the root's own size, which honest files
// never exceed.
class Decoder {
public:
    Decoder(const std::string &file, uint64_t bytes) : file_(file), left_(bytes) {}

    Status root(const format::Root &root, Model &model) {
        MOTE_TRY(features(root.required_features()));
        MOTE_TRY(string(root.name(), model.name, "name"));
        MOTE_TRY(string(root.version(), model.version, "version"));
        MOTE_TRY(string(root.licence(), model.licence, "licence"));
        MOTE_TRY(string(root.task(), model.task, "task"));
        MOTE_TRY(string(root.description(), model.description, "description"));
        MOTE_TRY(string(root.source_class(), model.sourceClass, "source_class"));
        MOTE_TRY(list(
            root.segments(), model.segments, kMaxSegments, "segments",
            [this](const format::Segment &from, Segment &to, size_t i) { return segment(from, to, i); }));
        MOTE_TRY(list(root.weights(), model.weights, kMaxWeights, "weights",
                      [this](const format::Weight &from, Weight &to, size_t) { return weight(from, to); }));
        MOTE_TRY(list(root.graphs(), model.graphs, kMaxGraphs, "graphs",
                      [this](const format::Graph &from, Graph &to, size_t) { return graph(from, to); }));
        MOTE_TRY(numbers(root.timesteps(), model.timesteps, kMaxTimesteps, "timesteps"));
        MOTE_TRY(list(root.recipes(), model.recipes, kMaxRecipes, "recipes",
                      [this](const format::Recipe &from, Recipe &to, size_t) { return recipe(from, to); }));
        model.statisticsWindow = root.statistics_window();
        model.receptiveField = root.receptive_field();
        if (root.self_check() != nullptr)
            MOTE_TRY(selfCheck(*root.self_check(), model.selfCheck));
        return {};
    }

private:
    Status charge(uint64_t bytes, const char *field) {
        if (bytes > left_)
            return wrong(file_,
                         "root.%s: found parts of the root used more than once, expected each part once",
                         field);
        left_ -= bytes;
        return {};
    }

    Status tooMany(const char *field, uint32_t found, uint32_t most) const {
        return wrong(file_, "root.%s: found %u entries, expected at most %u", field, found, most);
    }

    Status string(const flatbuffers::String *from, std::string &to, const char *field) {
        if (from == nullptr)
            return {};
        if (from->size() > kMaxTextBytes)
            return wrong(file_, "root.%s: found %u bytes, expected at most %u", field, from->size(),
                         kMaxTextBytes);
        MOTE_TRY(charge(uint64_t{from->size()} + 5, field));
        to.assign(from->c_str(), from->size());
        return {};
    }

    template <typename T>
    Status numbers(const List<T> *from, std::vector<T> &to, uint32_t most, const char *field) {
        if (from == nullptr)
            return {};
        if (from->size() > most)
            return tooMany(field, from->size(), most);
        MOTE_TRY(charge(uint64_t{from->size()} * sizeof(T) + 4, field));
        to.resize(from->size());
        for (uint32_t i = 0; i < from->size(); ++i)
            to[i] = from->Get(i);
        return {};
    }

    template <typename From, typename To, typename Convert>
    Status list(const List<Offset<From>> *from, std::vector<To> &to, uint32_t most, const char *field,
                Convert convert) {
        if (from == nullptr)
            return {};
        if (from->size() > most)
            return tooMany(field, from->size(), most);
        MOTE_TRY(charge(uint64_t{from->size()} * 8 + 4, field)); // an offset and at least four bytes of table
        to.resize(from->size());
        for (uint32_t i = 0; i < from->size(); ++i)
            MOTE_TRY(convert(*from->Get(i), to[i], i));
        return {};
    }

    Status features(const List<Offset<flatbuffers::String>> *names) {
        if (names == nullptr || names->size() == 0)
            return {};
        std::string first;
        MOTE_TRY(string(names->Get(0), first, "required_features"));
        return makeStatus(
            StatusCode::Unsupported,
            "%s: root.required_features: found %s, expected none; a newer version of Mote reads it",
            file_.c_str(), quoted(first).c_str());
    }

    Status segment(const format::Segment &from, Segment &to, size_t index) {
        std::string name;
        MOTE_TRY(string(from.name(), name, "segments.name"));
        to.known = from.kind() == static_cast<uint32_t>(SegmentKind::Weights);
        if (!to.known && from.required())
            return makeStatus(
                StatusCode::Unsupported,
                "%s: segments[%zu] %s: found required kind %u, expected a kind that this version "
                "knows; a newer version of Mote reads it",
                file_.c_str(), index, quoted(name).c_str(), from.kind());
        to.offset = from.offset();
        to.bytes = from.bytes();
        return numbers(from.checksums(), to.checksums, kMaxRootBytes / sizeof(uint64_t),
                       "segments.checksums");
    }

    Status weight(const format::Weight &from, Weight &to) {
        MOTE_TRY(string(from.name(), to.name, "weights.name"));
        to.type = static_cast<DataType>(from.type());
        MOTE_TRY(numbers(from.shape(), to.shape, 4, "weights.shape"));
        to.segment = from.segment();
        to.offset = from.offset();
        to.bytes = from.bytes();
        return {};
    }

    Status graph(const format::Graph &from, Graph &to) {
        MOTE_TRY(string(from.name(), to.name, "graphs.name"));
        to.phase = static_cast<Phase>(from.phase());
        to.order = from.order();
        to.sizeMultiple = from.size_multiple();
        MOTE_TRY(list(from.tensors(), to.tensors, kMaxTensors, "graphs.tensors",
                      [this](const format::Tensor &tensor, Tensor &out, size_t) {
                          out.kind = static_cast<TensorKind>(tensor.kind());
                          out.channels = tensor.channels();
                          return string(tensor.name(), out.name, "graphs.tensors.name");
                      }));
        if (const format::Conditioning *conditioning = from.conditioning()) {
            to.conditioning.kind = static_cast<ConditioningKind>(conditioning->kind());
            to.conditioning.stepEmbeddings = conditioning->step_embeddings();
            to.conditioning.classes = conditioning->classes();
            to.conditioning.nullClass = conditioning->null_class();
            to.conditioning.activation = static_cast<ActivationFunction>(conditioning->activation());
        }
        MOTE_TRY(list(from.ops(), to.ops, kMaxOps, "graphs.ops",
                      [this](const format::Op &op, Op &out, size_t) { return this->op(op, out); }));
        return list(from.ports(), to.ports, kMaxPorts, "graphs.ports",
                    [this](const format::Port &port, Port &out, size_t) { return this->port(port, out); });
    }

    Status op(const format::Op &from, Op &to) {
        to.kind = static_cast<OpKind>(from.kind());
        MOTE_TRY(string(from.name(), to.name, "graphs.ops.name"));
        MOTE_TRY(numbers(from.inputs(), to.inputs, kMaxInputs, "graphs.ops.inputs"));
        to.output = from.output();
        MOTE_TRY(numbers(from.input_scale(), to.inputScale, kMaxInputs, "graphs.ops.input_scale"));
        MOTE_TRY(numbers(from.input_offset(), to.inputOffset, kMaxInputs, "graphs.ops.input_offset"));
        to.weight = from.weight();
        to.bias = from.bias();
        to.stride = from.stride();
        to.padTop = from.pad_top();
        to.padLeft = from.pad_left();
        to.padBottom = from.pad_bottom();
        to.padRight = from.pad_right();
        to.inputResample = static_cast<Resample>(from.input_resample());
        to.residual = from.residual();
        to.residualResample = static_cast<Resample>(from.residual_resample());
        to.outputScale = from.output_scale();
        to.affine = from.affine();
        to.groups = from.groups();
        to.epsilon = from.epsilon();
        to.activation = static_cast<ActivationFunction>(from.activation());
        to.outputResample = static_cast<Resample>(from.output_resample());
        to.heads = from.heads();
        to.projection = from.projection();
        MOTE_TRY(numbers(from.output_scales(), to.outputScales, kMaxTimesteps, "graphs.ops.output_scales"));
        return {};
    }

    Status port(const format::Port &from, Port &to) {
        MOTE_TRY(string(from.name(), to.name, "graphs.ports.name"));
        to.output = from.output();
        to.kind = static_cast<PortKind>(from.kind());
        to.source = static_cast<PortSource>(from.source());
        to.tensor = from.tensor();
        if (const auto *shape = from.shape()) {
            if (shape->size() > 4)
                return tooMany("graphs.ports.shape", shape->size(), 4);
            MOTE_TRY(charge(uint64_t{shape->size()} * sizeof(format::Dimension) + 4, "graphs.ports.shape"));
            for (uint32_t i = 0; i < shape->size(); ++i) {
                const format::Dimension &dimension = *shape->Get(i);
                // What does not fit the enumeration becomes a value that validation refuses.
                const uint32_t symbol = std::min(dimension.symbol(), 255u);
                to.shape.push_back(
                    {static_cast<DimensionSymbol>(symbol), dimension.numerator(), dimension.denominator()});
            }
        }
        to.valueLow = from.value_low();
        to.valueHigh = from.value_high();
        to.sourceGraph = from.source_graph();
        to.sourcePort = from.source_port();
        to.sourceWeight = from.source_weight();
        return string(from.description(), to.description, "graphs.ports.description");
    }

    Status recipe(const format::Recipe &from, Recipe &to) {
        MOTE_TRY(string(from.name(), to.name, "recipes.name"));
        MOTE_TRY(string(from.sampler(), to.sampler, "recipes.sampler"));
        to.steps = from.steps();
        to.initNoise = from.init_noise();
        to.initCondition = from.init_condition();
        to.initScale = from.init_scale();
        return list(from.rows(), to.rows, kMaxRows, "recipes.rows",
                    [](const format::StepRow &row, StepRow &out, size_t) {
                        out.timestep = row.timestep();
                        out.timestepIndex = row.timestep_index();
                        out.p = row.p();
                        out.q = row.q();
                        out.clip = static_cast<ClipKind>(row.clip());
                        out.clipLow = row.clip_low();
                        out.clipHigh = row.clip_high();
                        out.quantile = row.quantile();
                        out.thresholdMax = row.threshold_max();
                        out.a = row.a();
                        out.b = row.b();
                        out.g = row.g();
                        out.e = row.e();
                        out.c = row.c();
                        out.h = {row.h0(), row.h1(), row.h2(), row.h3()};
                        out.store = row.store();
                        out.u = row.u();
                        out.v = row.v();
                        out.w = row.w();
                        out.draws = row.draws();
                        out.scale = row.scale();
                        out.guided = row.guided();
                        out.guidance = row.guidance();
                        out.guidanceRescale = row.guidance_rescale();
                        out.langevin = row.langevin();
                        out.variance = static_cast<VarianceKind>(row.variance());
                        out.varianceExponent = row.variance_exponent();
                        out.known = row.known();
                        out.knownImage = row.known_image();
                        out.knownNoise = row.known_noise();
                        return Status{};
                    });
    }

    Status selfCheck(const format::SelfCheck &from, SelfCheck &to) {
        to.graph = from.graph();
        to.timestepIndex = from.timestep_index();
        to.height = from.height();
        to.width = from.width();
        to.label = from.label();
        MOTE_TRY(list(from.inputs(), to.inputs, kMaxPorts, "self_check.inputs",
                      [this](const format::SelfCheckInput &input, std::vector<float> &out, size_t) {
                          return numbers(input.values(), out, kMaxSelfCheckFloats, "self_check.inputs");
                      }));
        MOTE_TRY(numbers(from.output(), to.output, kMaxSelfCheckFloats, "self_check.output"));
        to.outputTolerance = from.output_tolerance();
        return list(from.ops(), to.ops, kMaxOps, "self_check.ops",
                    [this](const format::SelfCheckOp &op, SelfCheckOp &out, size_t) -> Status {
                        out.op = op.op();
                        out.rms = op.rms();
                        out.tolerance = op.tolerance();
                        MOTE_TRY(numbers(op.positions(), out.positions, kMaxSelfCheckSamples,
                                         "self_check.ops.positions"));
                        return numbers(op.values(), out.values, kMaxSelfCheckSamples,
                                       "self_check.ops.values");
                    });
    }

    const std::string &file_;
    uint64_t left_;
};

} // namespace

Result<Model> decodeRoot(const uint8_t *root, size_t bytes, const std::string &file) {
    // Root, graph or recipe or self-check, then op or row: three tables deep. Tables are at least four bytes.
    flatbuffers::Verifier::Options options;
    options.max_depth = 8;
    options.max_tables = static_cast<flatbuffers::uoffset_t>(std::max<size_t>(bytes / 4, 1));
    flatbuffers::Verifier verifier(root, bytes, options);
    if (bytes < 16 || !format::VerifyRootBuffer(verifier))
        return wrong(
            file,
            "root: found a damaged FlatBuffer of %zu bytes, expected one in which every offset, vector and "
            "string lies inside it",
            bytes);
    Model model;
    MOTE_TRY(Decoder(file, bytes).root(*format::GetRoot(root), model));
    return model;
}

} // namespace mote
