// Tiling as DESIGN defines it, on a shipped photo with the shipped model.
#include "pipeline/photo.h"
#include "pipeline/rig.h"

#include <algorithm>
#include <cmath>

namespace mote::test {
namespace {

// MOTE_PHOTO_SIZE and MOTE_TILE_SIZE: the part of the photo and the tiles, a small pair for every change and
// one whose tiles have room for the whole receptive field.
constexpr uint32_t kSize = MOTE_PHOTO_SIZE, kTile = MOTE_TILE_SIZE;

class TiledPhoto : public testing::Test {
protected:
    static void SetUpTestSuite() {
        clean_ = readPhoto("coffee.png", 100, 0, kSize, kSize);
        noisy_ = withNoise(clean_, 25, 1);
        start_ = withNoise({kSize, kSize, std::vector<float>(noisy_.planes.size(), 0.0f)}, 127.5, 2);
        model_ = loadModel(sharedDevice(), convertCase("restore", {1}));
        const auto whole = session(0);
        ASSERT_FALSE(whole->plan().tiled());
        untiled_ = run(*whole);
        const Result<pipeline::Session::Statistics> statistics = whole->statisticsOf(0);
        ASSERT_TRUE(succeeded(statistics));
        statistics_ = statistics.value();
        tiledSession_ = session(kTile);
        ASSERT_EQ(tiledSession_->plan().tileCount(), 4u);
        tiled_ = run(*tiledSession_);
    }
    static void TearDownTestSuite() {
        tiledSession_.reset();
        model_.reset();
    }

    static std::unique_ptr<pipeline::Session> session(uint32_t tile) {
        pipeline::SessionOptions options;
        options.width = options.height = kSize;
        options.tileWidth = options.tileHeight = tile;
        return makeSession(model_, options);
    }
    // From the noisy photo and one first state.
    static std::vector<float> run(pipeline::Session &session) {
        std::vector<float> output(noisy_.planes.size());
        const pipeline::TensorView in = viewOf(noisy_.planes, 3, kSize, kSize),
                                   start = viewOf(start_.planes, 3, kSize, kSize),
                                   out = viewOf(output, 3, kSize, kSize);
        EXPECT_TRUE(succeeded(session.bindTensor("condition", &in)));
        EXPECT_TRUE(succeeded(session.bindTensor("x_start", &start)));
        EXPECT_TRUE(succeeded(session.bindOutputTensor(&out)));
        EXPECT_TRUE(succeeded(session.run({}, nullptr)));
        EXPECT_TRUE(succeeded(session.bindOutputTensor(nullptr)));
        return output;
    }

    static Photo clean_, noisy_, start_;
    static std::shared_ptr<pipeline::LoadedModel> model_;
    static std::unique_ptr<pipeline::Session> tiledSession_;
    static std::vector<float> untiled_, tiled_;
    static pipeline::Session::Statistics statistics_;
};
Photo TiledPhoto::clean_, TiledPhoto::noisy_, TiledPhoto::start_;
std::shared_ptr<pipeline::LoadedModel> TiledPhoto::model_;
std::unique_ptr<pipeline::Session> TiledPhoto::tiledSession_;
std::vector<float> TiledPhoto::untiled_, TiledPhoto::tiled_;
pipeline::Session::Statistics TiledPhoto::statistics_;

// Steps between the pixels on either side of a line that crosses the whole picture, over all channels: how
// large on the mean, and how large where they all go one way (what the eye sees as a seam). Of 255 levels.
struct Steps {
    double size = 0, together = 0;
};
Steps stepsAcross(const std::vector<float> &planes, uint32_t line, bool vertical) {
    Steps steps;
    for (uint32_t c = 0; c < 3; ++c) {
        double sum = 0;
        for (uint32_t i = 0; i < kSize; ++i) {
            const uint32_t y = vertical ? i : line, x = vertical ? line : i;
            const size_t here = (size_t{c} * kSize + y) * kSize + x, before = here - (vertical ? 1 : kSize);
            const double step = (double(planes[here]) - planes[before]) * 127.5;
            steps.size += std::fabs(step) / (3.0 * kSize);
            sum += step / kSize;
        }
        steps.together = std::max(steps.together, std::fabs(sum));
    }
    return steps;
}

TEST_F(TiledPhoto, WithStatisticsOfItsOwnTilesIsAsGoodAsUntiled) {
    const double untiled = psnr(untiled_, clean_.planes), tiled = psnr(tiled_, clean_.planes);
    std::printf("noisy %.2f dB, untiled %.2f dB, tiled %.2f dB\n", psnr(noisy_.planes, clean_.planes),
                untiled, tiled);
    EXPECT_GT(untiled, 28);
    EXPECT_GT(tiled, untiled - 0.1);
}

// A seam is a step that tiling adds and that goes one way along a whole line. It may be a tenth of what the
// picture does from pixel to pixel there, and less than the rounding to 8 bits hides.
TEST_F(TiledPhoto, SeamsAreNoSteeperThanThePicture) {
    std::vector<float> difference(tiled_.size());
    for (size_t i = 0; i < difference.size(); ++i)
        difference[i] = tiled_[i] - untiled_[i];
    for (bool vertical : {true, false}) {
        const pipeline::TileAxis &axis =
            vertical ? tiledSession_->plan().columns : tiledSession_->plan().rows;
        const uint32_t first = axis.origins[1], end = axis.origins[0] + axis.tile;
        double ofPicture = 0, seam = 0;
        for (uint32_t line = first; line < end; ++line) {
            ofPicture += stepsAcross(untiled_, line, vertical).size / (end - first);
            seam = std::max(seam, stepsAcross(difference, line, vertical).together);
        }
        std::printf("%s seam: a step of %.3f at most, the picture's own are %.2f on the mean (of 255)\n",
                    vertical ? "vertical" : "horizontal", seam, ofPicture);
        EXPECT_LE(seam, 0.1 * ofPicture);
        EXPECT_LE(seam, 0.5);
    }
    // One level of brightness between the halves would be seen.
    for (size_t i = 0; i < difference.size(); ++i)
        difference[i] += i % kSize < kSize / 2 ? 0 : 1 / 127.5f;
    EXPECT_GT(stepsAcross(difference, kSize / 2, true).together, 0.5);
}

// Where a tile's tensors are in memory, and which of them share it, goes with its size.
TEST_F(TiledPhoto, TilesOfOtherSizesAreAsGood) {
    const double untiled = psnr(untiled_, clean_.planes);
    for (uint32_t tile = kTile - 24; tile <= kTile + 40; tile += 8)
        EXPECT_GT(psnr(run(*session(tile)), clean_.planes), untiled - 0.5) << "tiles of " << tile;
}

// Last: it changes the session.
TEST_F(TiledPhoto, EqualsUntiledWithinOneLevelWhenStatisticsAreHeldFixed) {
    EXPECT_NE(tiled_, untiled_); // with statistics of its own it does not
    ASSERT_TRUE(succeeded(tiledSession_->fixStatistics(statistics_)));
    const std::vector<float> found = run(*tiledSession_);
    double worst = 0;
    for (size_t i = 0; i < found.size(); ++i)
        worst = std::max(worst, std::fabs(double(found[i]) - untiled_[i]) * 127.5);
    std::printf("receptive field %u, overlap %u: worst difference %.3f of 255\n",
                model_->model().receptiveField, tiledSession_->plan().columns.overlap, worst);
    EXPECT_LE(worst, 1.0);
}

} // namespace
} // namespace mote::test
