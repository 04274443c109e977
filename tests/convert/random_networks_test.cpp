// Whatever the keys of a configuration are, the folded network computes what the unfolded one does.
#include "random_networks.h"

#include "evaluation.h"
#include "fold/fold.h"
#include "graph/shapes.h"

#include <gtest/gtest.h>

#include <set>

namespace mote::convert {
namespace {

using nlohmann::json;

TEST(RandomNetworks, FoldedOnesComputeWhatUnfoldedOnesDo) {
    for (uint32_t seed = 0; seed < MOTE_SEEDS; ++seed) {
        const json config = randomConfig(seed);
        Network network = lowered(config);
        const uint32_t size = network.graph.sizeMultiple, height = 2 * size, width = 3 * size;
        std::vector<reference::Array<double>> expected;
        for (size_t row = 0; row < kTimesteps.size(); ++row)
            expected.push_back(outputOf(network, row, height, width));
        fold(network, kTimesteps);
        for (size_t row = 0; row < kTimesteps.size(); ++row)
            EXPECT_LE(relativeError(outputOf(network, row, height, width), expected[row]), 1e-11)
                << "seed " << seed << ", row " << row << ": " << config.dump();
    }
}

// Every value of every key, and every block, is in some configuration.
TEST(RandomNetworks, EveryValueOfEveryKeyIsDrawn) {
    std::map<std::string, std::set<std::string>> found;
    for (uint32_t seed = 0; seed < 200; ++seed) {
        const json config = randomConfig(seed);
        for (const auto &[key, value] : config.items())
            found[key].insert(value.dump());
        for (const char *key : {"down_block_types", "up_block_types"})
            for (const json &block : config.at(key))
                found["blocks"].insert(block);
    }
    for (const KeyValues &key : drawnKeys())
        for (const json &value : key.values)
            EXPECT_TRUE(found[key.key].contains(value.dump())) << key.key << " " << value;
    EXPECT_EQ(found["blocks"].size(), 10u);
}

} // namespace
} // namespace mote::convert
