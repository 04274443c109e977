// Barriers where they are needed, and a checker that finds each one that is missing.
#include "graph/hazards.h"

#include <gtest/gtest.h>
#include <random>

namespace mote::test {
namespace {

RecordEntry dispatch(const std::string &name, std::vector<BufferRange> reads,
                     std::vector<BufferRange> writes) {
    return {RecordKind::Dispatch, name, std::move(reads), std::move(writes), false};
}

const RecordEntry kBarrier = {RecordKind::Barrier, "barrier", {}, {}, false};

std::vector<RecordEntry> withBarriers(const std::vector<RecordEntry> &dispatches) {
    const std::vector<bool> needed = placeBarriers(dispatches);
    std::vector<RecordEntry> list;
    for (size_t i = 0; i < dispatches.size(); ++i) {
        if (needed[i])
            list.push_back(kBarrier);
        list.push_back(dispatches[i]);
    }
    return list;
}

TEST(Hazards, EachKindIsFoundAndNamed) {
    const BufferRange bytes{3, 100, 200}, overlapping{3, 199, 300}, beside{3, 200, 300},
        elsewhere{4, 100, 200};
    const struct {
        const char *kind;
        RecordEntry first, second;
    } cases[] = {{"read after write", dispatch("norm", {}, {bytes}), dispatch("conv", {overlapping}, {})},
                 {"write after read", dispatch("norm", {bytes}, {}), dispatch("conv", {}, {overlapping})},
                 {"write after write", dispatch("norm", {}, {bytes}), dispatch("conv", {}, {overlapping})}};
    for (const auto &c : cases) {
        const Status status = checkHazards({c.first, c.second});
        EXPECT_EQ(status.code, StatusCode::Internal);
        for (const std::string part : {c.kind, "entry 0 'norm'", "entry 1 'conv'", "buffer 3", "100 to 200"})
            EXPECT_NE(status.message.find(part), std::string::npos) << part << ": " << status.message;
        EXPECT_TRUE(checkHazards({c.first, kBarrier, c.second}).ok());
        EXPECT_EQ(placeBarriers({c.first, c.second}), (std::vector<bool>{false, true}));
        for (const BufferRange &apart : {beside, elsewhere}) {
            RecordEntry other = c.second;
            (other.reads.empty() ? other.writes : other.reads)[0] = apart;
            EXPECT_TRUE(checkHazards({c.first, other}).ok());
            EXPECT_EQ(placeBarriers({c.first, other}), (std::vector<bool>{false, false}));
        }
    }
}

TEST(Hazards, ReadersDoNotWaitForEachOther) {
    const BufferRange bytes{0, 0, 64};
    const std::vector<RecordEntry> list = {dispatch("a", {bytes}, {{1, 0, 8}}),
                                           dispatch("b", {bytes}, {{1, 8, 16}})};
    EXPECT_TRUE(checkHazards(list).ok());
    EXPECT_EQ(placeBarriers(list), (std::vector<bool>{false, false}));
}

TEST(Hazards, ABarrierServesEverythingBeforeIt) {
    // The conflict of `c` with `a` is covered by the barrier before `b`.
    const std::vector<RecordEntry> list = {dispatch("a", {}, {{0, 0, 8}, {1, 0, 8}}),
                                           dispatch("b", {{0, 0, 8}}, {{2, 0, 8}}),
                                           dispatch("c", {{1, 0, 8}}, {{3, 0, 8}})};
    EXPECT_EQ(placeBarriers(list), (std::vector<bool>{false, true, false}));
    EXPECT_TRUE(checkHazards(withBarriers(list)).ok());
}

TEST(Hazards, AHazardAcrossOthersIsSeen) {
    const Status status =
        checkHazards({dispatch("first", {}, {{0, 0, 8}}), dispatch("between", {}, {{1, 0, 8}}),
                      dispatch("between too", {{2, 0, 8}}, {}), dispatch("last", {{0, 7, 8}}, {})});
    EXPECT_NE(status.message.find("entry 0 'first', then entry 3 'last'"), std::string::npos)
        << status.message;
}

TEST(Hazards, OnlyPointwiseDispatchesMayReadWhatTheyWrite) {
    RecordEntry inPlace = dispatch("sampler", {{0, 0, 64}}, {{0, 0, 64}});
    const Status status = checkHazards({inPlace});
    EXPECT_NE(status.message.find("entry 0 'sampler' reads what it writes"), std::string::npos)
        << status.message;
    inPlace.pointwise = true;
    EXPECT_TRUE(checkHazards({inPlace}).ok());
    EXPECT_FALSE(checkHazards({inPlace, inPlace}).ok()); // but never two of them without a barrier
    EXPECT_EQ(placeBarriers({inPlace, inPlace}), (std::vector<bool>{false, true}));
}

TEST(Hazards, EmptyRangesAreMistakes) {
    EXPECT_NE(checkHazards({dispatch("a", {{0, 8, 8}}, {})}).message.find("empty range 8 to 8"),
              std::string::npos);
    EXPECT_FALSE(checkHazards({dispatch("a", {}, {{0, 9, 8}})}).ok());
    EXPECT_TRUE(checkHazards({}).ok());
}

std::vector<RecordEntry> randomList(std::mt19937 &random, uint32_t length) {
    const auto below = [&random](uint32_t limit) { return static_cast<uint32_t>(random() % limit); };
    std::vector<RecordEntry> list;
    for (uint32_t i = 0; i < length; ++i) {
        RecordEntry entry = dispatch("d" + std::to_string(i), {}, {});
        entry.pointwise = true; // the ranges are random and may coincide
        for (std::vector<BufferRange> *ranges : {&entry.reads, &entry.writes})
            for (uint32_t k = below(3); k > 0; --k) {
                const uint64_t begin = below(1000);
                ranges->push_back({below(3), begin, begin + 1 + below(120)});
            }
        list.push_back(entry);
    }
    return list;
}

TEST(Hazards, PlacedBarriersSatisfyTheCheckerAndNoneCanGo) {
    std::mt19937 random(3);
    size_t barriers = 0, dispatches = 0;
    for (int trial = 0; trial < 300; ++trial) {
        const std::vector<RecordEntry> list =
            withBarriers(randomList(random, 2 + static_cast<uint32_t>(random() % 40)));
        const Status status = checkHazards(list);
        ASSERT_TRUE(status.ok()) << status.message;
        for (size_t i = 0; i < list.size(); ++i) {
            if (list[i].kind != RecordKind::Barrier) {
                ++dispatches;
                continue;
            }
            ++barriers;
            std::vector<RecordEntry> dropped = list;
            dropped.erase(dropped.begin() + static_cast<ptrdiff_t>(i));
            EXPECT_FALSE(checkHazards(dropped).ok()) << "trial " << trial << ", barrier at " << i;
        }
    }
    EXPECT_GT(barriers, 1000u);
    EXPECT_LT(barriers, dispatches);
}

} // namespace
} // namespace mote::test
