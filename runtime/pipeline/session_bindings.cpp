// What the app gives and takes: by which names, of which shapes; nothing is moved before a run.
#include "pipeline/session.h"

#include <cmath>
#include <utility>

namespace mote::pipeline {

std::vector<Session::Input> Session::appInputs() const {
    std::vector<Input> inputs;
    for (size_t i = 0; i < graph().ports.size(); ++i) {
        const Port &port = graph().ports[i];
        if (!port.output && port.source == PortSource::App)
            inputs.push_back({port.name, port.kind == PortKind::Image, graph().tensors[port.tensor].channels,
                              plan_.portPlanes[i], port.valueLow, port.valueHigh});
    }
    if (plan_.mask != kNone) {
        const Port &state = statePort(graph());
        inputs.push_back({kMaskPort, true, 1, plan_.mask, 0, 1});
        inputs.push_back({kKnownPort, true, stateChannels(), plan_.known, state.valueLow, state.valueHigh});
    }
    return inputs;
}

Result<Session::Input> Session::findInput(const std::string &name, bool asImage) const {
    std::string names;
    for (Input &input : appInputs()) {
        if (input.name == name && (input.image || !asImage))
            return std::move(input);
        names += "'" + input.name + "', ";
    }
    return makeStatus(StatusCode::NotFound, "no input '%s'%s; the inputs are %s'%s', '%s'", name.c_str(),
                      asImage ? " that takes an image" : "", names.c_str(), kStartName, kNoiseName);
}

// A super-resolution model's photo is smaller than what it makes.
uint32_t Session::scaleOf(const Input &input) const {
    return input.name == kConditionPort ? model_->task().scale : 1;
}

Status Session::checkShowable() const {
    const uint32_t channels = stateChannels();
    if (channels != 1 && channels != 3 && model_->task().kind != TaskKind::Colourise)
        return makeStatus(StatusCode::InvalidArgument,
                          "the output has %u channels, an image can show 1 or 3; bind a tensor", channels);
    return {};
}

Status Session::checkImages(const std::string &what, const std::vector<ImageView> &images,
                            uint32_t scale) const {
    if (images.size() != plan_.batch)
        return makeStatus(StatusCode::InvalidArgument,
                          "%s: found %zu images, expected %u, the session's batch", what.c_str(),
                          images.size(), plan_.batch);
    for (const ImageView &image : images)
        MOTE_TRY(checkImage(what, image, plan_.width / scale, plan_.height / scale));
    return {};
}

Status Session::bindImages(const std::string &name, const std::vector<ImageView> &images) {
    MOTE_TRY_ASSIGN(const Input input, findInput(name, true));
    if (images.empty()) {
        inputs_.erase(name);
        return {};
    }
    MOTE_TRY(checkImages("image for '" + name + "'", images, scaleOf(input)));
    BoundInput bound;
    bound.images = images;
    inputs_[name] = bound;
    return {};
}

Status Session::checkTensor(const std::string &what, const TensorView &tensor, uint32_t n,
                            uint32_t channels) const {
    if (tensor.data == nullptr)
        return makeStatus(StatusCode::InvalidArgument, "%s: data is null", what.c_str());
    const bool own = tensor.h == plan_.height && tensor.w == plan_.width;
    const bool padded = tensor.h == plan_.paddedHeight && tensor.w == plan_.paddedWidth;
    if (tensor.n != n || tensor.c != channels || (!own && !padded))
        return makeStatus(StatusCode::InvalidArgument,
                          "%s: found shape [%u, %u, %u, %u], expected [%u, %u, %u, %u] or the padded "
                          "[%u, %u, %u, %u]",
                          what.c_str(), tensor.n, tensor.c, tensor.h, tensor.w, n, channels, plan_.height,
                          plan_.width, n, channels, plan_.paddedHeight, plan_.paddedWidth);
    return {};
}

Status Session::bindTensor(const std::string &name, const TensorView *tensor) {
    uint32_t n = plan_.batch, channels = stateChannels();
    if (name == kNoiseName) {
        n *= steps(); // both bounded: 2^12 each
    } else if (name != kStartName) {
        MOTE_TRY_ASSIGN(const Input input, findInput(name, false));
        channels = input.channels;
    }
    if (tensor == nullptr) {
        inputs_.erase(name);
        return {};
    }
    MOTE_TRY(checkTensor("tensor for '" + name + "'", *tensor, n, channels));
    BoundInput bound;
    bound.tensor = *tensor;
    inputs_[name] = bound;
    return {};
}

Status Session::bindOutputImages(const std::vector<ImageView> &images) {
    outputImages_.clear();
    if (images.empty())
        return {};
    MOTE_TRY(checkShowable());
    MOTE_TRY(checkImages("output image", images, 1));
    outputImages_ = images;
    return {};
}

Status Session::bindOutputTensor(const TensorView *tensor) {
    hasOutputTensor_ = false;
    if (tensor == nullptr)
        return {};
    MOTE_TRY(checkTensor("output tensor", *tensor, plan_.batch, stateChannels()));
    outputTensor_ = *tensor;
    hasOutputTensor_ = true;
    return {};
}

Status Session::setClassLabels(const std::vector<int64_t> &labels) {
    const Conditioning &conditioning = graph().conditioning;
    if (labels.empty()) {
        labels_.clear();
        return {};
    }
    if (conditioning.kind != ConditioningKind::Labels)
        return makeStatus(StatusCode::InvalidArgument,
                          "class labels: found %zu, expected none: the model has %s", labels.size(),
                          conditioning.kind == ConditioningKind::Vectors ? "class vectors" : "no classes");
    if (labels.size() != plan_.batch)
        return makeStatus(StatusCode::InvalidArgument,
                          "class labels: found %zu, expected %u, one for each image", labels.size(),
                          plan_.batch);
    const uint32_t classes = model_->model().weights[conditioning.classes].shape[0];
    for (size_t i = 0; i < labels.size(); ++i)
        if (labels[i] < 0 || labels[i] >= classes)
            return makeStatus(StatusCode::InvalidArgument,
                              "class labels: found %lld for image %zu, expected 0 to %u",
                              static_cast<long long>(labels[i]), i, classes - 1);
    labels_.assign(labels.begin(), labels.end());
    return {};
}

Status Session::setClassVectors(const float *vectors, uint32_t count, uint32_t length) {
    if (vectors == nullptr) {
        vectors_.clear();
        return {};
    }
    const Conditioning &conditioning = graph().conditioning;
    if (conditioning.kind != ConditioningKind::Vectors)
        return makeStatus(StatusCode::InvalidArgument,
                          "class vectors: found %u, expected none: the model has %s", count,
                          conditioning.kind == ConditioningKind::Labels ? "class labels" : "no classes");
    if (count != plan_.batch || length != plan_.conditioning.length)
        return makeStatus(StatusCode::InvalidArgument,
                          "class vectors: found %u of %u numbers, expected %u, one for each image, of %u",
                          count, length, plan_.batch, plan_.conditioning.length);
    vectors_.assign(vectors, vectors + size_t{count} * length);
    return {};
}

Status Session::setGuidance(const float *scale) {
    if (scale == nullptr) {
        hasGuidance_ = false;
        return {};
    }
    if (!std::isfinite(*scale))
        return makeStatus(StatusCode::InvalidArgument, "guidance: found %g, expected a finite number",
                          double(*scale));
    if (plan_.passes == 1)
        return makeStatus(StatusCode::InvalidArgument,
                          "guidance: found %g, expected none: recipe '%s' has no guided step", double(*scale),
                          recipe().name.c_str());
    hasGuidance_ = true;
    guidanceScale_ = *scale;
    return {};
}

Status Session::checkBound() const {
    for (const Input &input : appInputs())
        if (inputs_.count(input.name) == 0)
            return makeStatus(StatusCode::InvalidArgument, "input '%s' is not bound", input.name.c_str());
    const ConditioningKind kind = graph().conditioning.kind;
    if (kind == ConditioningKind::Labels && labels_.empty())
        return makeStatus(StatusCode::InvalidArgument, "no class labels are set; the model has %u classes",
                          model_->model().weights[graph().conditioning.classes].shape[0]);
    if (kind == ConditioningKind::Vectors && vectors_.empty())
        return makeStatus(StatusCode::InvalidArgument, "no class vectors are set; the model takes %u numbers",
                          plan_.conditioning.length);
    return {};
}

bool Session::isGiven(const char *name) const {
    return inputs_.count(name) != 0;
}

} // namespace mote::pipeline
