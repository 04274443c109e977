// Damage without intent: truncation, flipped bits, and noise. Nothing may crash, and nothing may pass.
#include "model/format.h"
#include "model/reader.h"
#include "model/sample_model.h"

#include <chrono>
#include <cstring>
#include <gtest/gtest.h>
#include <random>

namespace mote::test {
namespace {

// Reads the model and then every weight, as loading does.
Status load(const uint8_t *data, size_t bytes) {
    const Source source = std::move(Source::fromMemory(data, bytes, "damaged.mote").value());
    const Result<Model> model = readModel(source);
    if (!model.ok())
        return model.status();
    WeightReader reader(source, model.value());
    for (uint32_t i = 0; i < model->weights.size(); ++i)
        MOTE_TRY(reader.stream(i, 0, model->weights[i].bytes, [](const void *, size_t) { return Status{}; }));
    return {};
}

Status load(const std::vector<uint8_t> &file) {
    return load(file.data(), file.size());
}

void expectNamed(const Status &status, const std::string &what) {
    EXPECT_EQ(status.code, StatusCode::InvalidModel) << what << ": " << status.message;
    EXPECT_EQ(status.message.rfind("damaged.mote: ", 0), 0u) << what << ": " << status.message;
    const size_t field = status.message.find(": found ");
    EXPECT_NE(field, std::string::npos) << what << ": " << status.message;
    EXPECT_GT(field, std::strlen("damaged.mote: ")) << what << ": " << status.message;
}

// At every byte of header and padding and root, and at some of the weights; sealed as if it had been written
// so, too: then it is not the size that gives it away.
TEST(DamagedModel, TruncatedAnywhereIsRefused) {
    const std::vector<uint8_t> file = assemble(rawFile(sampleModel()));
    ASSERT_TRUE(load(file).ok());
    const auto root = static_cast<size_t>(loadLittle(file.data() + kHeaderRootOffset, 8));
    for (size_t bytes = 0; bytes<file.size(); bytes += bytes> kHeaderBytes && bytes + 64 < root ? 61 : 1) {
        // Of its own size, so that a read behind the end is seen by AddressSanitizer.
        const std::vector<uint8_t> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(bytes));
        const uint8_t nothing = 0;
        expectNamed(load(cut.empty() ? &nothing : cut.data(), cut.size()), "cut at " + std::to_string(bytes));
        if (bytes > root) {
            std::vector<uint8_t> sealed = cut;
            storeLittle(sealed.data() + kHeaderRootBytes, bytes - root, 8);
            storeLittle(sealed.data() + kHeaderFileBytes, bytes, 8);
            seal(sealed);
            expectNamed(load(sealed), "sealed at " + std::to_string(bytes));
        }
        if (HasFailure())
            return;
    }
}

TEST(DamagedModel, GrownByAByteIsRefused) {
    std::vector<uint8_t> file = assemble(rawFile(sampleModel()));
    file.push_back(0);
    expectNamed(load(file), "grown");
}

// Every bit of the header, and a bit of every byte behind it, another one each time.
TEST(DamagedModel, SingleBitFlipsAreRefused) {
    std::vector<uint8_t> file = assemble(rawFile(sampleModel()));
    for (size_t bit = 0; bit < file.size() * 8; bit += bit < kHeaderBytes * 8 ? 1 : 9) {
        file[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
        expectNamed(load(file), "bit " + std::to_string(bit));
        file[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
        if (HasFailure())
            return;
    }
    EXPECT_TRUE(load(file).ok());
}

TEST(DamagedModel, AFlipInALaterChunkNamesTheChunk) {
    std::vector<uint8_t> file = assemble(rawFile(sampleModel(24)));
    file[kHeaderBytes + 2 * kChunkBytes + 5] ^= 1;
    const Status status = load(file);
    expectNamed(status, "third chunk");
    EXPECT_NE(status.message.find("segments[0].checksums[2]"), std::string::npos) << status.message;
}

// Flips inside the root behind renewed checksums: the FlatBuffer verifier and our rules are on their own. A
// flip may leave a legal model (another coefficient); what must hold is that nothing crashes and that
// refusals are named.
TEST(DamagedModel, FlipsBehindRenewedChecksumsNeverCrash) {
    const std::vector<uint8_t> good = assemble(rawFile(sampleModel()));
    const auto root = static_cast<size_t>(loadLittle(good.data() + kHeaderRootOffset, 8));
    size_t refused = 0, accepted = 0;
    std::vector<uint8_t> file = good;
    for (size_t bit = root * 8; bit < file.size() * 8; bit += 3) {
        file[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
        seal(file);
        const Status status = load(file);
        if (status.ok()) {
            ++accepted;
        } else {
            ++refused;
            EXPECT_EQ(status.message.rfind("damaged.mote: ", 0), 0u) << bit << ": " << status.message;
        }
        file[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    }
    EXPECT_GT(refused, accepted);
}

// Bytes written over with values that hurt, several at a time, for a second. The seed is fixed; the number of
// rounds depends on the machine.
TEST(DamagedModel, ASecondOfNoiseBehindRenewedChecksumsNeverCrashes) {
    const std::vector<uint8_t> good = assemble(rawFile(sampleModel()));
    const auto root = static_cast<size_t>(loadLittle(good.data() + kHeaderRootOffset, 8));
    std::mt19937 random(20);
    const auto below = [&random](size_t limit) { return static_cast<size_t>(random() % limit); };
    const uint32_t painful[] = {0,      1,      0x7f,       0x80,       0xff,      0x7fff,
                                0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff};
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    size_t rounds = 0;
    do {
        std::vector<uint8_t> file = good;
        for (size_t change = 0; change <= below(4); ++change) {
            const size_t at = root + below((file.size() - root) / 4) * 4;
            const size_t bytes = std::min<size_t>(size_t{1} << below(3), file.size() - at);
            storeLittle(file.data() + at, below(2) == 0 ? painful[below(std::size(painful))] : random(),
                        bytes);
        }
        if (below(8) == 0) { // a shorter root
            file.resize(root + below(file.size() - root) + 1);
            storeLittle(file.data() + kHeaderRootBytes, file.size() - root, 8);
            storeLittle(file.data() + kHeaderFileBytes, file.size(), 8);
        }
        seal(file);
        const Status status = load(file);
        EXPECT_TRUE(status.ok() || status.message.rfind("damaged.mote: ", 0) == 0) << status.message;
        ++rounds;
    } while (std::chrono::steady_clock::now() < end && !HasFailure());
    EXPECT_GT(rounds, 100u);
    RecordProperty("rounds", static_cast<int>(rounds));
}

TEST(DamagedModel, OtherFilesAreNotModels) {
    const char *const kOthers[] = {"\x89PNG\r\n\x1a\n", "GGUF\x03", "{\"model\": 1}", "MOTE\n\x1a\n",
                                   "MOTE\r\r\n\x1a\r\n"};
    for (const char *const start : kOthers) {
        std::vector<uint8_t> file(500, 0);
        std::memcpy(file.data(), start, std::strlen(start));
        const Status status = load(file);
        expectNamed(status, start);
        EXPECT_NE(status.message.find("header.magic"), std::string::npos) << status.message;
    }
}

} // namespace
} // namespace mote::test
