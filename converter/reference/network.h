// The converter's own form of a graph: the model's Graph with constants in double.
// `lower` makes it from a checkpoint, `fold` rewrites it, `reference` evaluates it, and only at the end are
// the constants rounded to what the file stores.
#pragma once

#include "model/model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mote::convert {

// Op::weight, Op::bias and Op::affine are indices into Network::constants; shapes as in model.h
// (Conv2d weight [out][kh][kw][in], Linear weight [out][1][1][in], bias [R][out], affine [R][2][channels]).
struct Constant {
    std::string name;
    std::vector<uint32_t> shape;
    std::vector<double> values;
};

// What a TimestepEmbedding op computes: `channels` features of one scalar timestep t, as diffusers has them.
// Positional (Timesteps): sines, then cosines, of t frequency_i, frequency_i = exp(-ln(10000) i / (half -
//     frequencyShift)), half = channels / 2; cosines first if flipped.
// Fourier (GaussianFourierProjection): sines, then cosines, of 2 pi ln(t) w_i, w the op's weight [half].
// Learned (Embedding): row t of the op's weight [timesteps][channels].
struct TimestepFeatures {
    enum class Kind { Positional, Fourier, Learned };
    Kind kind = Kind::Positional;
    uint32_t channels = 0;
    bool flipSinToCos = true;
    double frequencyShift = 0;
};

// What an unfolded graph's ClassEmbedding gives for each image: the row of its weight at the image's label,
// the timestep features of the label, or the app's vector.
enum class ClassInput { None, Row, Features, Vector };

struct Network {
    Graph graph;
    std::vector<Constant> constants;
    TimestepFeatures timestepFeatures;
    ClassInput classInput = ClassInput::None;
    uint32_t classes = 0; // labels of Row and Features
};

} // namespace mote::convert
