#include "reference/reference.h"

#include "read/half.h"
#include "read/text.h"
#include "reference/convolution.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace mote::convert::reference {

namespace {

[[noreturn]] void fail(const Op &op, const std::string &what) {
    throw std::invalid_argument(text("op ", op.name, ": ", what));
}

template <typename T> std::string shapeText(const Array<T> &a) {
    return text("[", a.batch, ", ", a.channels, ", ", a.height, ", ", a.width, "]");
}

void expect(const Op &op, bool condition, const char *what) {
    if (!condition)
        fail(op, what);
}

template <typename T>
void expectInputs(const Op &op, const std::vector<const Array<T> *> &inputs, size_t least, size_t most) {
    if (inputs.size() < least || inputs.size() > most)
        fail(op, text(inputs.size(), " inputs, expected ", least, " to ", most));
}

// Inputs that are concatenated over channels share batch and size.
template <typename T>
uint32_t concatenatedChannels(const Op &op, const std::vector<const Array<T> *> &inputs) {
    uint32_t channels = 0;
    for (const Array<T> *input : inputs) {
        if (input->batch != inputs[0]->batch || input->height != inputs[0]->height ||
            input->width != inputs[0]->width)
            fail(op, text("inputs ", shapeText(*inputs[0]), " and ", shapeText(*input),
                          " cannot be concatenated"));
        channels += input->channels;
    }
    return channels;
}

template <typename T>
const Table<T> &tableOf(const Op &op, const Tables<T> &tables, uint32_t index, const char *what) {
    if (index >= tables.size())
        fail(op, text(what, " is table ", index, " of ", tables.size()));
    const Table<T> &table = tables[index];
    size_t count = 1;
    for (uint32_t extent : table.shape)
        count *= extent;
    if (count != table.values.size())
        fail(op, text(what, " has ", table.values.size(), " values, its shape says ", count));
    return table;
}

// The row of a [R][...] table for this step; a table of one row serves all.
template <typename T>
const T *tableRow(const Op &op, const Tables<T> &tables, uint32_t index, const char *what, size_t rowSize,
                  uint32_t row) {
    const Table<T> &table = tableOf(op, tables, index, what);
    const uint32_t rows = table.shape.empty() ? 0 : table.shape[0];
    if (rows == 0 || table.values.size() != rows * rowSize)
        fail(op, text(what, " has ", table.values.size(), " values, expected rows of ", rowSize));
    if (rows > 1 && row >= rows)
        fail(op, text(what, " has ", rows, " rows, row ", row, " asked for"));
    return table.values.data() + (rows > 1 ? row : 0) * rowSize;
}

// What an op's projection adds to the row of its table for image n; empty where it has none.
template <typename T>
std::vector<T> projected(const Op &op, const Tables<T> &tables, const Array<T> *vectors, size_t rowSize,
                         uint32_t n) {
    if (op.projection == kNone)
        return {};
    expect(op, vectors != nullptr, "a projection needs the conditioning vector");
    const Table<T> &table = tableOf(op, tables, op.projection, "projection");
    const size_t length = vectors->channels;
    if (table.values.size() != rowSize * length)
        fail(op,
             text("projection has ", table.values.size(), " values, expected ", rowSize, " times ", length));
    const T *vector = vectors->plane(vectors->batch == 1 ? 0 : n, 0);
    std::vector<T> sums(rowSize);
    for (size_t k = 0; k < rowSize; ++k) {
        double sum = 0;
        for (size_t e = 0; e < length; ++e)
            sum += double(table.values[k * length + e]) * double(vector[e]);
        sums[k] = T(sum);
    }
    return sums;
}

template <typename T> T activated(ActivationFunction function, T x) {
    switch (function) {
    case ActivationFunction::None:
        break;
    case ActivationFunction::Silu:
        return x / (T(1) + std::exp(-x));
    case ActivationFunction::Mish:
        return x * std::tanh(x > T(20) ? x : std::log1p(std::exp(x))); // ln(1 + exp(x)) is x there
    case ActivationFunction::Gelu:
        return x * std::erfc(-x * T(0.70710678118654752440)) / T(2);
    case ActivationFunction::Relu:
        return std::max(x, T(0));
    }
    return x;
}

template <typename T> Array<T> upsampleNearest(const Array<T> &in) {
    Array<T> out(in.batch, in.channels, in.height * 2, in.width * 2);
    for (uint32_t n = 0; n < in.batch; ++n)
        for (uint32_t c = 0; c < in.channels; ++c)
            for (uint32_t y = 0; y < out.height; ++y)
                for (uint32_t x = 0; x < out.width; ++x)
                    out.at(n, c, y, x) = in.at(n, c, y / 2, x / 2);
    return out;
}

template <typename T> Array<T> averageDown(const Op &op, const Array<T> &in) {
    Array<T> out(in.batch, in.channels, in.height / 2, in.width / 2); // an odd last row or column is dropped
    expect(op, out.height > 0 && out.width > 0, "a map of one pixel cannot be averaged down");
    for (uint32_t n = 0; n < in.batch; ++n)
        for (uint32_t c = 0; c < in.channels; ++c)
            for (uint32_t y = 0; y < out.height; ++y)
                for (uint32_t x = 0; x < out.width; ++x)
                    out.at(n, c, y, x) = (in.at(n, c, 2 * y, 2 * x) + in.at(n, c, 2 * y, 2 * x + 1) +
                                          in.at(n, c, 2 * y + 1, 2 * x) + in.at(n, c, 2 * y + 1, 2 * x + 1)) *
                                         T(0.25);
    return out;
}

// out(y, x) = sum of filter[i] filter[j] in(y', x') over the taps that lie on the map.
template <typename T> Array<T> filtered(const Op &op, const Array<T> &in, bool up) {
    struct Tap {
        int64_t at;
        double weight;
    };
    const auto taps = [up](int64_t out) { // along one axis
        if (!up)
            return std::vector<Tap>{
                {2 * out - 1, 0.125}, {2 * out, 0.375}, {2 * out + 1, 0.375}, {2 * out + 2, 0.125}};
        const int64_t near = out / 2, far = out % 2 == 0 ? near - 1 : near + 1;
        return std::vector<Tap>{{near, 0.75}, {far, 0.25}};
    };
    Array<T> out(in.batch, in.channels, up ? in.height * 2 : in.height / 2, up ? in.width * 2 : in.width / 2);
    expect(op, out.height > 0 && out.width > 0, "a map of one pixel cannot be filtered down");
    for (uint32_t y = 0; y < out.height; ++y)
        for (uint32_t x = 0; x < out.width; ++x)
            for (const Tap &row : taps(y))
                for (const Tap &column : taps(x)) {
                    if (row.at < 0 || row.at >= in.height || column.at < 0 || column.at >= in.width)
                        continue;
                    for (uint32_t n = 0; n < in.batch; ++n)
                        for (uint32_t c = 0; c < in.channels; ++c)
                            out.at(n, c, y, x) += T(row.weight * column.weight) *
                                                  in.at(n, c, uint32_t(row.at), uint32_t(column.at));
                }
    return out;
}

template <typename T> Array<T> resampled(const Op &op, const Array<T> &in, Resample resample) {
    switch (resample) {
    case Resample::NearestUp2:
        return upsampleNearest(in);
    case Resample::AverageDown2:
        return averageDown(op, in);
    case Resample::ZerosUp2: {
        Array<T> out(in.batch, in.channels, in.height * 2, in.width * 2);
        for (uint32_t n = 0; n < in.batch; ++n)
            for (uint32_t c = 0; c < in.channels; ++c)
                for (uint32_t y = 0; y < in.height; ++y)
                    for (uint32_t x = 0; x < in.width; ++x)
                        out.at(n, c, 2 * y, 2 * x) = in.at(n, c, y, x);
        return out;
    }
    case Resample::FirUp2:
    case Resample::FirDown2:
        return filtered(op, in, resample == Resample::FirUp2);
    case Resample::None:
        break;
    }
    return in;
}

// A factor for each row, 1 where there are none.
template <typename T> T rowScale(const Op &op, const Step &step) {
    if (op.outputScales.empty())
        return 1;
    if (step.row >= op.outputScales.size())
        fail(op, text(op.outputScales.size(), " output scales, row ", step.row, " asked for"));
    return T(op.outputScales[step.row]);
}

template <typename T> Array<T> runConcat(const Op &op, const std::vector<const Array<T> *> &inputs) {
    expectInputs(op, inputs, 1, 8);
    expect(op, op.inputScale.size() == inputs.size() && op.inputOffset.size() == inputs.size(),
           "one scale and one offset per input expected");
    Array<T> out(inputs[0]->batch, concatenatedChannels(op, inputs), inputs[0]->height, inputs[0]->width);
    for (uint32_t n = 0; n < out.batch; ++n) {
        uint32_t channel = 0;
        for (size_t i = 0; i < inputs.size(); ++i)
            for (uint32_t c = 0; c < inputs[i]->channels; ++c, ++channel) {
                const T *from = inputs[i]->plane(n, c);
                T *to = out.plane(n, channel);
                for (size_t k = 0; k < out.planeSize(); ++k)
                    to[k] = T(op.inputScale[i]) * from[k] + T(op.inputOffset[i]);
            }
    }
    return out;
}

// Conv2d, and Linear over the pixels of a map or over one vector.
template <typename T>
Array<T> runConv2d(const Op &op, const std::vector<const Array<T> *> &inputs, const Array<T> *residual,
                   const Tables<T> &tables, const Step &step, const Array<T> *conditioning) {
    expectInputs(op, inputs, 1, 2);
    const uint32_t channels = concatenatedChannels(op, inputs);
    const Table<T> &weight = tableOf(op, tables, op.weight, "weight");
    expect(op, weight.shape.size() == 4, "weight is not [out][kh][kw][in]");
    if (weight.shape[3] != channels)
        fail(op, text("weight takes ", weight.shape[3], " channels, inputs have ", channels));
    expect(op, op.stride == 1 || op.stride == 2, "stride is neither 1 nor 2");
    const uint32_t outputs = weight.shape[0];
    const T *bias = op.bias == kNone ? nullptr : tableRow(op, tables, op.bias, "bias", outputs, step.row);
    ConvolutionShape shape{weight.shape[1], weight.shape[2], op.stride,   op.padTop,
                           op.padLeft,      op.padBottom,    op.padRight, false};
    expect(op, op.inputResample == Resample::None || op.inputResample == Resample::NearestUp2,
           "an input can only be doubled by its nearest pixels");
    shape.upsampleInput = op.inputResample == Resample::NearestUp2;
    Array<T> out = convolve(inputs, weight.values.data(), bias, outputs, shape);
    for (uint32_t n = 0; op.projection != kNone && n < out.batch; ++n) {
        const std::vector<T> added = projected(op, tables, conditioning, outputs, n);
        for (uint32_t c = 0; c < outputs; ++c)
            for (size_t i = 0; i < out.planeSize(); ++i)
                out.plane(n, c)[i] += added[c];
    }
    expect(op, (op.residual != kNone) == (residual != nullptr),
           "residual given and residual declared differ");
    if (residual != nullptr) {
        const Array<T> added = resampled(op, *residual, op.residualResample);
        if (added.batch != out.batch || added.channels != out.channels || added.height != out.height ||
            added.width != out.width)
            fail(op, text("residual ", shapeText(added), " does not fit the output ", shapeText(out)));
        for (size_t i = 0; i < out.values.size(); ++i)
            out.values[i] += added.values[i];
    }
    const T factor = T(op.outputScale) * rowScale<T>(op, step);
    if (factor != T(1))
        for (T &value : out.values)
            value *= factor;
    return out;
}

template <typename T>
Array<T> runGroupNorm(const Op &op, const std::vector<const Array<T> *> &inputs, const Tables<T> &tables,
                      const Step &step, const Array<T> *conditioning) {
    expectInputs(op, inputs, 1, 2);
    Array<T> out(inputs[0]->batch, concatenatedChannels(op, inputs), inputs[0]->height, inputs[0]->width);
    if (op.groups == 0 || out.channels % op.groups != 0)
        fail(op, text(out.channels, " channels do not divide into ", op.groups, " groups"));
    const size_t rowSize = size_t(2) * out.channels;
    const T *row = tableRow(op, tables, op.affine, "affine", rowSize, step.row);
    const size_t plane = out.planeSize();
    for (uint32_t n = 0; n < out.batch; ++n) {
        std::vector<T> gamma = projected(op, tables, conditioning, rowSize, n);
        gamma.resize(rowSize);
        for (size_t i = 0; i < rowSize; ++i)
            gamma[i] += row[i];
        const T *beta = gamma.data() + out.channels;
        uint32_t channel = 0;
        for (const Array<T> *input : inputs)
            for (uint32_t c = 0; c < input->channels; ++c, ++channel)
                std::copy_n(input->plane(n, c), plane, out.plane(n, channel));
        const uint32_t perGroup = out.channels / op.groups;
        for (uint32_t g = 0; g < op.groups; ++g) { // a group's channels are contiguous
            T *values = out.plane(n, g * perGroup);
            const size_t count = perGroup * plane;
            double mean = 0, variance = 0;
            for (size_t i = 0; i < count; ++i)
                mean += double(values[i]);
            mean /= double(count);
            for (size_t i = 0; i < count; ++i)
                variance += (double(values[i]) - mean) * (double(values[i]) - mean);
            variance /= double(count);
            const double inverse = 1.0 / std::sqrt(variance + double(op.epsilon));
            for (size_t i = 0; i < count; ++i) {
                const uint32_t c = g * perGroup + uint32_t(i / plane);
                const T normalised = T((double(values[i]) - mean) * inverse);
                const T h = normalised * gamma[c] + beta[c];
                values[i] = activated(op.activation, h);
            }
        }
    }
    return op.outputResample == Resample::None ? out : resampled(op, out, op.outputResample);
}

template <typename T>
Array<T> runPointwise(const Op &op, const std::vector<const Array<T> *> &inputs, const Array<T> *residual,
                      const Tables<T> &tables, const Step &step) {
    expectInputs(op, inputs, 1, 2);
    Array<T> out(inputs[0]->batch, concatenatedChannels(op, inputs), inputs[0]->height, inputs[0]->width);
    const size_t plane = out.planeSize();
    const bool perElement = op.affine != kNone && tableOf(op, tables, op.affine, "affine").shape.size() == 4;
    const size_t perChannel = perElement ? plane : 1, half = out.channels * perChannel;
    const T *gamma = nullptr;
    if (perElement)
        expect(op, tables[op.affine].shape[2] == out.height && tables[op.affine].shape[3] == out.width,
               "affine map is for another size");
    if (op.affine != kNone)
        gamma = perElement ? tables[op.affine].values.data()
                           : tableRow(op, tables, op.affine, "affine", 2 * half, step.row);
    expect(op, (op.residual != kNone) == (residual != nullptr),
           "residual given and residual declared differ");
    if (residual != nullptr && residual->values.size() != out.values.size())
        fail(op, text("residual ", shapeText(*residual), " does not fit the output ", shapeText(out)));
    for (uint32_t n = 0; n < out.batch; ++n) {
        uint32_t channel = 0;
        for (const Array<T> *input : inputs)
            for (uint32_t c = 0; c < input->channels; ++c, ++channel)
                for (size_t i = 0; i < plane; ++i) {
                    T value = input->plane(n, c)[i];
                    const size_t at = perElement ? channel * plane + i : channel;
                    if (gamma != nullptr)
                        value = value * gamma[at] + gamma[half + at];
                    if (residual != nullptr)
                        value += residual->plane(n, channel)[i];
                    out.plane(n, channel)[i] = activated(op.activation, value);
                }
    }
    return out;
}

// One input of 3C channels (q, k, v), or three of C each.
template <typename T> Array<T> runAttention(const Op &op, const std::vector<const Array<T> *> &inputs) {
    expect(op, inputs.size() == 1 || inputs.size() == 3, "expected q, k and v in one input or in three");
    const uint32_t total = concatenatedChannels(op, inputs);
    expect(op, total % 3 == 0 && op.heads > 0 && (total / 3) % op.heads == 0,
           "channels do not divide into q, k, v heads");
    const uint32_t channels = total / 3, d = channels / op.heads;
    const auto plane = [&](uint32_t part, uint32_t n, uint32_t c) {
        return inputs.size() == 3 ? inputs[part]->plane(n, c) : inputs[0]->plane(n, part * channels + c);
    };
    Array<T> out(inputs[0]->batch, channels, inputs[0]->height, inputs[0]->width);
    const uint32_t tokens = uint32_t(out.planeSize());
    const T scale = T(1) / std::sqrt(T(d));
    for (uint32_t n = 0; n < out.batch; ++n) {
        parallelFor(op.heads, uint64_t(tokens) * tokens * channels * 2, [&](uint32_t head) {
            std::vector<T> scores(tokens);
            for (uint32_t query = 0; query < tokens; ++query) {
                std::fill(scores.begin(), scores.end(), T(0));
                for (uint32_t i = 0; i < d; ++i) {
                    const T q = plane(0, n, head * d + i)[query] * scale;
                    const T *k = plane(1, n, head * d + i);
                    for (uint32_t key = 0; key < tokens; ++key)
                        scores[key] += q * k[key];
                }
                const T largest = *std::max_element(scores.begin(), scores.end());
                double sum = 0;
                for (T &score : scores) {
                    score = std::exp(score - largest);
                    sum += double(score);
                }
                for (uint32_t i = 0; i < d; ++i) {
                    const T *v = plane(2, n, head * d + i);
                    T weighted = 0;
                    for (uint32_t key = 0; key < tokens; ++key)
                        weighted += scores[key] * v[key];
                    out.plane(n, head * d + i)[query] = T(double(weighted) / sum);
                }
            }
        });
    }
    return out;
}

template <typename T> Array<T> runTimestepEmbedding(const Op &op, const Tables<T> &tables, const Step &step) {
    using Kind = TimestepFeatures::Kind;
    const TimestepFeatures &features = step.features;
    const uint32_t half = features.channels / 2;
    expect(op, half > 0, "no timestep features given");
    Array<T> out(1, features.channels, 1, 1); // an odd last feature stays 0
    if (features.kind == Kind::Learned) {
        const Table<T> &table = tableOf(op, tables, op.weight, "weight");
        expect(op, table.shape.size() == 2 && table.shape[1] == features.channels,
               "weight is not [T][channels]");
        if (!(step.timestep >= 0 && step.timestep < table.shape[0]))
            fail(op, text("the table has ", table.shape[0], " timesteps"));
        const auto first = size_t(step.timestep) * features.channels;
        std::copy_n(table.values.begin() + std::ptrdiff_t(first), features.channels, out.values.begin());
        return out;
    }
    const bool fourier = features.kind == Kind::Fourier;
    const Table<T> none, &weight = fourier ? tableOf(op, tables, op.weight, "weight") : none;
    expect(op, !fourier || weight.values.size() == half, "weight is not [channels / 2]");
    for (uint32_t i = 0; i < half; ++i) {
        const double phase =
            fourier ? 2 * std::numbers::pi * std::log(step.timestep) * double(weight.values[i])
                    : step.timestep * std::exp(-std::log(10000.0) * i / (half - features.frequencyShift));
        const double s = std::sin(phase), c = std::cos(phase);
        out.values[i] = T(features.flipSinToCos ? c : s);
        out.values[half + i] = T(features.flipSinToCos ? s : c);
    }
    return out;
}

template <typename T> Array<T> runClassEmbedding(const Op &op, const Tables<T> &tables, const Step &step) {
    if (step.classInput == ClassInput::Vector) {
        expect(op, !step.vectors.empty(), "no vectors given");
        Array<T> out(uint32_t(step.vectors.size()), uint32_t(step.vectors[0].size()), 1, 1);
        for (uint32_t n = 0; n < out.batch; ++n)
            std::copy(step.vectors[n].begin(), step.vectors[n].end(), out.plane(n, 0));
        return out;
    }
    expect(op, !step.labels.empty(), "no labels given");
    const Table<T> *rows = op.weight == kNone ? nullptr : &tableOf(op, tables, op.weight, "weight");
    const uint32_t channels = rows != nullptr ? rows->shape.at(1) : step.features.channels;
    Array<T> out(uint32_t(step.labels.size()), channels, 1, 1);
    for (uint32_t n = 0; n < out.batch; ++n) {
        if (rows != nullptr) {
            expect(op, step.labels[n] < rows->shape[0], "a label is beyond the table");
            std::copy_n(rows->values.begin() + std::ptrdiff_t(size_t(step.labels[n]) * channels), channels,
                        out.plane(n, 0));
            continue;
        }
        Step ofLabel;
        ofLabel.timestep = step.labels[n];
        ofLabel.features = step.features;
        const Array<T> features = runTimestepEmbedding<T>(op, tables, ofLabel);
        std::copy(features.values.begin(), features.values.end(), out.plane(n, 0));
    }
    return out;
}

// The value of a vector ([1 or N][C][1][1]) or of a map for a place of the output.
template <typename T> const T &broadcast(const Array<T> &a, uint32_t n, uint32_t c, uint32_t y, uint32_t x) {
    return a.at(a.batch == 1 ? 0 : n, c, a.height == 1 ? 0 : y, a.width == 1 ? 0 : x);
}

template <typename T>
Array<T> runElementwise(const Op &op, const std::vector<const Array<T> *> &inputs, const Step &step) {
    const bool two = op.kind == OpKind::Add || op.kind == OpKind::Modulate;
    expectInputs(op, inputs, two ? 2 : 1, two ? 2 : 1);
    Array<T> out = *inputs[0];
    if (two) {
        const Array<T> &b = *inputs[1];
        const uint32_t channels = op.kind == OpKind::Add ? out.channels : 2 * out.channels;
        const bool map = b.height == out.height && b.width == out.width;
        if (b.channels != channels || (b.batch != 1 && b.batch != out.batch) ||
            !(map || (b.height == 1 && b.width == 1)))
            fail(op, text("inputs ", shapeText(out), " and ", shapeText(b), " do not fit"));
        for (uint32_t n = 0; n < out.batch; ++n)
            for (uint32_t c = 0; c < out.channels; ++c)
                for (uint32_t y = 0; y < out.height; ++y)
                    for (uint32_t x = 0; x < out.width; ++x) {
                        T &value = out.at(n, c, y, x);
                        if (op.kind == OpKind::Add)
                            value += broadcast(b, n, c, y, x);
                        else
                            value = value * (T(1) + broadcast(b, n, c, y, x)) +
                                    broadcast(b, n, out.channels + c, y, x);
                    }
        return out;
    }
    if (op.kind == OpKind::Scale) {
        expect(op, op.inputScale.size() == 1 && op.inputOffset.size() == 1,
               "one scale and one offset expected");
        for (T &value : out.values)
            value = (T(op.inputScale[0]) * value + T(op.inputOffset[0])) * rowScale<T>(op, step);
    } else if (op.kind == OpKind::DivideByTimestep) {
        for (T &value : out.values)
            value *= T(static_cast<float>(1 / step.timestep)); // as a file holds it
    } else {
        for (T &value : out.values)
            value = activated(op.activation, value);
    }
    return out;
}

} // namespace

template <typename T>
Array<T> runOp(const Op &op, const std::vector<const Array<T> *> &inputs, const Array<T> *residual,
               const Tables<T> &tables, const Step &step, const Array<T> *conditioning) {
    switch (op.kind) {
    case OpKind::Concat:
        return runConcat(op, inputs);
    case OpKind::Conv2d:
    case OpKind::Linear:
        return runConv2d(op, inputs, residual, tables, step, conditioning);
    case OpKind::GroupNorm:
        return runGroupNorm(op, inputs, tables, step, conditioning);
    case OpKind::Attention:
        return runAttention(op, inputs);
    case OpKind::Pointwise:
        return runPointwise(op, inputs, residual, tables, step);
    case OpKind::TimestepEmbedding:
        return runTimestepEmbedding<T>(op, tables, step);
    case OpKind::ClassEmbedding:
        return runClassEmbedding(op, tables, step);
    case OpKind::Activation:
    case OpKind::Add:
    case OpKind::Scale:
    case OpKind::Modulate:
    case OpKind::DivideByTimestep:
        return runElementwise(op, inputs, step);
    case OpKind::Resample:
        expectInputs(op, inputs, 1, 1);
        return resampled(op, *inputs[0], op.outputResample);
    }
    fail(op, text("kind ", unsigned(op.kind), " is not known"));
}

template <typename T> void roundToHalf(Array<T> &array) {
    for (T &value : array.values)
        value = roundedToHalf(value);
}

template <typename T>
Array<T> conditioningVector(const Graph &graph, const Tables<T> &tables, const Step &step) {
    const Conditioning &conditioning = graph.conditioning;
    const Table<T> &steps = tables.at(conditioning.stepEmbeddings);
    const uint32_t length = steps.shape.at(1);
    const bool labels = conditioning.kind == ConditioningKind::Labels;
    const size_t images = labels ? step.labels.size() : step.vectors.size();
    if (images == 0)
        throw std::invalid_argument(
            text("graph ", graph.name, ": no ", labels ? "label" : "vector", " given"));
    Array<T> out(uint32_t(images), length, 1, 1);
    for (uint32_t n = 0; n < out.batch; ++n)
        for (uint32_t e = 0; e < length; ++e) {
            const double c =
                labels
                    ? double(tables.at(conditioning.classes).values.at(size_t(step.labels[n]) * length + e))
                    : step.vectors[n].at(e);
            out.at(n, e, 0, 0) = T(activated(ActivationFunction::Silu,
                                             double(steps.values.at(size_t(step.row) * length + e)) + c));
        }
    return out;
}

namespace {

// `need` is called with what is about to read tables, `done` afterwards.
template <typename T, typename Need, typename Done>
std::vector<Array<T>> evaluateGraph(const Graph &graph, const Tables<T> &tables,
                                    const std::vector<Array<T>> &inputs, const Step &step, Storage storage,
                                    Keep keep, Need need, Done done) {
    std::vector<Array<T>> arrays(graph.tensors.size());
    size_t given = 0;
    for (const Port &port : graph.ports) {
        if (port.output)
            continue;
        if (given >= inputs.size())
            throw std::invalid_argument(text("graph ", graph.name, ": no array given for port ", port.name));
        if (inputs[given].channels != graph.tensors.at(port.tensor).channels)
            throw std::invalid_argument(text("graph ", graph.name, ": port ", port.name, " has ",
                                             graph.tensors[port.tensor].channels, " channels, ",
                                             inputs[given].channels, " given"));
        arrays[port.tensor] = inputs[given++];
    }
    if (given != inputs.size())
        throw std::invalid_argument(
            text("graph ", graph.name, ": ", inputs.size(), " arrays given, it has ", given, " input ports"));

    Array<T> conditioning;
    if (graph.conditioning.kind != ConditioningKind::None) {
        need({graph.conditioning.stepEmbeddings, graph.conditioning.classes});
        conditioning = conditioningVector(graph, tables, step);
    }
    std::vector<size_t> lastUse(graph.tensors.size(), 0);
    for (size_t i = 0; i < graph.ops.size(); ++i) {
        for (uint32_t tensor : graph.ops[i].inputs)
            lastUse.at(tensor) = i;
        if (graph.ops[i].residual != kNone)
            lastUse.at(graph.ops[i].residual) = i;
    }
    for (size_t i = 0; i < graph.ops.size(); ++i) {
        const Op &op = graph.ops[i];
        std::vector<const Array<T> *> sources;
        for (uint32_t tensor : op.inputs) {
            sources.push_back(&arrays.at(tensor));
            if (sources.back()->values.empty())
                fail(op, text("input ", graph.tensors[tensor].name, " has not been computed"));
        }
        const Array<T> *residual = op.residual == kNone ? nullptr : &arrays.at(op.residual);
        need({op.weight, op.bias, op.affine, op.projection});
        Array<T> output = runOp(op, sources, residual, tables, step, &conditioning);
        done({op.weight, op.bias, op.affine, op.projection});
        const Tensor &tensor = graph.tensors.at(op.output);
        if (output.channels != tensor.channels)
            fail(op, text("output ", tensor.name, " has ", output.channels, " channels, declared ",
                          tensor.channels));
        if (storage == Storage::Half && tensor.kind == TensorKind::Activation)
            roundToHalf(output);
        arrays[op.output] = std::move(output);
        if (keep == Keep::Release)
            for (size_t t = 0; t < arrays.size(); ++t)
                if (lastUse[t] == i && t != op.output && graph.tensors[t].kind == TensorKind::Activation)
                    arrays[t] = {};
    }
    return arrays;
}

using Indices = std::initializer_list<uint32_t>;

} // namespace

template <typename T>
std::vector<Array<T>> runGraph(const Graph &graph, const Tables<T> &tables,
                               const std::vector<Array<T>> &inputs, const Step &step, Storage storage,
                               Keep keep) {
    const auto nothing = [](Indices) {};
    return evaluateGraph(graph, tables, inputs, step, storage, keep, nothing, nothing);
}

template <typename T>
std::vector<Array<T>> runGraph(const Network &network, const std::vector<Array<T>> &inputs, const Step &step,
                               Storage storage, Keep keep) {
    Tables<T> tables(network.constants.size());
    const auto need = [&](Indices constants) {
        for (const uint32_t index : constants)
            if (index < tables.size())
                tables[index] = {
                    network.constants[index].shape,
                    {network.constants[index].values.begin(), network.constants[index].values.end()}};
    };
    const auto done = [&](Indices constants) {
        for (const uint32_t index : constants)
            if (index < tables.size())
                tables[index] = {};
    };
    return evaluateGraph(network.graph, tables, inputs, step, storage, keep, need, done);
}

template <typename T> const Array<T> &modelOutput(const Graph &graph, const std::vector<Array<T>> &tensors) {
    for (const Port &port : graph.ports)
        if (port.output && port.source == PortSource::ModelOutput)
            return tensors.at(port.tensor);
    throw std::invalid_argument(text("graph ", graph.name, " has no model output port"));
}

template <typename T> Tables<T> tablesOf(const Network &network) {
    Tables<T> tables;
    for (const Constant &constant : network.constants)
        tables.push_back({constant.shape, std::vector<T>(constant.values.begin(), constant.values.end())});
    return tables;
}

template Array<float> runOp<float>(const Op &, const std::vector<const Array<float> *> &,
                                   const Array<float> *, const Tables<float> &, const Step &,
                                   const Array<float> *);
template Array<double> runOp<double>(const Op &, const std::vector<const Array<double> *> &,
                                     const Array<double> *, const Tables<double> &, const Step &,
                                     const Array<double> *);
template Array<float> conditioningVector<float>(const Graph &, const Tables<float> &, const Step &);
template Array<double> conditioningVector<double>(const Graph &, const Tables<double> &, const Step &);
template void roundToHalf<float>(Array<float> &);
template void roundToHalf<double>(Array<double> &);
template std::vector<Array<float>> runGraph<float>(const Graph &, const Tables<float> &,
                                                   const std::vector<Array<float>> &, const Step &, Storage,
                                                   Keep);
template std::vector<Array<double>> runGraph<double>(const Graph &, const Tables<double> &,
                                                     const std::vector<Array<double>> &, const Step &,
                                                     Storage, Keep);
template std::vector<Array<float>> runGraph<float>(const Network &, const std::vector<Array<float>> &,
                                                   const Step &, Storage, Keep);
template std::vector<Array<double>> runGraph<double>(const Network &, const std::vector<Array<double>> &,
                                                     const Step &, Storage, Keep);
template const Array<float> &modelOutput<float>(const Graph &, const std::vector<Array<float>> &);
template const Array<double> &modelOutput<double>(const Graph &, const std::vector<Array<double>> &);
template Tables<float> tablesOf<float>(const Network &);
template Tables<double> tablesOf<double>(const Network &);

} // namespace mote::convert::reference
