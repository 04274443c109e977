// The recorded lists: what they hold, that barriers stand where they must, and that removing one is noticed.
#include "pipeline/rig.h"
#include "support/validation.h"

#include "gpu/queue.h"
#include "graph/hazards.h"
#include "pipeline/staging.h"

#include <map>
#include <set>

namespace mote::test {
namespace {

using pipeline::Command;
using pipeline::CommandKind;
using Lists = std::vector<std::vector<Command>>;

struct Made {
    const char *caseName;
    uint32_t width, height, tile;
};
const Made kMade[] = {
    {"restore", 40, 24, 0},
    {"restore", 96, 64, 48},
    {"ddpm-uncond-32", 32, 32, 0},
    {"restore-sr-cond-64-conv", 48, 32, 0},
    {"restore-sr-cond-64-resnet", 32, 48, 0},
};

std::unique_ptr<pipeline::Session> makeOne(const Made &made) {
    pipeline::SessionOptions options;
    options.width = made.width;
    options.height = made.height;
    options.tileWidth = options.tileHeight = made.tile;
    return makeSession(loadModel(sharedDevice(), convertCase(made.caseName, {2})), options);
}

Lists listsOf(const pipeline::Session &session, uint32_t step) {
    Result<Lists> lists = session.recordedStep(step);
    EXPECT_TRUE(succeeded(lists));
    return lists.ok() ? lists.value() : Lists{};
}

std::vector<Command> flat(const Lists &lists) {
    std::vector<Command> all;
    for (const std::vector<Command> &list : lists)
        all.insert(all.end(), list.begin(), list.end());
    return all;
}

TEST(RecordedList, HasABarrierBetweenEveryConflictingPair) {
    for (const Made &made : kMade) {
        const auto session = makeOne(made);
        Lists lists = listsOf(*session, 0);
        const Lists second = listsOf(*session, 1);
        lists.insert(lists.end(), second.begin(), second.end());
        EXPECT_GT(flat(lists).size(), 50u);
        EXPECT_TRUE(succeeded(checkHazards(recordEntries(flat(lists))))) << made.caseName;
    }
}

TEST(RecordedList, IsRefusedWithoutAnyOneOfItsInnerBarriers) {
    const auto session = makeOne(kMade[0]);
    for (const std::vector<Command> &list : listsOf(*session, 0)) {
        ASSERT_EQ(list.front().kind, CommandKind::Barrier);
        for (size_t i = 1; i < list.size(); ++i) {
            if (list[i].kind != CommandKind::Barrier)
                continue;
            std::vector<Command> mutated = list;
            mutated.erase(mutated.begin() + static_cast<std::ptrdiff_t>(i));
            EXPECT_FALSE(checkHazards(recordEntries(mutated)).ok()) << "barrier " << i;
        }
    }
}

// The same mutation, seen by the validation layer: the proof and the driver's view agree.
TEST(RecordedList, WithoutABarrierIsCaughtBySynchronisationValidation) {
    if (std::string(MOTE_TEST_VULKAN_LIBRARY).empty())
        GTEST_SKIP() << "no layers in sanitizer builds";
    const auto session = makeOne(kMade[0]);
    std::vector<Command> list = listsOf(*session, 0)[0];
    size_t inner = 1;
    while (list[inner].kind != CommandKind::Barrier)
        ++inner;
    list.erase(list.begin() + static_cast<std::ptrdiff_t>(inner));
    gpu::Device &device = *session->model().device();
    Result<gpu::CommandBuffer> commands = gpu::CommandBuffer::create(device);
    ASSERT_TRUE(succeeded(commands));
    ExpectedMessages messages;
    ASSERT_TRUE(
        succeeded(pipeline::recordAll(device.pipelines(), session->buffers(), list, commands.value())));
    EXPECT_GT(messages.count("SYNC-HAZARD"), 0u);
}

// Two norms, two convolutions and a shortcut; a convolution by Winograd's algorithm is three and makes the
// norm that it reads. Of maps so large that a dispatch for the norm's coefficients is nothing beside them it
// has one, and of larger ones three for each band.
TEST(RecordedList, HasAtMostFiveDispatchesForAResidualBlockAndSevenWithWinograd) {
    size_t byWinograd = 0;    // blocks with two such convolutions
    size_t small = 0;         // blocks by it without dispatches for coefficients
    bool hasWinograd = false; // it is for software devices with subgroups of eight
    for (const Made &made : kMade) {
        if (made.tile != 0)
            continue;
        const auto session = makeOne(made);
        const Traits &traits = session->model().traits();
        hasWinograd = traits.cpu && traits.caps.subgroupSize == 8 && traits.caps.bufferDeviceAddress;
        const Graph &graph = session->model().graph();
        std::map<std::string, std::set<uint32_t>> blocks; // name up to "resnets.0" -> whole dispatches
        std::map<std::string, std::map<uint32_t, uint32_t>> products; // of a block: per op by Winograd
        std::map<std::string, size_t> coefficients;
        for (const Command &command : flat(listsOf(*session, 0))) {
            if (command.kind != CommandKind::Dispatch || command.op == kNone)
                continue;
            const std::string &name = graph.ops[command.op].name;
            const size_t at = name.find("resnets.");
            if (at != std::string::npos) {
                const std::string block = name.substr(0, name.find('.', at + 8));
                blocks[block].insert(command.whole);
                if (command.dispatch.name.find("winograd product") != std::string::npos)
                    ++products[block][command.op];
                coefficients[block] += command.dispatch.name.find("(coefficients)") != std::string::npos;
            }
        }
        EXPECT_GE(blocks.size(), 7u) << made.caseName;
        size_t whole = 0;
        for (const auto &[block, dispatches] : blocks) {
            const bool banded = std::any_of(products[block].begin(), products[block].end(),
                                            [](const auto &product) { return product.second > 1; });
            if (banded)
                continue;
            ++whole;
            const bool winograd = !products[block].empty();
            byWinograd += products[block].size() == 2;
            small += winograd && coefficients[block] == 0;
            // Where it is in one dispatch, that of the coefficients takes the place of the norm's.
            EXPECT_LE(coefficients[block], 2u) << made.caseName << " " << block;
            EXPECT_LE(dispatches.size() - std::min(coefficients[block], products[block].size()),
                      winograd ? 7u : 5u)
                << made.caseName << " " << block;
        }
        EXPECT_GE(whole, 7u) << made.caseName;
        std::printf("%-28s %u dispatches, %u pipelines\n", made.caseName, session->dispatchCount(),
                    session->pipelineCount());
    }
    EXPECT_EQ(byWinograd > 0, hasWinograd);
    EXPECT_EQ(small > 0, hasWinograd);
}

TEST(RecordedList, IsCutIntoSubmissionsOfTheBudget) {
    pipeline::SessionOptions options;
    options.width = options.height = 96;
    options.submissionMilliseconds = 1;
    const auto session = makeSession(loadModel(sharedDevice(), convertCase("restore", {1})), options);
    // Not prepared: the times are those assumed, the same on every machine.
    size_t slices = 0, dispatches = 0;
    for (const std::vector<Command> &list : listsOf(*session, 0)) {
        double sum = 0;
        size_t parts = 0;
        for (const Command &command : list) {
            sum += command.milliseconds;
            parts += command.kind == CommandKind::Dispatch;
        }
        EXPECT_TRUE(sum <= 1.0 || parts == 1) << sum << " ms in " << parts << " dispatches";
        slices += parts;
    }
    dispatches = session->dispatchCount() + 1; // and the sampler
    EXPECT_GT(slices, dispatches);             // large ones were cut
    EXPECT_GT(session->submissionCount(), 4u);
}

TEST(RecordedList, CutIntoManySlicesGivesTheSameBits) {
    const auto model = loadModel(sharedDevice(), convertCase("restore", {2}));
    std::vector<float> results[2];
    for (int cut = 0; cut < 2; ++cut) {
        pipeline::SessionOptions options;
        options.width = 56;
        options.height = 40;
        options.submissionMilliseconds = cut == 0 ? 10000 : 1;
        const auto session = makeSession(model, options);
        std::vector<float> condition(3 * 40 * 56);
        for (size_t i = 0; i < condition.size(); ++i)
            condition[i] = static_cast<float>(static_cast<int>(i * 31 % 200) - 100) / 100.0f;
        results[cut].resize(condition.size());
        const pipeline::TensorView in = viewOf(condition, 3, 40, 56), out = viewOf(results[cut], 3, 40, 56);
        ASSERT_TRUE(succeeded(session->bindTensor("condition", &in)));
        ASSERT_TRUE(succeeded(session->bindOutputTensor(&out)));
        ASSERT_TRUE(succeeded(session->run({}, nullptr)));
    }
    EXPECT_EQ(results[0], results[1]);
}

} // namespace
} // namespace mote::test
