#include "reference/convolution.h"

#include "read/text.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <thread>

namespace mote::convert::reference {

namespace {

constexpr uint32_t kPixels = 4;  // output pixels and
constexpr uint32_t kOutputs = 8; // output channels that are accumulated together

// kOutputs values side by side (a GCC and Clang extension): the compiler would not keep the sums in registers
// otherwise.
template <typename T> using Outputs __attribute__((vector_size(kOutputs * sizeof(T)))) = T;

template <typename T> struct Padded { // [N][H][W][C], with the border of zeros
    uint32_t height = 0, width = 0, channels = 0;
    std::vector<T> values;
};

template <typename T>
Padded<T> padInputs(const std::vector<const Array<T> *> &inputs, const ConvolutionShape &shape) {
    const Array<T> &first = *inputs[0];
    const uint32_t factor = shape.upsampleInput ? 2 : 1;
    Padded<T> padded;
    for (const Array<T> *input : inputs)
        padded.channels += input->channels;
    padded.height = first.height * factor + shape.padTop + shape.padBottom;
    padded.width = first.width * factor + shape.padLeft + shape.padRight;
    padded.values.resize(size_t(first.batch) * padded.height * padded.width * padded.channels);
    for (uint32_t n = 0; n < first.batch; ++n) {
        uint32_t channel = 0;
        for (const Array<T> *input : inputs) {
            for (uint32_t c = 0; c < input->channels; ++c, ++channel) {
                const T *from = input->plane(n, c);
                for (uint32_t y = 0; y < first.height * factor; ++y) {
                    const T *row = from + size_t(y / factor) * first.width;
                    T *to = padded.values.data() +
                            ((size_t(n) * padded.height + y + shape.padTop) * padded.width + shape.padLeft) *
                                padded.channels +
                            channel;
                    for (uint32_t x = 0; x < first.width * factor; ++x)
                        to[size_t(x) * padded.channels] = row[x / factor];
                }
            }
        }
    }
    return padded;
}

// [out][taps][in] -> [out / 8][taps][in][8], missing outputs zero.
template <typename T> std::vector<T> packWeight(const T *weight, uint32_t outputs, size_t perOutput) {
    const uint32_t blocks = (outputs + kOutputs - 1) / kOutputs;
    std::vector<T> packed(blocks * perOutput * kOutputs);
    for (uint32_t o = 0; o < outputs; ++o)
        for (size_t i = 0; i < perOutput; ++i)
            packed[(size_t(o / kOutputs) * perOutput + i) * kOutputs + o % kOutputs] =
                weight[o * perOutput + i];
    return packed;
}

} // namespace

void parallelFor(uint32_t count, uint64_t work, const std::function<void(uint32_t)> &body) {
    constexpr uint64_t kWorthAThread = 2'000'000;
    const uint32_t half = work > kWorthAThread ? count / 2 : 0;
    std::thread other;
    if (half > 0)
        other = std::thread([&] {
            for (uint32_t i = 0; i < half; ++i)
                body(i);
        });
    for (uint32_t i = half; i < count; ++i)
        body(i);
    if (other.joinable())
        other.join();
}

template <typename T>
Array<T> convolve(const std::vector<const Array<T> *> &inputs, const T *weight, const T *bias,
                  uint32_t outputs, const ConvolutionShape &shape) {
    const Padded<T> padded = padInputs(inputs, shape);
    if (padded.height < shape.kernelHeight || padded.width < shape.kernelWidth)
        throw std::invalid_argument(text("convolution: a ", shape.kernelHeight, "x", shape.kernelWidth,
                                         " kernel does not fit a padded map of ", padded.height, "x",
                                         padded.width));
    const uint32_t batch = inputs[0]->batch, channels = padded.channels, stride = shape.stride;
    Array<T> out(batch, outputs, (padded.height - shape.kernelHeight) / stride + 1,
                 (padded.width - shape.kernelWidth) / stride + 1);
    const size_t perOutput = size_t(shape.kernelHeight) * shape.kernelWidth * channels;
    const std::vector<T> packed = packWeight(weight, outputs, perOutput);

    parallelFor(batch * out.height, uint64_t(out.values.size()) * perOutput, [&](uint32_t line) {
        const uint32_t n = line / out.height, y = line % out.height;
        for (uint32_t firstOutput = 0; firstOutput < outputs; firstOutput += kOutputs) {
            const uint32_t validOutputs = std::min(kOutputs, outputs - firstOutput);
            for (uint32_t firstX = 0; firstX < out.width; firstX += kPixels) {
                const uint32_t validPixels = std::min(kPixels, out.width - firstX);
                Outputs<T> sum[kPixels] = {};
                const T *w = packed.data() + size_t(firstOutput / kOutputs) * perOutput * kOutputs;
                for (uint32_t ky = 0; ky < shape.kernelHeight; ++ky) {
                    for (uint32_t kx = 0; kx < shape.kernelWidth; ++kx) {
                        const T *pixel[kPixels];
                        for (uint32_t p = 0; p < kPixels; ++p) { // pixels past the edge repeat the last one
                            const uint32_t x = firstX + std::min(p, validPixels - 1);
                            pixel[p] = padded.values.data() +
                                       ((size_t(n) * padded.height + size_t(y) * stride + ky) * padded.width +
                                        size_t(x) * stride + kx) *
                                           channels;
                        }
                        for (uint32_t i = 0; i < channels; ++i, w += kOutputs) {
                            Outputs<T> weights;
                            std::memcpy(&weights, w, sizeof weights);
                            for (uint32_t p = 0; p < kPixels; ++p)
                                sum[p] += weights * pixel[p][i];
                        }
                    }
                }
                for (uint32_t o = 0; o < validOutputs; ++o) {
                    T *to = out.plane(n, firstOutput + o) + size_t(y) * out.width + firstX;
                    const T base = bias != nullptr ? bias[firstOutput + o] : T(0);
                    for (uint32_t p = 0; p < validPixels; ++p)
                        to[p] = sum[p][o] + base;
                }
            }
        }
    });
    return out;
}

template Array<float> convolve<float>(const std::vector<const Array<float> *> &, const float *, const float *,
                                      uint32_t, const ConvolutionShape &);
template Array<double> convolve<double>(const std::vector<const Array<double> *> &, const double *,
                                        const double *, uint32_t, const ConvolutionShape &);

} // namespace mote::convert::reference
