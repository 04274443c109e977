#include "model/describe.h"

#include "model/format.h"

#include <cstdio>

namespace mote {

namespace {

// Appends JSON to a string: commas, indentation and escapes, nothing else.
class Json {
public:
    void open(char bracket) {
        separate();
        out_ += bracket;
        ++depth_;
        first_ = true;
    }
    void close(char bracket) {
        --depth_;
        if (!first_)
            newLine();
        out_ += bracket;
        first_ = false;
        inLine_ = 0;
    }
    void key(const char *name) {
        separate();
        string(name);
        out_ += ": ";
        afterKey_ = true;
    }

    void value(const std::string &text) {
        separate();
        string(text);
    }
    void value(uint64_t number) {
        separate();
        out_ += std::to_string(number);
    }
    void value(bool truth) {
        separate();
        out_ += truth ? "true" : "false";
    }
    void value(float number) {
        separate();
        char buffer[48];
        std::snprintf(buffer, sizeof buffer, "%.9g", static_cast<double>(number));
        // The decimal point is the locale's, of one or more bytes; JSON's is a full stop.
        for (const char *c = buffer; *c != '\0'; ++c)
            if ((*c >= '0' && *c <= '9') || *c == '-' || *c == '+' || *c == 'e')
                out_ += *c;
            else if (out_.back() != '.')
                out_ += '.';
    }
    void null() {
        separate();
        out_ += "null";
    }
    template <typename T> void field(const char *name, const T &of) {
        key(name);
        value(of);
    }
    void field(const char *name, const char *of) { field(name, std::string(of)); }
    void field(const char *name, uint32_t of) { field(name, uint64_t{of}); }

    // Short lists of numbers and names stand on one line.
    template <typename List> void line(const char *name, const List &list) {
        key(name);
        open('[');
        ++inLine_;
        for (const auto &entry : list)
            value(entry);
        --depth_;
        out_ += ']';
        first_ = false;
        --inLine_;
    }

    std::string take() { return std::move(out_) + "\n"; }

private:
    void newLine() {
        out_ += '\n';
        out_.append(2 * depth_, ' ');
    }
    void separate() {
        if (afterKey_) {
            afterKey_ = false;
            return;
        }
        if (!first_)
            out_ += inLine_ > 0 ? ", " : ",";
        if (inLine_ == 0 && depth_ > 0)
            newLine();
        first_ = false;
    }
    void string(const std::string &text) {
        out_ += '"';
        for (const char c : text) {
            if (c == '"' || c == '\\') {
                out_ += '\\';
                out_ += c;
            } else if (static_cast<unsigned char>(c) < 0x20) {
                char escape[8];
                std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
                out_ += escape;
            } else {
                out_ += c;
            }
        }
        out_ += '"';
    }

    std::string out_;
    size_t depth_ = 0;
    bool first_ = true, afterKey_ = false;
    int inLine_ = 0;
};

const char *phaseName(Phase phase) {
    switch (phase) {
    case Phase::PerPrompt:
        return "per prompt";
    case Phase::PerImage:
        return "per image";
    case Phase::PerStep:
        return "per step";
    case Phase::Final:
        return "final";
    }
    return "unknown";
}

const char *sourceName(PortSource source) {
    switch (source) {
    case PortSource::App:
        return "app";
    case PortSource::State:
        return "state";
    case PortSource::ModelVariance:
        return "model variance";
    case PortSource::ModelOutput:
        return "model output";
    case PortSource::Graph:
        return "graph";
    case PortSource::Constant:
        return "constant";
    case PortSource::Noise:
        return "noise";
    }
    return "unknown";
}

const char *resampleName(Resample resample) {
    switch (resample) {
    case Resample::None:
        return "none";
    case Resample::NearestUp2:
        return "nearest up 2";
    case Resample::AverageDown2:
        return "average down 2";
    case Resample::FirUp2:
        return "fir up 2";
    case Resample::FirDown2:
        return "fir down 2";
    case Resample::ZerosUp2:
        return "zeros up 2";
    }
    return "unknown";
}

const char *activationName(ActivationFunction function) {
    switch (function) {
    case ActivationFunction::None:
        return "none";
    case ActivationFunction::Silu:
        return "silu";
    case ActivationFunction::Mish:
        return "mish";
    case ActivationFunction::Gelu:
        return "gelu";
    case ActivationFunction::Relu:
        return "relu";
    }
    return "unknown";
}

// "N", "3", "H/8"
std::string dimensionText(const Dimension &dimension) {
    static const char *const kSymbols[] = {"", "N", "H", "W", "T"};
    const auto symbol = static_cast<size_t>(dimension.symbol);
    std::string out = symbol < 5 ? kSymbols[symbol] : "?";
    if (out.empty())
        out = std::to_string(dimension.numerator);
    else if (dimension.numerator != 1)
        out += "*" + std::to_string(dimension.numerator);
    return dimension.denominator == 1 ? out : out + "/" + std::to_string(dimension.denominator);
}

uint64_t elements(const Model &model, uint32_t weight) {
    if (weight >= model.weights.size() || elementBytes(model.weights[weight].type) == 0)
        return 0;
    return model.weights[weight].bytes / elementBytes(model.weights[weight].type);
}

void describeOp(const Model &model, const Graph &graph, const Op &op, Json &json) {
    const auto name = [&graph](uint32_t tensor) {
        return tensor < graph.tensors.size() ? graph.tensors[tensor].name : std::string();
    };
    json.open('{');
    json.field("name", op.name);
    json.field("kind", opKindName(op.kind));
    std::vector<std::string> inputs;
    for (const uint32_t input : op.inputs)
        inputs.push_back(name(input));
    json.line("inputs", inputs);
    json.field("output", name(op.output));
    json.field("channels", op.output < graph.tensors.size() ? graph.tensors[op.output].channels : 0);
    json.field("parameters", elements(model, op.weight) + elements(model, op.bias) +
                                 elements(model, op.affine) + elements(model, op.projection));
    if (op.kind == OpKind::Conv2d && op.weight < model.weights.size()) {
        const std::vector<uint32_t> &shape = model.weights[op.weight].shape;
        if (shape.size() == 4)
            json.line("kernel", std::vector<uint64_t>{shape[1], shape[2]});
        json.field("stride", op.stride);
        json.line("padding", std::vector<uint64_t>{op.padTop, op.padLeft, op.padBottom, op.padRight});
        if (op.inputResample != Resample::None)
            json.field("input_resample", resampleName(op.inputResample));
        if (op.residual != kNone)
            json.field("residual", name(op.residual));
        if (op.residual != kNone && op.residualResample != Resample::None)
            json.field("residual_resample", resampleName(op.residualResample));
    }
    if (op.kind == OpKind::GroupNorm)
        json.field("groups", op.groups);
    if (op.kind == OpKind::GroupNorm || op.kind == OpKind::Pointwise)
        json.field("activation", activationName(op.activation));
    if (op.kind == OpKind::Pointwise && op.residual != kNone)
        json.field("residual", name(op.residual));
    if (op.outputResample != Resample::None)
        json.field("output_resample", resampleName(op.outputResample));
    if (op.kind == OpKind::Attention)
        json.field("heads", op.heads);
    json.close('}');
}

void describePort(const Model &model, const Port &port, Json &json) {
    json.open('{');
    json.field("name", port.name);
    json.field("direction", port.output ? "output" : "input");
    json.field("kind", port.kind == PortKind::Image ? "image" : "tensor");
    json.field("source", sourceName(port.source));
    if (port.source == PortSource::Graph && port.sourceGraph < model.graphs.size())
        json.field("source_graph", model.graphs[port.sourceGraph].name);
    std::vector<std::string> shape;
    for (const Dimension &dimension : port.shape)
        shape.push_back(dimensionText(dimension));
    json.line("shape", shape);
    if (port.kind == PortKind::Image)
        json.line("value_range", std::vector<float>{port.valueLow, port.valueHigh});
    json.field("description", port.description);
    json.close('}');
}

void describeConditioning(const Model &model, const Conditioning &conditioning, Json &json) {
    const auto extent = [&](uint32_t weight, size_t dimension) {
        return weight < model.weights.size() && dimension < model.weights[weight].shape.size()
                   ? model.weights[weight].shape[dimension]
                   : 0;
    };
    json.key("conditioning");
    if (conditioning.kind == ConditioningKind::None) {
        json.null();
        return;
    }
    const bool labels = conditioning.kind == ConditioningKind::Labels;
    json.open('{');
    json.field("kind", labels ? "labels" : "vectors");
    json.key("labels");
    labels ? json.value(uint64_t{extent(conditioning.classes, 0)}) : json.null();
    json.key("null_class");
    conditioning.nullClass == kNone ? json.null() : json.value(uint64_t{conditioning.nullClass});
    json.field("vector_length", extent(conditioning.stepEmbeddings, 1));
    json.field("activation", activationName(conditioning.activation));
    json.close('}');
}

void describeGuidance(const Recipe &recipe, Json &json) {
    const StepRow *first = nullptr;
    uint64_t rows = 0;
    for (const StepRow &row : recipe.rows) {
        if (row.guided && first == nullptr)
            first = &row;
        rows += row.guided ? 1 : 0;
    }
    json.key("guidance");
    if (first == nullptr) {
        json.null();
        return;
    }
    json.open('{');
    json.key("scale");
    json.value(first->guidance);
    json.key("rescale");
    json.value(first->guidanceRescale);
    json.field("rows", rows);
    json.close('}');
}

void describeGraph(const Model &model, const Graph &graph, Json &json) {
    json.open('{');
    json.field("name", graph.name);
    json.field("phase", phaseName(graph.phase));
    json.field("order", graph.order);
    json.field("size_multiple", graph.sizeMultiple);
    const Dimension none, &height = graph.ports.empty() ? none : graph.ports[0].shape[2],
                          &width = graph.ports.empty() ? none : graph.ports[0].shape[3];
    if (!graph.ports.empty() && height.symbol == DimensionSymbol::One)
        json.line("size", std::vector<uint64_t>{height.numerator, width.numerator});
    else {
        json.key("size");
        json.null();
    }
    json.key("op_counts");
    json.open('{');
    for (const OpKind kind : {OpKind::Concat, OpKind::Conv2d, OpKind::GroupNorm, OpKind::Attention,
                              OpKind::Resample, OpKind::Pointwise}) {
        uint64_t count = 0;
        for (const Op &op : graph.ops)
            count += op.kind == kind ? 1 : 0;
        json.field(opKindName(kind), count);
    }
    json.close('}');
    describeConditioning(model, graph.conditioning, json);
    json.key("ports");
    json.open('[');
    for (const Port &port : graph.ports)
        describePort(model, port, json);
    json.close(']');
    json.key("ops");
    json.open('[');
    for (const Op &op : graph.ops)
        describeOp(model, graph, op, json);
    json.close(']');
    json.close('}');
}

} // namespace

const char *opKindName(OpKind kind) {
    switch (kind) {
    case OpKind::Concat:
        return "Concat";
    case OpKind::Conv2d:
        return "Conv2d";
    case OpKind::GroupNorm:
        return "GroupNorm";
    case OpKind::Attention:
        return "Attention";
    case OpKind::TimestepEmbedding:
        return "TimestepEmbedding";
    case OpKind::Linear:
        return "Linear";
    case OpKind::Activation:
        return "Activation";
    case OpKind::Add:
        return "Add";
    case OpKind::Resample:
        return "Resample";
    case OpKind::Pointwise:
        return "Pointwise";
    case OpKind::Scale:
        return "Scale";
    case OpKind::Modulate:
        return "Modulate";
    case OpKind::ClassEmbedding:
        return "ClassEmbedding";
    case OpKind::DivideByTimestep:
        return "DivideByTimestep";
    }
    return "unknown";
}

std::string describeModel(const Model &model) {
    Json json;
    json.open('{');
    json.field("name", model.name);
    json.field("version", model.version);
    json.field("licence", model.licence);
    json.field("task", model.task);
    json.field("description", model.description);
    json.field("source_class", model.sourceClass);
    uint64_t parameters = 0, bytes = 0;
    for (uint32_t i = 0; i < model.weights.size(); ++i) {
        parameters += elements(model, i);
        bytes += model.weights[i].bytes;
    }
    json.field("weights", uint64_t{model.weights.size()});
    json.field("parameters", parameters);
    json.field("weight_bytes", bytes);
    json.key("receptive_field");
    model.receptiveField == kNone ? json.null() : json.value(uint64_t{model.receptiveField});
    json.key("statistics_window");
    model.statisticsWindow == 0 ? json.null() : json.value(uint64_t{model.statisticsWindow});
    json.line("timesteps", model.timesteps);
    json.key("recipes");
    json.open('[');
    for (const Recipe &recipe : model.recipes) {
        json.open('{');
        json.field("name", recipe.name);
        json.field("sampler", recipe.sampler);
        json.field("steps", recipe.steps);
        std::vector<float> timesteps;
        uint64_t draws = 0;
        bool threshold = false, langevin = false, variance = false, known = false;
        for (const StepRow &row : recipe.rows) {
            timesteps.push_back(row.timestep);
            draws += row.draws;
            threshold = threshold || row.clip == ClipKind::Threshold;
            langevin = langevin || row.langevin;
            variance = variance || row.variance != VarianceKind::Fixed;
            known = known || row.known;
        }
        std::vector<std::string> flags;
        for (const auto &[set, name] : {std::pair(threshold, "dynamic threshold"),
                                        {langevin, "langevin step"},
                                        {variance, "learned variance"},
                                        {known, "known region"}})
            if (set)
                flags.emplace_back(name);
        json.field("passes", uint64_t{recipe.rows.size()});
        json.line("timesteps", timesteps);
        json.field("noise_draws", draws);
        describeGuidance(recipe, json);
        json.line("flags", flags);
        json.close('}');
    }
    json.close(']');
    json.key("graphs");
    json.open('[');
    for (const Graph &graph : model.graphs)
        describeGraph(model, graph, json);
    json.close(']');
    json.key("self_check");
    if (model.selfCheck.ops.empty()) {
        json.null();
    } else {
        json.open('{');
        json.field("height", model.selfCheck.height);
        json.field("width", model.selfCheck.width);
        json.field("ops", uint64_t{model.selfCheck.ops.size()});
        json.close('}');
    }
    json.close('}');
    return json.take();
}

} // namespace mote
