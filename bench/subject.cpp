#include "subject.h"

#include "expect.h"

namespace mote::bench {
namespace {

constexpr uint32_t kWhole = 60'000; // milliseconds

// Uniform in [-1, 1), the same everywhere.
std::vector<float> madeUp(size_t count, uint32_t seed) {
    std::vector<float> values(count);
    uint32_t state = seed;
    for (float &value : values) {
        state = state * 1664525u + 1013904223u; // Numerical Recipes, section 7.1
        value = static_cast<float>(state >> 8) * 0x1p-23f - 1;
    }
    return values;
}

uint32_t roundedUp(uint32_t size, uint32_t multiple) {
    return (size + multiple - 1) / multiple * multiple;
}

} // namespace

Subject::Subject(std::shared_ptr<gpu::Device> device, std::string name, std::string path, uint32_t width,
                 uint32_t height)
    : device_(std::move(device)), name_(std::move(name)), path_(std::move(path)), width_(width),
      height_(height) {
    const Source source = expect(Source::fromPath(path_));
    model_ = expect(readModel(source));
    if (model_.graphs.empty() || model_.recipes.empty())
        throw std::runtime_error(path_ + ": has no graph or no recipe to run");
    const uint32_t multiple = graph().sizeMultiple;
    shapes_ =
        expect(inferShapes(model_, graph(), 1, roundedUp(height_, multiple), roundedUp(width_, multiple)));
    inputs_.resize(graph().tensors.size());
    for (const Port &port : graph().ports) {
        const size_t values = size_t{graph().tensors[port.tensor].channels} * height_ * width_;
        if (port.source == PortSource::App && !port.output)
            inputs_[port.tensor] = madeUp(values, port.tensor + 1);
        else if (port.source == PortSource::State)
            output_.resize(values);
    }
}

std::shared_ptr<pipeline::LoadedModel> Subject::open(const std::shared_ptr<gpu::Device> &device) const {
    return expect(pipeline::LoadedModel::open(device, expect(Source::fromPath(path_))));
}

std::unique_ptr<pipeline::Session> Subject::newSession(std::shared_ptr<pipeline::LoadedModel> model,
                                                       uint32_t submissionMilliseconds, uint32_t steps) {
    pipeline::SessionOptions options;
    options.submissionMilliseconds = submissionMilliseconds;
    options.steps = steps;
    options.width = width_;
    options.height = height_;
    std::unique_ptr<pipeline::Session> session = expect(pipeline::Session::create(std::move(model), options));
    if (graph().conditioning.kind == ConditioningKind::Labels)
        expect(session->setClassLabels({0}));
    for (const Port &port : graph().ports) {
        pipeline::TensorView view = {1, graph().tensors[port.tensor].channels, height_, width_, nullptr};
        if (port.source == PortSource::App && !port.output) {
            view.data = inputs_[port.tensor].data();
            expect(session->bindTensor(port.name, &view));
        } else if (port.source == PortSource::State) {
            view.data = output_.data();
            expect(session->bindOutputTensor(&view));
        }
    }
    return session;
}

pipeline::Session &Subject::session() {
    if (!session_) {
        session_ = newSession(open(device_), kWhole);
        expect(session_->prepare({}, false, nullptr));
    }
    return *session_;
}

} // namespace mote::bench
