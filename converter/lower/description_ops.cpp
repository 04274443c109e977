#include "lower/description_ops.h"

#include "graph/shapes.h"
#include "read/text.h"

namespace mote::convert {

using nlohmann::json;

namespace {

constexpr uint32_t kMaxKernel = 31;
constexpr uint32_t kNominalSize = 512; // at which a network that runs at any size is checked

// An op is called after its module, or after what it does; those that come later are numbered.
void makeNamesDiffer(Graph &graph) {
    std::map<std::string, size_t> times;
    for (Op &op : graph.ops) {
        Tensor &tensor = graph.tensors[op.output];
        if (const size_t time = ++times[op.name]; time > 1)
            op.name = text(op.name, "#", time);
        if (tensor.kind == TensorKind::Activation)
            tensor.name = op.name;
    }
}

} // namespace

DescribedOps::DescribedOps(const Weights &weights, const std::string &where)
    : weights_(weights), where_(where), taker_(weights, where),
      take_([this](const std::string &name, const std::vector<uint64_t> &shape) {
          return taker_.take(name, shape);
      }),
      builder_(take_), nominal_{kNominalSize, kNominalSize} {}

const std::map<std::string, DescribedOps::Kind> &DescribedOps::kinds() {
    constexpr size_t kMany = 64;
    static const std::map<std::string, Kind> all = {
        {"conv2d", {1, 1, false, true, &DescribedOps::conv2d}},
        {"conv_transpose2d", {1, 1, false, true, &DescribedOps::transposedConv2d}},
        {"linear", {1, 1, true, true, &DescribedOps::linear}},
        {"group_norm", {1, 1, false, true, &DescribedOps::groupNorm}},
        {"layer_norm", {1, 1, false, true, &DescribedOps::layerNorm}},
        {"batch_norm", {1, 1, false, true, &DescribedOps::batchNorm}},
        {"silu", {1, 1, true, true, &DescribedOps::silu}},
        {"mish", {1, 1, true, true, &DescribedOps::mish}},
        {"gelu", {1, 1, true, true, &DescribedOps::gelu}},
        {"relu", {1, 1, true, true, &DescribedOps::relu}},
        {"add", {2, 2, true, true, &DescribedOps::add}},
        {"modulate", {2, 2, true, true, &DescribedOps::modulate}},
        {"concat", {1, kMany, false, true, &DescribedOps::concat}},
        {"scale", {1, 1, true, true, &DescribedOps::scale}},
        {"upsample", {1, 1, false, true, &DescribedOps::upsample}},
        {"average_pool", {1, 1, false, true, &DescribedOps::averagePool}},
        {"attention", {1, 3, false, true, &DescribedOps::attention}},
        {"timestep_features", {0, 0, true, true, &DescribedOps::timestepFeatures}},
        {"timestep_table", {0, 0, true, true, &DescribedOps::timestepTable}},
    };
    return all;
}

bool DescribedOps::knows(const std::string &op) {
    return kinds().contains(op);
}

std::string DescribedOps::known() {
    std::string all;
    for (const auto &[name, kind] : kinds())
        all += (all.empty() ? "" : ", ") + name;
    return all;
}

std::string DescribedOps::refusal(const std::string &op) {
    static const std::map<std::string, std::string> all = {
        {"max_pool", "no op takes the largest of several pixels"},
        {"linear_attention", "attention is softmax(q k^T) v, which forms every score"},
        {"rms_norm", "norms are over channels and pixels, not over the channels of each pixel"},
        {"upsample_bilinear", "maps are doubled by their nearest pixels"},
        {"group_convolution", "a convolution reads all channels of its input"},
    };
    const auto found = all.find(op);
    return found == all.end() ? "" : found->second;
}

void DescribedOps::fixSize(uint32_t height, uint32_t width) {
    fixed_ = true;
    nominal_ = {height, width};
}

bool DescribedOps::ignore(const std::string &tensor) {
    taker_.ignore(tensor);
    return weights_.find(tensor) != nullptr;
}

uint32_t DescribedOps::inputPort(const std::string &name, uint32_t channels, PortSource source,
                                 const std::string &description) {
    const uint32_t port = builder_.inputPort(name, channels, source, description);
    ports_.insert(port);
    return map(port, nominal_);
}

uint32_t DescribedOps::run(const std::string &op, Entry &given, bool named) {
    const Kind &kind = kinds().at(op);
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
    if (kind.handler != &DescribedOps::concat)
        for (uint32_t &input : given.inputs)
            input = activationOf(input);
    const uint32_t result = (this->*kind.handler)(given);
    given.fields.expectNoMore();
    return result;
}

uint32_t DescribedOps::activationOf(uint32_t tensor) {
    if (!ports_.contains(tensor))
        return tensor;
    if (const auto found = activations_.find(tensor); found != activations_.end())
        return found->second;
    const uint32_t made = builder_.concat(builder_.name(tensor) + ".activation", {tensor});
    return activations_[tensor] = map(made, sizes_.at(tensor));
}

uint32_t DescribedOps::map(uint32_t tensor, Size size) {
    sizes_[tensor] = size;
    return tensor;
}

uint32_t DescribedOps::like(uint32_t tensor, uint32_t input) {
    if (vectors_.contains(input))
        vectors_.insert(tensor);
    else
        sizes_[tensor] = sizes_.at(input);
    return tensor;
}

std::vector<uint64_t> DescribedOps::shapeOf(const Entry &entry, const char *tensor, size_t rank) const {
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

uint32_t DescribedOps::convolved(const Entry &entry, uint32_t in, uint32_t before, uint32_t behind,
                                 uint32_t kernel, uint32_t stride) {
    if (in + before + behind < kernel)
        throw ReadError(text(entry.fields.where(), ": a kernel of ", kernel, " does not fit ", in,
                             " pixels padded by ", before, " and ", behind));
    return (in + before + behind - kernel) / stride + 1;
}

uint32_t DescribedOps::kernelOf(const Entry &entry, uint64_t extent) {
    if (extent > kMaxKernel)
        throw ReadError(
            text(entry.fields.where(), ": has a kernel of ", extent, ", expected at most ", kMaxKernel));
    return static_cast<uint32_t>(extent);
}

uint32_t DescribedOps::conv2d(Entry &e) {
    const std::vector<uint64_t> shape = shapeOf(e, "weight", 4);
    if (e.fields.boolean("unshuffle", false))
        return unshuffledConv2d(e, shape);
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
        form.padTop = form.padLeft = form.padBottom = form.padRight = e.fields.count("padding", 0, 0, most);
    }
    const Size in = sizes_.at(e.inputs[0]);
    const Size out = {convolved(e, in.height, form.padTop, form.padBottom, form.kernelHeight, form.stride),
                      convolved(e, in.width, form.padLeft, form.padRight, form.kernelWidth, form.stride)};
    const uint32_t made = builder_.conv2d(e.module, e.inputs[0], static_cast<uint32_t>(shape[0]), form);
    foldWeights(e, made);
    convolutions_.insert(made);
    return map(made, out);
}

uint32_t DescribedOps::unshuffledConv2d(Entry &e, const std::vector<uint64_t> &shape) {
    const Size in = sizes_.at(e.inputs[0]);
    if (shape[2] != 1 || shape[3] != 1)
        e.fields.refuse("unshuffle", "false with a kernel of more than one pixel");
    if (in.height % 2 != 0 || in.width % 2 != 0)
        e.fields.refuse("unshuffle", text("a map of even size, found ", sizeText(e.inputs[0])));
    const uint32_t made = builder_.unshuffledConv2d(e.module, e.inputs[0], static_cast<uint32_t>(shape[0]),
                                                    e.fields.boolean("bias", true));
    foldWeights(e, made);
    convolutions_.insert(made);
    return map(made, {in.height / 2, in.width / 2});
}

// What is done to the weights of a convolution or linear layer before it is used.
void DescribedOps::foldWeights(Entry &e, uint32_t made) {
    if (e.fields.boolean("standardise", false))
        builder_.standardise(epsilon(e));
    const uint32_t heads = e.fields.count("sort_heads", 1, 1, 1 << 16);
    if (heads > 1 && builder_.channels(made) % (3 * uint64_t{heads}) != 0)
        e.fields.refuse("sort_heads",
                        text("a divisor of a third of the ", builder_.channels(made), " channels"));
    if (heads > 1)
        builder_.sortHeads(heads);
}

uint32_t DescribedOps::transposedConv2d(Entry &e) {
    const std::vector<uint64_t> shape = shapeOf(e, "weight", 4);
    const uint32_t kernel = kernelOf(e, shape[2]), stride = e.fields.count("stride", 1, 1, 2);
    if (shape[2] != shape[3] || kernel < stride)
        throw ReadError(text(e.fields.where(), ": has a kernel of ", shape[2], "x", shape[3],
                             ", expected a square one of the stride or more"));
    const uint32_t padding = e.fields.count("padding", 0, 0, kernel - stride);
    const bool bias = e.fields.boolean("bias", true);
    const Size in = sizes_.at(e.inputs[0]);
    const uint32_t made = builder_.transposedConv2d(e.module, e.inputs[0], static_cast<uint32_t>(shape[1]),
                                                    kernel, stride, padding, bias);
    if ((in.height - 1) * stride + kernel <= 2 * padding || (in.width - 1) * stride + kernel <= 2 * padding)
        e.fields.refuse("padding", "one that leaves pixels");
    return map(made, {(in.height - 1) * stride + kernel - 2 * padding,
                      (in.width - 1) * stride + kernel - 2 * padding});
}

uint32_t DescribedOps::linear(Entry &e) {
    const std::vector<uint64_t> shape = shapeOf(e, "weight", 2);
    const bool bias = e.fields.boolean("bias", true);
    const uint32_t made = builder_.linear(e.module, e.inputs[0], static_cast<uint32_t>(shape[0]), bias);
    foldWeights(e, made);
    return like(made, e.inputs[0]);
}

uint32_t DescribedOps::groupNorm(Entry &e) {
    const uint32_t groups = e.fields.count("groups", {}, 1, 1 << 16),
                   channels = builder_.channels(e.inputs[0]);
    if (channels % groups != 0)
        e.fields.refuse("groups", text("a divisor of the ", channels, " channels"));
    return like(builder_.groupNorm(e.module, e.inputs[0], groups, epsilon(e)), e.inputs[0]);
}

uint32_t DescribedOps::layerNorm(Entry &e) {
    if (!fixed_)
        throw ReadError(text(e.fields.where(), ": its weights are for one size; \"size\" must say which"));
    const Size size = sizes_.at(e.inputs[0]);
    return like(builder_.layerNorm(e.module, e.inputs[0], size.height, size.width, epsilon(e)), e.inputs[0]);
}

uint32_t DescribedOps::batchNorm(Entry &e) {
    if (weights_.find(e.module + ".num_batches_tracked") != nullptr)
        taker_.ignore(e.module + ".num_batches_tracked");
    return like(builder_.batchNorm(e.module, e.inputs[0], epsilon(e)), e.inputs[0]);
}

double DescribedOps::epsilon(Entry &e) {
    return e.fields.number("epsilon", 1e-5, 1e-12, 1);
}

uint32_t DescribedOps::activation(Entry &e, ActivationFunction function) {
    return like(builder_.activation(e.name, e.inputs[0], function), e.inputs[0]);
}

uint32_t DescribedOps::silu(Entry &e) {
    return activation(e, ActivationFunction::Silu);
}

uint32_t DescribedOps::mish(Entry &e) {
    return activation(e, ActivationFunction::Mish);
}

uint32_t DescribedOps::gelu(Entry &e) {
    return activation(e, ActivationFunction::Gelu);
}

uint32_t DescribedOps::relu(Entry &e) {
    return activation(e, ActivationFunction::Relu);
}

void DescribedOps::expectFit(const Entry &e, uint32_t a, uint32_t b, uint32_t channelsOfB) const {
    if (builder_.channels(b) != channelsOfB)
        throw ReadError(text(e.fields.where(), ": ", builder_.name(b), " has ", builder_.channels(b),
                             " channels, expected ", channelsOfB, " to go with ", builder_.name(a)));
    if (!vectors_.contains(b) && !(sizes_.at(a) == sizes_.at(b)))
        throw ReadError(text(e.fields.where(), ": ", builder_.name(a), " of ", sizeText(a), " and ",
                             builder_.name(b), " of ", sizeText(b), " pixels do not go together",
                             fixed_ ? "" : " (for a picture of 512x512)"));
}

std::string DescribedOps::sizeText(uint32_t tensor) const {
    return text(sizes_.at(tensor).height, "x", sizes_.at(tensor).width);
}

uint32_t DescribedOps::add(Entry &e) {
    uint32_t a = e.inputs[0], b = e.inputs[1];
    if (vectors_.contains(a) && !vectors_.contains(b))
        std::swap(a, b); // the map first
    expectFit(e, a, b, builder_.channels(a));
    return like(builder_.add(e.name, a, b), a);
}

uint32_t DescribedOps::modulate(Entry &e) {
    if (vectors_.contains(e.inputs[0]) || !vectors_.contains(e.inputs[1]))
        throw ReadError(text(e.fields.where(), ": expected a map, then a vector of the timestep"));
    expectFit(e, e.inputs[0], e.inputs[1], 2 * builder_.channels(e.inputs[0]));
    return like(builder_.modulate(e.name, e.inputs[0], e.inputs[1]), e.inputs[0]);
}

uint32_t DescribedOps::concat(Entry &e) {
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
        joined =
            builder_.concat(i + 1 < e.inputs.size() ? text(e.name, ".", i) : e.name, {joined, e.inputs[i]});
    return like(joined, e.inputs[0]);
}

uint32_t DescribedOps::scale(Entry &e) {
    const double factor = e.fields.number("factor", 1, -1e6, 1e6),
                 offset = e.fields.number("offset", 0, -1e6, 1e6);
    return like(builder_.scale(e.name, e.inputs[0], factor, offset), e.inputs[0]);
}

uint32_t DescribedOps::upsample(Entry &e) {
    const Size in = sizes_.at(e.inputs[0]);
    return map(builder_.resample(e.name, e.inputs[0], Resample::NearestUp2), {in.height * 2, in.width * 2});
}

uint32_t DescribedOps::averagePool(Entry &e) {
    const Size in = sizes_.at(e.inputs[0]);
    if (in.height < 2 || in.width < 2)
        throw ReadError(text(e.fields.where(), ": a map of ", sizeText(e.inputs[0]), " cannot be halved"));
    return map(builder_.resample(e.name, e.inputs[0], Resample::AverageDown2), {in.height / 2, in.width / 2});
}

uint32_t DescribedOps::attention(Entry &e) {
    const uint32_t total = builder_.channels(e.inputs[0]), heads = e.fields.count("heads", 1, 1, 1 << 16);
    if (e.inputs.size() == 2)
        throw ReadError(text(e.fields.where(), ": has 2 inputs, expected q, k and v in one or in three"));
    if (e.inputs.size() == 1 && total % 3 != 0)
        throw ReadError(text(e.fields.where(), ": ", builder_.name(e.inputs[0]), " has ", total,
                             " channels, expected three times as many as q has"));
    const uint32_t channels = e.inputs.size() == 1 ? total / 3 : total;
    if (channels % heads != 0)
        e.fields.refuse("heads", text("a divisor of the ", channels, " channels"));
    for (uint32_t input : e.inputs)
        expectFit(e, e.inputs[0], input, total);
    return like(builder_.attention(e.name, e.inputs, heads), e.inputs[0]);
}

uint32_t DescribedOps::timeVector(const Entry &e, const TimestepFeatures &features,
                                  const std::vector<uint32_t> &shape) {
    if (!vectors_.empty())
        throw ReadError(text(e.fields.where(), ": the timestep is asked for a second time"));
    const uint32_t vector = builder_.timestepEmbedding(shape.empty() ? e.name : e.module, features, shape);
    vectors_.insert(vector);
    return vector;
}

uint32_t DescribedOps::timestepFeatures(Entry &e) {
    TimestepFeatures features;
    features.channels = e.fields.count("channels", {}, 4, 1 << 16);
    features.flipSinToCos = e.fields.boolean("cosines_first", false);
    features.frequencyShift = e.fields.number("frequency_shift", 0, 0, 1);
    return timeVector(e, features, {});
}

uint32_t DescribedOps::timestepTable(Entry &e) {
    const std::vector<uint64_t> shape = shapeOf(e, "weight", 2);
    TimestepFeatures features;
    features.kind = TimestepFeatures::Kind::Learned;
    features.channels = static_cast<uint32_t>(shape[1]);
    return timeVector(e, features, {static_cast<uint32_t>(shape[0]), features.channels});
}

Network DescribedOps::finish(uint32_t output, uint32_t stateChannels) {
    const std::string where = text(where_, ": graph");
    if (ports_.contains(output) || vectors_.contains(output))
        throw ReadError(
            text(where, ": ends in ", builder_.name(output), ", expected what the network makes"));
    if (builder_.channels(output) != stateChannels || !(sizes_.at(output) == nominal_))
        throw ReadError(text(where, ": ends in ", builder_.name(output), " of ", builder_.channels(output),
                             " channels and ", sizeText(output), " pixels, expected those of x, ",
                             stateChannels, " and ", nominal_.height, "x", nominal_.width));
    if (!convolutions_.contains(output))
        throw ReadError(text(where, ": ends in ", builder_.name(output), ", expected a conv2d"));
    builder_.outputPort("model_output", output, PortSource::ModelOutput,
                        "the network's output, which the sampler turns into the next state");
    taker_.expectAllTaken();
    Network network;
    if (fixed_)
        network = builder_.finish("network", nominal_.height, nominal_.width);
    else {
        network = builder_.finish("network", 1);
        const Result<uint32_t> factor = downsamplingFactor(network.graph);
        if (!factor.ok())
            throw ReadError(text(where_, ": ", factor.status().message));
        network.graph.sizeMultiple = factor.value();
    }
    makeNamesDiffer(network.graph);
    return network;
}

} // namespace mote::convert
