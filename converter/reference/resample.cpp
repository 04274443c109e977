#include "reference/resample.h"

#include "reference/checks.h"

namespace mote::convert::reference {

namespace {

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

} // namespace

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

template Array<float> resampled<float>(const Op &, const Array<float> &, Resample);
template Array<double> resampled<double>(const Op &, const Array<double> &, Resample);

} // namespace mote::convert::reference
