// Damaged and hostile checkpoints: an error that names file, field, what was found and what was expected;
// never a crash.
#include "checkpoint_folder.h"

#include "convert.h"
#include "read/safetensors.h"

#include <gtest/gtest.h>

#include <random>

namespace mote::convert {
namespace {

using nlohmann::json;
using Folder = CheckpointFolder;

constexpr const char *kTensor = "conv_in.weight";

struct Hostile {
    const char *title;
    std::function<void(const Folder &)> damage;
    std::vector<const char *> named; // what the message must contain
};

std::function<void(const Folder &)> config(const char *key, const json &value) {
    return [=](const Folder &folder) { folder.edit(Folder::kConfig, [&](json &c) { c[key] = value; }); };
}

std::function<void(const Folder &)> entry(const std::function<void(json &)> &change) {
    return [=](const Folder &folder) { folder.editHeader([&](json &header) { change(header[kTensor]); }); };
}

std::function<void(const Folder &)> entryField(const char *field, const json &value) {
    return entry([=](json &tensor) { tensor[field] = value; });
}

std::function<void(const Folder &)> content(const char *file, const std::string &text) {
    return [=](const Folder &folder) { folder.write(file, text); };
}

std::string eightBytes(uint64_t length) {
    std::string bytes;
    for (int i = 0; i < 8; ++i)
        bytes += static_cast<char>(length >> (8 * i));
    return bytes;
}

// Overwrites one float of the first tensor of the data, conv_in.bias.
std::function<void(const Folder &)> firstFloat(float value) {
    return [=](const Folder &folder) {
        std::string bytes = folder.read(Folder::kWeights);
        const json header = json::parse(bytes.substr(8, bytes.find("}}") - 6));
        const size_t at = bytes.size() - [&] {
            size_t last = 0;
            for (const auto &[name, tensor] : header.items())
                last = std::max(last, tensor["data_offsets"][1].get<size_t>());
            return last;
        }() + header[kTensor]["data_offsets"][0].get<size_t>();
        std::memcpy(bytes.data() + at, &value, sizeof value);
        folder.write(Folder::kWeights, bytes);
    };
}

const std::vector<Hostile> kHostile = {
    // The folder
    {"no folder",
     [](const Folder &f) { std::filesystem::remove_all(f.path()); },
     {"not found", "model_index.json"}},
    {"no index",
     [](const Folder &f) { std::filesystem::remove(f.file(Folder::kIndex)); },
     {"model_index.json", "cannot be opened"}},
    {"no configuration",
     [](const Folder &f) { std::filesystem::remove(f.file(Folder::kConfig)); },
     {"unet/config.json", "cannot be opened"}},
    {"no weights",
     [](const Folder &f) { std::filesystem::remove(f.file(Folder::kWeights)); },
     {"/unet", "no weights", "diffusion_pytorch_model.safetensors", ".index.json", ".bin"}},
    {"weights are a folder",
     [](const Folder &f) {
         std::filesystem::remove(f.file(Folder::kWeights));
         std::filesystem::create_directory(f.file(Folder::kWeights));
     },
     {"model.safetensors", "cannot be read"}},
    {"no scheduler",
     [](const Folder &f) { std::filesystem::remove(f.file(Folder::kScheduler)); },
     {"scheduler_config.json"}},
    // model_index.json
    {"index is a list", content(Folder::kIndex, "[1]"), {"model_index.json", "[1]", "expected an object"}},
    {"another component",
     [](const Folder &f) {
         f.edit(Folder::kIndex, [](json &i) { i["vae"] = {"diffusers", "AutoencoderKL"}; });
     },
     {"\"vae\"", "AutoencoderKL", "unet and scheduler"}},
    {"another network",
     [](const Folder &f) { f.edit(Folder::kIndex, [](json &i) { i["unet"][1] = "UNet2DConditionModel"; }); },
     {"\"unet\"", "UNet2DConditionModel", "UNet2DModel"}},
    {"index without unet",
     content(Folder::kIndex, R"({"scheduler": ["diffusers", "DDIMScheduler"]})"),
     {"\"unet\"", "missing"}},
    {"a flag as component",
     [](const Folder &f) { f.edit(Folder::kIndex, [](json &i) { i["requires_safety_checker"] = true; }); },
     {"requires_safety_checker", "true", "[library, class]"}},
    // JSON
    {"configuration is not JSON",
     content(Folder::kConfig, "in_channels: 3"),
     {"unet/config.json", "not valid JSON"}},
    {"configuration is truncated",
     [](const Folder &f) { f.write(Folder::kConfig, f.read(Folder::kConfig).substr(0, 40)); },
     {"unet/config.json", "not valid JSON"}},
    {"configuration is empty", content(Folder::kConfig, ""), {"unet/config.json", "not valid JSON"}},
    {"configuration is a number",
     content(Folder::kConfig, "7"),
     {"unet/config.json", "found 7", "expected an object"}},
    {"configuration is not UTF-8",
     content(Folder::kConfig, "{\"in_channels\": \"\xff\xfe\"}"),
     {"unet/config.json", "not valid JSON"}},
    {"a key twice",
     content(Folder::kConfig, R"({"in_channels": 3, "in_channels": 4})"),
     {"unet/config.json", "\"in_channels\"", "twice"}},
    {"nested too deep",
     content(Folder::kConfig, std::string(100000, '[')),
     {"unet/config.json", "nested deeper than 16"}},
    {"configuration of 2 MiB",
     content(Folder::kConfig, std::string(2 << 20, ' ')),
     {"unet/config.json", "larger than 1048576"}},
    // unet/config.json
    {"an unknown key", config("controlnet_depth", 2), {"unet/config.json", "controlnet_depth", "2"}},
    {"another class", config("_class_name", "UNet3DModel"), {"_class_name", "UNet3DModel", "UNet2DModel"}},
    {"no classes at all", config("num_class_embeds", 0), {"num_class_embeds", "0", "1 to 65536", "null"}},
    {"class embedding",
     config("class_embed_type", "projection"),
     {"class_embed_type", "projection", "timestep, identity", "null"}},
    {"classes embedded by their logarithms",
     [](const Folder &f) {
         f.edit(Folder::kConfig, [](json &c) {
             c["class_embed_type"] = "timestep";
             c["time_embedding_type"] = "fourier";
         });
     },
     {"class_embed_type", "timestep", "fourier", "logarithm", "label 0"}},
    {"another activation", config("act_fn", "elu"), {"\"act_fn\"", "elu", "silu, swish, mish"}},
    {"other time features",
     config("time_embedding_type", "sinusoidal"),
     {"time_embedding_type", "sinusoidal", "positional, fourier, learned"}},
    {"a table of timesteps without a number",
     config("time_embedding_type", "learned"),
     {"num_train_timesteps", "null", "learned"}},
    {"a tall table of timesteps",
     config("num_train_timesteps", 1e12),
     {"num_train_timesteps", "whole numbers"}},
    {"a size of three numbers", config("sample_size", {8, 8, 3}), {"sample_size", "or two of them"}},
    {"a size of a word", config("sample_size", "large"), {"sample_size", "large", "whole numbers"}},
    {"an unsupported block",
     config("down_block_types", {"CrossAttnDownBlock2D", "DownBlock2D"}),
     {"down_block_types", "CrossAttnDownBlock2D", "AttnDownBlock2D", "UNet2DConditionModel"}},
    {"an image that nothing doubles",
     config("up_block_types", {"SkipUpBlock2D", "UpBlock2D"}),
     {"up_block_types", "after SkipUpBlock2D", "only Skip blocks"}},
    {"an image that nothing halved",
     [](const Folder &f) {
         f.edit(Folder::kConfig, [](json &c) {
             c["block_out_channels"] = {8, 8, 12};
             c["down_block_types"] = {"DownBlock2D", "SkipDownBlock2D", "DownBlock2D"};
             c["up_block_types"] = {"UpBlock2D", "UpBlock2D", "UpBlock2D"};
         });
     },
     {"down_block_types", "after DownBlock2D", "another size"}},
    {"an image of four channels going down",
     [](const Folder &f) {
         f.edit(Folder::kConfig, [](json &c) {
             c["in_channels"] = 4;
             c["down_block_types"] = {"SkipDownBlock2D", "DownBlock2D"};
         });
     },
     {"in_channels", "4", "3 channels"}},
    {"an image of four channels going up",
     [](const Folder &f) {
         f.edit(Folder::kConfig, [](json &c) {
             c["in_channels"] = c["out_channels"] = 4;
             c["up_block_types"] = {"SkipUpBlock2D", "SkipUpBlock2D"};
         });
     },
     {"out_channels", "4", "3 channels"}},
    {"too few blocks",
     config("up_block_types", json::array({"UpBlock2D"})),
     {"up_block_types", "2 block names"}},
    {"blocks are a name", config("up_block_types", "UpBlock2D"), {"up_block_types", "a list, one per entry"}},
    {"no levels",
     config("block_out_channels", json::array()),
     {"block_out_channels", "[]", "list of 1 to 8"}},
    {"twenty levels",
     config("block_out_channels", json(std::vector<int>(20, 8))),
     {"block_out_channels", "list of 1 to 8"}},
    {"fractional channels",
     config("block_out_channels", {8.5, 12}),
     {"block_out_channels", "8.5", "whole numbers"}},
    {"negative channels", config("in_channels", -3), {"in_channels", "-3", "whole numbers from 1"}},
    {"zero channels", config("out_channels", 0), {"out_channels", "0", "whole numbers from 1"}},
    {"huge channels", config("in_channels", 18446744073709551615u), {"in_channels", "18446744073709551615"}},
    {"fewer in than out", config("out_channels", 5), {"in_channels is 3", "out_channels 5"}},
    {"no layers", config("layers_per_block", 0), {"layers_per_block", "0"}},
    {"a flag as text", config("flip_sin_to_cos", "yes"), {"flip_sin_to_cos", "yes", "true, false"}},
    {"padding 2", config("downsample_padding", 2), {"downsample_padding", "2", "0 to 1"}},
    {"another resampling", config("downsample_type", "fir"), {"downsample_type", "fir", "conv, resnet"}},
    {"another time scaling",
     config("resnet_time_scale_shift", "ada_group"),
     {"resnet_time_scale_shift", "ada_group", "scale_shift"}},
    {"groups that do not divide", config("norm_num_groups", 5), {"5 groups", "8 channels", "norm1"}},
    {"no groups", config("norm_num_groups", nullptr), {"norm_num_groups", "null", "DownBlock2D"}},
    {"a head of more than all channels",
     config("attention_head_dim", 13),
     {"attention_head_dim", "13", "12 channels"}},
    {"heads of other sizes", config("attention_head_dim", 5), {"to_q.weight", "[12, 12]", "[10, 12]"}},
    {"a division by zero", config("mid_block_scale_factor", 0), {"mid_block_scale_factor", "0.001"}},
    {"frequencies without end", config("freq_shift", 4), {"freq_shift", "4", "half"}},
    {"a negative epsilon", config("norm_eps", -1e-5), {"norm_eps", "1e-12"}},
    // safetensors: the frame
    {"an empty file",
     content(Folder::kWeights, ""),
     {"model.safetensors", "has 0 bytes", "8-byte header length"}},
    {"seven bytes", content(Folder::kWeights, "1234567"), {"model.safetensors", "has 7 bytes"}},
    {"a header beyond the file",
     content(Folder::kWeights, eightBytes(1000) + "{}"),
     {"header length is 1000", "2 bytes follow"}},
    {"a header length of all ones",
     content(Folder::kWeights, eightBytes(~uint64_t(0)) + "{}"),
     {"18446744073709551615", "2 bytes follow"}},
    {"a header of 17 MiB",
     content(Folder::kWeights, eightBytes(17u << 20) + std::string(17u << 20, ' ')),
     {"header length is 17825792", "16777216"}},
    {"a header that is not JSON",
     [](const Folder &f) { f.replaceHeader("tensors"); },
     {"model.safetensors: header", "not valid JSON"}},
    {"a header that is a list",
     [](const Folder &f) { f.replaceHeader("[]"); },
     {"header is []", "expected an object"}},
    {"a header of brackets",
     [](const Folder &f) { f.replaceHeader(std::string(50000, '[')); },
     {"header", "nested deeper"}},
    {"a tensor twice",
     [](const Folder &f) {
         f.replaceHeader(
             R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[],"data_offsets":[4,8]}})");
     },
     {"\"a\"", "twice"}},
    {"a truncated file",
     [](const Folder &f) { f.write(Folder::kWeights, f.read(Folder::kWeights).substr(0, 20000)); },
     {"model.safetensors", "data_offsets", "bytes of data that the file has"}},
    {"bytes at the end",
     [](const Folder &f) { f.write(Folder::kWeights, f.read(Folder::kWeights) + "abcd"); },
     {"belong to no tensor"}},
    // safetensors: one tensor
    {"a tensor that is a number",
     [](const Folder &f) { f.editHeader([](json &h) { h[kTensor] = 3; }); },
     {kTensor, "found 3", "expected an object"}},
    {"no shape", entry([](json &t) { t.erase("shape"); }), {kTensor, "\"shape\" is missing"}},
    {"a field too many", entryField("stride", 1), {kTensor, "4 fields"}},
    {"an unknown type", entryField("dtype", "Q4_K"), {kTensor, "Q4_K", "BF16"}},
    {"a type that is a number", entryField("dtype", 5), {kTensor, "dtype is 5", "string"}},
    {"a type too wide", entryField("dtype", "F64"), {kTensor, "F64", "needs"}},
    {"a negative size", entryField("shape", {8, -3, 3, 3}), {kTensor, "shape", "-3", "whole number"}},
    {"a fractional size", entryField("shape", {8, 3.5, 3, 3}), {kTensor, "shape", "3.5"}},
    {"a shape that is text", entryField("shape", "8x3x3x3"), {kTensor, "shape", "8x3x3x3", "list"}},
    {"a shape that overflows",
     entryField("shape", {4294967296u, 4294967296u}),
     {kTensor, "overflows 64 bits"}},
    {"nine dimensions", entryField("shape", json(std::vector<int>(9, 1))), {kTensor, "at most 8"}},
    {"offsets reversed", entryField("data_offsets", {96, 32}), {kTensor, "[96, 32]"}},
    {"offsets beyond the file",
     entryField("data_offsets", {0, 1u << 30}),
     {kTensor, "1073741824", "bytes of data"}},
    {"three offsets", entryField("data_offsets", {0, 4, 8}), {kTensor, "[begin, end]"}},
    {"offsets that do not fit the shape",
     entryField("data_offsets", {32, 36}),
     {kTensor, "span 4 bytes", "needs 864"}},
    {"an overlap", entryField("data_offsets", {0, 864}), {"overlap", kTensor}},
    {"a gap",
     [](const Folder &f) { f.editHeader([](json &h) { h.erase("conv_in.bias"); }); },
     {"belong to no tensor"}},
    {"weights of integers",
     [](const Folder &f) { f.editHeader([](json &h) { h[kTensor]["dtype"] = "I32"; }); },
     {kTensor, "I32", "F32, F16, BF16 or F64"}},
    {"another shape of the same size",
     entryField("shape", {3, 8, 3, 3}),
     {kTensor, "[3, 8, 3, 3]", "[8, 3, 3, 3]"}},
    {"a missing tensor",
     [](const Folder &f) {
         f.editHeader([](json &h) {
             h["other"] = h[kTensor];
             h.erase(kTensor);
         });
     },
     {kTensor, "missing"}},
    {"a tensor that is not used", config("add_attention", false), {"mid_block.attentions.0", "not used"}},
    {"a NaN", firstFloat(NAN), {kTensor, "element 0", "NaN"}},
    {"an infinity", firstFloat(INFINITY), {kTensor, "element 0", "infinite"}},
    {"a weight beyond fp16", firstFloat(1e6f), {kTensor, "element 0", "65504"}},
    {"activations beyond fp16", firstFloat(65000.0f), {"op conv_in", "65504"}},
    // scheduler_config.json
    {"scheduler is not JSON", content(Folder::kScheduler, "{"), {"scheduler_config.json", "JSON"}},
    {"an unknown scheduler key",
     [](const Folder &f) { f.edit(Folder::kScheduler, [](json &s) { s["beta_power"] = 3; }); },
     {"scheduler_config.json", "beta_power"}},
    {"an unknown prediction",
     [](const Folder &f) { f.edit(Folder::kScheduler, [](json &s) { s["prediction_type"] = "noise"; }); },
     {"scheduler_config.json", "prediction_type", "noise", "v_prediction"}},
};

std::string messageOf(const Folder &folder) {
    ConvertOptions options;
    options.directory = folder.path();
    try {
        convertCheckpoint(options);
    } catch (const ReadError &error) {
        return error.what();
    }
    return "";
}

TEST(Hostile, UndamagedCheckpointConverts) {
    const Folder folder;
    EXPECT_EQ(messageOf(folder), "");
}

TEST(Hostile, EveryKindIsRefusedByName) {
    EXPECT_GE(kHostile.size(), 25u);
    for (const Hostile &hostile : kHostile) {
        const Folder folder;
        hostile.damage(folder);
        const std::string message = messageOf(folder);
        EXPECT_NE(message, "") << hostile.title << " was accepted";
        for (const char *part : hostile.named)
            EXPECT_NE(message.find(part), std::string::npos)
                << hostile.title << ": no '" << part << "' in: " << message;
        EXPECT_LE(message.size(), 1000u) << hostile.title;
    }
}

// Whatever happens to a header, it is refused or read, and never out of bounds: the sanitizers watch.
TEST(Hostile, FlippedBitsAndTruncationsNeverCrash) {
    const Folder folder;
    const std::string original = folder.read(Folder::kWeights);
    const size_t header = original.find("}}") + 2;
    std::mt19937 generator(99);
    size_t refused = 0;
    for (int i = 0; i < 400; ++i) {
        std::string damaged = original;
        if (i % 4 == 0)
            damaged.resize(generator() % damaged.size());
        else
            for (int flips = 0; flips <= i % 3; ++flips)
                damaged[generator() % header] ^= static_cast<char>(1 << (generator() % 8));
        folder.write(Folder::kWeights, damaged);
        try {
            const SafetensorsFile file(folder.file(Folder::kWeights));
            for (const SafetensorsEntry &tensor : file.entries())
                if (tensor.type == "F32") {
                    EXPECT_EQ(file.readFloats(tensor).size(), tensor.elements());
                }
        } catch (const ReadError &) {
            ++refused;
        }
    }
    EXPECT_GT(refused, 300u); // the rest changed a name, or nothing that matters to the frame
}

} // namespace
} // namespace mote::convert
