// A tuner's choices as data: kept and read back, refused when damaged, and never more than a wish.
#include "kernels/choices.h"

#include "kernel_rig.h"

namespace mote::test {
namespace {

std::vector<uint8_t> bytesOf(const std::string &text) {
    return {text.begin(), text.end()};
}

TEST(KernelChoices, SurviveEncoding) {
    KernelChoices choices;
    for (int i = 0; i < 100; ++i)
        choices.variants["op1 " + std::to_string(i) + "x8x8 > 8x8x8"] = i % 2 ? "conv2d 4x8" : "conv2d few";
    const Result<KernelChoices> again = decodeChoices(encodeChoices(choices));
    ASSERT_TRUE(again.ok()) << again.status().message;
    EXPECT_EQ(again->variants, choices.variants);
    EXPECT_TRUE(decodeChoices({})->variants.empty());
}

TEST(KernelChoices, ThatAreDamagedAreRefusedWhole) {
    const auto refused = [](const std::string &text, const std::string &part) {
        const Status status = decodeChoices(bytesOf(text)).status();
        EXPECT_EQ(status.code, StatusCode::InvalidModel) << text;
        EXPECT_NE(status.message.find(part), std::string::npos) << status.message;
    };
    refused("key\tname", "line 1: found no end");
    refused("key\tname\nkey two\n", "line 2: found no tab");
    refused("\n", "line 1: found no tab");
    refused("\tname\n", "a key of 0 and a name of 4 bytes");
    refused("key\t\n", "a key of 3 and a name of 0 bytes");
    refused("key\tna\tme\n", "plain text");
    refused(std::string("k\0y\tname\n", 9), "plain text");
    refused("k\xc3\xa9y\tname\n", "plain text");
    refused(std::string(300, 'k') + "\tname\n", "a key of 300");
    refused("key\t" + std::string(100, 'n') + "\n", "a name of 100 bytes");
    refused("key\tone\nkey\ttwo\n", "line 2: its key was there before");
}

} // namespace
} // namespace mote::test
