// A checkpoint in diffusers layout:
//   model_index.json, unet/config.json, scheduler/scheduler_config.json, and in unet the weights:
//   diffusion_pytorch_model.safetensors, or its shards with .safetensors.index.json, or .bin.
#pragma once

#include "read/weights.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mote::convert {

// Where the vector comes from that joins the step embedding: a row of a table at the image's label, the label
// embedded as a timestep is, or the app.
enum class ClassEmbedding { None, Table, Timestep, Vector };

// unet/config.json of a UNet2DModel. Absent keys take diffusers' defaults; a key or value that the converter
// does not honour has been refused by name.
struct UNetConfig {
    uint32_t inChannels = 3, outChannels = 3;
    std::vector<uint32_t> blockOutChannels; // per level, finest first
    std::vector<std::string> downBlockTypes, upBlockTypes;
    uint32_t layersPerBlock = 2;
    bool centerInputSample = false;
    std::string timeEmbeddingType;  // "positional", "fourier", "learned"
    bool flipSinToCos = true;       // positional
    double freqShift = 0;           // positional
    uint32_t numTrainTimesteps = 0; // learned: rows of the table
    double midBlockScaleFactor = 1;
    bool addAttention = true;
    std::optional<uint32_t> attentionHeadDim; // size of one head; none: one head with all channels
    std::optional<uint32_t> attnNormNumGroups;
    uint32_t downsamplePadding = 1;                                // 0: pad right and bottom by one
    bool downsampleWithResnet = false, upsampleWithResnet = false; // read by the attention blocks only
    std::string actFn;                                             // "silu" (swish), "mish", "gelu", "relu"
    std::optional<uint32_t> normNumGroups; // none: a quarter of the channels, at most 32
    double normEps = 1e-5;
    bool scaleShift = false; // resnet_time_scale_shift
    ClassEmbedding classEmbedding = ClassEmbedding::None;
    uint32_t classes = 0; // labels of a Table or a Timestep

    // The second half of the outputs is the variance of the step's noise (Nichol and Dhariwal 2021). Unused:
    // it is left out, because no recipe reads it.
    enum class Variance { None, Unused, Used } variance = Variance::None;

    uint32_t stateChannels() const { return variance == Variance::None ? outChannels : outChannels / 2; }
    uint32_t conditionChannels() const { return inChannels - stateChannels(); }
};

// `where` begins every message.
UNetConfig parseUNetConfig(const nlohmann::json &config, const std::string &where);

// The values of a tensor by name and expected shape; throws ReadError.
using TensorSource = std::function<std::vector<float>(const std::string &, const std::vector<uint64_t> &)>;

// model_index.json and unet/config.json of a folder.
UNetConfig readUNetConfig(const std::string &directory);

// Half of the outputs are a variance because the scheduler says so, or because they are twice the inputs.
void readVariance(UNetConfig &config, bool bySchedule, bool used); // throws ReadError

class Checkpoint {
public:
    explicit Checkpoint(const std::string &directory); // throws ReadError
    Checkpoint(const Checkpoint &) = delete;           // what is taken is taken from these weights
    Checkpoint &operator=(const Checkpoint &) = delete;

    const UNetConfig &unet() const { return unet_; }
    void readVariance(bool bySchedule, bool used) { convert::readVariance(unet_, bySchedule, used); }
    const Weights &weights() const { return weights_; }
    std::string schedulerConfigPath() const { return directory_ + "/scheduler/scheduler_config.json"; }

    // The values of a tensor, checked to have this shape and to be finite, and remembered as used. Attention
    // tensors saved under their old names (query, key, value, proj_attn) are found under the new ones, as
    // diffusers does.
    std::vector<float> take(const std::string &name, const std::vector<uint64_t> &shape);

    // Throws, naming the first, if a tensor of the file was never taken: the architecture would not be what
    // was read.
    void expectAllTaken() const { taker_.expectAllTaken(); }

private:
    std::string directory_;
    UNetConfig unet_;
    Weights weights_;
    WeightTaker taker_;
};

} // namespace mote::convert
