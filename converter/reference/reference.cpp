#include "reference/reference.h"

#include "reference/activation.h"
#include "reference/checks.h"
#include "reference/convolution.h"
#include "reference/embedding.h"
#include "reference/resample.h"

namespace mote::convert::reference {

namespace {

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

template Array<float> runOp<float>(const Op &, const std::vector<const Array<float> *> &,
                                   const Array<float> *, const Tables<float> &, const Step &,
                                   const Array<float> *);
template Array<double> runOp<double>(const Op &, const std::vector<const Array<double> *> &,
                                     const Array<double> *, const Tables<double> &, const Step &,
                                     const Array<double> *);

} // namespace mote::convert::reference
