#include "pipeline/golden_runs.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace mote::test {
namespace {

// "48x80." of "fwd.48x80.x", and "" of "fwd.x".
std::vector<std::string> sizesOf(const GoldenCase &of) {
    std::vector<std::string> sizes = {""};
    for (const auto &[name, tensor] : of.description()["tensors"].items())
        if (name.rfind("fwd.", 0) == 0 && name.size() > 6 && name.compare(name.size() - 2, 2, ".x") == 0)
            sizes.push_back(name.substr(4, name.size() - 5));
    return sizes;
}

void bindCondition(const GoldenCase &of, const std::string &size, uint64_t sample, pipeline::Session &session,
                   std::vector<float> &condition) {
    if (!of.has("cond"))
        return;
    const std::string name = size.empty() ? "cond" : "cond." + size.substr(0, size.size() - 1);
    const GoldenTensor tensor = of.tensor(name);
    const size_t image = tensor.values.size() / tensor.dimension(0);
    condition.assign(tensor.values.begin() + static_cast<std::ptrdiff_t>(sample * image),
                     tensor.values.begin() + static_cast<std::ptrdiff_t>((sample + 1) * image));
    const pipeline::TensorView view =
        viewOf(condition, static_cast<uint32_t>(tensor.dimension(1)),
               static_cast<uint32_t>(tensor.dimension(2)), static_cast<uint32_t>(tensor.dimension(3)));
    ASSERT_TRUE(succeeded(session.bindTensor("condition", &view)));
}

std::string schedulerFile(const nlohmann::json &run) {
    static int count = 0;
    const std::string path =
        (std::filesystem::path(testing::TempDir()) /
         ("mote-scheduler-" + std::to_string(getpid()) + "-" + std::to_string(count++) + ".json"))
            .string();
    nlohmann::json config = run["config"];
    config["_class_name"] = run["scheduler"];
    std::ofstream(path) << config;
    return path;
}

} // namespace

Judged runForwardPasses(const GoldenCase &of, const std::shared_ptr<gpu::Device> &device,
                        const std::string &preferredKernel) {
    Judged judged;
    for (const std::string &size : sizesOf(of)) {
        const GoldenTensor x = of.tensor("fwd." + size + "x"), expected = of.tensor("fwd." + size + "out");
        const GoldenTensor t = of.tensor(of.has("fwd." + size + "t") ? "fwd." + size + "t" : "fwd.t");
        convert::ConvertOptions options;
        options.directory = checkpointOf(of.name());
        options.timesteps.assign(t.values.begin(), t.values.end());
        const auto model = loadModel(device, convertToFile(options), preferredKernel);
        const uint32_t c = static_cast<uint32_t>(x.dimension(1)), h = static_cast<uint32_t>(x.dimension(2)),
                       w = static_cast<uint32_t>(x.dimension(3));
        pipeline::SessionOptions sessionOptions;
        sessionOptions.width = w;
        sessionOptions.height = h;
        const auto session = makeSession(model, sessionOptions);
        const size_t image = size_t{c} * h * w;
        std::vector<float> found(expected.values.size()), start(image), condition, output(image);
        for (uint64_t sample = 0; sample < x.dimension(0); ++sample) {
            std::copy_n(x.values.begin() + static_cast<std::ptrdiff_t>(sample * image), image, start.begin());
            const pipeline::TensorView view = viewOf(start, c, h, w);
            EXPECT_TRUE(succeeded(session->bindTensor("x_start", &view)));
            bindCondition(of, size, sample, *session, condition);
            if (of.has("labels")) {
                EXPECT_TRUE(succeeded(session->setClassLabels({of.integers("labels").at(sample)})));
            }
            for (uint32_t step = 0; step < expected.dimension(0); ++step) {
                EXPECT_TRUE(succeeded(session->evaluate(step, viewOf(output, c, h, w))));
                std::copy(output.begin(), output.end(),
                          found.begin() +
                              static_cast<std::ptrdiff_t>((step * expected.dimension(1) + sample) * image));
            }
        }
        judged.worst =
            std::max(judged.worst, fractionOfTolerance(of, "fwd." + size + "out", found, expected.values));
        ++judged.compared;
    }
    return judged;
}

Judged runTrajectories(const GoldenCase &of, const std::shared_ptr<gpu::Device> &device) {
    Judged judged;
    for (const auto &[name, run] : of.description()["runs"].items()) {
        const GoldenTensor expected = of.tensor(name + ".x"); // [steps + 1][1][C][H][W]
        convert::ConvertOptions options;
        options.directory = checkpointOf(of.name());
        options.schedulerConfig = schedulerFile(run);
        options.sampler = run["scheduler"];
        options.steps = {run["steps"].get<int64_t>()};
        for (const auto &[option, value] : run["step_args"].items())
            options.samplerOptions.emplace_back(option, value.dump());
        const auto model = loadModel(device, convertToFile(options));
        const uint32_t c = static_cast<uint32_t>(expected.dimension(2)),
                       h = static_cast<uint32_t>(expected.dimension(3)),
                       w = static_cast<uint32_t>(expected.dimension(4));
        pipeline::SessionOptions sessionOptions;
        sessionOptions.width = w;
        sessionOptions.height = h;
        const auto session = makeSession(model, sessionOptions);
        std::vector<float> start = expected.block(0, 0), condition, noise, found;
        const pipeline::TensorView view = viewOf(start, c, h, w);
        EXPECT_TRUE(succeeded(session->bindTensor("x_start", &view)));
        const size_t dot = name.find('.');
        bindCondition(of, dot == std::string::npos ? "" : name.substr(dot + 1) + ".", 0, *session, condition);
        if (of.has("labels")) {
            const float guidance = of.description()["guidance_scale"];
            EXPECT_TRUE(succeeded(session->setClassLabels({of.integers("labels").at(0)})));
            EXPECT_TRUE(succeeded(session->setGuidance(&guidance)));
        }
        if (!run["noise_used_in_steps"].empty()) {
            noise = of.tensor(name + ".noise").values;
            const pipeline::TensorView noiseView{session->steps(), c, h, w, noise.data()};
            EXPECT_TRUE(succeeded(session->bindTensor("step_noise", &noiseView)));
        }
        pipeline::RunOptions runOptions;
        runOptions.trace = [&](uint32_t, const char *tensor, const uint32_t *, const float *data) {
            if (std::string(tensor) == "x")
                found.insert(found.end(), data, data + size_t{c} * h * w);
        };
        EXPECT_TRUE(succeeded(session->run(runOptions, nullptr)));
        judged.worst = std::max(judged.worst, fractionOfTolerance(of, name + ".x", found, expected.values));
        ++judged.compared;
    }
    return judged;
}

} // namespace mote::test
