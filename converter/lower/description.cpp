#include "lower/description.h"

#include "graph/shapes.h"
#include "read/fields.h"
#include "read/text.h"

#include <map>
#include <set>

namespace mote::convert {

namespace {

using nlohmann::json;

constexpr uint32_t kMaxSize = 1 << 14, kMaxKernel = 31;
constexpr size_t kMaxEntries = 4096;   // ops and calls, after all functions
constexpr size_t kMaxDepth = 8;        // of functions in functions
constexpr uint32_t kNominalSize = 512; // at which a network that runs at any size is checked

struct Function {
    std::vector<std::string> parameters;
    const json *entries = nullptr;
};

// Names of one list of ops: a function sees its own and its parameters, nothing of its caller.
struct Scope {
    std::map<std::string, uint32_t> names;
    uint32_t last = kNone; // what the entry before made
    std::string prefix;    // of modules
};

class Lowering {
public:
    Lowering(const json &description, const std::string &where, const Weights &weights)
        : fields_(description, where), weights_(weights), taker_(weights, where),
          take_([this](const std::string &name, const std::vector<uint64_t> &shape) {
              return taker_.take(name, shape);
          }),
          builder_(take_) {}

    Description run() {
        if (fields_.count("mote_graph", {}, 1, 1) != 1)
            fields_.refuse("mote_graph", "1");
        Description result;
        result.name = fields_.text("name", "described network");
        fields_.text("weights", "");
        if (const json *scheduler = fields_.find("scheduler"))
            result.scheduler = scheduler->dump();
        readSize();
        Scope scope;
        scope.prefix = fields_.text("prefix", "");
        readInputs(scope);
        readFunctions();
        readUnused(scope.prefix);
        const json *graph = fields_.find("graph");
        if (graph == nullptr || !graph->is_array() || graph->empty())
            fields_.refuse("graph", "a list of ops");
        fields_.expectNoMore();
        run(*graph, scope, text(fields_.where(), ": graph"));
        finish(scope);
        taker_.expectAllTaken();
        if (fixed_)
            result.network = builder_.finish("network", height_, width_);
        else {
            result.network = builder_.finish("network", 1);
            const Result<uint32_t> factor = downsamplingFactor(result.network.graph);
            if (!factor.ok())
                throw ReadError(text(fields_.where(), ": ", factor.status().message));
            result.network.graph.sizeMultiple = factor.value();
        }
        makeNamesDiffer(result.network.graph);
        return result;
    }

private:
    // An op is called after its module, or after what it does; those that come later are numbered.
    static void makeNamesDiffer(Graph &graph) {
        std::map<std::string, size_t> times;
        for (Op &op : graph.ops) {
            Tensor &tensor = graph.tensors[op.output];
            if (const size_t time = ++times[op.name]; time > 1)
                op.name = text(op.name, "#", time);
            if (tensor.kind == TensorKind::Activation)
                tensor.name = op.name;
        }
    }

    struct Size {
        uint32_t height = 1, width = 1;
        bool operator==(const Size &) const = default;
    };

    // -------------------------------------------------------------------------------------- the head
    void readSize() {
        const json *size = fields_.find("size");
        if (size == nullptr)
            return;
        const auto good = [](const json &side) {
            return side.is_number_unsigned() && side.get<uint64_t>() >= 1 && side.get<uint64_t>() <= kMaxSize;
        };
        if (!size->is_array() || size->size() != 2 || !good((*size)[0]) || !good((*size)[1]))
            fields_.refuse("size", text("[height, width], each from 1 to ", kMaxSize));
        fixed_ = true;
        height_ = (*size)[0].get<uint32_t>();
        width_ = (*size)[1].get<uint32_t>();
    }

    void readInputs(Scope &scope) {
        const json *inputs = fields_.find("inputs");
        if (inputs == nullptr)
            fields_.refuse("inputs", "an object such as {\"x\": 3}");
        Fields channels(*inputs, text(fields_.where(), ": inputs"));
        stateChannels_ = channels.count("x", {}, 1, 1 << 16);
        scope.names["x"] = scope.last =
            port(builder_.inputPort("x", stateChannels_, PortSource::State, "the sampler's state"));
        if (const uint32_t condition = channels.count("condition", 0, 0, 1 << 16); condition > 0)
            scope.names["condition"] = port(builder_.inputPort("condition", condition, PortSource::App,
                                                               "what the model was conditioned on"));
        channels.expectNoMore();
    }

    uint32_t port(uint32_t tensor) {
        sizes_[tensor] = {height_, width_};
        ports_.insert(tensor);
        return tensor;
    }

    void readFunctions() {
        const json *functions = fields_.find("functions");
        if (functions == nullptr)
            return;
        if (!functions->is_object())
            fields_.refuse("functions", "an object of functions by name");
        for (const auto &[name, body] : functions->items()) {
            Fields fields(body, text(fields_.where(), ": function ", shownJson(json(name))));
            Function function;
            const json *parameters = fields.find("in");
            if (parameters == nullptr)
                function.parameters = {"in"};
            else if (!parameters->is_array() || parameters->empty())
                fields.refuse("in", "a list of names");
            else
                for (const json &parameter : *parameters) {
                    if (!parameter.is_string())
                        fields.refuse("in", "a list of names");
                    function.parameters.push_back(parameter.get<std::string>());
                }
            function.entries = fields.find("graph");
            if (function.entries == nullptr || !function.entries->is_array() || function.entries->empty())
                fields.refuse("graph", "a list of ops");
            fields.expectNoMore();
            if (kinds().contains(name))
                throw ReadError(text(fields.where(), ": is the name of an op, expected another one"));
            functions_[name] = std::move(function);
        }
    }

    void readUnused(const std::string &prefix) {
        const json *unused = fields_.find("unused");
        if (unused == nullptr)
            return;
        if (!unused->is_array())
            fields_.refuse("unused", "a list of tensors' names");
        for (const json &name : *unused) {
            if (!name.is_string() || weights_.find(prefix + name.get<std::string>()) == nullptr)
                throw ReadError(text(fields_.where(), ": \"unused\" has ", shownJson(name),
                                     ", expected tensors of ", weights_.path()));
            taker_.ignore(prefix + name.get<std::string>());
        }
    }

    // -------------------------------------------------------------------------------------- one entry
    struct Entry {
        Fields &fields;
        std::string name;   // of the op
        std::string module; // prefix of its tensors
        std::vector<uint32_t> inputs;
    };
    using Handler = uint32_t (Lowering::*)(Entry &);
    struct Kind {
        size_t least, most; // inputs
        bool vectors, maps; // that it may be given
        Handler handler;
    };

    static const std::map<std::string, Kind> &kinds() {
        constexpr size_t kMany = 64;
        static const std::map<std::string, Kind> all = {
            {"conv2d", {1, 1, false, true, &Lowering::conv2d}},
            {"conv_transpose2d", {1, 1, false, true, &Lowering::transposedConv2d}},
            {"linear", {1, 1, true, true, &Lowering::linear}},
            {"group_norm", {1, 1, false, true, &Lowering::groupNorm}},
            {"layer_norm", {1, 1, false, true, &Lowering::layerNorm}},
            {"batch_norm", {1, 1, false, true, &Lowering::batchNorm}},
            {"silu", {1, 1, true, true, &Lowering::silu}},
            {"mish", {1, 1, true, true, &Lowering::mish}},
            {"gelu", {1, 1, true, true, &Lowering::gelu}},
            {"relu", {1, 1, true, true, &Lowering::relu}},
            {"add", {2, 2, true, true, &Lowering::add}},
            {"modulate", {2, 2, true, true, &Lowering::modulate}},
            {"concat", {1, kMany, false, true, &Lowering::concat}},
            {"scale", {1, 1, true, true, &Lowering::scale}},
            {"upsample", {1, 1, false, true, &Lowering::upsample}},
            {"average_pool", {1, 1, false, true, &Lowering::averagePool}},
            {"attention", {3, 3, false, true, &Lowering::attention}},
            {"timestep_features", {0, 0, true, true, &Lowering::timestepFeatures}},
            {"timestep_table", {0, 0, true, true, &Lowering::timestepTable}},
        };
        return all;
    }

    void run(const json &entries, Scope &scope, const std::string &where) {
        for (size_t i = 0; i < entries.size(); ++i)
            scope.last = entry(entries[i], scope, text(where, "[", i, "]"));
    }

    uint32_t entry(const json &object, Scope &scope, std::string where) {
        if (++entries_ > kMaxEntries)
            throw ReadError(text(where, ": the network has more than ", kMaxEntries, " ops"));
        {
            Fields head(object, where);
            where += text(" (", head.text("op", {}));
            if (const std::string module = head.text("module", ""); !module.empty())
                where += " " + scope.prefix + module;
            where += ")";
        }
        Fields fields(object, where);
        const std::string op = fields.text("op", {}), module = fields.text("module", "");
        std::vector<uint32_t> inputs = readInputsOf(fields, scope);
        const std::string out = fields.text("out", "");
        if (object.contains("out") && (out.empty() || scope.names.contains(out)))
            fields.refuse("out", "a name that is not taken");
        uint32_t result = kNone;
        if (const auto kind = kinds().find(op); kind != kinds().end()) {
            Entry given{fields, scope.prefix + (module.empty() ? op : module), scope.prefix + module,
                        std::move(inputs)};
            result = runOp(kind->second, given, object.contains("in"));
        } else if (const auto function = functions_.find(op); function != functions_.end()) {
            result = call(function->second, fields, scope, module, inputs, where);
        } else {
            std::string known;
            for (const auto &[name, each] : kinds())
                known += (known.empty() ? "" : ", ") + name;
            throw ReadError(
                text(where, ": op ", shownJson(json(op)), " is neither a function nor one of ", known));
        }
        if (!out.empty())
            scope.names[out] = result;
        return result;
    }

    std::vector<uint32_t> readInputsOf(Fields &fields, const Scope &scope) {
        const json *in = fields.find("in");
        if (in == nullptr)
            return {scope.last};
        std::vector<json> names;
        if (in->is_array())
            names.assign(in->begin(), in->end());
        else
            names = {*in};
        std::vector<uint32_t> inputs;
        for (const json &name : names) {
            const auto found =
                name.is_string() ? scope.names.find(name.get<std::string>()) : scope.names.end();
            if (found == scope.names.end()) {
                std::string known;
                for (const auto &[each, tensor] : scope.names)
                    known += (known.empty() ? "" : ", ") + each;
                throw ReadError(
                    text(fields.where(), ": \"in\" has ", shownJson(name), ", expected one of ", known));
            }
            inputs.push_back(found->second);
        }
        return inputs;
    }

    uint32_t runOp(const Kind &kind, Entry &given, bool named) {
        const std::string &where = given.fields.where();
        if (!named && kind.least == 0)
            given.inputs.clear();
        if (given.inputs.size() < kind.least || given.inputs.size() > kind.most)
            throw ReadError(text(where, ": has ", given.inputs.size(), " inputs, expected ", kind.least,
                                 kind.most > kind.least ? " or more" : ""));
        for (uint32_t &input : given.inputs) {
            const bool vector = vectors_.contains(input);
            if (vector ? !kind.vectors : !kind.maps)
                throw ReadError(text(where, ": ", builder_.name(input), " is ",
                                     vector ? "a vector of the timestep" : "a map", ", expected ",
                                     vector ? "a map" : "a vector"));
        }
        if (kind.handler != &Lowering::concat)
            for (uint32_t &input : given.inputs)
                input = activationOf(input);
        const uint32_t result = (this->*kind.handler)(given);
        given.fields.expectNoMore();
        return result;
    }

    uint32_t call(const Function &function, Fields &fields, const Scope &caller, const std::string &module,
                  const std::vector<uint32_t> &inputs, const std::string &where) {
        fields.expectNoMore();
        if (inputs.size() != function.parameters.size())
            throw ReadError(text(where, ": is given ", inputs.size(), " inputs, the function takes ",
                                 function.parameters.size()));
        if (++depth_ > kMaxDepth)
            throw ReadError(text(where, ": functions are nested deeper than ", kMaxDepth));
        Scope scope;
        scope.prefix = module.empty() ? caller.prefix : caller.prefix + module + ".";
        for (size_t i = 0; i < inputs.size(); ++i)
            scope.names[function.parameters[i]] = inputs[i];
        scope.last = inputs[0];
        run(*function.entries, scope, where);
        --depth_;
        return scope.last;
    }

    // Ports are fp32 planes; ops read activations.
    uint32_t activationOf(uint32_t tensor) {
        if (!ports_.contains(tensor))
            return tensor;
        if (const auto found = activations_.find(tensor); found != activations_.end())
            return found->second;
        const uint32_t made = builder_.concat(builder_.name(tensor) + ".activation", {tensor});
        return activations_[tensor] = map(made, sizes_.at(tensor));
    }

    uint32_t map(uint32_t tensor, Size size) {
        sizes_[tensor] = size;
        return tensor;
    }

    // What an op makes of one input without changing its size.
    uint32_t like(uint32_t tensor, uint32_t input) {
        if (vectors_.contains(input))
            vectors_.insert(tensor);
        else
            sizes_[tensor] = sizes_.at(input);
        return tensor;
    }

    // -------------------------------------------------------------------------------------- tensors
    // The shape that the checkpoint has, of which the op takes its numbers of channels and its kernel.
    std::vector<uint64_t> shapeOf(const Entry &entry, const char *tensor, size_t rank) const {
        const std::string name = entry.module + "." + tensor;
        const StoredTensor *found = weights_.find(name);
        const std::string &where = entry.fields.where();
        if (found == nullptr)
            throw ReadError(text(where, ": ", weights_.path(), " has no tensor ", shownJson(json(name))));
        if (found->shape.size() != rank)
            throw ReadError(text(where, ": tensor ", shownJson(json(name)), " has shape ",
                                 shapeText(found->shape), ", expected ", rank, " dimensions"));
        for (uint64_t extent : found->shape)
            if (extent == 0 || extent > (1 << 16))
                throw ReadError(text(where, ": tensor ", shownJson(json(name)), " has shape ",
                                     shapeText(found->shape), ", expected sizes from 1 to 65536"));
        return found->shape;
    }

    // Along one axis.
    static uint32_t convolved(const Entry &entry, uint32_t in, uint32_t before, uint32_t behind,
                              uint32_t kernel, uint32_t stride) {
        if (in + before + behind < kernel)
            throw ReadError(text(entry.fields.where(), ": a kernel of ", kernel, " does not fit ", in,
                                 " pixels padded by ", before, " and ", behind));
        return (in + before + behind - kernel) / stride + 1;
    }

    static uint32_t kernelOf(const Entry &entry, uint64_t extent) {
        if (extent > kMaxKernel)
            throw ReadError(
                text(entry.fields.where(), ": has a kernel of ", extent, ", expected at most ", kMaxKernel));
        return static_cast<uint32_t>(extent);
    }

    // -------------------------------------------------------------------------------------- ops
    uint32_t conv2d(Entry &e) {
        const std::vector<uint64_t> shape = shapeOf(e, "weight", 4);
        ConvolutionForm form;
        form.kernelHeight = kernelOf(e, shape[2]);
        form.kernelWidth = kernelOf(e, shape[3]);
        form.stride = e.fields.count("stride", 1, 1, 2);
        form.bias = e.fields.boolean("bias", true);
        const uint32_t most = std::min(form.kernelHeight, form.kernelWidth) - 1;
        if (const json *padding = e.fields.find("padding"); padding != nullptr && padding->is_array()) {
            uint32_t *const pads[] = {&form.padTop, &form.padLeft, &form.padBottom, &form.padRight};
            for (size_t i = 0; i < 4; ++i) {
                if (padding->size() != 4 || !(*padding)[i].is_number_unsigned() ||
                    (*padding)[i].get<uint64_t>() > most)
                    e.fields.refuse("padding", text("[top, left, bottom, right], each from 0 to ", most));
                *pads[i] = (*padding)[i].get<uint32_t>();
            }
        } else {
            form.padTop = form.padLeft = form.padBottom = form.padRight =
                e.fields.count("padding", 0, 0, most);
        }
        const Size in = sizes_.at(e.inputs[0]);
        const Size out = {
            convolved(e, in.height, form.padTop, form.padBottom, form.kernelHeight, form.stride),
            convolved(e, in.width, form.padLeft, form.padRight, form.kernelWidth, form.stride)};
        const uint32_t made = builder_.conv2d(e.module, e.inputs[0], static_cast<uint32_t>(shape[0]), form);
        convolutions_.insert(made);
        return map(made, out);
    }

    uint32_t transposedConv2d(Entry &e) {
        const std::vector<uint64_t> shape = shapeOf(e, "weight", 4);
        const uint32_t kernel = kernelOf(e, shape[2]), stride = e.fields.count("stride", 1, 1, 2);
        if (shape[2] != shape[3] || kernel < stride)
            throw ReadError(text(e.fields.where(), ": has a kernel of ", shape[2], "x", shape[3],
                                 ", expected a square one of the stride or more"));
        const uint32_t padding = e.fields.count("padding", 0, 0, kernel - stride);
        const bool bias = e.fields.boolean("bias", true);
        const Size in = sizes_.at(e.inputs[0]);
        const uint32_t made = builder_.transposedConv2d(
            e.module, e.inputs[0], static_cast<uint32_t>(shape[1]), kernel, stride, padding, bias);
        if ((in.height - 1) * stride + kernel <= 2 * padding ||
            (in.width - 1) * stride + kernel <= 2 * padding)
            e.fields.refuse("padding", "one that leaves pixels");
        return map(made, {(in.height - 1) * stride + kernel - 2 * padding,
                          (in.width - 1) * stride + kernel - 2 * padding});
    }

    uint32_t linear(Entry &e) {
        const std::vector<uint64_t> shape = shapeOf(e, "weight", 2);
        const bool bias = e.fields.boolean("bias", true);
        return like(builder_.linear(e.module, e.inputs[0], static_cast<uint32_t>(shape[0]), bias),
                    e.inputs[0]);
    }

    uint32_t groupNorm(Entry &e) {
        const uint32_t groups = e.fields.count("groups", {}, 1, 1 << 16),
                       channels = builder_.channels(e.inputs[0]);
        if (channels % groups != 0)
            e.fields.refuse("groups", text("a divisor of the ", channels, " channels"));
        return like(builder_.groupNorm(e.module, e.inputs[0], groups, epsilon(e)), e.inputs[0]);
    }

    uint32_t layerNorm(Entry &e) {
        if (!fixed_)
            throw ReadError(
                text(e.fields.where(), ": its weights are for one size; \"size\" must say which"));
        const Size size = sizes_.at(e.inputs[0]);
        return like(builder_.layerNorm(e.module, e.inputs[0], size.height, size.width, epsilon(e)),
                    e.inputs[0]);
    }

    uint32_t batchNorm(Entry &e) {
        if (weights_.find(e.module + ".num_batches_tracked") != nullptr)
            taker_.ignore(e.module + ".num_batches_tracked");
        return like(builder_.batchNorm(e.module, e.inputs[0], epsilon(e)), e.inputs[0]);
    }

    static double epsilon(Entry &e) { return e.fields.number("epsilon", 1e-5, 1e-12, 1); }

    uint32_t activation(Entry &e, ActivationFunction function) {
        return like(builder_.activation(e.name, e.inputs[0], function), e.inputs[0]);
    }
    uint32_t silu(Entry &e) { return activation(e, ActivationFunction::Silu); }
    uint32_t mish(Entry &e) { return activation(e, ActivationFunction::Mish); }
    uint32_t gelu(Entry &e) { return activation(e, ActivationFunction::Gelu); }
    uint32_t relu(Entry &e) { return activation(e, ActivationFunction::Relu); }

    void expectFit(const Entry &e, uint32_t a, uint32_t b, uint32_t channelsOfB) const {
        if (builder_.channels(b) != channelsOfB)
            throw ReadError(text(e.fields.where(), ": ", builder_.name(b), " has ", builder_.channels(b),
                                 " channels, expected ", channelsOfB, " to go with ", builder_.name(a)));
        if (!vectors_.contains(b) && !(sizes_.at(a) == sizes_.at(b)))
            throw ReadError(text(e.fields.where(), ": ", builder_.name(a), " of ", sizeText(a), " and ",
                                 builder_.name(b), " of ", sizeText(b), " pixels do not go together",
                                 fixed_ ? "" : " (for a picture of 512x512)"));
    }
    std::string sizeText(uint32_t tensor) const {
        return text(sizes_.at(tensor).height, "x", sizes_.at(tensor).width);
    }

    uint32_t add(Entry &e) {
        uint32_t a = e.inputs[0], b = e.inputs[1];
        if (vectors_.contains(a) && !vectors_.contains(b))
            std::swap(a, b); // the map first
        expectFit(e, a, b, builder_.channels(a));
        return like(builder_.add(e.name, a, b), a);
    }

    uint32_t modulate(Entry &e) {
        if (vectors_.contains(e.inputs[0]) || !vectors_.contains(e.inputs[1]))
            throw ReadError(text(e.fields.where(), ": expected a map, then a vector of the timestep"));
        expectFit(e, e.inputs[0], e.inputs[1], 2 * builder_.channels(e.inputs[0]));
        return like(builder_.modulate(e.name, e.inputs[0], e.inputs[1]), e.inputs[0]);
    }

    uint32_t concat(Entry &e) {
        bool allPorts = true;
        for (uint32_t input : e.inputs)
            allPorts = allPorts && ports_.contains(input);
        if (!allPorts)
            for (uint32_t &input : e.inputs)
                input = activationOf(input);
        for (uint32_t input : e.inputs)
            expectFit(e, e.inputs[0], input, builder_.channels(input));
        if (allPorts || e.inputs.size() == 1)
            return like(builder_.concat(e.name, e.inputs), e.inputs[0]);
        uint32_t joined = e.inputs[0]; // the runtime joins two at a time
        for (size_t i = 1; i < e.inputs.size(); ++i)
            joined = builder_.concat(i + 1 < e.inputs.size() ? text(e.name, ".", i) : e.name,
                                     {joined, e.inputs[i]});
        return like(joined, e.inputs[0]);
    }

    uint32_t scale(Entry &e) {
        const double factor = e.fields.number("factor", 1, -1e6, 1e6),
                     offset = e.fields.number("offset", 0, -1e6, 1e6);
        return like(builder_.scale(e.name, e.inputs[0], factor, offset), e.inputs[0]);
    }

    uint32_t upsample(Entry &e) {
        const Size in = sizes_.at(e.inputs[0]);
        return map(builder_.resample(e.name, e.inputs[0], Resample::NearestUp2),
                   {in.height * 2, in.width * 2});
    }

    uint32_t averagePool(Entry &e) {
        const Size in = sizes_.at(e.inputs[0]);
        if (in.height < 2 || in.width < 2)
            throw ReadError(
                text(e.fields.where(), ": a map of ", sizeText(e.inputs[0]), " cannot be halved"));
        return map(builder_.resample(e.name, e.inputs[0], Resample::AverageDown2),
                   {in.height / 2, in.width / 2});
    }

    uint32_t attention(Entry &e) {
        const uint32_t channels = builder_.channels(e.inputs[0]),
                       heads = e.fields.count("heads", 1, 1, 1 << 16);
        if (channels % heads != 0)
            e.fields.refuse("heads", text("a divisor of the ", channels, " channels"));
        for (uint32_t input : e.inputs)
            expectFit(e, e.inputs[0], input, channels);
        return like(builder_.attention(e.name, e.inputs[0], e.inputs[1], e.inputs[2], heads), e.inputs[0]);
    }

    uint32_t timeVector(const Entry &e, const TimestepFeatures &features,
                        const std::vector<uint32_t> &shape) {
        if (!vectors_.empty())
            throw ReadError(text(e.fields.where(), ": the timestep is asked for a second time"));
        const uint32_t vector =
            builder_.timestepEmbedding(shape.empty() ? e.name : e.module, features, shape);
        vectors_.insert(vector);
        return vector;
    }

    uint32_t timestepFeatures(Entry &e) {
        TimestepFeatures features;
        features.channels = e.fields.count("channels", {}, 4, 1 << 16);
        features.flipSinToCos = e.fields.boolean("cosines_first", false);
        features.frequencyShift = e.fields.number("frequency_shift", 0, 0, 1);
        return timeVector(e, features, {});
    }

    uint32_t timestepTable(Entry &e) {
        const std::vector<uint64_t> shape = shapeOf(e, "weight", 2);
        TimestepFeatures features;
        features.kind = TimestepFeatures::Kind::Learned;
        features.channels = static_cast<uint32_t>(shape[1]);
        return timeVector(e, features, {static_cast<uint32_t>(shape[0]), features.channels});
    }

    void finish(const Scope &scope) {
        const std::string where = text(fields_.where(), ": graph");
        if (ports_.contains(scope.last) || vectors_.contains(scope.last))
            throw ReadError(
                text(where, ": ends in ", builder_.name(scope.last), ", expected what the network makes"));
        if (builder_.channels(scope.last) != stateChannels_ ||
            !(sizes_.at(scope.last) == Size{height_, width_}))
            throw ReadError(text(where, ": ends in ", builder_.name(scope.last), " of ",
                                 builder_.channels(scope.last), " channels and ", sizeText(scope.last),
                                 " pixels, expected those of x, ", stateChannels_, " and ", height_, "x",
                                 width_));
        if (!convolutions_.contains(scope.last))
            throw ReadError(text(where, ": ends in ", builder_.name(scope.last), ", expected a conv2d"));
        builder_.outputPort("model_output", scope.last, PortSource::ModelOutput,
                            "the network's output, which the sampler turns into the next state");
    }

    Fields fields_;
    const Weights &weights_;
    WeightTaker taker_;
    const TensorSource take_;
    Builder builder_;
    bool fixed_ = false;
    uint32_t height_ = kNominalSize, width_ = kNominalSize, stateChannels_ = 0;
    std::map<std::string, Function> functions_;
    std::set<uint32_t> ports_, convolutions_, vectors_; // tensors; vectors depend on the timestep alone
    std::map<uint32_t, uint32_t> activations_;          // of ports
    std::map<uint32_t, Size> sizes_;                    // of maps
    size_t entries_ = 0, depth_ = 0;
};

} // namespace

std::string weightsOf(const json &description, const std::string &where) {
    Fields fields(description, where);
    const std::string name = fields.text("weights", "");
    if (name.find_first_of("/\\") != std::string::npos)
        fields.refuse("weights", "the name of a file in the folder that is converted");
    return name;
}

Description lowerDescription(const json &description, const std::string &where, const Weights &weights) {
    return Lowering(description, where, weights).run();
}

} // namespace mote::convert
