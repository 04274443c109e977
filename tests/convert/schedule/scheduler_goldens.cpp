#include "scheduler_goldens.h"

#include <cmath>
#include <cstring>
#include <fstream>

#include "read/json.h"
#include "read/safetensors.h"

namespace mote::convert::schedule {
namespace {

constexpr size_t kThinning = 50;
constexpr int64_t kThinnedSteps = 1000;

std::map<std::string, GoldenTensor> readTensors(const std::string &path) {
    const SafetensorsFile file(path); // checks the header; the F64 values are read here
    std::ifstream stream(path, std::ios::binary);
    std::map<std::string, GoldenTensor> tensors;
    for (const SafetensorsEntry &entry : file.entries()) {
        GoldenTensor tensor;
        tensor.shape.assign(entry.shape.begin(), entry.shape.end());
        if (entry.type == "F64") {
            tensor.values.resize(entry.elements());
            stream.seekg(static_cast<std::streamoff>(entry.begin));
            stream.read(reinterpret_cast<char *>(tensor.values.data()),
                        static_cast<std::streamsize>(tensor.values.size() * sizeof(double)));
            if (!stream)
                throw ReadError(path + ": cannot be read to its end");
        } else {
            const std::vector<float> values = file.readFloats(entry);
            tensor.values.assign(values.begin(), values.end());
        }
        tensors.emplace(entry.name, std::move(tensor));
    }
    return tensors;
}

std::vector<std::vector<double>> readStates(const GoldenTensor &tensor, size_t first, size_t count) {
    std::vector<std::vector<double>> states;
    for (size_t i = 0; i < count; ++i) {
        const std::span<const double> row = tensor.row(first + i);
        states.emplace_back(row.begin(), row.end());
    }
    return states;
}

std::string optionText(const nlohmann::json &value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

} // namespace

std::span<const double> GoldenTensor::row(size_t index) const {
    const size_t width = values.size() / shape.at(0);
    return std::span(values).subspan(index * width, width);
}

std::string GoldenRun::name() const {
    return scheduler + " (configuration " + std::to_string(configuration) + ", " + std::to_string(steps) +
           " steps)";
}

const SchedulerGoldens &SchedulerGoldens::get() {
    static const SchedulerGoldens goldens;
    return goldens;
}

SchedulerGoldens::SchedulerGoldens() {
    const std::string folder = std::string(MOTE_TESTS_DIR) + "/goldens/schedulers/";
    exact_ = readTensors(folder + "goldens_f64.safetensors");
    published_ = readTensors(folder + "goldens.safetensors");
    const nlohmann::json meta = parseJson(readTextFile(folder + "case.json"), "case.json");
    const std::vector<double> &start = published_.at("x_init").values;
    thinnedStart_ = {start[0], start[1]};
    for (const nlohmann::json &entry : meta.at("configs")) {
        for (const auto &[steps, place] : entry.at("rows").items()) {
            GoldenRun run;
            run.configuration = entry.at("k").get<int>();
            run.steps = std::stoll(steps);
            run.scheduler = entry.at("scheduler").get<std::string>();
            run.function = entry.at("function").get<std::string>();
            run.config.file = "configuration " + std::to_string(run.configuration);
            for (const auto &[key, value] : entry.at("config").items())
                run.config.values[key] = value.dump();
            run.config.values["_class_name"] = entry.at("scheduler").dump();
            for (const auto &[key, value] : entry.at("step_args").items())
                run.options.emplace_back(key, optionText(value));
            const std::string prefix = "cfg" + std::to_string(run.configuration);
            const size_t first = place.at(0).get<size_t>(), count = place.at(1).get<size_t>();
            run.exact = readStates(exact_.at(prefix + ".x"), first, count);
            run.published = readStates(published_.at(prefix + ".x"), first, count);
            const nlohmann::json &times = entry.at("t_rows").at(steps);
            const std::vector<double> &all = published_.at(prefix + ".timesteps").values;
            const auto begin = all.begin() + times.at(0).get<std::ptrdiff_t>();
            run.timesteps.assign(begin, begin + times.at(1).get<std::ptrdiff_t>());
            run.thinned = run.steps == kThinnedSteps;
            run.start = run.thinned ? thinnedStart_ : start;
            const GoldenTensor &bank = published_.at(run.thinned ? "noise_1000" : "noise");
            for (size_t i = 0; i < bank.shape[0]; ++i)
                run.noise.push_back(bank.row(i));
            runs_.push_back(std::move(run));
        }
    }
}

double syntheticOutput(const std::string &function, double x, double timestep) {
    if (function == "affine")
        return 0.3 * x + 0.1 * std::sin(timestep / 100);
    const double alphaBar = std::exp(-(1e-4 * timestep + 9.95e-6 * timestep * timestep));
    return std::sqrt(1 - alphaBar) * x + 0.1 * std::sqrt(alphaBar) * std::sin(timestep / 100);
}

Table compileGolden(const GoldenRun &golden, Rounding rounding) {
    return compile(golden.config, "",
                   {.steps = golden.steps, .timesteps = {}, .options = golden.options, .rounding = rounding});
}

std::vector<std::vector<double>> replay(const GoldenRun &golden, const Table &table) {
    RunInputs<double> inputs;
    inputs.batch = golden.thinned ? 1 : 2;
    inputs.noise = golden.start;
    inputs.stepNoise = [&](size_t row) { return golden.noise.at(row); };
    const Trajectory<double> run = runTable<double>(
        table, inputs,
        [&](std::span<const double> x, const Row &row, size_t, std::span<double> m, std::span<double>) {
            for (size_t i = 0; i < x.size(); ++i)
                m[i] = syntheticOutput(golden.function, x[i], row.timestep);
        });
    if (!golden.thinned)
        return run.states;
    std::vector<std::vector<double>> thinned;
    for (size_t i = 0; i < run.states.size(); i += kThinning)
        thinned.push_back(run.states[i]);
    return thinned;
}

double relativeError(const std::vector<double> &found, const std::vector<double> &expected) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        difference += (found.at(i) - expected[i]) * (found.at(i) - expected[i]);
        norm += expected[i] * expected[i];
    }
    const double error = std::sqrt(difference) / std::max(std::sqrt(norm), 1e-30);
    return std::isnan(error) ? INFINITY : error;
}

} // namespace mote::convert::schedule
