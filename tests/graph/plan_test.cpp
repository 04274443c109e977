// The memory plan: buffers that live together lie apart, and little is wasted.
#include "graph/plan.h"
#include "graph/shapes.h"
#include "model/sample_model.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace mote::test {
namespace {

void expectSound(const std::vector<PlanBuffer> &buffers, const MemoryPlan &plan, uint64_t limit) {
    ASSERT_EQ(plan.placements.size(), buffers.size());
    uint64_t sum = 0;
    for (const uint64_t bytes : plan.chunkBytes) {
        EXPECT_LE(bytes, limit);
        EXPECT_GT(bytes, 0u);
        sum += bytes;
    }
    EXPECT_EQ(plan.peakBytes, sum);
    EXPECT_GE(plan.peakBytes, plan.lowerBound);
    for (size_t i = 0; i < buffers.size(); ++i) {
        const Placement &at = plan.placements[i];
        ASSERT_LT(at.chunk, plan.chunkBytes.size());
        EXPECT_EQ(at.offset % buffers[i].alignment, 0u);
        EXPECT_LE(at.offset + buffers[i].bytes, plan.chunkBytes[at.chunk]);
        for (size_t j = 0; j < i; ++j) {
            const bool together =
                buffers[i].firstUse <= buffers[j].lastUse && buffers[j].firstUse <= buffers[i].lastUse;
            const Placement &other = plan.placements[j];
            const bool overlap = at.chunk == other.chunk && at.offset < other.offset + buffers[j].bytes &&
                                 other.offset < at.offset + buffers[i].bytes;
            EXPECT_FALSE(together && overlap) << buffers[i].name << " over " << buffers[j].name;
        }
    }
}

// Most bytes alive at one position, counted position by position.
uint64_t countedBound(const std::vector<PlanBuffer> &buffers, uint32_t positions) {
    uint64_t most = 0;
    for (uint32_t p = 0; p < positions; ++p) {
        uint64_t alive = 0;
        for (const PlanBuffer &buffer : buffers)
            if (buffer.firstUse <= p && p <= buffer.lastUse)
                alive += buffer.bytes;
        most = std::max(most, alive);
    }
    return most;
}

TEST(MemoryPlan, RandomIntervalsNeverMeet) {
    std::mt19937 random(11);
    const auto below = [&random](uint32_t limit) { return static_cast<uint32_t>(random() % limit); };
    for (int trial = 0; trial < 300; ++trial) {
        std::vector<PlanBuffer> buffers(1 + below(60));
        const uint32_t positions = 1 + below(40);
        for (size_t i = 0; i < buffers.size(); ++i) {
            PlanBuffer &b = buffers[i];
            b.name = "b" + std::to_string(i);
            b.bytes = 1 + below(below(4) == 0 ? 100000 : 1000);
            b.alignment = uint64_t{1} << below(9);
            b.firstUse = below(positions);
            b.lastUse = b.firstUse + below(positions - b.firstUse);
        }
        const uint64_t limit = below(2) == 0 ? uint64_t{1} << 40 : 110000;
        const Result<MemoryPlan> plan = planMemory(buffers, limit);
        ASSERT_TRUE(plan.ok()) << plan.status().message;
        expectSound(buffers, plan.value(), limit);
        EXPECT_EQ(plan->lowerBound, countedBound(buffers, positions));
        if (limit > 110000) {
            EXPECT_EQ(plan->chunkBytes.size(), 1u);
        }
    }
}

TEST(MemoryPlan, IsTheSameEveryTime) {
    std::vector<PlanBuffer> buffers;
    for (uint32_t i = 0; i < 50; ++i)
        buffers.push_back({"b", (i * 7919u) % 13 * 1000 + 1, 256, i, i + i % 5});
    const MemoryPlan first = std::move(planMemory(buffers, 1u << 20).value());
    for (int again = 0; again < 3; ++again) {
        const MemoryPlan plan = std::move(planMemory(buffers, 1u << 20).value());
        EXPECT_EQ(plan.chunkBytes, first.chunkBytes);
        for (size_t i = 0; i < buffers.size(); ++i) {
            EXPECT_EQ(plan.placements[i].chunk, first.placements[i].chunk);
            EXPECT_EQ(plan.placements[i].offset, first.placements[i].offset);
        }
    }
}

TEST(MemoryPlan, ABufferMayTakeTheWholeLimitButNoByteMore) {
    const Result<MemoryPlan> fits =
        planMemory({{"map", 1 << 20, 256, 0, 1}, {"map2", 1 << 20, 256, 1, 2}}, 1 << 20);
    ASSERT_TRUE(fits.ok());
    EXPECT_EQ(fits->chunkBytes, (std::vector<uint64_t>{1 << 20, 1 << 20}));
    const Status status = planMemory({{"map", (1 << 20) + 1, 256, 0, 1}}, 1 << 20).status();
    EXPECT_EQ(status.code, StatusCode::Unsupported);
    EXPECT_NE(status.message.find("'map' needs 1048577 bytes in one piece; this device allows 1048576"),
              std::string::npos)
        << status.message;
}

TEST(MemoryPlan, LivesThatTouchAtOnePositionAreTogether) {
    // An op reads `a` and writes `b` at position 1: both are there.
    const Result<MemoryPlan> plan =
        planMemory({{"a", 100, 1, 0, 1}, {"b", 100, 1, 1, 2}, {"c", 100, 1, 2, 3}}, 1000);
    ASSERT_TRUE(plan.ok());
    EXPECT_EQ(plan->peakBytes, 200u);
    EXPECT_NE(plan->placements[0].offset, plan->placements[1].offset);
    EXPECT_EQ(plan->placements[0].offset, plan->placements[2].offset);
}

TEST(MemoryPlan, NothingToPlaceIsAPlanOfNothing) {
    const Result<MemoryPlan> plan = planMemory({}, 100);
    ASSERT_TRUE(plan.ok());
    EXPECT_EQ(plan->peakBytes, 0u);
    EXPECT_TRUE(plan->chunkBytes.empty());
}

TEST(MemoryPlan, ImpossibleBuffersAreRefusedNotWrapped) {
    EXPECT_EQ(planMemory({{"a", 0, 1, 0, 0}}, 100).status().code, StatusCode::Internal);
    EXPECT_EQ(planMemory({{"a", 1, 3, 0, 0}}, 100).status().code, StatusCode::Internal);
    EXPECT_EQ(planMemory({{"a", 1, 0, 0, 0}}, 100).status().code, StatusCode::Internal);
    EXPECT_EQ(planMemory({{"a", 1, 1, 2, 1}}, 100).status().code, StatusCode::Internal);
    const std::vector<PlanBuffer> many(5, {"a", uint64_t{1} << 62, 256, 0, 0});
    const Status status = planMemory(many, ~uint64_t{0}).status();
    EXPECT_EQ(status.code, StatusCode::OutOfMemory);
    EXPECT_NE(status.message.find("2^62"), std::string::npos);
    EXPECT_EQ(planMemory({{"a", ~uint64_t{0}, 256, 0, 0}}, ~uint64_t{0}).status().code,
              StatusCode::OutOfMemory);
}

TEST(MemoryPlan, ThousandsOfBuffersTakeLittleTime) {
    std::vector<PlanBuffer> buffers;
    for (uint32_t i = 0; i < 8192; ++i)
        buffers.push_back({"b", 1 + (i * 2654435761u) % 100000, 256, i / 4, i / 4 + i % 7});
    const Result<MemoryPlan> plan = planMemory(buffers, uint64_t{1} << 40);
    ASSERT_TRUE(plan.ok());
    EXPECT_LE(plan->peakBytes * 100, plan->lowerBound * 130);
}

TEST(Liveness, FollowsTheOps) {
    const Sample sample = sampleModel();
    const std::vector<Liveness> uses = tensorLiveness(sample.model.graphs[0]);
    const auto expectUse = [&uses](size_t tensor, uint32_t first, uint32_t last) {
        EXPECT_EQ(uses[tensor].firstUse, first) << tensor;
        EXPECT_EQ(uses[tensor].lastUse, last) << tensor;
    };
    expectUse(0, 0, 0);    // x
    expectUse(2, 0, 1);    // joined
    expectUse(3, 1, 11);   // high, the skip connection
    expectUse(5, 3, 7);    // low, the residual of `project`
    expectUse(10, 8, 12);  // up
    expectUse(12, 13, 13); // model_output
    expectUse(13, 9, 10);  // filtered
}

} // namespace
} // namespace mote::test
