// Every row of the recorded scheduler configurations, as a file holds it, through the sampler's kernels:
// |error| <= 4 * 2^-24 * sum|terms|, from the states of a replay in double.
#include "kernel_rig.h"
#include "row_reference.h"
#include "scheduler_goldens.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>

namespace mote::test {
namespace {

using convert::schedule::GoldenRun;
using convert::schedule::SchedulerGoldens;

std::vector<float> narrowed(std::span<const double> values) {
    return {values.begin(), values.end()};
}

class GoldenRows : public Kernels {
protected:
    // All rows of a run in one list of dispatches, each on buffers of its own.
    void runGolden(const GoldenRun &golden) {
        const convert::schedule::Table table = compileGolden(golden, convert::schedule::Rounding::Library);
        std::vector<float> timesteps;
        const Recipe recipe = toRecipe(table, "golden", timesteps);
        const auto count = static_cast<uint32_t>(golden.start.size());
        const uint32_t batch = golden.thinned ? 1 : 2;
        const ImageExtent whole{batch, 1, 1, count / batch, 0};
        const BufferRange session = buffer(sessionBytes(whole.batch));
        std::memcpy(bytesOf(session), std::vector<SessionWords>(1).data(), sizeof(SessionWords));
        const uint64_t measured = measureBytes(recipe, whole);
        const BufferRange memory = measured == 0 ? BufferRange{} : buffer(measured);

        struct Run {
            SamplerBuffers buffers;
            RowSums expected;
            uint32_t store = kNone;
        };
        std::vector<Run> runs;
        std::vector<Dispatch> list;
        RowOperands operands;
        for (const double value : golden.start)
            operands.x.push_back(static_cast<float>(table.initNoise * value));
        uint32_t written = 0;
        for (size_t index = 0; index < recipe.rows.size(); ++index) {
            const StepRow &row = recipe.rows[index];
            operands.m.clear();
            for (const float x : operands.x)
                operands.m.push_back(static_cast<float>(
                    convert::schedule::syntheticOutput(golden.function, double{x}, double{row.timestep})));
            operands.z = narrowed(golden.noise[index]);
            Run run;
            run.expected = rowInDouble(row, whole, operands);
            run.store = row.store;
            run.buffers.state = floats(operands.x);
            run.buffers.modelOutput = floats(operands.m);
            run.buffers.noise = floats(operands.z);
            run.buffers.session = session;
            run.buffers.registerStride = (count + 63) / 64 * 64; // floats; a binding begins at 256 bytes
            run.buffers.registers = buffer(4 * run.buffers.registerStride * sizeof(float));
            for (size_t k = 0; k < 4; ++k)
                if (!operands.registers[k].empty())
                    std::memcpy(bytesOf(run.buffers.registers) +
                                    k * run.buffers.registerStride * sizeof(float),
                                operands.registers[k].data(), count * sizeof(float));
            Result<std::vector<Dispatch>> before =
                buildRowMeasures(row, {{whole, run.buffers}}, memory, 0, traits());
            ASSERT_TRUE(before.ok()) << before.status().message;
            list.insert(list.end(), before->begin(), before->end());
            Result<Dispatch> dispatch = buildSamplerRow(row, written, whole, run.buffers, 0, 1, traits());
            ASSERT_TRUE(dispatch.ok()) << dispatch.status().message;
            list.push_back(std::move(dispatch.value()));
            operands.x = narrowed(run.expected.next);
            if (row.store != kNone) {
                written |= 1u << row.store;
                operands.registers[row.store] = narrowed(run.expected.kept);
            }
            flagged += before->empty() ? 0 : 1;
            ++rows;
            runs.push_back(std::move(run));
        }
        run(list);
        for (size_t index = 0; index < runs.size(); ++index) {
            const Run &run = runs[index];
            const auto compare = [&](const float *found, const std::vector<double> &expected,
                                     const std::vector<double> &terms) {
                for (size_t i = 0; i < expected.size(); ++i) {
                    const double bound = 4 * 0x1p-24 * terms[i];
                    const double error = std::fabs(double{found[i]} - expected[i]);
                    ASSERT_LE(error, bound) << golden.name() << ", row " << index << ", element " << i;
                    worst = std::max(worst, bound > 0 ? error / bound : 0);
                }
            };
            compare(floatsOf(run.buffers.state).data(), run.expected.next, run.expected.nextTerms);
            if (run.store != kNone)
                compare(floatsOf(run.buffers.registers).data() + run.store * run.buffers.registerStride,
                        run.expected.kept, run.expected.keptTerms);
        }
        ErrorLog::note(flagged != 0 ? "golden rows, flagged" : "golden rows", worst);
        buffers_.clear();
    }

    size_t rows = 0, flagged = 0;
    double worst = 0;
};

TEST_F(GoldenRows, KeepTheBoundOneAtATime) {
    size_t runs = 0, allRows = 0, allFlagged = 0;
    double overall = 0;
    std::map<std::string, std::pair<size_t, double>> byScheduler; // rows, worst
    for (const GoldenRun &golden : SchedulerGoldens::get().runs()) {
        rows = flagged = 0;
        worst = 0;
        runGolden(golden);
        ASSERT_FALSE(HasFatalFailure()) << golden.name();
        ++runs;
        allRows += rows;
        allFlagged += flagged;
        overall = std::max(overall, worst);
        auto &[ofScheduler, worstOfScheduler] = byScheduler[golden.scheduler];
        ofScheduler += rows;
        worstOfScheduler = std::max(worstOfScheduler, worst);
    }
    std::printf("%zu runs, %zu rows, of them %zu with a measure; worst error %.3g of the bound\n", runs,
                allRows, allFlagged, overall);
    for (const auto &[scheduler, tally] : byScheduler) // for bench/goldens.py
        RecordProperty("kernel." + scheduler, nlohmann::json({tally.first, tally.second}).dump());
    EXPECT_EQ(runs, 1883u);
    EXPECT_GT(allFlagged, 0u);
}

} // namespace
} // namespace mote::test
