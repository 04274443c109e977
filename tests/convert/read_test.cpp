// Number formats, safetensors in both directions, old names, other configurations.
#include "checkpoint_folder.h"

#include "convert.h"
#include "lower/simple_unet.h"
#include "read/half.h"
#include "read/safetensors.h"

#include <gtest/gtest.h>

#include <bit>

namespace mote::convert {
namespace {

TEST(Half, EveryHalfSurvivesTheWayToDoubleAndBack) {
    for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const float value = floatFromHalf(half);
        if (std::isnan(value)) {
            EXPECT_EQ(halfFromDouble(double(value)) & 0x7C00, 0x7C00);
            EXPECT_NE(halfFromDouble(double(value)) & 0x03FF, 0);
        } else {
            EXPECT_EQ(halfFromDouble(double(value)), half) << bits;
        }
    }
}

TEST(Half, RoundsToNearestAndTiesToEven) {
    for (uint16_t bits = 0; bits < 0x7BFF; ++bits) { // between every two neighbours
        const double low = double(floatFromHalf(bits)), high = double(floatFromHalf(uint16_t(bits + 1)));
        const double middle = (low + high) / 2;
        EXPECT_EQ(halfFromDouble(middle), bits % 2 == 0 ? bits : bits + 1);
        EXPECT_EQ(halfFromDouble(std::nextafter(middle, low)), bits);
        EXPECT_EQ(halfFromDouble(std::nextafter(middle, high)), bits + 1);
        EXPECT_EQ(halfFromDouble(-middle), (bits % 2 == 0 ? bits : bits + 1) | 0x8000);
    }
}

TEST(Half, OverflowsToInfinityAsIeeeSays) {
    EXPECT_EQ(halfFromDouble(65519.99), 0x7BFF);
    EXPECT_EQ(halfFromDouble(65520), 0x7C00);
    EXPECT_EQ(halfFromDouble(-1e300), 0xFC00);
    EXPECT_EQ(halfFromDouble(std::numeric_limits<double>::infinity()), 0x7C00);
}

// By way of float this number would be rounded up twice.
TEST(Half, RoundsOnceFromDouble) {
    const double value = 1 + 0x1p-11 + 0x1p-40;
    EXPECT_EQ(halfFromDouble(value), 0x3C01);
    EXPECT_EQ(halfFromDouble(double(float(value))), 0x3C00);
}

TEST(Bfloat16, IsTheUpperHalfOfAFloat) {
    EXPECT_EQ(floatFromBfloat16(0x3F80), 1.0f);
    EXPECT_EQ(floatFromBfloat16(0xC2F7), -123.5f);
    EXPECT_EQ(floatFromBfloat16(0x0001), std::bit_cast<float>(0x00010000u));
}

TEST(Safetensors, WhatIsWrittenIsRead) {
    const test::ScratchFolder folder;
    const std::string path = folder.at("t.safetensors");
    writeSafetensors(
        path, {{"b", {2, 3}, {1, -2, 3.5f, 0, 1e-30f, 6}}, {"a \"quoted\"", {}, {7}}, {"none", {0, 4}, {}}});
    const SafetensorsFile file(path);
    ASSERT_EQ(file.entries().size(), 3u);
    EXPECT_EQ(file.readFloats(file.get("b")), (std::vector<float>{1, -2, 3.5f, 0, 1e-30f, 6}));
    EXPECT_EQ(file.get("b").shape, (std::vector<uint64_t>{2, 3}));
    EXPECT_EQ(file.readFloats(file.get("a \"quoted\"")), std::vector<float>{7});
    EXPECT_EQ(file.get("none").elements(), 0u);
    EXPECT_EQ(file.find("c"), nullptr);
    EXPECT_THROW(file.get("c"), ReadError);
}

TEST(Safetensors, FailedWriteLeavesTheOldFileAndNoOther) {
    const test::ScratchFolder folder;
    const std::string path = folder.at("t.safetensors");
    writeSafetensors(path, {{"a", {1}, {1}}});
    const std::string before = fileContent(path);
    EXPECT_THROW(writeSafetensors(path, {{"a", {2}, {1}}}), ReadError);
    EXPECT_THROW(writeSafetensors(path, {{"a", {1}, {1}}, {"a", {1}, {2}}}), ReadError);
    EXPECT_THROW(writeSafetensors(folder.at("none/t"), {{"a", {1}, {1}}}), ReadError);
    EXPECT_EQ(fileContent(path), before);
    EXPECT_EQ(folder.names().size(), 1u);
}

// The case's fp16 file was made by rounding its fp32 file.
TEST(Safetensors, Fp16FileHoldsTheRoundedFp32Weights) {
    const std::string folder = std::string(MOTE_TESTS_DIR) + "/goldens/ddim-vpred-cosine-32/unet/";
    const SafetensorsFile single(folder + "diffusion_pytorch_model.safetensors");
    const SafetensorsFile half(folder + "diffusion_pytorch_model.fp16.safetensors");
    ASSERT_EQ(single.entries().size(), half.entries().size());
    for (const SafetensorsEntry &entry : half.entries()) {
        EXPECT_EQ(entry.type, "F16");
        std::vector<float> expected = single.readFloats(single.get(entry.name));
        for (float &value : expected)
            value = roundedToHalf(value);
        EXPECT_EQ(half.readFloats(entry), expected) << entry.name;
    }
}

TEST(Safetensors, BfloatWeightsConvert) {
    const CheckpointFolder folder;
    const std::string original = folder.read(CheckpointFolder::kWeights);
    // The same header with half the bytes: every float loses its lower half.
    const size_t start = original.find("}}") + 2;
    const nlohmann::json before = nlohmann::json::parse(original.substr(8, start - 8));
    size_t data = original.size(), size = 0;
    nlohmann::json header = before;
    for (auto &[name, tensor] : header.items()) {
        size = std::max(size, tensor["data_offsets"][1].get<size_t>());
        tensor["dtype"] = "BF16";
        for (auto &offset : tensor["data_offsets"])
            offset = offset.get<size_t>() / 2;
    }
    data -= size;
    std::string halves;
    for (size_t i = data; i < original.size(); i += 4)
        halves += original.substr(i + 2, 2);
    const std::string text = header.dump();
    std::string file;
    for (size_t i = 0; i < 8; ++i)
        file += static_cast<char>(text.size() >> (8 * i));
    const CheckpointFolder other;
    other.write(CheckpointFolder::kWeights, file + text + halves);
    const SafetensorsFile full(folder.file(CheckpointFolder::kWeights)),
        brief(other.file(CheckpointFolder::kWeights));
    for (const SafetensorsEntry &entry : brief.entries()) {
        const std::vector<float> exact = full.readFloats(full.get(entry.name)),
                                 rounded = brief.readFloats(entry);
        for (size_t i = 0; i < exact.size(); ++i)
            EXPECT_EQ(std::bit_cast<uint32_t>(exact[i]) & 0xFFFF0000u, std::bit_cast<uint32_t>(rounded[i]));
    }
    ConvertOptions options;
    options.directory = other.path();
    EXPECT_GT(convertCheckpoint(options).constants.bytes(), 0u);
}

TEST(Checkpoint, OldAttentionNamesGiveTheSameModel) {
    const CheckpointFolder now, before(smallConfig(), [](std::string name) {
        for (const auto &[to, from] : {std::pair{".to_q.", ".query."},
                                       {".to_k.", ".key."},
                                       {".to_v.", ".value."},
                                       {".to_out.0.", ".proj_attn."}})
            if (const size_t at = name.find(to); at != std::string::npos)
                name.replace(at, std::string(to).size(), from);
        return name;
    });
    EXPECT_NE(before.read(CheckpointFolder::kWeights).find("proj_attn"), std::string::npos);
    ConvertOptions options;
    options.directory = now.path();
    const Conversion expected = convertCheckpoint(options);
    options.directory = before.path();
    EXPECT_EQ(convertCheckpoint(options).constants.data, expected.constants.data);
}

TEST(Checkpoint, AbsentKeysTakeTheLibrarysDefaults) {
    const UNetConfig config = parseUNetConfig(nlohmann::json::object(), "config");
    EXPECT_EQ(config.inChannels, 3u);
    EXPECT_EQ(config.blockOutChannels, (std::vector<uint32_t>{224, 448, 672, 896}));
    EXPECT_EQ(config.downBlockTypes[0], "DownBlock2D");
    EXPECT_EQ(config.upBlockTypes[3], "UpBlock2D");
    EXPECT_EQ(config.layersPerBlock, 2u);
    EXPECT_EQ(config.attentionHeadDim, 8u);
    EXPECT_EQ(config.normNumGroups, 32u);
    EXPECT_EQ(config.normEps, 1e-5);
    EXPECT_TRUE(config.flipSinToCos);
    EXPECT_TRUE(config.addAttention);
    EXPECT_FALSE(config.attnNormNumGroups.has_value());
}

TEST(SimpleUNet, HyperParametersThatItDoesNotHonourAreRefused) {
    const std::string folder = std::string(MOTE_TESTS_DIR) + "/goldens/seed-simpleunet/";
    const nlohmann::json good = nlohmann::json::parse(fileContent(folder + kSimpleUNetFile));
    EXPECT_NO_THROW(parseSimpleUNetConfig(good, "s.json"));
    for (const auto &[key, value] :
         std::vector<std::pair<const char *, nlohmann::json>>{{"architecture", "BigUNet"},
                                                              {"channels", 0},
                                                              {"norm_groups", 5},
                                                              {"norm_eps", 2},
                                                              {"time_emb_dim", "256"},
                                                              {"out_channels", 4},
                                                              {"upsample", "bilinear"},
                                                              {"downsample", "conv"},
                                                              {"weights", "../w.safetensors"},
                                                              {"attention", true}}) {
        nlohmann::json wrong = good;
        wrong[key] = value;
        try {
            parseSimpleUNetConfig(wrong, "s.json");
            ADD_FAILURE() << key << " was accepted";
        } catch (const ReadError &error) {
            EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
        }
    }
}

} // namespace
} // namespace mote::convert
