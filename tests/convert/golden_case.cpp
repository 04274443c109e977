#include "golden_case.h"

#include "schedule/evaluate.h"
#include "schedule/guidance.h"
#include "schedule/sampler.h"
#include "source.h"

#include <algorithm>
#include <map>
#include <stdexcept>

namespace mote::convert {

using reference::Array;

namespace {

nlohmann::json readDescription(const std::string &tensorFile) {
    const std::string path = tensorFile.substr(0, tensorFile.rfind('/')) + "/case.json";
    if (std::FILE *file = std::fopen(path.c_str(), "rb")) {
        std::fclose(file);
        return parseJson(readTextFile(path), path);
    }
    return nlohmann::json{{"runs", nlohmann::json::object()}, {"errors", nlohmann::json::object()}};
}

// A folded or unfolded network that answers m(x, t).
class Evaluator {
public:
    Evaluator(const GoldenCase &golden, const std::vector<double> &timesteps, const Folding &folding) {
        network = Source(golden.checkpointFolder(), "", {}).lower();
        features_ = network.timestepFeatures;
        classInput_ = network.classInput;
        nullLabel = network.classes - 1;
        for (double timestep : timesteps)
            if (std::find(timesteps_.begin(), timesteps_.end(), timestep) == timesteps_.end())
                timesteps_.push_back(timestep);
        if (folding)
            folding(network, timesteps_);
    }

    Array<float> operator()(const Array<float> &x, const Array<float> &condition,
                            const std::vector<uint32_t> &labels, double timestep) {
        if (tables_.empty())
            tables_ = reference::tablesOf<float>(network);
        std::vector<Array<float>> inputs = {x};
        if (condition.channels > 0)
            inputs.push_back(condition);
        reference::Step step;
        step.row = uint32_t(std::find(timesteps_.begin(), timesteps_.end(), timestep) - timesteps_.begin());
        step.timestep = timestep;
        step.features = features_;
        step.classInput = classInput_;
        step.labels = labels;
        const auto tensors = reference::runGraph<float>(network.graph, tables_, inputs, step,
                                                        reference::Storage::Exact, reference::Keep::Release);
        return reference::modelOutput(network.graph, tensors);
    }

    Network network;
    uint32_t nullLabel = 0; // the last one stands for no class

private:
    TimestepFeatures features_;
    ClassInput classInput_ = ClassInput::None;
    std::vector<double> timesteps_;
    reference::Tables<float> tables_;
};

} // namespace

GoldenCase::GoldenCase(const std::string &name, const std::string &checkpointFolder,
                       const std::string &tensorFile)
    : name_(name), checkpointFolder_(checkpointFolder), tensors_(tensorFile),
      description_(readDescription(tensorFile)) {}

GoldenCase GoldenCase::inGoldens(const std::string &name) {
    const std::string folder = std::string(MOTE_TESTS_DIR) + "/goldens/" + name;
    return GoldenCase(name, folder, folder + "/goldens.safetensors");
}

test::Tolerance GoldenCase::tolerance(const std::string &tensor) const {
    return test::toleranceOf(description_["errors"], tensor, "fp32");
}

Array<float> GoldenCase::array(const std::string &tensor, size_t leading, size_t index) const {
    const std::vector<uint64_t> extents = shape(tensor);
    const std::vector<float> all = floats(tensor);
    size_t outer = 1;
    for (size_t i = 0; i < leading; ++i)
        outer *= extents[i];
    Array<float> one(uint32_t(extents.size() - leading == 4 ? extents[leading] : 1),
                     uint32_t(extents[extents.size() - 3]), uint32_t(extents[extents.size() - 2]),
                     uint32_t(extents[extents.size() - 1]));
    const size_t size = all.size() / outer;
    if (one.values.size() != size)
        throw std::logic_error("golden tensor " + tensor + " has an unexpected shape");
    std::copy_n(all.begin() + std::ptrdiff_t(index * size), size, one.values.begin());
    return one;
}

Array<float> GoldenCase::condition(uint32_t height, uint32_t width) const {
    for (const std::string &tensor : {"cond." + std::to_string(height) + "x" + std::to_string(width),
                                      std::string("cond"), std::string("condition")})
        if (has(tensor) && shape(tensor)[2] == height && shape(tensor)[3] == width)
            return array(tensor, 0, 0);
    return Array<float>(1, 0, height, width);
}

std::vector<uint32_t> GoldenCase::labels() const {
    if (!has("labels"))
        return {};
    const std::vector<int64_t> all = integers("labels");
    return {all.begin(), all.end()};
}

std::vector<double> GoldenCase::numbers(const std::string &tensor) const {
    if (tensors_.get(tensor).type == "I64") {
        const std::vector<int64_t> all = integers(tensor);
        return {all.begin(), all.end()};
    }
    const std::vector<float> all = floats(tensor);
    return {all.begin(), all.end()};
}

test::GoldenError forwardError(const GoldenCase &golden, const std::string &prefix, const Folding &folding) {
    const std::vector<double> timesteps = golden.numbers(golden.has(prefix + "t") ? prefix + "t" : "fwd.t");
    Evaluator evaluate(golden, timesteps, folding);
    const Array<float> x = golden.array(prefix + "x", 0, 0);
    const Array<float> condition = golden.condition(x.height, x.width);
    std::vector<float> found;
    for (double timestep : timesteps) {
        const Array<float> m = evaluate(x, condition, golden.labels(), timestep);
        found.insert(found.end(), m.values.begin(), m.values.end());
    }
    return test::errorOf(found, golden.floats(prefix + "out"), golden.tolerance(prefix + "out"));
}

schedule::Table tableOfRun(const GoldenCase &golden, const std::string &run) {
    const nlohmann::json &description = golden.runs().at(run);
    nlohmann::json config = description.at("config");
    config["_class_name"] = description.at("scheduler");
    schedule::Request request;
    request.steps = description.at("steps").get<int64_t>();
    for (const auto &[key, value] : description.at("step_args").items())
        request.options.emplace_back(key, value.dump());
    if (golden.has("labels"))
        request.options.emplace_back("guidance", golden.guidanceScale());
    return schedule::compile(schedule::parseSchedulerConfig(config.dump(), run), "", request);
}

test::GoldenError trajectoryError(const GoldenCase &golden, const std::string &run,
                                  const schedule::Table &original, const Folding &folding,
                                  const Mutation &mutation) {
    schedule::Table table = original;
    std::vector<double> timesteps;
    for (const schedule::Row &row : table.rows)
        timesteps.push_back(row.timestep);
    Evaluator evaluate(golden, timesteps, folding);
    if (mutation)
        mutation(evaluate.network, table);
    const Array<float> start = golden.array(run + ".x", 1, 0);
    const Array<float> condition = golden.condition(start.height, start.width);

    schedule::RunInputs<float> inputs;
    inputs.batch = start.batch;
    inputs.noise = start.values;
    std::vector<Array<float>> noise;
    if (golden.has(run + ".noise"))
        for (size_t i = 0; i < table.rows.size(); ++i)
            noise.push_back(golden.array(run + ".noise", 1, i));
    inputs.stepNoise = [&](size_t row) { return std::span<const float>(noise.at(row).values); };
    const schedule::Trajectory<float> found = schedule::runTable<float>(
        table, inputs,
        [&](std::span<const float> x, const schedule::Row &row, size_t, std::span<float> m,
            std::span<float>) {
            Array<float> state = start;
            std::copy(x.begin(), x.end(), state.values.begin());
            if (!row.guided) {
                const Array<float> output = evaluate(state, condition, {}, row.timestep);
                std::copy(output.values.begin(), output.values.end(), m.begin());
                return;
            }
            const uint32_t label = golden.labels()[0];
            const Array<float> with = evaluate(state, condition, {label}, row.timestep);
            const Array<float> without = evaluate(state, condition, {evaluate.nullLabel}, row.timestep);
            const std::vector<float> guided =
                schedule::guidedOutput(row, start.batch, with.values, without.values);
            std::copy(guided.begin(), guided.end(), m.begin());
        });
    std::vector<float> states;
    for (const std::vector<float> &state : found.states)
        states.insert(states.end(), state.begin(), state.end());
    return test::errorOf(states, golden.floats(run + ".x"), golden.tolerance(run + ".x"));
}

} // namespace mote::convert
