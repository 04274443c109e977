#include "pipeline/submissions.h"

#include <gtest/gtest.h>

#include <limits>

namespace mote::pipeline {
namespace {

TEST(Submissions, CloseBeforeThePieceThatWouldExceedTheBudget) {
    EXPECT_EQ(cutSubmissions({20, 20, 20, 20, 20}, 50), (std::vector<size_t>{2, 4, 5}));
    EXPECT_EQ(cutSubmissions({25, 25, 25}, 50), (std::vector<size_t>{2, 3}));
}

TEST(Submissions, PieceOverTheBudgetStandsAlone) {
    EXPECT_EQ(cutSubmissions({10, 90, 10}, 50), (std::vector<size_t>{1, 2, 3}));
    EXPECT_EQ(cutSubmissions({90}, 50), (std::vector<size_t>{1}));
}

TEST(Submissions, NothingMakesNone) {
    EXPECT_TRUE(cutSubmissions({}, 50).empty());
}

TEST(Submissions, NoneButALonePieceExceedsTheBudget) {
    std::vector<double> pieces;
    for (int i = 0; i < 200; ++i)
        pieces.push_back((i * 37) % 61);
    const std::vector<size_t> ends = cutSubmissions(pieces, 50);
    size_t first = 0;
    for (size_t end : ends) {
        ASSERT_GT(end, first);
        double sum = 0;
        for (size_t i = first; i < end; ++i)
            sum += pieces[i];
        EXPECT_TRUE(sum <= 50 || end - first == 1);
        first = end;
    }
    EXPECT_EQ(first, pieces.size());
}

TEST(SplitDispatch, CoversEveryWorkgroupOnceInEqualParts) {
    for (uint32_t groups : {1u, 7u, 64u, 1000u})
        for (double milliseconds : {0.0, 10.0, 50.0, 51.0, 170.0, 1e6}) {
            const std::vector<GroupRange> ranges = splitDispatch(groups, milliseconds, 50);
            uint32_t next = 0;
            for (const GroupRange &range : ranges) {
                EXPECT_EQ(range.first, next);
                ASSERT_GE(range.count, 1u);
                // Equal parts: none is over the budget by more than one workgroup's time.
                if (range.count > 1) {
                    EXPECT_LE(milliseconds * range.count / groups, 50.0 + milliseconds / groups);
                }
                next += range.count;
            }
            EXPECT_EQ(next, groups);
        }
    EXPECT_EQ(splitDispatch(100, 50, 50).size(), 1u);
    EXPECT_EQ(splitDispatch(100, 51, 50).size(), 2u);
}

TEST(SplitDispatch, SenselessTimesDoNotBreakIt) {
    EXPECT_EQ(splitDispatch(8, std::numeric_limits<double>::infinity(), 50).size(), 8u);
    EXPECT_EQ(splitDispatch(8, std::numeric_limits<double>::quiet_NaN(), 50).size(), 1u);
    EXPECT_EQ(splitDispatch(8, -1, 50).size(), 1u);
}

} // namespace
} // namespace mote::pipeline
