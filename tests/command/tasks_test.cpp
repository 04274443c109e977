// Each task through `mote restore`: the picture that it writes is what the network makes, by `mote run`, of
// tensors that were prepared here, put together here.
#include "command/task_rig.h"

#include <algorithm>
#include <cmath>

namespace mote::test {
namespace {

using command::Image;

constexpr uint32_t kWidth = 21, kHeight = 14;

TEST_F(CommandTasks, DenoisingDeblurringAndJpegTakeThePhotoAsItIs) {
    const Image photo = randomPicture(kWidth, kHeight, 3, 1);
    const std::string in = written("in.png", photo);
    Values sample;
    for (const char *task : {"denoise", "deblur", "jpeg", "restore"}) {
        SCOPED_TRACE(task);
        const std::string model = convert(6, 3, {"--task", task, "--steps", "2"});
        if (sample.values.empty())
            sample = run(model, {{"condition", toValues(photo)}}, {"--seed", "5"}).at("sample");
        const Image found = picture({"restore", in, "--model", model, "--seed", "5"});
        expectBytes(found, sample, 0);
    }
}

// A condition of another number of channels than the state: here the luma of the photo.
TEST_F(CommandTasks, AConditionOfOneChannelIsTheLumaOfThePhoto) {
    const Image photo = randomPicture(kWidth, kHeight, 3, 1);
    const std::string model = convert(4, 3, {"--steps", "1"});
    const Values sample = run(model, {{"condition", lumaOf(photo)}}, {"--seed", "5"}).at("sample");
    expectBytes(picture({"restore", written("in.png", photo), "--model", model, "--seed", "5"}), sample, 0.2);
}

// Keys 1981, equation 15, a = -1/2.
double cubic(double distance) {
    const double d = std::fabs(distance);
    return d < 1 ? (1.5 * d - 2.5) * d * d + 1 : d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
}

double hat(double distance) {
    return std::max(0.0, 1 - std::fabs(distance));
}

// Enlarged by `scale`; source pixels beyond the edges do not count.
Values enlarged(const Image &photo, uint32_t scale, double (*weight)(double)) {
    const uint32_t width = photo.width * scale, height = photo.height * scale;
    Values result = {{1, 3, height, width}, {}};
    for (size_t c = 0; c < 3; ++c)
        for (uint32_t y = 0; y < height; ++y)
            for (uint32_t x = 0; x < width; ++x) {
                double sum = 0, weights = 0;
                for (uint32_t v = 0; v < photo.height; ++v)
                    for (uint32_t u = 0; u < photo.width; ++u) {
                        const double w =
                            weight((y + 0.5) / scale - 0.5 - v) * weight((x + 0.5) / scale - 0.5 - u);
                        sum += w * photo.pixels[(size_t{v} * photo.width + u) * 3 + c];
                        weights += w;
                    }
                result.values.push_back(
                    static_cast<float>(std::clamp(sum / weights, 0.0, 255.0) / 127.5 - 1));
            }
    return result;
}

TEST_F(CommandTasks, SuperResolutionSeesThePhotoEnlargedByBicubicWeights) {
    const Image photo = randomPicture(11, 7, 3, 3);
    const std::string in = written("in.png", photo);
    for (const uint32_t scale : {2u, 4u}) {
        SCOPED_TRACE(scale);
        const std::string model =
            convert(6, 3, {"--task", "super-resolution-x" + std::to_string(scale), "--steps", "1"});
        const Image found = picture({"restore", in, "--model", model, "--seed", "5"});
        const auto madeOf = [&](double (*weight)(double)) {
            return run(model, {{"condition", enlarged(photo, scale, weight)}}, {"--seed", "5"}).at("sample");
        };
        // A condition that differs in its last bit may round to another half.
        const Values expected = madeOf(cubic);
        expectBytes(found, expected, 0.5);
        if (scale == 4)
            continue;
        const Values bilinear = madeOf(hat);
        double difference = 0;
        for (size_t i = 0; i < expected.values.size(); ++i)
            difference += std::fabs(double{expected.values[i]} - double{bilinear.values[i]});
        EXPECT_GT(difference / static_cast<double>(expected.values.size()), 4 / 127.5) << "it says something";
    }
}

TEST_F(CommandTasks, ColourisationPutsTheNetworksChromaOnThePhotosLuma) {
    const Image photo = randomPicture(kWidth, kHeight, 3, 4);
    Image gray = randomPicture(kWidth, kHeight, 1, 5);
    const std::string model = convert(3, 2, {"--task", "colourise", "--steps", "1"});
    for (const bool fromGray : {false, true}) {
        SCOPED_TRACE(fromGray);
        const Values luma = fromGray ? toValues(gray) : lumaOf(photo);
        const Values chroma = run(model, {{"condition", luma}}, {"--seed", "5"}).at("sample");
        ASSERT_EQ(chroma.shape, (std::vector<uint64_t>{1, 2, kHeight, kWidth}));
        Values expected = {{1, 3, kHeight, kWidth}, std::vector<float>(3 * luma.values.size())};
        const size_t plane = luma.values.size();
        for (size_t i = 0; i < plane; ++i) { // JPEG's full-range BT.601 (ITU-T T.871), all in halves of 255
            const double y = luma.values[i], cb = chroma.values[i], cr = chroma.values[plane + i];
            const double green = (y - 0.299 * (y + 1.402 * cr) - 0.114 * (y + 1.772 * cb)) / 0.587;
            expected.values[i] = static_cast<float>(y + 1.402 * cr);
            expected.values[plane + i] = static_cast<float>(green);
            expected.values[2 * plane + i] = static_cast<float>(y + 1.772 * cb);
        }
        const std::string in = written("in.png", fromGray ? gray : photo);
        expectBytes(picture({"restore", in, "--model", model, "--seed", "5"}), expected, 0.2);
    }
}

TEST_F(CommandTasks, InpaintingSeesTheMaskAndThePhotoWithoutItsHole) {
    const Image photo = randomPicture(kWidth, kHeight, 3, 6);
    const Image mask = randomPicture(kWidth, kHeight, 1, 7); // of all grays: half and more is a hole
    const std::string model = convert(7, 3, {"--task", "inpaint", "--steps", "2"});
    Values known = toValues(photo), hole = {{1, 1, kHeight, kWidth}, {}};
    const size_t plane = mask.pixels.size();
    for (size_t i = 0; i < plane; ++i) {
        hole.values.push_back(mask.pixels[i] >= 128 ? 1.0f : 0.0f);
        for (size_t c = 0; c < 3; ++c)
            known.values[c * plane + i] *= 1 - hole.values[i];
    }
    Values expected = run(model, {{"known", known}, {"mask", hole}}, {"--seed", "5"}).at("sample");
    const Values given = toValues(photo);
    for (size_t i = 0; i < expected.values.size(); ++i)
        if (hole.values[i % plane] == 0)
            expected.values[i] = given.values[i];
    const std::vector<std::string> arguments = {"restore",   written("in.png", photo),
                                                "--mask",    written("mask.png", mask),
                                                "--model",   model,
                                                "--preview", scratch.at("seen"),
                                                "--seed",    "5"};
    const Image found = picture(arguments);
    expectBytes(found, expected, 0);
    for (const char *preview : {"seen-1.png", "seen-2.png"}) {
        const Image seen = command::readImage(scratch.at(preview));
        for (size_t i = 0; i < found.pixels.size(); ++i)
            ASSERT_TRUE(hole.values[i / 3] == 1 || seen.pixels[i] == photo.pixels[i]) << preview << " " << i;
    }
    EXPECT_EQ(command::readImage(scratch.at("seen-2.png")).pixels, found.pixels);
}

// The network predicts x0, and its clipped prediction is what a preview shows.
TEST_F(CommandTasks, PreviewsAreTheEstimatesOfEachStepAndImage) {
    const std::string model = convert(3, 3, {"--steps", "3"});
    const Values noStepNoise = {{3, 2, 3, kHeight, kWidth}, std::vector<float>(6 * 3 * kHeight * kWidth)};
    const Values outputs =
        run(model, {{"step_noise", noStepNoise}}, {"--seed", "5", "--trace"}).at("model_output");
    expectQuietSuccess(runMote(
        {"generate", "--model", model, "--size", std::to_string(kWidth) + "x" + std::to_string(kHeight),
         "--count", "2", "--seed", "5", "--preview", scratch.at("seen"), "-o", scratch.at("out.png")}));
    const size_t size = size_t{3} * kHeight * kWidth;
    for (size_t step = 0; step < 3; ++step)
        for (size_t image = 0; image < 2; ++image) {
            const std::string name = "seen-" + std::to_string(step + 1) + (image == 0 ? "" : "-1") + ".png";
            const auto first =
                outputs.values.begin() + static_cast<std::ptrdiff_t>((2 * step + image) * size);
            expectBytes(command::readImage(scratch.at(name)),
                        {{1, 3, kHeight, kWidth}, {first, first + static_cast<std::ptrdiff_t>(size)}}, 0);
        }
    for (const auto &[last, out] : {std::pair("seen-3.png", "out-0.png"), {"seen-3-1.png", "out-1.png"}})
        EXPECT_EQ(command::readImage(scratch.at(last)).pixels, command::readImage(scratch.at(out)).pixels);
    expectRefused(runMote({"generate", "--model", model, "--size", "16x16", "--seed", "5", "--preview",
                           scratch.at("missing/seen"), "-o", scratch.at("new.png")}),
                  7, {"missing"});
    EXPECT_FALSE(std::filesystem::exists(scratch.at("new.png")));
}

// The model's size multiple, 2, divides the size here: a given start is not padded as a drawn one is.
TEST_F(CommandTasks, AMixOfSeedsStartsBetweenTheirNoise) {
    const std::string model = convert(3, 3, {"--steps", "1"});
    const Values noStepNoise = {{1, 1, 3, 12, 16}, std::vector<float>(size_t{3} * 12 * 16)};
    const auto startOf = [&](const char *seed) {
        Values states = run(model, {{"step_noise", noStepNoise}}, {"--seed", seed, "--trace"}).at("x");
        states.values.resize(noStepNoise.values.size()); // the first of two
        return Values{{1, 3, 12, 16}, states.values};
    };
    const Values first = startOf("7"), second = startOf("9");
    const auto generated = [&](const std::vector<std::string> &seeds) {
        std::vector<std::string> arguments = {"generate", "--model", model, "--size", "16x12"};
        arguments.insert(arguments.end(), seeds.begin(), seeds.end());
        return picture(arguments);
    };
    Values between = first;
    const double angle = 0.3 * std::acos(0.0);
    for (size_t i = 0; i < between.values.size(); ++i)
        between.values[i] = static_cast<float>(std::cos(angle) * double{first.values[i]} +
                                               std::sin(angle) * double{second.values[i]});
    // A start that differs in its last bit may round to another half.
    expectBytes(generated({"--seed", "7", "--other-seed", "9", "--mix", "0.3"}),
                run(model, {{"x_start", between}}).at("sample"), 0.5);
    EXPECT_EQ(generated({"--seed", "7", "--other-seed", "9", "--mix", "1"}).pixels,
              generated({"--seed", "9"}).pixels);
    EXPECT_EQ(
        runMote({"generate", "--model", model, "--seed", "7", "--mix", "1.5", "-o", scratch.at("out.png")})
            .exitCode,
        2);
}

} // namespace
} // namespace mote::test
