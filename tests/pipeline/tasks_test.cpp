// What each task makes of the app's pictures, previews, and noise between two seeds.
#include "convert/checkpoint_folder.h"
#include "pipeline/rig.h"

#include "kernels/noise.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

namespace mote::test {
namespace {

using convert::CheckpointFolder;

// A tiny model with random weights.
std::string modelFor(const std::string &task, uint32_t inputs, uint32_t outputs, int64_t steps) {
    static std::map<uint32_t, std::unique_ptr<CheckpointFolder>> folders;
    std::unique_ptr<CheckpointFolder> &folder = folders[inputs * 16 + outputs];
    if (!folder) {
        nlohmann::json config = convert::plainConfig(inputs, outputs);
        config["block_out_channels"] = {8, 8}; // for a device of small buffers
        folder = std::make_unique<CheckpointFolder>(config);
    }
    convert::ConvertOptions options;
    options.directory = folder->path();
    options.steps = {steps};
    options.task = task;
    return convertToFile(options);
}

struct Picture {
    uint32_t bytesPerPixel, width, height;
    std::vector<uint8_t> pixels;

    Picture(uint32_t bytes, uint32_t w, uint32_t h, uint32_t seed = 0)
        : bytesPerPixel(bytes), width(w), height(h), pixels(size_t{bytes} * w * h) {
        std::mt19937 generator(seed);
        for (uint8_t &value : pixels)
            value = static_cast<uint8_t>(generator() >> 24);
    }
    pipeline::ImageView view() {
        return {bytesPerPixel, width, height, size_t{bytesPerPixel} * width, pixels.data()};
    }
    const uint8_t *at(uint32_t x, uint32_t y) const {
        return &pixels[(size_t{y} * width + x) * bytesPerPixel];
    }
};

std::unique_ptr<pipeline::Session> sessionOf(const std::string &file, uint32_t width, uint32_t height) {
    pipeline::SessionOptions options;
    options.width = width;
    options.height = height;
    return makeSession(loadModel(sharedDevice(), file), options);
}

Picture run(pipeline::Session &session, uint32_t bytesPerPixel, pipeline::RunOptions options = {}) {
    Picture out(bytesPerPixel, session.plan().width, session.plan().height);
    EXPECT_TRUE(succeeded(session.bindOutputImages({out.view()})));
    EXPECT_TRUE(succeeded(session.run(options, nullptr)));
    return out;
}

// The enlargement itself is compared with an independent one in tests/kernels; here it meets padding, bands,
// alpha.
TEST(Tasks, SuperResolutionTakesTheSmallPhoto) {
    for (uint32_t scale : {2u, 4u}) {
        const std::string file = modelFor("super-resolution-x" + std::to_string(scale), 6, 3, 2);
        Picture photo(4, 13, 9, 1);
        const auto whole = sessionOf(file, 13 * scale, 9 * scale);
        ASSERT_TRUE(succeeded(whole->bindImages("condition", {photo.view()})));
        const Picture expected = run(*whole, 4);
        for (uint32_t y = 0; y < expected.height; ++y)
            for (uint32_t x = 0; x < expected.width; ++x)
                ASSERT_EQ(expected.at(x, y)[3], photo.at(x / scale, y / scale)[3])
                    << "alpha at " << x << ", " << y;

        // A flat photo is flat when enlarged: the same as a flat tensor.
        std::fill(photo.pixels.begin(), photo.pixels.end(), uint8_t{51});
        ASSERT_TRUE(succeeded(whole->bindImages("condition", {photo.view()})));
        const Picture flat = run(*whole, 3);
        std::vector<float> values(size_t{3} * 13 * 9 * scale * scale, 51 * (2 / 255.0f) - 1);
        const pipeline::TensorView tensor = viewOf(values, 3, 9 * scale, 13 * scale);
        ASSERT_TRUE(succeeded(whole->bindTensor("condition", &tensor)));
        const Picture same = run(*whole, 3);
        for (size_t i = 0; i < flat.pixels.size(); ++i)
            ASSERT_NEAR(flat.pixels[i], same.pixels[i], 2);

        Picture large(3, 13 * scale, 9 * scale);
        EXPECT_TRUE(failedWith(whole->bindImages("condition", {large.view()}), StatusCode::InvalidArgument,
                               "13 x 9"));
        pipeline::SessionOptions odd;
        odd.width = 13 * scale + 1;
        odd.height = 9 * scale;
        EXPECT_TRUE(failedWith(pipeline::Session::create(loadModel(sharedDevice(), file), odd).status(),
                               StatusCode::InvalidArgument, "multiples of"));
    }
}

TEST(Tasks, SuperResolutionInBandsGivesTheSameBits) {
    const std::string file = modelFor("super-resolution-x4", 6, 3, 1);
    Picture photo(3, 13, 9, 1);
    gpu::LimitsClamp clamp;
    clamp.maxAllocationBytes = clamp.maxStorageBufferRange = 8192;
    std::vector<std::vector<uint8_t>> found;
    for (const auto &device : {sharedDevice(), makeDevice(&clamp)}) {
        pipeline::SessionOptions options;
        options.width = 52;
        options.height = 36;
        options.tileWidth = options.tileHeight = 16;
        // The kernels that the rules take depend on what a device may bind.
        const auto session = makeSession(loadModel(device, file, "conv2d 8x8"), options);
        EXPECT_EQ(session->plan().bands.size(), found.empty() ? 1u : 3u);
        ASSERT_TRUE(succeeded(session->bindImages("condition", {photo.view()})));
        found.push_back(run(*session, 3).pixels);
    }
    EXPECT_EQ(found[0], found[1]);
}

TEST(Tasks, InpaintingKeepsWhatIsKnownAndHidesTheRest) {
    const auto session = sessionOf(modelFor("inpaint", 7, 3, 2), 21, 14);
    Picture photo(3, 21, 14, 2), mask(1, 21, 14, 3);
    for (uint8_t &value : mask.pixels)
        value = value < 100 ? 0 : value; // some of them are gray
    ASSERT_TRUE(succeeded(session->bindImages("known", {photo.view()})));
    ASSERT_TRUE(succeeded(session->bindImages("mask", {mask.view()})));
    const Picture out = run(*session, 3);
    size_t filled = 0, different = 0;
    for (uint32_t y = 0; y < 14; ++y)
        for (uint32_t x = 0; x < 21; ++x) {
            if (mask.at(x, y)[0] < 128) {
                for (int c = 0; c < 3; ++c)
                    ASSERT_EQ(out.at(x, y)[c], photo.at(x, y)[c]);
                continue;
            }
            ++filled;
            different += out.at(x, y)[0] != photo.at(x, y)[0];
        }
    EXPECT_GT(filled, 100u);
    EXPECT_GT(different, filled / 2);

    // What the mask hides has no influence.
    for (uint32_t y = 0; y < 14; ++y)
        for (uint32_t x = 0; x < 21; ++x)
            if (mask.at(x, y)[0] >= 128)
                photo.pixels[(y * 21 + x) * 3 + 1] ^= 255;
    EXPECT_EQ(run(*session, 3).pixels, out.pixels);

    // Tensors likewise, and the network sees [state, mask, known].
    std::vector<float> values(size_t{3} * 21 * 14), holes(size_t{21} * 14);
    for (size_t i = 0; i < holes.size(); ++i) {
        holes[i] = mask.pixels[i] >= 128 ? 1.0f : 0.0f;
        for (size_t c = 0; c < 3; ++c)
            values[c * holes.size() + i] = static_cast<float>(photo.pixels[3 * i + c]) * (2 / 255.0f) - 1;
    }
    const pipeline::TensorView known = viewOf(values, 3, 14, 21), hole = viewOf(holes, 1, 14, 21);
    ASSERT_TRUE(succeeded(session->bindTensor("known", &known)));
    ASSERT_TRUE(succeeded(session->bindTensor("mask", &hole)));
    const Picture fromTensors = run(*session, 3);
    for (size_t i = 0; i < out.pixels.size(); ++i)
        ASSERT_NEAR(fromTensors.pixels[i], out.pixels[i], 1);
    ASSERT_TRUE(succeeded(session->bindTensor("mask", nullptr)));
    EXPECT_TRUE(failedWith(session->run({}, nullptr), StatusCode::InvalidArgument, "'mask' is not bound"));
}

TEST(Tasks, ColourisationKeepsLuma) {
    const auto session = sessionOf(modelFor("colourise", 3, 2, 1), 20, 12);
    const auto lumaOf = [](const uint8_t *pixel) {
        return 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
    };
    Picture photo(3, 20, 12);
    for (uint8_t &value : photo.pixels)
        value = static_cast<uint8_t>(96 + value % 64);
    ASSERT_TRUE(succeeded(session->bindImages("condition", {photo.view()})));
    const Picture out = run(*session, 3);
    size_t coloured = 0;
    for (uint32_t y = 0; y < 12; ++y)
        for (uint32_t x = 0; x < 20; ++x) {
            const uint8_t *pixel = out.at(x, y);
            coloured += pixel[0] != pixel[1];
            const bool clipped = std::any_of(pixel, pixel + 3, [](uint8_t v) { return v == 0 || v == 255; });
            if (!clipped) {
                ASSERT_NEAR(lumaOf(pixel), lumaOf(photo.at(x, y)), 0.51) << x << ", " << y;
            }
        }
    EXPECT_GT(coloured, 100u);
    // The luma of a coloured picture is what a gray one of the same luma has.
    Picture gray(1, 20, 12);
    for (uint32_t i = 0; i < 240; ++i)
        gray.pixels[i] = photo.pixels[3 * i];
    for (uint32_t i = 0; i < 240; ++i)
        photo.pixels[3 * i + 1] = photo.pixels[3 * i + 2] = photo.pixels[3 * i];
    ASSERT_TRUE(succeeded(session->bindImages("condition", {photo.view()})));
    const Picture fromRgb = run(*session, 3);
    ASSERT_TRUE(succeeded(session->bindImages("condition", {gray.view()})));
    const Picture fromGray = run(*session, 3);
    for (size_t i = 0; i < fromRgb.pixels.size(); ++i)
        ASSERT_NEAR(fromRgb.pixels[i], fromGray.pixels[i], 1);
}

// DDIM ends at the estimate itself.
TEST(Preview, ComesAfterEveryStepAndEndsAsThePicture) {
    const auto session = sessionOf(modelFor("denoise", 6, 3, 3), 21, 14);
    Picture photo(3, 21, 14, 5);
    ASSERT_TRUE(succeeded(session->bindImages("condition", {photo.view()})));
    std::vector<std::vector<uint8_t>> previews;
    pipeline::RunOptions options;
    options.preview = [&](uint32_t step, uint32_t image, const pipeline::ImageView &picture) {
        EXPECT_EQ(step, previews.size());
        EXPECT_EQ(image, 0u);
        EXPECT_EQ(picture.width, 21u);
        EXPECT_EQ(picture.height, 14u);
        previews.emplace_back(picture.pixels, picture.pixels + picture.stride * picture.height);
    };
    const Picture out = run(*session, 4, options);
    ASSERT_EQ(previews.size(), 3u);
    EXPECT_EQ(previews[2], out.pixels);
    EXPECT_NE(previews[0], out.pixels);
    EXPECT_EQ(run(*session, 4).pixels, out.pixels) << "looking changes nothing";
}

TEST(SeedMix, GoesFromOneSeedsPictureToTheOthers) {
    const auto session = sessionOf(modelFor("generate", 3, 3, 1), 16, 16);
    const auto startOf = [&](uint64_t seed, uint64_t other, float mix, pipeline::NoiseSource noise) {
        std::vector<float> start;
        pipeline::RunOptions options;
        options.seed = seed;
        options.otherSeed = other;
        options.mix = mix;
        options.noise = noise;
        options.trace = [&](uint32_t step, const char *tensor, const uint32_t shape[4], const float *data) {
            if (step == 0 && std::string(tensor) == "x")
                start.assign(data, data + size_t{shape[1]} * shape[2] * shape[3]);
        };
        EXPECT_TRUE(succeeded(session->run(options, nullptr)));
        return start;
    };
    const uint64_t a = 7, b = 0x500000003;
    for (const pipeline::NoiseSource noise : {pipeline::NoiseSource::Philox, pipeline::NoiseSource::Torch}) {
        const std::vector<float> first = startOf(a, 0, 0, noise), second = startOf(b, 0, 0, noise);
        EXPECT_EQ(startOf(a, b, 0, noise), first);
        EXPECT_EQ(startOf(a, b, 1, noise), second);
        const std::vector<float> between = startOf(a, b, 0.25f, noise);
        double squares = 0;
        for (size_t i = 0; i < between.size(); ++i) {
            const double angle = std::acos(-1.0) / 8;
            ASSERT_NEAR(between[i], std::cos(angle) * double(first[i]) + std::sin(angle) * double(second[i]),
                        1e-6);
            squares += double(between[i]) * between[i];
        }
        EXPECT_NEAR(squares / static_cast<double>(between.size()), 1, 0.2) << "normals again";
    }
    pipeline::RunOptions wrong;
    wrong.mix = 1.5f;
    EXPECT_TRUE(failedWith(session->run(wrong, nullptr), StatusCode::InvalidArgument, "seed_mix"));
}

} // namespace
} // namespace mote::test
