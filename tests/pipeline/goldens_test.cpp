#include "pipeline/golden_runs.h"

namespace mote::test {
namespace {

class Goldens : public testing::TestWithParam<const char *> {};

TEST_P(Goldens, ForwardPassesMatchDiffusers) {
    const Judged judged = runForwardPasses(GoldenCase(GetParam()), sharedDevice());
    EXPECT_GE(judged.compared, 1);
    EXPECT_LE(judged.worst, 1.0);
}

TEST_P(Goldens, DdimTrajectoriesMatchDiffusers) {
    const Judged judged = runTrajectories(GoldenCase(GetParam()), sharedDevice());
    EXPECT_GE(judged.compared, 4);
    EXPECT_LE(judged.worst, 1.0);
}

INSTANTIATE_TEST_SUITE_P(Cases, Goldens,
                         testing::Values("ddpm-uncond-32", "ddim-vpred-cosine-32", "restore-sr-cond-64-conv",
                                         "restore-sr-cond-64-resnet"),
                         [](const testing::TestParamInfo<const char *> &parameter) {
                             std::string name = parameter.param;
                             for (char &c : name)
                                 c = c == '-' ? '_' : c;
                             return name;
                         });

} // namespace
} // namespace mote::test
