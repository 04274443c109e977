// What the command does when all is well: pictures, tensors, checks, timings, progress and Ctrl-C.
#include "command/picture_files.h"
#include "command/process.h"
#include "image/image.h"

#include "read/safetensors.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace mote::test {
namespace {

using command::Image;
using nlohmann::json;

// Part of a shipped photo.
Image photo(uint32_t width, uint32_t height) {
    const Image whole = command::readImage(MOTE_TESTS_DIR "/photos/coffee.png");
    Image part = {width, height, 3, std::vector<uint8_t>(size_t{3} * width * height)};
    for (uint32_t y = 0; y < height; ++y) {
        const size_t row = size_t{3} * (size_t{100 + y} * whole.width + 200);
        std::copy_n(whole.pixels.data() + row, size_t{3} * width, part.pixels.data() + size_t{3} * width * y);
    }
    return part;
}

// Triangular noise of standard deviation 25, rounded and clamped.
Image withNoise(Image image) {
    uint32_t state = 7;
    const auto uniform = [&state] {
        state = state * 1664525u + 1013904223u;
        return static_cast<double>(state >> 8) / (1 << 24) - 0.5;
    };
    for (uint8_t &sample : image.pixels) {
        const double noise = (uniform() + uniform()) * 25 * std::sqrt(6.0);
        sample = static_cast<uint8_t>(std::clamp(std::round(sample + noise), 0.0, 255.0));
    }
    return image;
}

double psnr(const Image &a, const Image &b) {
    EXPECT_EQ(a.pixels.size(), b.pixels.size());
    double sum = 0;
    for (size_t i = 0; i < a.pixels.size(); ++i)
        sum += std::pow(double(a.pixels[i]) - double(b.pixels[i]), 2);
    return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.pixels.size()) / sum);
}

class Running : public testing::Test {
protected:
    Scratch scratch;
};

TEST_F(Running, DevicesAreListed) {
    const ProcessResult result = runMote({"devices"});
    EXPECT_EQ(result.exitCode, 0) << result.err;
    EXPECT_EQ(result.out.find("0: "), 0u) << result.out;
    EXPECT_NE(result.out.find("Vulkan 1."), std::string::npos) << result.out;
}

TEST_F(Running, InfoTellsAProgramWhatIsInTheFile) {
    const ProcessResult result = runMote({"info", shippedModel(), "--json", "--size", "320x200"});
    ASSERT_EQ(result.exitCode, 0) << result.err;
    const json info = json::parse(result.out);
    EXPECT_EQ(info["name"], "restore");
    // 3,417,731 in the checkpoint; the time embedding has become tables.
    EXPECT_GT(info["parameters"], 3'200'000);
    EXPECT_LT(info["parameters"], 3'417'731);
    EXPECT_EQ(info["file_bytes"], std::filesystem::file_size(shippedModel()));
    ASSERT_EQ(info["recipes"].size(), 3u);
    EXPECT_EQ(info["recipes"][0]["timesteps"], json({999}));
    EXPECT_EQ(info["recipes"][1]["timesteps"], json({999, 499}));
    EXPECT_EQ(info["recipes"][2]["timesteps"], json({999, 749, 499, 249}));
    EXPECT_GT(info["receptive_field"], 8);
    EXPECT_EQ(info["memory"]["width"], 320);
    EXPECT_GT(info["memory"]["peak_bytes"], info["weight_bytes"]);
    EXPECT_GT(info["graphs"][0]["ops"].size(), 20u);
}

TEST_F(Running, InfoTellsAPersonTheSame) {
    const ProcessResult result = runMote({"info", shippedModel()});
    ASSERT_EQ(result.exitCode, 0) << result.err;
    for (const char *part :
         {"restore", "timesteps 999 749 499 249", "condition", "Conv2d", "512x512", "pixels to each side"})
        EXPECT_NE(result.out.find(part), std::string::npos) << result.out << "\n  lacks: " << part;
}

TEST_F(Running, ANoisyPhotoIsRestoredQuietly) {
    const Image clean = photo(100, 76), noisy = withNoise(clean);
    command::writeImage(scratch.at("in.png"), noisy);
    for (const char *steps : {"1", "4"}) {
        expectQuietSuccess(
            runMote({"restore", scratch.at("in.png"), "-o", scratch.at("out.png"), "--steps", steps}));
        const Image restored = command::readImage(scratch.at("out.png"));
        ASSERT_EQ(restored.width, clean.width);
        ASSERT_EQ(restored.height, clean.height);
        ASSERT_EQ(restored.channels, 3u);
        EXPECT_GT(psnr(restored, clean), psnr(noisy, clean) + 6);
    }
    EXPECT_EQ(scratch.names(), (std::vector<std::string>{"in.png", "out.png"}));
}

TEST_F(Running, TilesGiveThePictureToo) {
    const Image clean = photo(160, 96), noisy = withNoise(clean);
    command::writeImage(scratch.at("in.png"), noisy);
    expectQuietSuccess(
        runMote({"restore", scratch.at("in.png"), "-o", scratch.at("out.png"), "--tile", "96x96"}));
    EXPECT_GT(psnr(command::readImage(scratch.at("out.png")), clean), psnr(noisy, clean) + 6);
}

TEST_F(Running, OnePixelIsRestoredToo) {
    command::writeImage(scratch.at("in.png"), photo(1, 1));
    expectQuietSuccess(runMote({"restore", scratch.at("in.png"), "-o", scratch.at("out.png")}));
    EXPECT_EQ(command::readImage(scratch.at("out.png")).pixels.size(), 3u);
}

TEST_F(Running, AlphaPassesThroughUnchanged) {
    const Image colours = withNoise(photo(40, 24));
    Image image = {40, 24, 4, {}};
    for (size_t i = 0; i < colours.pixels.size() / 3; ++i) {
        for (size_t c = 0; c < 3; ++c)
            image.pixels.push_back(colours.pixels[3 * i + c]);
        image.pixels.push_back(static_cast<uint8_t>(i * 41));
    }
    command::writeImage(scratch.at("in.png"), image);
    expectQuietSuccess(runMote({"restore", scratch.at("in.png"), "-o", scratch.at("out.png")}));
    const Image restored = command::readImage(scratch.at("out.png"));
    ASSERT_EQ(restored.channels, 4u);
    EXPECT_NE(restored.pixels, image.pixels);
    for (size_t i = 3; i < image.pixels.size(); i += 4)
        ASSERT_EQ(restored.pixels[i], image.pixels[i]) << i;
}

TEST_F(Running, GrayStaysGrayAndJpegIsWrittenByName) {
    Image image = {40, 24, 1, {}};
    const Image colours = photo(40, 24);
    for (size_t i = 0; i < colours.pixels.size(); i += 3)
        image.pixels.push_back(colours.pixels[i]);
    const Image noisy = withNoise(image);
    command::writeImage(scratch.at("in.png"), noisy);
    expectQuietSuccess(runMote({"restore", scratch.at("in.png"), "-o", scratch.at("out.JPG")}));
    const Image restored = command::readImage(scratch.at("out.JPG"));
    ASSERT_EQ(restored.channels, 1u);
    // Noise that is the same in all three channels is not what the model was trained on.
    EXPECT_GT(psnr(restored, image), psnr(noisy, image) + 2);
    EXPECT_EQ(readText(scratch.at("out.JPG")).substr(0, 2), "\xff\xd8");
}

TEST_F(Running, ATurnedPhotoComesOutUpright) {
    JpegKind kind;
    kind.width = 48;
    kind.height = 16;
    kind.exif = makeExif(6, true);
    writeBytes(scratch.at("in.jpg"), makeJpeg(kind));
    expectQuietSuccess(runMote({"restore", scratch.at("in.jpg"), "-o", scratch.at("out.png")}));
    const Image restored = command::readImage(scratch.at("out.png"));
    EXPECT_EQ(restored.width, 16u);
    EXPECT_EQ(restored.height, 48u);
    // The stored picture's red grows to the right, so the upright one's grows downwards.
    EXPECT_GT(restored.pixels[size_t{47} * 16 * 3], restored.pixels[0] + 100);
}

TEST_F(Running, TheSameSeedGivesTheSameFileAndAnotherAnother) {
    const std::string model = scratch.at("ddpm.mote");
    ASSERT_EQ(
        runProgram(moteConvertPath(), {goldenCase("ddpm-uncond-32"), "-o", model, "--steps", "2"}).exitCode,
        0);
    const auto generate = [&](const char *name, const char *seed, std::vector<std::string> more) {
        std::vector<std::string> arguments = {"generate", "-o", scratch.at(name), "--seed", seed,
                                              "--model",  model};
        arguments.insert(arguments.end(), more.begin(), more.end());
        expectQuietSuccess(runMote(arguments));
        return readText(scratch.at(name));
    };
    const std::string first = generate("a.png", "1", {"--size", "40x24"});
    EXPECT_EQ(generate("b.png", "1", {"--size", "40x24"}), first);
    EXPECT_NE(generate("c.png", "2", {"--size", "40x24"}), first);
    const Image image = command::readImage(scratch.at("a.png"));
    EXPECT_EQ(image.width, 40u);
    EXPECT_EQ(image.height, 24u);
    EXPECT_EQ(image.channels, 3u);
}

TEST_F(Running, AbsentTensorsAreDrawnFromTheSeed) {
    convert::TensorToWrite condition = {"condition", {1, 3, 16, 24}, {}};
    for (int i = 0; i < 3 * 16 * 24; ++i)
        condition.values.push_back(std::sin(0.1f * static_cast<float>(i)));
    convert::writeSafetensors(scratch.at("in"), {condition});
    const auto run = [&](const char *seed) {
        expectQuietSuccess(runMote(
            {"run", shippedModel(), "--tensors", scratch.at("in"), "-o", scratch.at("out"), "--seed", seed}));
        return readText(scratch.at("out"));
    };
    const std::string first = run("5");
    EXPECT_EQ(run("5"), first);
    EXPECT_NE(run("6"), first);
    const convert::SafetensorsFile file(scratch.at("out"));
    ASSERT_EQ(file.entries().size(), 1u); // without --trace
    EXPECT_EQ(file.get("sample").shape, (std::vector<uint64_t>{1, 3, 16, 24}));
}

// Recipes by name, PyTorch's noise, and the inputs of a known region.
TEST_F(Running, RecipesAreChosenByNameAndTakeTheirInputs) {
    const std::string model = scratch.at("model.mote");
    const ProcessResult converted = runProgram(
        moteConvertPath(), {goldenCase("ddpm-uncond-32"), "-o", model, "--recipe",
                            "fill=repaint:2,jump_length=1,jump_n_sample=1", "--recipe", "drawn=ddpm:2"});
    ASSERT_EQ(converted.exitCode, 0) << converted.err;
    const auto run = [&](std::vector<std::string> more) {
        std::vector<std::string> arguments = {
            "run", model, "--tensors", scratch.at("in"), "-o", scratch.at("out")};
        arguments.insert(arguments.end(), more.begin(), more.end());
        expectQuietSuccess(runMote(arguments));
        return convert::SafetensorsFile(scratch.at("out"));
    };
    convert::TensorToWrite mask = {"mask", {1, 1, 32, 32}, {}}, known = {"known", {1, 3, 32, 32}, {}};
    for (size_t i = 0; i < size_t{32} * 32; ++i)
        mask.values.push_back(i % 32 < 16 ? 1.0f : 0.0f);
    for (size_t i = 0; i < size_t{3} * 32 * 32; ++i)
        known.values.push_back(std::sin(0.1f * static_cast<float>(i)));
    convert::writeSafetensors(scratch.at("in"), {known});
    const ProcessResult lacking =
        runMote({"run", model, "--tensors", scratch.at("in"), "-o", scratch.at("out")});
    EXPECT_EQ(lacking.exitCode, 3);
    EXPECT_NE(lacking.err.find("found no 'mask'"), std::string::npos) << lacking.err;
    convert::writeSafetensors(scratch.at("in"), {mask, known});
    const auto filled = run({"--recipe", "fill"});
    const std::vector<float> sample = filled.readFloats(filled.get("sample"));
    for (size_t i = 0; i < sample.size(); ++i)
        ASSERT_TRUE(mask.values[i % (32 * 32)] == 1 || sample[i] == known.values[i]) << i;

    // The start alone says the size; its normals are PyTorch's.
    convert::TensorToWrite noise = {
        "step_noise", {2, 3, 32, 32}, std::vector<float>(size_t{2} * 3 * 32 * 32)};
    convert::writeSafetensors(scratch.at("in"), {noise});
    const auto torch = run({"--recipe", "drawn", "--noise", "torch", "--seed", "42", "--trace"});
    const std::vector<float> states = torch.readFloats(torch.get("x"));
    EXPECT_NEAR(states[0], 1.92691529f, 1e-6f); // torch.randn(1, 3, 32, 32) of seed 42
    EXPECT_NEAR(states[1], 1.48728406f, 1e-6f);
    const ProcessResult unknown =
        runMote({"run", model, "--tensors", scratch.at("in"), "-o", scratch.at("out"), "--recipe", "third"});
    EXPECT_EQ(unknown.exitCode, 2);
    EXPECT_NE(unknown.err.find("found none 'third', expected one of: 'fill' of 2 steps, 'drawn' of 2 steps"),
              std::string::npos)
        << unknown.err;
}

TEST_F(Running, TheSelfCheckPassesAndRunsRepeatToTheBit) {
    const ProcessResult result = runMote({"check", shippedModel(), "--layers", "--repeat", "3"});
    EXPECT_EQ(result.exitCode, 0) << result.err;
    EXPECT_NE(result.out.find("conv_in"), std::string::npos) << result.out;
    EXPECT_NE(result.out.find("self-check on"), std::string::npos) << result.out;
    EXPECT_NE(result.out.find("3 runs of"), std::string::npos) << result.out;
    EXPECT_NE(result.out.find("equal to the bit"), std::string::npos) << result.out;
}

TEST_F(Running, TheSelfChecksOfAllModelsThatShipPass) {
    int models = 0;
    for (const auto &file : std::filesystem::directory_iterator(MOTE_BINARY_DIR "/models")) {
        const ProcessResult result = runMote({"check", file.path().string()});
        EXPECT_EQ(result.exitCode, 0) << file.path() << result.err;
        ++models;
    }
    EXPECT_EQ(models, 4);
}

TEST_F(Running, TheBenchTellsTimesAndMemory) {
    const ProcessResult result =
        runMote({"bench", shippedModel(), "--size", "64x48", "--steps", "2", "--runs", "2", "--json"});
    ASSERT_EQ(result.exitCode, 0) << result.err;
    const json bench = json::parse(result.out);
    EXPECT_EQ(bench["width"], 64);
    EXPECT_EQ(bench["height"], 48);
    EXPECT_EQ(bench["steps"], 2);
    for (const char *key : {"load_ms", "first_image_ms", "planned_bytes", "peak_allocated_bytes",
                            "resident_bytes", "dispatches", "pipelines", "operations"})
        EXPECT_GT(bench[key], 0) << key;
    EXPECT_GT(bench["next_image_ms"]["min"], 0);
    EXPECT_GE(bench["next_image_ms"]["median"], bench["next_image_ms"]["min"]);
    // A pass's share of an image is no longer than the image; its time on the GPU no longer than a few of
    // them.
    EXPECT_LE(bench["pass_wall_ms"]["min"], bench["next_image_ms"]["min"]);
    EXPECT_GT(bench["pass_gpu_ms"]["min"], 0);
    double sum = 0;
    for (const json &op : bench["ops"])
        sum += op["ms"].get<double>();
    EXPECT_GT(bench["ops"].size(), 20u);
    EXPECT_NEAR(sum, bench["pass_gpu_ms"]["median"].get<double>(), 0.2 * sum);
    const ProcessResult text = runMote({"bench", shippedModel(), "--size", "32x32", "--runs", "1"});
    ASSERT_EQ(text.exitCode, 0) << text.err;
    for (const char *part : {"first image", "next image", "GFLOP/s", "memory", "conv_in"})
        EXPECT_NE(text.out.find(part), std::string::npos) << text.out << "\n  lacks: " << part;
}

TEST_F(Running, ProgressIsShownOnATerminal) {
    command::writeImage(scratch.at("in.png"), photo(32, 32));
    ProcessOptions terminal;
    terminal.terminal = true;
    const ProcessResult result =
        runMote({"restore", scratch.at("in.png"), "-o", scratch.at("out.png")}, terminal);
    EXPECT_EQ(result.exitCode, 0) << result.err;
    EXPECT_NE(result.err.find("restore: "), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("%"), std::string::npos) << result.err;
    EXPECT_EQ(result.err.substr(result.err.size() - 4), "\r\033[K") << "the line is not cleared";
    EXPECT_EQ(result.out, "");
}

TEST_F(Running, CtrlCCancelsTheRunAndLeavesNothing) {
    command::writeImage(scratch.at("in.png"), photo(300, 280));
    ProcessOptions options;
    options.terminal = true; // its progress says that the run is under way
    options.interruptAfter = "% running";
    const auto start = std::chrono::steady_clock::now();
    const ProcessResult result =
        runMote({"restore", scratch.at("in.png"), "-o", scratch.at("out.png"), "--steps", "4"}, options);
    EXPECT_EQ(result.exitCode, 130) << result.err;
    EXPECT_NE(result.err.find("mote: "), std::string::npos) << result.err;
    EXPECT_EQ(scratch.names(), std::vector<std::string>{"in.png"});
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST_F(Running, PipelinesAreKeptInTheCacheDirectoryUnlessRefused) {
    command::writeImage(scratch.at("in.png"), photo(8, 8));
    ProcessOptions options;
    options.environment = {{"XDG_CACHE_HOME", scratch.at("cache")}};
    expectQuietSuccess(
        runMote({"restore", scratch.at("in.png"), "-o", scratch.at("out.png"), "--no-cache"}, options));
    EXPECT_FALSE(std::filesystem::exists(scratch.at("cache/mote")));
    expectQuietSuccess(runMote({"restore", scratch.at("in.png"), "-o", scratch.at("out.png")}, options));
    EXPECT_TRUE(std::filesystem::is_directory(scratch.at("cache/mote")));
    EXPECT_FALSE(std::filesystem::is_empty(scratch.at("cache/mote")));
}

} // namespace
} // namespace mote::test
