// What the tests of tasks share: tiny models with random weights made by mote-convert, random pictures, and
// the way from bytes to a model's numbers and back.
#pragma once

#include "command/process.h"
#include "convert/checkpoint_folder.h"
#include "image/image.h"

#include "read/safetensors.h"

#include <gtest/gtest.h>

#include <map>

namespace mote::test {

// [N][C][H][W]
struct Values {
    std::vector<uint64_t> shape;
    std::vector<float> values;
};

class CommandTasks : public testing::Test {
protected:
    // A UNet without attention that predicts x0, clipped to [-1, 1]; `inputs` counts the state's channels
    // too. The same weights for the same channels. Gives the model file.
    std::string convert(uint32_t inputs, uint32_t outputs, const std::vector<std::string> &arguments);
    const mote::convert::CheckpointFolder &checkpoint(uint32_t inputs, uint32_t outputs);

    // `mote run` with these tensors: what it writes.
    std::map<std::string, Values> run(const std::string &model, const std::map<std::string, Values> &tensors,
                                      std::vector<std::string> arguments = {});
    // A command that writes a picture.
    command::Image picture(std::vector<std::string> arguments);
    // The path of the picture as a PNG.
    std::string written(const std::string &name, const command::Image &image);

    Scratch scratch;

private:
    std::map<std::pair<uint32_t, uint32_t>, std::unique_ptr<mote::convert::CheckpointFolder>> folders_;
};

command::Image randomPicture(uint32_t width, uint32_t height, uint32_t channels, uint32_t seed);

// [1][C][H][W], 0 to 255 as -1 to 1.
Values toValues(const command::Image &image);
// Luma of an RGB picture, 0 to 255 as -1 to 1: [1][1][H][W].
Values lumaOf(const command::Image &image);

// Each sample of the picture is the value of its plane as a byte, within `slack` beyond rounding.
void expectBytes(const command::Image &found, const Values &expected, double slack);

} // namespace mote::test
