// Single rows: fp32 arithmetic against a bound that needs no tolerance per sampler, mutated coefficients, the
// algebra of forms, and the form that a file holds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "scheduler_goldens.h"

namespace mote::convert::schedule {
namespace {

constexpr double kHalfUlp = 1.0 / (1 << 24); // 2^-24

double rounded(double value) {
    return static_cast<double>(static_cast<float>(value));
}

// The row with every coefficient as a file holds it.
Row singlePrecision(Row row) {
    for (double *value : {&row.p, &row.q, &row.a, &row.b, &row.g, &row.e, &row.c, &row.u, &row.v, &row.w,
                          &row.clip.low, &row.clip.high, &row.clip.quantile, &row.clip.maximum})
        *value = rounded(*value);
    for (double &value : row.h)
        value = rounded(value);
    return row;
}

SchedulerConfig configOf(const char *text) {
    return parseSchedulerConfig(text, "test.json");
}

Table tableOf(const char *config, int64_t steps, NamedValues options = {},
              Rounding rounding = Rounding::Exact) {
    return compile(configOf(config), "",
                   {.steps = steps, .timesteps = {}, .options = std::move(options), .rounding = rounding});
}

// |error| <= 4 * 2^-24 * sum |terms| for each row of each run of at most 20 steps, from the states of the
// double replay.
TEST(StepTableRow, InSinglePrecisionStaysWithinFourHalfUlpsOfItsTerms) {
    double worst = 0;
    size_t rows = 0;
    for (const GoldenRun &golden : SchedulerGoldens::get().runs()) {
        if (golden.steps > 20)
            continue;
        const Table table = compileGolden(golden, Rounding::Library);
        const size_t count = golden.start.size(), batch = 2;
        std::vector<double> x(count);
        std::array<std::vector<double>, kRegisters> registers;
        for (size_t i = 0; i < count; ++i)
            x[i] = rounded(table.initNoise * golden.start[i]);
        for (size_t index = 0; index < table.rows.size(); ++index) {
            const Row row = singlePrecision(table.rows[index]);
            std::vector<double> m(count), z(count);
            for (size_t i = 0; i < count; ++i) {
                m[i] = rounded(syntheticOutput(golden.function, x[i], row.timestep));
                z[i] = rounded(golden.noise[index][i]);
            }
            auto narrow = [](const std::vector<double> &values) {
                return std::vector<float>(values.begin(), values.end());
            };
            const std::vector<float> x32 = narrow(x), m32 = narrow(m), z32 = narrow(z);
            std::array<std::vector<float>, kRegisters> registers32;
            RowOperands<double> wide{x, m, {}, {}, z, {}, {}};
            RowOperands<float> single{x32, m32, {}, {}, z32, {}, {}};
            for (size_t k = 0; k < registers.size(); ++k) {
                registers32[k] = narrow(registers[k]);
                wide.registers[k] = registers[k];
                single.registers[k] = registers32[k];
            }
            const RowResult<double> expected = applyRow<double>(row, batch, wide);
            const RowResult<float> found = applyRow<float>(row, batch, single);
            for (size_t i = 0; i < count; ++i) {
                const double x0Terms = std::abs(row.p * x[i]) + std::abs(row.q * m[i]);
                double terms = std::abs(row.a * x[i]) + std::abs(row.b * m[i]) + std::abs(row.g) * x0Terms +
                               std::abs(row.c * z[i]);
                for (size_t k = 0; k < registers.size(); ++k)
                    if (row.h[k] != 0)
                        terms += std::abs(row.h[k] * registers[k][i]);
                const double bound = 4 * kHalfUlp * terms;
                const double error = std::abs(static_cast<double>(found.next[i]) - expected.next[i]);
                ASSERT_LE(error, bound) << golden.name() << ", row " << index;
                worst = std::max(worst, bound > 0 ? error / bound : 0);
                if (row.store >= 0) {
                    const double kept =
                        std::abs(row.u * x[i]) + std::abs(row.v * m[i]) + std::abs(row.w) * x0Terms;
                    ASSERT_LE(std::abs(static_cast<double>(found.kept[i]) - expected.kept[i]),
                              4 * kHalfUlp * kept)
                        << golden.name() << ", row " << index;
                }
            }
            ++rows;
            for (size_t i = 0; i < count; ++i)
                x[i] = rounded(expected.next[i]);
            if (row.store >= 0) {
                registers[static_cast<size_t>(row.store)] = expected.kept;
                for (double &value : registers[static_cast<size_t>(row.store)])
                    value = rounded(value);
            }
        }
    }
    std::printf("%zu rows in fp32, worst error %.3g of 4 * 2^-24 * sum|terms|\n", rows, worst);
}

// The comparison with the goldens must notice one wrong coefficient: the largest of each row, changed by one
// part in 10^6.
TEST(StepTableRow, OneWrongCoefficientIsFarOutsideTheTolerance) {
    constexpr double kChange = 1e-4, kTolerance = 1e-8;
    std::set<std::string> seen;
    size_t mutations = 0;
    for (const GoldenRun &golden : SchedulerGoldens::get().runs()) {
        if (golden.steps != 4 || !seen.insert(golden.scheduler).second)
            continue;
        const Table table = compileGolden(golden, Rounding::Exact);
        ASSERT_LE(relativeError(replay(golden, table).back(), golden.exact.back()), kTolerance);
        for (size_t i = 0; i < table.rows.size(); ++i) {
            Table mutant = table;
            Row &row = mutant.rows[i];
            double *largest = &row.a;
            for (double *value : {&row.b, &row.g, &row.h[0], &row.h[1], &row.h[2], &row.h[3]})
                if (std::abs(*value) > std::abs(*largest))
                    largest = value;
            *largest *= 1 + kChange;
            const std::vector<std::vector<double>> states = replay(golden, mutant);
            double worst = 0;
            for (size_t s = 0; s < states.size(); ++s)
                worst = std::max(worst, relativeError(states[s], golden.exact[s]));
            EXPECT_GT(worst, kTolerance) << golden.name() << ", row " << i;
            ++mutations;
        }
    }
    EXPECT_EQ(seen.size(), 21u);
    std::printf("%zu mutations caught\n", mutations);
}

TEST(StepTableRow, AbsentTermsAreSkippedNotMultipliedByZero) {
    Row row;
    row.a = 1;
    const double x[] = {2.0}, notANumber[] = {NAN};
    RowOperands<double> operands{x, notANumber, {}, {}, notANumber, {}, {}};
    operands.registers[0] = notANumber;
    EXPECT_EQ(applyRow<double>(row, 1, operands).next[0], 2.0);
}

TEST(StepTableRow, ThresholdTakesTheInterpolatedQuantilePerImage) {
    Row row;
    row.p = row.g = 1;
    row.clip = {.kind = ClipKind::Threshold, .quantile = 0.5, .maximum = 10};
    const double x[] = {0.5, -4, 3, 8, /* second image */ 0.1, 0.2, -0.3, 0.4};
    const std::vector<double> found = applyRow<double>(row, 2, {x, {}, {}, {}, {}, {}, {}}).next;
    // |x0| sorted: 0.5 3 4 8, median 3.5; the second image's median is below 1
    const double expected[] = {0.5 / 3.5, -1, 3 / 3.5, 1, 0.1, 0.2, -0.3, 0.4};
    for (size_t i = 0; i < found.size(); ++i)
        EXPECT_DOUBLE_EQ(found[i], expected[i]) << i;
}

TEST(StepTableRow, RegistersAreReadBeforeTheyAreWritten) {
    std::vector<Step> steps(3);
    for (Step &step : steps)
        step.prediction = kM;
    steps[0].next = kX;
    steps[0].store = 0;
    steps[0].keep = kX;
    steps[1].next = registerTerm(0) + kM;
    steps[1].store = 0;
    steps[1].keep = 10 * kX;
    steps[2].next = registerTerm(0);
    const Table table = finishTable("test", 3, {}, steps);
    const double start[] = {3.0};
    RunInputs<double> inputs;
    inputs.noise = start;
    const Trajectory<double> run = runTable<double>(table, inputs,
                                                    [](std::span<const double>, const Row &, size_t,
                                                       std::span<double> m, std::span<double>) { m[0] = 4; });
    EXPECT_EQ(run.states[2][0], 7);  // r0 = 3, m = 4
    EXPECT_EQ(run.states[3][0], 30); // r0 = 10 x of the second row
}

TEST(StepTable, FoldsX0AwayUnlessItIsClipped) {
    const char *plain = R"({"_class_name": "DDIMScheduler", "clip_sample": false})";
    for (const Row &row : tableOf(plain, 4).rows)
        EXPECT_EQ(row.g, 0);
    const Table clipped = tableOf(R"({"_class_name": "DDIMScheduler"})", 4);
    for (size_t i = 0; i < clipped.rows.size(); ++i) {
        const Row &row = clipped.rows[i];
        EXPECT_NE(row.g, 0);
        EXPECT_EQ(row.b != 0, i + 1 < clipped.rows.size()); // beside the clipped x0, until the last step
        EXPECT_EQ(row.a, 0);
        EXPECT_EQ(row.clip.high, 1);
    }
}

TEST(StepTable, GivenTimestepsOfASpacedRunGiveTheSameRows) {
    const SchedulerConfig config = configOf(R"({"_class_name": "DDIMScheduler"})");
    const Table spaced = compile(config, "", {.steps = 4, .timesteps = {}, .options = {{"eta", "0.5"}}});
    const Table given =
        compile(config, "", {.steps = 0, .timesteps = {750, 500, 250, 0}, .options = {{"eta", "0.5"}}});
    ASSERT_EQ(given.rows.size(), spaced.rows.size());
    EXPECT_EQ(given.steps, 4);
    for (size_t i = 0; i < given.rows.size(); ++i) {
        EXPECT_EQ(given.rows[i].timestep, spaced.rows[i].timestep);
        EXPECT_EQ(given.rows[i].b, spaced.rows[i].b);
        EXPECT_EQ(given.rows[i].g, spaced.rows[i].g);
        EXPECT_EQ(given.rows[i].c, spaced.rows[i].c);
    }
}

TEST(StepTable, DdimTakesTimestepsInAnyOrderAndRepeated) {
    const SchedulerConfig config = configOf(R"({"_class_name": "DDIMScheduler"})");
    const Table table = compile(config, "", {.steps = 0, .timesteps = {10, 999, 500, 500}, .options = {}});
    ASSERT_EQ(table.rows.size(), 4u);
    EXPECT_EQ(table.rows[1].timestep, 999);
    EXPECT_EQ(table.rows[2].p, table.rows[3].p);
    std::vector<float> timesteps = {500};
    const Recipe recipe = toRecipe(table, "eval", timesteps);
    EXPECT_EQ(timesteps, (std::vector<float>{500, 10, 999}));
    EXPECT_EQ(recipe.rows[0].timestepIndex, 1u);
    EXPECT_EQ(recipe.rows[2].timestepIndex, 0u);
    EXPECT_EQ(recipe.rows[3].timestepIndex, 0u);
}

TEST(StepTable, RecipeHoldsTheTableRoundedToSinglePrecision) {
    const Table table = tableOf(R"({"_class_name": "UniPCMultistepScheduler", "solver_order": 3})", 8);
    std::vector<float> timesteps;
    const Recipe recipe = toRecipe(table, "8", timesteps);
    EXPECT_EQ(recipe.sampler, "unipc");
    EXPECT_EQ(recipe.steps, 8u);
    ASSERT_EQ(recipe.rows.size(), table.rows.size());
    for (size_t i = 0; i < table.rows.size(); ++i) {
        EXPECT_EQ(recipe.rows[i].a, static_cast<float>(table.rows[i].a));
        EXPECT_EQ(recipe.rows[i].b, static_cast<float>(table.rows[i].b));
        EXPECT_EQ(recipe.rows[i].p, static_cast<float>(table.rows[i].p));
        EXPECT_EQ(recipe.rows[i].u, static_cast<float>(table.rows[i].u));
        for (size_t k = 0; k < table.rows[i].h.size(); ++k)
            EXPECT_EQ(recipe.rows[i].h[k], static_cast<float>(table.rows[i].h[k]));
        EXPECT_EQ(recipe.rows[i].store, static_cast<uint32_t>(table.rows[i].store));
        EXPECT_EQ(timesteps.at(recipe.rows[i].timestepIndex), recipe.rows[i].timestep);
    }
}

TEST(StepTable, RecipeHoldsDataDependentOperationsAsFlags) {
    std::vector<float> timesteps;
    const Table learned = tableOf(R"({"_class_name": "DDPMScheduler", "variance_type": "learned_range"})", 4);
    const Recipe variance = toRecipe(learned, "variance", timesteps);
    for (size_t i = 0; i < 3; ++i) {
        const StepRow &row = variance.rows[i];
        const LearnedVariance &of = learned.rows[i].learned;
        EXPECT_EQ(row.variance, VarianceKind::Interpolated);
        EXPECT_FLOAT_EQ(row.c, static_cast<float>(std::exp(of.low / 2)));
        EXPECT_FLOAT_EQ(row.c * std::exp(row.varianceExponent), static_cast<float>(std::exp(of.high / 2)));
    }
    EXPECT_EQ(variance.rows[3].variance, VarianceKind::Fixed); // the step to the image takes no noise
    const Recipe direct = toRecipe(
        tableOf(R"({"_class_name": "DDPMScheduler", "variance_type": "learned"})", 4), "direct", timesteps);
    EXPECT_EQ(direct.rows[0].variance, VarianceKind::Direct);
    EXPECT_EQ(direct.rows[0].c, 1);
    const Table painted = tableOf(R"({"_class_name": "RePaintScheduler"})", 4);
    const Recipe known = toRecipe(painted, "known", timesteps);
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_TRUE(known.rows[i].known);
        EXPECT_EQ(known.rows[i].knownImage, static_cast<float>(painted.rows[i].known->at(0)));
        EXPECT_EQ(known.rows[i].knownNoise, static_cast<float>(painted.rows[i].known->at(1)));
        EXPECT_EQ(known.rows[i].draws, 1u);
    }
    const Recipe norms =
        toRecipe(tableOf(R"({"_class_name": "ScoreSdeVeScheduler"})", 2), "norms", timesteps);
    EXPECT_TRUE(norms.rows[0].langevin);
    EXPECT_FALSE(norms.rows[1].langevin);
}

TEST(StepTable, StateIsTheNetworksInput) {
    // diffusers scales the state by 1 / sqrt(sigma^2 + 1) before the network; the table keeps it scaled.
    const Table table = tableOf(R"({"_class_name": "EulerDiscreteScheduler"})", 4);
    EXPECT_LT(table.initScale, 0.01);
    EXPECT_NEAR(table.initNoise, 1, 1e-4);
    EXPECT_EQ(table.rows.back().scale, 1);
}

// A seed gives PyTorch's picture only if as many normals are taken from the generator.
TEST(StepTable, DrawsAsManyNormalsAsTheLibrary) {
    auto draws = [](const char *config, NamedValues options = {}) {
        std::vector<int> all;
        for (const Row &row : tableOf(config, 3, std::move(options)).rows)
            all.push_back(row.draws);
        return all;
    };
    using Draws = std::vector<int>;
    EXPECT_EQ(draws(R"({"_class_name": "DDIMScheduler"})"), (Draws{0, 0, 0}));
    EXPECT_EQ(draws(R"({"_class_name": "DDIMScheduler"})", {{"eta", "1"}}), (Draws{1, 1, 1}));
    EXPECT_EQ(draws(R"({"_class_name": "DDPMScheduler"})"), (Draws{1, 1, 0}));
    EXPECT_EQ(draws(R"({"_class_name": "EulerDiscreteScheduler"})"), (Draws{1, 1, 1}));
    EXPECT_EQ(draws(R"({"_class_name": "KDPM2AncestralDiscreteScheduler"})"), (Draws{1, 1, 1, 1, 1}));
    EXPECT_EQ(draws(R"({"_class_name": "LCMScheduler"})"), (Draws{1, 1, 0}));
    EXPECT_EQ(draws(R"({"_class_name": "TCDScheduler"})", {{"eta", "0"}}), (Draws{0, 0, 0}));
    EXPECT_EQ(draws(R"({"_class_name": "CMStochasticIterativeScheduler"})"), (Draws{1, 1, 1}));
    EXPECT_EQ(draws(R"({"_class_name": "DPMSolverMultistepScheduler"})"), (Draws{0, 0, 0}));
}

TEST(StepTable, SettingsOfAnotherSchedulerAreIgnoredAsFromConfigDoes) {
    const SchedulerConfig config = configOf(R"({"_class_name": "PNDMScheduler", "skip_prk_steps": true,
        "set_alpha_to_one": false, "clip_sample": false, "beta_schedule": "scaled_linear", "_diffusers_version": "0.6.0"})");
    EXPECT_EQ(compile(config, "euler", {.steps = 4, .timesteps = {}, .options = {}}).rows.size(), 4u);
    EXPECT_EQ(compile(config, "", {.steps = 4, .timesteps = {}, .options = {}}).rows.size(), 5u);
}

// Timesteps as diffusers 0.29.2 has them. Trailing spacing keeps its stride, so that steps are lost.
TEST(StepTable, LambdaMinClippedLeavesNoisyTimestepsOut) {
    const auto timesteps = [](const char *config) {
        std::vector<double> all;
        for (const Row &row : tableOf(config, 8).rows)
            all.push_back(row.timestep);
        return all;
    };
    using Timesteps = std::vector<double>;
    EXPECT_EQ(timesteps(R"({"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -5.1,
                            "beta_schedule": "squaredcos_cap_v2"})"),
              (Timesteps{995, 871, 746, 622, 498, 373, 249, 124}));
    EXPECT_EQ(timesteps(R"({"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -3.0,
                            "timestep_spacing": "leading", "steps_offset": 1})"),
              (Timesteps{681, 596, 511, 426, 341, 256, 171, 86}));
    EXPECT_EQ(timesteps(R"({"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -3.0,
                            "timestep_spacing": "trailing"})"),
              (Timesteps{768, 643, 518, 393, 268, 143, 18}));
    EXPECT_EQ(timesteps(R"({"_class_name": "DPMSolverSinglestepScheduler", "lambda_min_clipped": -5.1,
                            "beta_schedule": "squaredcos_cap_v2"})"),
              (Timesteps{995, 871, 746, 622, 498, 373, 249, 124}));
}

// In the state's own scale an Euler step on x0 = m goes from sigma to sigma' by x' = x0 + sigma' / sigma (x -
// x0).
TEST(StepTable, LogLinearSigmasFallByOneFactor) {
    const Table table = tableOf(
        R"({"_class_name": "EulerDiscreteScheduler", "interpolation_type": "log_linear", "prediction_type": "sample"})",
        6);
    const Table linear =
        tableOf(R"({"_class_name": "EulerDiscreteScheduler", "prediction_type": "sample"})", 6);
    double before = table.initScale, factor = 0;
    for (size_t i = 0; i < table.rows.size(); ++i) {
        const Row &row = table.rows[i];
        EXPECT_EQ(row.timestep, linear.rows[i].timestep);
        const double ratio = row.a * before / row.scale; // sigma' / sigma
        EXPECT_NEAR(ratio, i == 0 ? ratio : factor, 1e-12);
        factor = ratio;
        before = row.scale;
    }
    EXPECT_GT(factor, 0); // the last step goes to the smallest sigma, not to 0
}

TEST(StepTable, ContinuousTimestepsAreAQuarterOfTheLogarithmOfSigma) {
    const Table table = tableOf(R"({"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous",
                                    "prediction_type": "v_prediction"})",
                                4);
    double scale = table.initScale; // 1 / sqrt(sigma^2 + 1)
    for (const Row &row : table.rows) {
        EXPECT_NEAR(row.timestep, 0.125 * std::log(1 / (scale * scale) - 1), 1e-12);
        scale = row.scale;
    }
}

TEST(StepTable, RePaintWithEtaTakesTheStepOfDdim) {
    const Table painted = tableOf(R"({"_class_name": "RePaintScheduler", "eta": 0.5})", 4,
                                  {{"jump_length", "1"}, {"jump_n_sample", "1"}});
    const Table ddim = tableOf(R"({"_class_name": "DDIMScheduler"})", 4, {{"eta", "0.5"}});
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_NEAR(painted.rows[i].g, ddim.rows[i].g, 1e-14);
        EXPECT_NEAR(painted.rows[i].b, ddim.rows[i].b, 1e-14);
        EXPECT_NEAR(painted.rows[i].c, ddim.rows[i].c, 1e-14);
        EXPECT_EQ(painted.rows[i].clip.kind, ClipKind::Clamp);
    }
}

TEST(StepTable, ReadsTheInfinityThatPythonWrites) {
    const SchedulerConfig config = configOf(R"({"_class_name": "DPMSolverMultistepScheduler",
        "lambda_min_clipped": -Infinity, "variance_type": null})");
    EXPECT_EQ(compile(config, "", {.steps = 4, .timesteps = {}, .options = {}}).rows.size(), 4u);
}

} // namespace
} // namespace mote::convert::schedule
