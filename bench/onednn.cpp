// oneDNN's convolutions, as a ceiling of the host: fp32, weights and maps in the layout that it likes best.
#include "ops.h"

#include "reference/convolution.h"
#include "reference/reference.h"

#include <benchmark/benchmark.h>
#include <dnnl.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <unordered_map>

namespace mote::bench {
namespace {

using convert::reference::Array;
using dnnl::memory;

constexpr uint32_t kCheckedRows = 16;

// A convolution as a library of the host is asked for it.
struct HostConvolution {
    uint32_t inputs = 0, outputs = 0, height = 0, width = 0; // of the input, padding excluded
    uint32_t kernelHeight = 1, kernelWidth = 1, stride = 1;
    uint32_t padTop = 0, padLeft = 0, padBottom = 0, padRight = 0;

    uint64_t operations() const {
        const uint64_t rows = (height + padTop + padBottom - kernelHeight) / stride + 1;
        const uint64_t columns = (width + padLeft + padRight - kernelWidth) / stride + 1;
        return 2 * rows * columns * outputs * inputs * kernelHeight * kernelWidth;
    }
};

HostConvolution hostConvolution(const Subject &subject, const Op &op) {
    const std::vector<uint32_t> &weight = subject.model().weights[op.weight].shape;
    const TensorShape &input = subject.shapes().tensors[op.inputs[0]];
    const uint32_t factor = op.inputResample == Resample::None ? 1 : 2;
    return {weight[3], weight[0], input.h * factor, input.w * factor, weight[1],  weight[2],
            op.stride, op.padTop, op.padLeft,       op.padBottom,     op.padRight};
}

std::vector<float> madeUp(size_t count, uint32_t state, float reach) {
    std::vector<float> values(count);
    for (float &value : values) {
        state = state * 1664525u + 1013904223u;
        value = reach * (static_cast<float>(state >> 8) * 0x1p-23f - 1);
    }
    return values;
}

// Input, weights and bias made up, everything reordered before it is timed.
class OneDnn {
public:
    OneDnn(const HostConvolution &shape, dnnl::algorithm algorithm)
        : shape_(shape), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
        const memory::dim height =
            (shape.height + shape.padTop + shape.padBottom - shape.kernelHeight) / shape.stride + 1;
        const memory::dim width =
            (shape.width + shape.padLeft + shape.padRight - shape.kernelWidth) / shape.stride + 1;
        const memory::dims source = {1, shape.inputs, shape.height, shape.width};
        const memory::dims weights = {shape.outputs, shape.inputs, shape.kernelHeight, shape.kernelWidth};
        const memory::dims target = {1, shape.outputs, height, width};
        const auto any = [](const memory::dims &dims) {
            return memory::desc(dims, memory::data_type::f32, memory::format_tag::any);
        };
        const memory::desc bias({shape.outputs}, memory::data_type::f32, memory::format_tag::a);
        const dnnl::convolution_forward::desc desc(
            dnnl::prop_kind::forward_inference, algorithm, any(source), any(weights), bias, any(target),
            {shape.stride, shape.stride}, {shape.padTop, shape.padLeft}, {shape.padBottom, shape.padRight});
        const dnnl::convolution_forward::primitive_desc made(desc, engine_);
        kernel = made.impl_info_str();
        convolution_ = dnnl::convolution_forward(made);

        input_ = madeUp(size_t{shape.inputs} * shape.height * shape.width, 1, 1);
        weights_ = madeUp(
            size_t{shape.outputs} * shape.inputs * shape.kernelHeight * shape.kernelWidth, 2,
            std::sqrt(3.0f / static_cast<float>(shape.inputs * shape.kernelHeight * shape.kernelWidth)));
        bias_ = madeUp(shape.outputs, 3, 0.1f);
        output_.resize(static_cast<size_t>(shape.outputs * height * width));
        target_ = memory(made.dst_desc(), engine_);
        plainTarget_ =
            memory({target, memory::data_type::f32, memory::format_tag::nchw}, engine_, output_.data());
        arguments_ = {
            {DNNL_ARG_SRC, reordered(source, memory::format_tag::nchw, made.src_desc(), input_)},
            {DNNL_ARG_WEIGHTS, reordered(weights, memory::format_tag::oihw, made.weights_desc(), weights_)},
            {DNNL_ARG_BIAS, memory(bias, engine_, bias_.data())},
            {DNNL_ARG_DST, target_}};
        run();
    }

    void run() {
        convolution_.execute(stream_, arguments_);
        stream_.wait();
    }

    // Relative L2 of the first rows, against the same in double.
    double error() {
        dnnl::reorder(target_, plainTarget_).execute(stream_, target_, plainTarget_);
        stream_.wait();
        const uint32_t rows = std::min(shape_.height, kCheckedRows * shape_.stride + shape_.kernelHeight);
        Array<double> input(1, shape_.inputs, rows, shape_.width);
        for (uint32_t c = 0; c < shape_.inputs; ++c)
            std::copy_n(&input_[size_t{c} * shape_.height * shape_.width], input.planeSize(),
                        input.plane(0, c));
        // [out][in][kh][kw] to [out][kh][kw][in]
        const size_t taps = size_t{shape_.kernelHeight} * shape_.kernelWidth;
        std::vector<double> weights(weights_.size());
        for (size_t o = 0; o < shape_.outputs; ++o)
            for (size_t i = 0; i < shape_.inputs; ++i)
                for (size_t tap = 0; tap < taps; ++tap)
                    weights[(o * taps + tap) * shape_.inputs + i] =
                        static_cast<double>(weights_[(o * shape_.inputs + i) * taps + tap]);
        const std::vector<double> bias(bias_.begin(), bias_.end());
        convert::reference::ConvolutionShape form;
        form.kernelHeight = shape_.kernelHeight;
        form.kernelWidth = shape_.kernelWidth;
        form.stride = shape_.stride;
        form.padTop = shape_.padTop;
        form.padLeft = shape_.padLeft;
        form.padBottom = shape_.padBottom;
        form.padRight = shape_.padRight;
        const Array<double> exact =
            convert::reference::convolve<double>({&input}, weights.data(), bias.data(), shape_.outputs, form);
        const size_t plane = output_.size() / shape_.outputs;
        const uint32_t compared = rows == shape_.height ? exact.height : kCheckedRows;
        double squares = 0, difference = 0;
        for (uint32_t c = 0; c < shape_.outputs; ++c)
            for (size_t i = 0; i < size_t{compared} * exact.width; ++i) {
                const double wanted = exact.plane(0, c)[i];
                const double found = static_cast<double>(output_[c * plane + i]);
                squares += wanted * wanted;
                difference += (found - wanted) * (found - wanted);
            }
        return std::sqrt(difference / squares);
    }

    std::string kernel;

private:
    memory reordered(const memory::dims &dims, memory::format_tag tag, const memory::desc &to,
                     std::vector<float> &values) {
        memory plain({dims, memory::data_type::f32, tag}, engine_, values.data());
        memory liked(to, engine_);
        dnnl::reorder(plain, liked).execute(stream_, plain, liked);
        stream_.wait();
        return liked;
    }

    HostConvolution shape_;
    dnnl::engine engine_;
    dnnl::stream stream_;
    dnnl::convolution_forward convolution_;
    std::vector<float> input_, weights_, bias_, output_;
    memory target_, plainTarget_;
    std::unordered_map<int, memory> arguments_;
};

struct Shared {
    std::unique_ptr<OneDnn> made;
    double error = 0;
};

void timeOneDnn(benchmark::State &state, const HostConvolution &shape, dnnl::algorithm algorithm,
                Shared &shared) {
    try {
        if (!shared.made) {
            shared.made = std::make_unique<OneDnn>(shape, algorithm);
            shared.error = shared.made->error();
        }
    } catch (const dnnl::error &error) {
        state.SkipWithError(error.what()); // the algorithm does not do this shape
        return;
    }
    double total = 0;
    for (auto _ : state) {
        const auto start = std::chrono::steady_clock::now();
        shared.made->run();
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        state.SetIterationTime(seconds);
        total += seconds;
    }
    const double runs = static_cast<double>(state.iterations());
    state.SetLabel(shared.made->kernel);
    state.counters["GFLOP/s"] = 1e-9 * static_cast<double>(shape.operations()) * runs / total;
    state.counters["error"] = shared.error;
}

} // namespace

void registerOneDnn(const std::string &name, const Subject &subject, const Unit &unit) {
    const Op &op = subject.graph().ops[unit.ops[0]];
    if (unit.ops.size() != 1 || op.kind != OpKind::Conv2d)
        return;
    const HostConvolution convolution = hostConvolution(subject, op);
    for (const auto &[what, algorithm] : {std::pair("direct", dnnl::algorithm::convolution_direct),
                                          std::pair("winograd", dnnl::algorithm::convolution_winograd)}) {
        const bool square = convolution.kernelHeight == 3 && convolution.kernelWidth == 3;
        if (algorithm == dnnl::algorithm::convolution_winograd && (!square || convolution.stride != 1))
            continue;
        const auto shared = std::make_shared<Shared>();
        benchmark::RegisterBenchmark((name + "/oneDNN " + what).c_str(),
                                     [=, algorithm = algorithm](benchmark::State &state) {
                                         timeOneDnn(state, convolution, algorithm, *shared);
                                     })
            ->Unit(benchmark::kMillisecond)
            ->UseManualTime();
    }
}

} // namespace mote::bench
