#include "pipeline/rig.h"

#include "read/safetensors.h"
#include "support/golden_error.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <stdexcept>

namespace mote::test {
namespace {

const std::string kGoldens = MOTE_TESTS_DIR "/goldens/";

// One folder for the program's files.
class Files {
public:
    Files() {
        std::string name = (std::filesystem::temp_directory_path() / "mote-pipeline-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("no temporary folder");
        folder_ = name;
    }
    ~Files() {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    std::string next(const std::string &suffix) { return folder_ + "/" + std::to_string(count_++) + suffix; }

    std::mutex mutex;
    std::map<std::string, std::string> converted; // by options

private:
    std::string folder_;
    int count_ = 0;
};

Files &files() {
    static Files instance;
    return instance;
}

std::shared_ptr<gpu::Device> sharedByTests;

// The shared device goes before main() ends: later the validation layer's own statics may be gone.
class GiveBackDevice : public testing::Environment {
    void TearDown() override { sharedByTests.reset(); }
};
[[maybe_unused]] testing::Environment *const kGiveBackDevice =
    testing::AddGlobalTestEnvironment(new GiveBackDevice);

std::string keyOf(const convert::ConvertOptions &options) {
    std::string key = options.directory + "|" + options.schedulerConfig + "|" + options.sampler + "|" +
                      options.task + "|" + options.nullClass;
    for (int64_t steps : options.steps)
        key += "|" + std::to_string(steps);
    for (double timestep : options.timesteps)
        key += "|t" + std::to_string(timestep);
    for (const auto &[name, value] : options.samplerOptions)
        key += "|" + name + "=" + value;
    return key;
}

} // namespace

testing::AssertionResult failedWith(const Status &status, StatusCode code, const std::string &part) {
    if (status.code == code && status.message.find(part) != std::string::npos)
        return testing::AssertionSuccess();
    return testing::AssertionFailure()
           << "found " << static_cast<int>(status.code) << " '" << status.message << "', expected "
           << static_cast<int>(code) << " with '" << part << "'";
}

std::shared_ptr<gpu::Device> makeDevice(const gpu::LimitsClamp *clamp) {
    gpu::DeviceOptions options;
    options.clamp = clamp;
    Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    if (!device.ok())
        throw std::runtime_error(device.status().message);
    return std::shared_ptr<gpu::Device>(std::move(device.value()));
}

std::shared_ptr<gpu::Device> sharedDevice() {
    if (!sharedByTests)
        sharedByTests = makeDevice();
    return sharedByTests;
}

std::string checkpointOf(const std::string &caseName) {
    for (const char *shipped :
         {"restore", "super-resolution-x2", "generate-tiles/2-steps", "generate-tiles/4-steps"})
        if (caseName == shipped)
            return MOTE_SOURCE_DIR "/converter/models/" + caseName;
    return kGoldens + caseName;
}

std::string convertToFile(const convert::ConvertOptions &options) {
    Files &all = files();
    std::lock_guard<std::mutex> lock(all.mutex);
    std::string &path = all.converted[keyOf(options)];
    if (path.empty()) {
        const std::string fresh = all.next(".mote");
        convert::writeConversion(convert::convertCheckpoint(options), fresh);
        path = fresh;
    }
    return path;
}

std::string writeToFile(const convert::Conversion &conversion) {
    Files &all = files();
    std::lock_guard<std::mutex> lock(all.mutex);
    const std::string path = all.next(".mote");
    convert::writeConversion(conversion, path);
    return path;
}

std::string convertCase(const std::string &caseName, const std::vector<int64_t> &steps) {
    convert::ConvertOptions options;
    options.directory = checkpointOf(caseName);
    options.steps = steps;
    return convertToFile(options);
}

std::shared_ptr<pipeline::LoadedModel> loadModel(const std::shared_ptr<gpu::Device> &device,
                                                 const std::string &path,
                                                 const std::string &preferredKernel) {
    Result<Source> source = Source::fromPath(path);
    if (!source.ok())
        throw std::runtime_error(source.status().message);
    Result<std::shared_ptr<pipeline::LoadedModel>> model =
        pipeline::LoadedModel::open(device, source.value(), preferredKernel);
    if (!model.ok())
        throw std::runtime_error(model.status().message);
    return model.value();
}

std::unique_ptr<pipeline::Session> makeSession(const std::shared_ptr<pipeline::LoadedModel> &model,
                                               const pipeline::SessionOptions &options) {
    Result<std::unique_ptr<pipeline::Session>> session = pipeline::Session::create(model, options);
    if (!session.ok())
        throw std::runtime_error(session.status().message);
    return std::move(session.value());
}

std::vector<float> GoldenTensor::block(uint64_t a, uint64_t b) const {
    uint64_t size = 1;
    for (size_t i = 2; i < shape.size(); ++i)
        size *= shape[i];
    const auto first = values.begin() + static_cast<std::ptrdiff_t>((a * shape.at(1) + b) * size);
    return {first, first + static_cast<std::ptrdiff_t>(size)};
}

GoldenCase::GoldenCase(const std::string &name) : name_(name) {
    std::ifstream json(kGoldens + name + "/case.json");
    if (json)
        description_ = nlohmann::json::parse(json);
    const char *tensors = json ? "/goldens.safetensors" : "/reference.safetensors";
    file_ = std::make_unique<convert::SafetensorsFile>(kGoldens + name + tensors);
}

bool GoldenCase::has(const std::string &tensor) const {
    return file_->find(tensor) != nullptr;
}

std::vector<int64_t> GoldenCase::integers(const std::string &name) const {
    return file_->readIntegers(file_->get(name));
}

GoldenTensor GoldenCase::tensor(const std::string &name) const {
    const convert::SafetensorsEntry &entry = file_->get(name);
    GoldenTensor tensor{entry.shape, {}};
    if (entry.type == "I64" || entry.type == "I32")
        for (int64_t value : file_->readIntegers(entry))
            tensor.values.push_back(static_cast<float>(value));
    else
        tensor.values = file_->readFloats(entry);
    return tensor;
}

double fractionOfTolerance(const GoldenCase &of, const std::string &tensor, const std::vector<float> &found,
                           const std::vector<float> &expected) {
    const nlohmann::json errors = of.description().value("errors", nlohmann::json::object());
    return record("vulkan", of.name(), tensor, errorOf(found, expected, toleranceOf(errors, tensor, "fp16")));
}

pipeline::TensorView viewOf(std::vector<float> &values, uint32_t c, uint32_t h, uint32_t w) {
    EXPECT_EQ(values.size(), size_t{c} * h * w);
    return {1, c, h, w, values.data()};
}

} // namespace mote::test
