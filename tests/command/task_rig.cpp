#include "command/task_rig.h"

#include <algorithm>
#include <memory>
#include <random>

namespace mote::test {

using command::Image;

const mote::convert::CheckpointFolder &CommandTasks::checkpoint(uint32_t inputs, uint32_t outputs) {
    std::unique_ptr<mote::convert::CheckpointFolder> &folder = folders_[{inputs, outputs}];
    if (!folder)
        folder =
            std::make_unique<mote::convert::CheckpointFolder>(mote::convert::plainConfig(inputs, outputs));
    return *folder;
}

std::string CommandTasks::convert(uint32_t inputs, uint32_t outputs,
                                  const std::vector<std::string> &arguments) {
    const std::string model = scratch.at("model.mote");
    std::vector<std::string> all = {checkpoint(inputs, outputs).path(), "-o", model};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const ProcessResult result = runProgram(moteConvertPath(), all);
    EXPECT_EQ(result.exitCode, 0) << result.err;
    return model;
}

std::map<std::string, Values> CommandTasks::run(const std::string &model,
                                                const std::map<std::string, Values> &tensors,
                                                std::vector<std::string> arguments) {
    std::vector<mote::convert::TensorToWrite> all;
    for (const auto &[name, tensor] : tensors)
        all.push_back({name, tensor.shape, tensor.values});
    mote::convert::writeSafetensors(scratch.at("in.safetensors"), all);
    arguments.insert(arguments.begin(), {"run", model, "--tensors", scratch.at("in.safetensors"), "-o",
                                         scratch.at("out.safetensors")});
    expectQuietSuccess(runMote(arguments));
    const mote::convert::SafetensorsFile file(scratch.at("out.safetensors"));
    std::map<std::string, Values> found;
    for (const mote::convert::SafetensorsEntry &entry : file.entries())
        found[entry.name] = {entry.shape, file.readFloats(entry)};
    return found;
}

Image CommandTasks::picture(std::vector<std::string> arguments) {
    const std::string path = scratch.at("out.png");
    arguments.insert(arguments.end(), {"-o", path});
    expectQuietSuccess(runMote(arguments));
    return command::readImage(path);
}

std::string CommandTasks::written(const std::string &name, const Image &image) {
    command::writeImage(scratch.at(name), image);
    return scratch.at(name);
}

Image randomPicture(uint32_t width, uint32_t height, uint32_t channels, uint32_t seed) {
    std::mt19937 generator(seed);
    Image image = {width, height, channels, std::vector<uint8_t>(size_t{width} * height * channels)};
    for (uint8_t &value : image.pixels)
        value = static_cast<uint8_t>(generator() >> 24);
    return image;
}

Values toValues(const Image &image) {
    const size_t plane = size_t{image.width} * image.height;
    Values result = {{1, image.channels, image.height, image.width}, std::vector<float>(image.pixels.size())};
    for (size_t i = 0; i < image.pixels.size(); ++i)
        result.values[i % image.channels * plane + i / image.channels] =
            static_cast<float>(image.pixels[i] / 127.5 - 1);
    return result;
}

Values lumaOf(const Image &image) {
    const size_t plane = size_t{image.width} * image.height;
    Values result = {{1, 1, image.height, image.width}, std::vector<float>(plane)};
    for (size_t i = 0; i < plane; ++i) {
        const uint8_t *pixel = &image.pixels[3 * i];
        result.values[i] =
            static_cast<float>((0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]) / 127.5 - 1);
    }
    return result;
}

void expectBytes(const Image &found, const Values &expected, double slack) {
    const size_t plane = size_t{found.width} * found.height;
    ASSERT_EQ(expected.shape,
              (std::vector<uint64_t>{1, found.channels, uint64_t{found.height}, uint64_t{found.width}}));
    for (size_t i = 0; i < found.pixels.size(); ++i) {
        const double value = expected.values[i % found.channels * plane + i / found.channels];
        ASSERT_NEAR(found.pixels[i], std::clamp(127.5 * (value + 1), 0.0, 255.0), 0.501 + slack)
            << "sample " << i;
    }
}

} // namespace mote::test
