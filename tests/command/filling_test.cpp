// Holes filled by a recipe with a known region (RePaint: Lugmayr et al. 2022) and a model that knows nothing
// of masks: `mote restore --mask`, and `mote run` with mask and known; what is refused, for inpainting models
// too.
#include "command/task_rig.h"

#include <algorithm>
#include <cmath>

namespace mote::test {
namespace {

using command::Image;

constexpr uint32_t kWidth = 21, kHeight = 14;
constexpr size_t kPlane = size_t{kWidth} * kHeight;
// Three rows to the jump back, then four more.
const std::vector<std::string> kRepaint = {"--sampler", "repaint",       "--steps",  "4",
                                           "--option",  "jump_length=2", "--option", "jump_n_sample=2"};

// White to the left of a slanted line.
Image slantedMask(uint32_t width, uint32_t height) {
    Image mask = {width, height, 1, {}};
    for (uint32_t y = 0; y < height; ++y)
        for (uint32_t x = 0; x < width; ++x)
            mask.pixels.push_back(x < 6 + y / 2 ? 255 : 0);
    return mask;
}

// How many samples differ where the mask is white; none may where it is black.
size_t changedInside(const Image &found, const Image &photo, const Image &mask) {
    EXPECT_EQ(found.pixels.size(), photo.pixels.size());
    size_t changed = 0, outside = 0;
    for (size_t i = 0; i < found.pixels.size(); ++i) {
        const bool differs = found.pixels[i] != photo.pixels[i];
        (mask.pixels[i / found.channels] == 255 ? changed : outside) += differs ? 1 : 0;
    }
    EXPECT_EQ(outside, 0u) << "samples outside the mask that are not the photo's";
    return changed;
}

class Filling : public CommandTasks {};

TEST_F(Filling, AnUnconditionalModelFillsTheHoleAndNothingElse) {
    const std::string model = convert(3, 3, kRepaint);
    const Image mask = slantedMask(kWidth, kHeight);
    const size_t inside = static_cast<size_t>(std::count(mask.pixels.begin(), mask.pixels.end(), 255));
    const std::string hole = written("mask.png", mask);
    for (const uint32_t channels : {3u, 1u, 4u}) {
        SCOPED_TRACE(channels);
        const Image photo = randomPicture(kWidth, kHeight, channels, channels);
        const std::string in = written("in.png", photo);
        const auto filled = [&](const char *seed) {
            return picture({"restore", in, "--mask", hole, "--model", model, "--seed", seed});
        };
        const Image first = filled("5");
        ASSERT_EQ(first.channels, channels);
        EXPECT_GT(changedInside(first, photo, mask), inside * std::min(channels, 3u) * 9 / 10);
        if (channels != 3)
            continue;
        EXPECT_EQ(filled("5").pixels, first.pixels);
        const Image other = filled("6");
        EXPECT_GT(changedInside(other, photo, mask), 0u);
        EXPECT_NE(other.pixels, first.pixels);
    }
}

TEST_F(Filling, ThePictureIsWhatRunMakesOfMaskAndKnown) {
    const std::string model = convert(3, 3, kRepaint);
    const Image photo = randomPicture(kWidth, kHeight, 3, 1), mask = slantedMask(kWidth, kHeight);
    Values hole = {{1, 1, kHeight, kWidth}, {}};
    for (const uint8_t value : mask.pixels)
        hole.values.push_back(static_cast<float>(value) / 255);
    const Values sample =
        run(model, {{"mask", hole}, {"known", toValues(photo)}}, {"--seed", "5"}).at("sample");
    const Image found = picture({"restore", written("in.png", photo), "--mask", written("mask.png", mask),
                                 "--model", model, "--seed", "5", "--preview", scratch.at("seen")});
    expectBytes(found, sample, 0);
    // What is known is there from the first preview on, and the last is the picture.
    const size_t rows = scratch.names().size() - 6; // in, out, mask, model and the two tensor files
    ASSERT_GT(rows, 4u);
    for (size_t row = 1; row <= rows; ++row) {
        const Image seen = command::readImage(scratch.at("seen-" + std::to_string(row) + ".png"));
        EXPECT_GT(changedInside(seen, photo, mask), 0u) << row;
    }
    EXPECT_EQ(command::readImage(scratch.at("seen-" + std::to_string(rows) + ".png")).pixels, found.pixels);
}

// Two images of their own masks, one with grays: each traced row against the printed step table, in double.
TEST_F(Filling, EveryRowOfABatchFollowsTheStepTable) {
    const std::string model = convert(3, 3, kRepaint);
    std::vector<std::string> arguments = {"step-table",
                                          checkpoint(3, 3).file(mote::convert::CheckpointFolder::kScheduler)};
    arguments.insert(arguments.end(), kRepaint.begin(), kRepaint.end());
    const ProcessResult printed = runProgram(moteConvertPath(), arguments);
    ASSERT_EQ(printed.exitCode, 0) << printed.err;
    const nlohmann::json table = nlohmann::json::parse(printed.out);
    const size_t rows = table["rows"].size(), size = 2 * 3 * kPlane;
    ASSERT_GT(rows, 4u);

    Values mask = {{2, 1, kHeight, kWidth}, {}}, known = {{2, 3, kHeight, kWidth}, {}},
           noise = {{rows, 2, 3, kHeight, kWidth}, {}};
    for (size_t i = 0; i < 2 * kPlane; ++i)
        mask.values.push_back(i < kPlane ? (i % kWidth < 9 ? 1.0f : 0.0f)
                                         : static_cast<float>(i % 5) / 4); // 0, 1/4, ... 1
    for (size_t i = 0; i < size; ++i)
        known.values.push_back(static_cast<float>(std::sin(0.1 * static_cast<double>(i))));
    for (size_t i = 0; i < rows * size; ++i)
        noise.values.push_back(static_cast<float>(1.4 * std::sin(0.37 * static_cast<double>(i))));
    const auto found =
        run(model, {{"mask", mask}, {"known", known}, {"step_noise", noise}}, {"--seed", "5", "--trace"});
    const Values &x = found.at("x"), &m = found.at("model_output");
    ASSERT_EQ(x.values.size(), (rows + 1) * size);
    ASSERT_EQ(m.values.size(), rows * size);

    const auto number = [](const nlohmann::json &value) { return value.get<double>(); };
    for (size_t row = 0; row < rows; ++row) {
        const nlohmann::json &at = table["rows"][row];
        ASSERT_EQ(at["flags"], nlohmann::json({"known"}));
        ASSERT_EQ(at["scale"], 1.0);
        ASSERT_EQ(at["clip"]["kind"], "clamp");
        ASSERT_TRUE(at["store"].is_null());
        for (size_t i = 0; i < size; ++i) {
            const double state = x.values[row * size + i], output = m.values[row * size + i],
                         z = noise.values[row * size + i],
                         fill = mask.values[i / (3 * kPlane) * kPlane + i % kPlane];
            const double x0 = std::clamp(number(at["p"]) * state + number(at["q"]) * output,
                                         number(at["clip"]["min"]), number(at["clip"]["max"]));
            const double made = number(at["a"]) * state + number(at["b"]) * output + number(at["g"]) * x0 +
                                number(at["c"]) * z;
            const double given = number(at["known"]["e"]) * known.values[i] + number(at["known"]["c"]) * z;
            // fp32 coefficients and arithmetic, terms of about 1
            ASSERT_NEAR(x.values[(row + 1) * size + i], fill * made + (1 - fill) * given, 3e-6)
                << "row " << row << ", element " << i;
        }
    }
    for (size_t i = 0; i < size; ++i) {
        if (mask.values[i / (3 * kPlane) * kPlane + i % kPlane] == 0) {
            ASSERT_EQ(found.at("sample").values[i], known.values[i]) << i;
        }
    }

    // The second image of the batch is that of the next seed.
    const auto second = [](const Values &values) {
        const auto middle = values.values.begin() + static_cast<std::ptrdiff_t>(values.values.size() / 2);
        Values half = {values.shape, {middle, values.values.end()}};
        half.shape[0] = 1;
        return half;
    };
    const Values batch = run(model, {{"mask", mask}, {"known", known}}, {"--seed", "5"}).at("sample");
    const Values alone =
        run(model, {{"mask", second(mask)}, {"known", second(known)}}, {"--seed", "6"}).at("sample");
    EXPECT_EQ(second(batch).values, alone.values);
}

TEST_F(Filling, MasksOfAnotherSizeOrKindAreRefusedByName) {
    const std::string in = written("in.png", randomPicture(kWidth, kHeight, 3, 1)),
                      small = written("small.png", slantedMask(kWidth - 1, kHeight)),
                      out = scratch.at("out.png");
    writeBytes(scratch.at("none.png"), {'n', 'o', ' ', 'm', 'a', 's', 'k'});
    for (const bool inpaints : {false, true}) {
        SCOPED_TRACE(inpaints);
        const std::string model =
            inpaints ? convert(7, 3, {"--task", "inpaint", "--steps", "1"}) : convert(3, 3, kRepaint);
        const auto refused = [&](std::vector<std::string> arguments, int code,
                                 const std::vector<std::string> &parts) {
            arguments.insert(arguments.begin(), {"restore", in, "-o", out, "--model", model});
            expectRefused(runMote(arguments), code, parts);
            EXPECT_FALSE(std::filesystem::exists(out));
        };
        refused({"--mask", small}, 3, {small + ": size: found 20x14, expected 21x14"});
        refused({"--mask", scratch.at("none.png")}, 3, {"none.png", "expected", "PNG"});
        refused({"--mask", scratch.at("missing.png")}, 3, {"missing.png", "No such file"});
        refused({}, 2, {model, "mask: found none, expected --mask FILE"});
    }
    const std::string mask = written("mask.png", slantedMask(kWidth, kHeight));
    expectRefused(
        runMote({"restore", in, "-o", out, "--model", convert(6, 3, {"--steps", "1"}), "--mask", mask}), 2,
        {"--mask: found " + mask, "expected none", "fills no holes with recipe '1'"});
    EXPECT_FALSE(std::filesystem::exists(out));
}

// A mask says which recipe is meant, where none is named.
TEST_F(Filling, TheRecipeThatFillsIsTakenForAMask) {
    const std::string model = convert(
        3, 3, {"--recipe", "plain=ddim:1", "--recipe", "fill=repaint:2,jump_length=1,jump_n_sample=1"});
    const Image photo = randomPicture(kWidth, kHeight, 3, 1), mask = slantedMask(kWidth, kHeight);
    const std::string in = written("in.png", photo), hole = written("mask.png", mask);
    EXPECT_GT(changedInside(picture({"restore", in, "--mask", hole, "--model", model}), photo, mask), 0u);
    const std::string out = scratch.at("new.png");
    expectRefused(runMote({"restore", in, "--mask", hole, "--model", model, "--recipe", "plain", "-o", out}),
                  2, {"--mask", "fills no holes with recipe 'plain'"});
    expectRefused(runMote({"generate", "--seed", "1", "--size", "16x16", "--model", model, "--recipe", "fill",
                           "-o", out}),
                  2, {"found image 'mask', expected none", "--recipe"});
    EXPECT_FALSE(std::filesystem::exists(out));
    // Pictures and masks are made up where any will do.
    const ProcessResult timed =
        runMote({"bench", model, "--size", "16x16", "--runs", "1", "--recipe", "fill"});
    EXPECT_EQ(timed.exitCode, 0) << timed.err;
    const ProcessResult repeated = runMote({"check", convert(3, 3, kRepaint), "--repeat", "2"});
    EXPECT_EQ(repeated.exitCode, 0) << repeated.err;
    expectParts(repeated.out, {"equal to the bit"});
}

TEST_F(Filling, TensorsOfAnotherShapeAreRefusedByName) {
    const std::string model = convert(3, 3, kRepaint);
    const auto zeros = [](const std::vector<uint64_t> &shape) {
        uint64_t count = 1;
        for (const uint64_t extent : shape)
            count *= extent;
        return Values{shape, std::vector<float>(count)};
    };
    const Values known = zeros({2, 3, kHeight, kWidth});
    const struct {
        std::map<std::string, Values> tensors;
        std::vector<std::string> message;
    } cases[] = {
        {{{"known", known}, {"mask", zeros({2, 3, kHeight, kWidth})}},
         {"mask", "found shape [2, 3, 14, 21]", "expected [N, 1, H, W]"}},
        {{{"known", known}, {"mask", zeros({1, 1, kHeight, kWidth})}},
         {"known", "found shape [2, 3, 14, 21]", "expected [1, 3, H, W]"}},
        {{{"known", known}, {"mask", zeros({2, 1, kHeight, kWidth + 1})}},
         {"known", "found shape [2, 3, 14, 21]", "as mask has"}},
        {{{"mask", zeros({2, 1, kHeight, kWidth})}}, {"found no 'known'"}},
        {{{"known", known}}, {"found no 'mask'"}},
    };
    for (const auto &refused : cases) {
        std::vector<mote::convert::TensorToWrite> tensors;
        for (const auto &[name, tensor] : refused.tensors)
            tensors.push_back({name, tensor.shape, tensor.values});
        mote::convert::writeSafetensors(scratch.at("in.safetensors"), tensors);
        std::vector<std::string> parts = refused.message;
        parts.push_back(scratch.at("in.safetensors"));
        expectRefused(runMote({"run", model, "--tensors", scratch.at("in.safetensors"), "-o",
                               scratch.at("out.safetensors")}),
                      3, parts);
        EXPECT_FALSE(std::filesystem::exists(scratch.at("out.safetensors")));
    }
}

} // namespace
} // namespace mote::test
