// Networks that their user describes: what their ops compute, and every mistake in a description refused by
// file, entry and expectation.
#include "checkpoint_folder.h"

#include "fold/fold.h"
#include "read/weights.h"
#include "reference/reference.h"
#include "source.h"

#include <gtest/gtest.h>

#include <cmath>

namespace mote::convert {
namespace {

using nlohmann::json;
using reference::Array;

class Descriptions : public testing::Test {
protected:
    std::string file(const std::string &name) const { return folder_.at(name); }

    void weights(const std::vector<std::pair<std::string, std::vector<uint64_t>>> &shapes) {
        std::vector<TensorToWrite> tensors;
        float value = 0.01f;
        for (const auto &[name, shape] : shapes) {
            size_t count = 1;
            for (uint64_t extent : shape)
                count *= extent;
            std::vector<float> values(count);
            for (float &each : values)
                each = value = std::fmod(value * 1.7f + 0.13f, 0.5f);
            tensors.push_back({name, shape, values});
        }
        writeSafetensors(file("w.safetensors"), tensors);
    }
    Network lower(const json &description) const {
        writeFile(file("d.json"), description.dump());
        return Source(file("w.safetensors"), file("d.json"), {}).lower();
    }
    std::string message(const json &description) const {
        try {
            lower(description);
        } catch (const ReadError &error) {
            return error.what();
        }
        return "";
    }

    test::ScratchFolder folder_;
};

json minimal() {
    return {{"mote_graph", 1},
            {"inputs", {{"x", 3}}},
            {"graph", json::array({{{"op", "conv2d"}, {"module", "a"}, {"padding", 1}, {"out", "a"}},
                                   {{"op", "relu"}},
                                   {{"op", "conv2d"}, {"module", "b"}}})}};
}

const std::vector<std::pair<std::string, std::vector<uint64_t>>> kShapes = {
    {"a.weight", {4, 3, 3, 3}}, {"a.bias", {4}}, {"b.weight", {3, 4, 1, 1}}, {"b.bias", {3}}};

TEST_F(Descriptions, TransposedConvolutionIsPyTorchs) {
    weights({{"a.weight", {3, 2, 4, 4}}, {"a.bias", {2}}, {"b.weight", {3, 2, 1, 1}}, {"b.bias", {3}}});
    json description = minimal();
    description["size"] = {5, 7};
    description["graph"] =
        json::array({{{"op", "conv_transpose2d"}, {"module", "a"}, {"stride", 2}, {"padding", 1}},
                     {{"op", "average_pool"}},
                     {{"op", "conv2d"}, {"module", "b"}}});
    const Network network = lower(description);
    const auto tables = reference::tablesOf<double>(network);
    Array<double> x(1, 3, 5, 7);
    for (size_t i = 0; i < x.values.size(); ++i)
        x.values[i] = std::sin(double(i));
    const auto tensors = reference::runGraph<double>(network.graph, tables, {x});
    const Op &conv = network.graph.ops[2];
    ASSERT_EQ(conv.name, "a");
    const Array<double> &found = tensors[conv.output];
    ASSERT_EQ(found.height, 10u);
    ASSERT_EQ(found.width, 14u);
    // Its definition: every input pixel is spread over the output.
    const SafetensorsFile file_(file("w.safetensors"));
    const std::vector<float> w = file_.readFloats(file_.get("a.weight")),
                             b = file_.readFloats(file_.get("a.bias"));
    Array<double> expected(1, 2, 10, 14);
    for (uint32_t o = 0; o < 2; ++o)
        std::fill_n(expected.plane(0, o), expected.planeSize(), double(b[o]));
    for (uint32_t i = 0; i < 3; ++i)
        for (uint32_t o = 0; o < 2; ++o)
            for (int y = 0; y < 5; ++y)
                for (int xx = 0; xx < 7; ++xx)
                    for (int ky = 0; ky < 4; ++ky)
                        for (int kx = 0; kx < 4; ++kx) {
                            const int row = 2 * y + ky - 1, column = 2 * xx + kx - 1;
                            if (row >= 0 && row < 10 && column >= 0 && column < 14)
                                expected.at(0, o, uint32_t(row), uint32_t(column)) +=
                                    x.at(0, i, uint32_t(y), uint32_t(xx)) *
                                    double(w[((i * 2 + o) * 4 + size_t(ky)) * 4 + size_t(kx)]);
                        }
    for (size_t i = 0; i < expected.values.size(); ++i)
        ASSERT_NEAR(found.values[i], expected.values[i], 1e-12) << i;
}

// What is folded into weights is compared with its definition, computed here from the tensors of the file.
class FoldedWeights : public Descriptions {
protected:
    std::vector<double> values(const std::string &name) const {
        const SafetensorsFile weights(file("w.safetensors"));
        const std::vector<float> floats = weights.readFloats(weights.get(name));
        return {floats.begin(), floats.end()};
    }
    // What the op called `name` makes of sines, unfolded; folding the whole must not change its output.
    Array<double> made(const json &graph, const std::string &name, uint32_t height, uint32_t width) {
        json description = minimal();
        description["graph"] = graph;
        const Network network = lower(description);
        x_ = Array<double>(1, 3, height, width);
        for (size_t i = 0; i < x_.values.size(); ++i)
            x_.values[i] = std::sin(double(i));
        const auto run = [&](const Network &of) {
            return reference::runGraph<double>(of.graph, reference::tablesOf<double>(of), {x_});
        };
        const auto tensors = run(network);
        Network folded = network;
        report_ = fold(folded, {0});
        const Array<double> after = reference::modelOutput(folded.graph, run(folded)),
                            before = reference::modelOutput(network.graph, tensors);
        for (size_t i = 0; i < before.values.size(); ++i)
            EXPECT_NEAR(after.values[i], before.values[i], 1e-12) << i;
        for (const Op &op : network.graph.ops)
            if (op.name == name)
                return tensors[op.output];
        throw std::logic_error("no op " + name);
    }
    Array<double> x_;
    FoldReport report_;
};

TEST_F(FoldedWeights, StandardisedOnesHaveMeanZeroAndVarianceOne) {
    weights({{"a.weight", {2, 3, 3, 3}}, {"a.bias", {2}}, {"b.weight", {3, 2, 1, 1}}, {"b.bias", {3}}});
    const Array<double> found = made(json::parse(R"([
        {"op": "conv2d", "module": "a", "padding": 1, "standardise": true, "epsilon": 0.001},
        {"op": "conv2d", "module": "b"}])"),
                                     "a", 4, 6);
    const std::vector<double> w = values("a.weight"), b = values("a.bias");
    for (uint32_t o = 0; o < 2; ++o) {
        double mean = 0, square = 0;
        for (size_t i = 0; i < 27; ++i) {
            mean += w[27 * o + i] / 27;
            square += w[27 * o + i] * w[27 * o + i] / 27;
        }
        const double deviation = std::sqrt(square - mean * mean + 0.001);
        for (int y = 0; y < 4; ++y)
            for (int c = 0; c < 6; ++c) {
                double sum = b[o];
                for (uint32_t i = 0; i < 3; ++i)
                    for (int k = 0; k < 9; ++k) {
                        const int row = y + k / 3 - 1, column = c + k % 3 - 1;
                        if (row >= 0 && row < 4 && column >= 0 && column < 6)
                            sum += x_.at(0, i, uint32_t(row), uint32_t(column)) *
                                   (w[(o * 3 + i) * 9 + size_t(k)] - mean) / deviation;
                    }
                ASSERT_NEAR(found.at(0, o, uint32_t(y), uint32_t(c)), sum, 1e-9) << o << " " << y << " " << c;
            }
    }
}

TEST_F(FoldedWeights, UnshuffledPixelsAreChannels) {
    weights({{"a.weight", {2, 12, 1, 1}}, {"b.weight", {3, 2, 1, 1}}, {"b.bias", {3}}});
    const Array<double> found = made(json::parse(R"([
        {"op": "conv2d", "module": "a", "bias": false, "unshuffle": true}, {"op": "upsample"},
        {"op": "conv2d", "module": "b"}])"),
                                     "a", 4, 6);
    const std::vector<double> w = values("a.weight");
    ASSERT_EQ(found.height, 2u);
    ASSERT_EQ(found.width, 3u);
    for (uint32_t o = 0; o < 2; ++o)
        for (uint32_t y = 0; y < 2; ++y)
            for (uint32_t c = 0; c < 3; ++c) {
                double sum = 0;
                for (uint32_t i = 0; i < 12; ++i) // channel 4 c + 2 (y mod 2) + (x mod 2)
                    sum += w[12 * o + i] * x_.at(0, i / 4, 2 * y + i % 4 / 2, 2 * c + i % 2);
                ASSERT_NEAR(found.at(0, o, y, c), sum, 1e-12) << o << " " << y << " " << c;
            }
}

// softmax(q k^T / sqrt(d)) v of one head, from maps that have its channels at these places.
double attended(const Array<double> &q, const Array<double> &k, const Array<double> &v, uint32_t qFirst,
                uint32_t kFirst, uint32_t vFirst, uint32_t d, uint32_t channel, size_t token) {
    double sum = 0, weighted = 0;
    for (size_t key = 0; key < q.planeSize(); ++key) {
        double score = 0;
        for (uint32_t i = 0; i < d; ++i)
            score += q.plane(0, qFirst + i)[token] * k.plane(0, kFirst + i)[key];
        const double weight = std::exp(score / std::sqrt(double(d)));
        sum += weight;
        weighted += weight * v.plane(0, vFirst + channel)[key];
    }
    return weighted / sum;
}

// A projection of x over the pixels by rows of w.
Array<double> projected(const Array<double> &x, const std::vector<double> &w) {
    Array<double> out(1, uint32_t(w.size() / x.channels), x.height, x.width);
    for (uint32_t o = 0; o < out.channels; ++o)
        for (size_t p = 0; p < x.planeSize(); ++p)
            for (uint32_t i = 0; i < x.channels; ++i)
                out.plane(0, o)[p] += w[o * x.channels + i] * x.plane(0, i)[p];
    return out;
}

TEST_F(FoldedWeights, HeadsThatStandOneByOneAreSorted) {
    weights({{"qkv.weight", {12, 3}}, {"b.weight", {3, 4, 1, 1}}, {"b.bias", {3}}});
    const Array<double> found = made(json::parse(R"([
        {"op": "linear", "module": "qkv", "bias": false, "sort_heads": 2},
        {"op": "attention", "module": "mixed", "heads": 2}, {"op": "conv2d", "module": "b"}])"),
                                     "mixed", 4, 4);
    const Array<double> qkv = projected(x_, values("qkv.weight"));
    for (uint32_t head = 0; head < 2; ++head)
        for (uint32_t i = 0; i < 2; ++i)
            for (size_t p = 0; p < 16; ++p)
                ASSERT_NEAR(found.plane(0, 2 * head + i)[p],
                            attended(qkv, qkv, qkv, 6 * head, 6 * head + 2, 6 * head + 4, 2, i, p), 1e-12);
}

// As 1x1 convolutions of one map, and as maps of different origins, which stay beside each other.
TEST_F(FoldedWeights, QueriesKeysAndValuesMayBeAnyMaps) {
    weights({{"q.weight", {4, 3, 1, 1}},
             {"k.weight", {4, 3, 1, 1}},
             {"v.weight", {4, 3, 1, 1}},
             {"b.weight", {3, 4, 1, 1}},
             {"b.bias", {3}}});
    for (const bool direct : {true, false}) {
        json graph = json::parse(R"([
            {"op": "conv2d", "module": "q", "bias": false, "in": "x", "out": "q"},
            {"op": "conv2d", "module": "k", "bias": false, "in": "x", "out": "k"},
            {"op": "conv2d", "module": "v", "bias": false, "in": "x", "out": "v"},
            {"op": "attention", "module": "mixed", "heads": 2, "in": ["q", "k", "v"]},
            {"op": "conv2d", "module": "b"}])");
        if (!direct) // values that went through something
            graph.insert(graph.begin() + 3,
                         json::parse(R"({"op": "scale", "factor": -2, "in": "v", "out": "w"})"));
        if (!direct)
            graph[4]["in"] = {"q", "k", "w"};
        const Array<double> found = made(graph, "mixed", 4, 4), q = projected(x_, values("q.weight")),
                            k = projected(x_, values("k.weight")), v = projected(x_, values("v.weight"));
        EXPECT_EQ(report_.qkv, direct ? 1u : 0u);
        for (uint32_t c = 0; c < 4; ++c)
            for (size_t p = 0; p < 16; ++p)
                ASSERT_NEAR(found.plane(0, c)[p],
                            (direct ? 1 : -2) *
                                attended(q, k, v, c / 2 * 2, c / 2 * 2, c / 2 * 2, 2, c % 2, p),
                            1e-12);
    }
}

// Every op that no convolution takes in, folded and not.
TEST_F(Descriptions, EveryOpFoldsToTheSameNumbers) {
    weights({{"a.weight", {4, 5, 3, 3}},
             {"a.bias", {4}},
             {"t.weight", {6, 8}},
             {"t.bias", {6}},
             {"u.weight", {4, 6}},
             {"v.weight", {8, 6}},
             {"v.bias", {8}},
             {"n.weight", {4}},
             {"n.bias", {4}},
             {"bn.weight", {4}},
             {"bn.bias", {4}},
             {"bn.running_mean", {4}},
             {"bn.running_var", {4}},
             {"q.weight", {4, 4}},
             {"k.weight", {4, 4}},
             {"v2.weight", {4, 4}},
             {"up.weight", {12, 4, 2, 2}},
             {"up.bias", {4}},
             {"b.weight", {3, 4, 1, 1}},
             {"b.bias", {3}},
             {"pool.weight", {4, 4, 3, 3}}});
    json description = minimal();
    description["inputs"] = {{"x", 3}, {"condition", 2}};
    description["graph"] = json::parse(R"([
        {"op": "timestep_features", "channels": 8, "out": "features"},
        {"op": "linear", "module": "t"}, {"op": "mish", "out": "time"},
        {"op": "linear", "module": "u", "bias": false, "out": "shift"},
        {"op": "linear", "module": "v", "in": "time", "out": "both"},
        {"op": "concat", "in": ["x", "condition"]}, {"op": "scale", "factor": 2, "offset": -1},
        {"op": "conv2d", "module": "a", "padding": 1, "out": "a"},
        {"op": "gelu"}, {"op": "scale", "factor": 0.5, "offset": 0.25, "out": "scaled"},
        {"op": "add", "in": ["shift", "scaled"], "out": "shifted"},
        {"op": "modulate", "in": ["shifted", "both"]}, {"op": "silu", "out": "h"},
        {"op": "add", "in": ["h", "a"]}, {"op": "relu"},
        {"op": "batch_norm", "module": "bn"}, {"op": "group_norm", "module": "n", "groups": 2, "out": "n"},
        {"op": "linear", "module": "q", "bias": false, "out": "q"},
        {"op": "linear", "module": "k", "bias": false, "in": "n", "out": "k"},
        {"op": "linear", "module": "v2", "bias": false, "in": "n", "out": "v"},
        {"op": "attention", "heads": 2, "in": ["q", "k", "v"], "out": "mixed"},
        {"op": "average_pool"}, {"op": "conv2d", "module": "pool", "padding": 1, "bias": false},
        {"op": "upsample", "out": "wide"},
        {"op": "concat", "in": ["wide", "mixed", "h"]},
        {"op": "conv_transpose2d", "module": "up", "stride": 2}, {"op": "average_pool"},
        {"op": "conv2d", "module": "b"}
    ])");
    const Network unfolded = lower(description);
    EXPECT_EQ(unfolded.graph.sizeMultiple, 2u);
    Network folded = unfolded;
    EXPECT_EQ(fold(folded, {10, 900}).timeOps, 5u); // features, t, mish, u, v
    const auto before = reference::tablesOf<double>(unfolded), after = reference::tablesOf<double>(folded);
    Array<double> x(2, 3, 6, 8), condition(2, 2, 6, 8);
    for (size_t i = 0; i < x.values.size(); ++i)
        x.values[i] = std::sin(double(i));
    for (size_t i = 0; i < condition.values.size(); ++i)
        condition.values[i] = std::cos(double(i));
    for (const uint32_t row : {0u, 1u}) {
        reference::Step step;
        step.row = row;
        step.timestep = row == 0 ? 10 : 900;
        step.features = unfolded.timestepFeatures;
        const auto all = reference::runGraph<double>(unfolded.graph, before, {x, condition}, step);
        const auto few = reference::runGraph<double>(folded.graph, after, {x, condition}, step);
        const Array<double> &expected = reference::modelOutput(unfolded.graph, all);
        const Array<double> &found = reference::modelOutput(folded.graph, few);
        for (size_t i = 0; i < expected.values.size(); ++i)
            ASSERT_NEAR(found.values[i], expected.values[i], 1e-12) << i;
    }
}

TEST_F(Descriptions, EveryMistakeIsRefusedByName) {
    weights(kShapes);
    EXPECT_EQ(message(minimal()), "");
    const auto with = [](const char *key, const json &value) {
        json description = minimal();
        description[key] = value;
        return description;
    };
    const auto without = [](const char *key) {
        json description = minimal();
        description.erase(key);
        return description;
    };
    const auto entry = [](size_t index, const char *key, const json &value) {
        json description = minimal();
        description["graph"][index][key] = value;
        return description;
    };
    const auto graph = [&](const char *text) { return with("graph", json::parse(text)); };
    json recursive = minimal();
    recursive["functions"] = {{"f", {{"graph", json::array({{{"op", "f"}}})}}}};
    recursive["graph"][1]["op"] = "f";
    json doubling = minimal(); // 2^40 ops
    for (int i = 0; i < 40; ++i)
        doubling["functions"]["f" + std::to_string(i)] = {
            {"graph",
             json::array({{{"op", "f" + std::to_string(i + 1)}}, {{"op", "f" + std::to_string(i + 1)}}})}};
    doubling["graph"][1]["op"] = "f0";
    json many = minimal();
    many["graph"] = json::array();
    for (int i = 0; i < 5000; ++i)
        many["graph"].push_back({{"op", "relu"}});
    const struct {
        const char *title;
        json description;
        std::vector<const char *> named;
    } all[] = {
        {"a list", json::array({1}), {"d.json", "expected an object"}},
        {"no version", without("mote_graph"), {"\"mote_graph\" is absent"}},
        {"another version", with("mote_graph", 2), {"\"mote_graph\" is 2"}},
        {"no inputs", without("inputs"), {"\"inputs\" is absent"}},
        {"no state", with("inputs", {{"y", 3}}), {"inputs", "\"x\" is absent"}},
        {"another input", with("inputs", {{"x", 3}, {"mask", 1}}), {"inputs", "\"mask\""}},
        {"no graph", without("graph"), {"\"graph\" is absent"}},
        {"an unknown key", with("layers", 3), {"\"layers\" (3) is not known"}},
        {"half a size", with("size", {28}), {"\"size\"", "[height, width]"}},
        {"a size of zero", with("size", {0, 28}), {"\"size\"", "[height, width]"}},
        {"weights elsewhere", with("weights", 3), {"\"weights\" is 3"}},
        {"an unknown op",
         entry(1, "op", "maxout"),
         {"graph[1] (maxout)", "neither a function nor one of", "conv2d"}},
        {"a maximum", entry(1, "op", "max_pool"), {"graph[1] (max_pool)", "not supported", "largest"}},
        {"pixels as channels of a wide kernel",
         entry(0, "unshuffle", true),
         {"\"unshuffle\" is true", "more than one pixel"}},
        {"heads that do not divide",
         entry(0, "sort_heads", 5),
         {"\"sort_heads\" is 5", "a divisor of a third of the 4 channels"}},
        {"an attention of two maps",
         graph(R"([{"op": "conv2d", "module": "a", "padding": 1, "out": "a"},
                   {"op": "attention", "in": ["a", "a"]}, {"op": "conv2d", "module": "b"}])"),
         {"graph[1] (attention)", "in one or in three"}},
        {"an attention of q alone",
         graph(R"([{"op": "conv2d", "module": "a", "padding": 1}, {"op": "attention"},
                   {"op": "conv2d", "module": "b"}])"),
         {"graph[1] (attention)", "4 channels, expected three times"}},
        {"no op", graph(R"([{"module": "a"}])"), {"graph[0]", "\"op\" is absent"}},
        {"an unknown key of an op", entry(0, "dilation", 2), {"graph[0] (conv2d a)", "\"dilation\" (2)"}},
        {"a stride of three", entry(0, "stride", 3), {"graph[0] (conv2d a)", "\"stride\" is 3", "1 to 2"}},
        {"padding of the kernel's size", entry(0, "padding", 3), {"\"padding\" is 3", "0 to 2"}},
        {"padding on two sides", entry(0, "padding", {1, 1}), {"\"padding\"", "[top, left, bottom, right]"}},
        {"no tensor",
         entry(0, "module", "z"),
         {"graph[0] (conv2d z)", "w.safetensors has no tensor \"z.weight\""}},
        {"another rank",
         entry(0, "op", "linear"),
         {"graph[0] (linear a)", "[4, 3, 3, 3]", "expected 2 dimensions"}},
        {"channels that do not fit", entry(2, "in", "x"), {"\"b.weight\"", "[3, 4, 1, 1]", "[3, 3, 1, 1]"}},
        {"an unknown name", entry(2, "in", "y"), {"graph[2] (conv2d b)", "\"y\"", "expected one of a, x"}},
        {"a name that is a number", entry(2, "in", 3), {"graph[2] (conv2d b)", "\"in\" has 3"}},
        {"a name twice", entry(1, "out", "a"), {"\"out\" is \"a\"", "not taken"}},
        {"two inputs", entry(2, "in", {"a", "a"}), {"graph[2] (conv2d b)", "2 inputs, expected 1"}},
        {"tensors left over",
         graph(R"([{"op": "conv2d", "module": "b", "in": "x"}])"),
         {"\"b.weight\"", "[3, 3, 1, 1]"}},
        {"an unused tensor that is not there", with("unused", {"c.weight"}), {"\"unused\" has \"c.weight\""}},
        {"the end is no output",
         graph(R"([{"op": "conv2d", "module": "a"}])"),
         {"graph: ends in a", "4 channels"}},
        {"the end is no convolution",
         graph(
             R"([{"op": "conv2d", "module": "a", "padding": 1}, {"op": "conv2d", "module": "b"}, {"op": "relu"}])"),
         {"ends in", "conv2d"}},
        {"another size", entry(0, "padding", 0), {"graph: ends in b", "510x510", "512x512"}},
        {"maps that do not go together",
         graph(R"([{"op": "upsample", "out": "u"}, {"op": "add", "in": ["u", "x"]}])"),
         {"graph[1] (add)", "1024x1024", "512x512"}},
        {"a layer norm of any size", entry(1, "op", "layer_norm"), {"graph[1] (layer_norm)", "\"size\""}},
        {"groups that do not divide",
         graph(R"([{"op": "conv2d", "module": "a"}, {"op": "group_norm", "module": "a", "groups": 3}])"),
         {"\"groups\" is 3", "4 channels"}},
        {"a function that calls itself", recursive, {"nested deeper than 8"}},
        {"functions that double", doubling, {"nested deeper than 8"}},
        {"five thousand ops", many, {"more than 4096 ops"}},
        {"a function called as an op",
         with("functions", {{"conv2d", {{"graph", json::array({{{"op", "relu"}}})}}}}),
         {"function \"conv2d\"", "name of an op"}},
        {"a function of nothing",
         with("functions", {{"f", {{"graph", json::array()}}}}),
         {"function \"f\"", "list of ops"}},
        {"a vector for a map",
         graph(R"([{"op": "timestep_features", "channels": 4}, {"op": "conv2d", "module": "a"}])"),
         {"graph[1] (conv2d a)", "vector of the timestep"}},
        {"the timestep twice",
         graph(R"([{"op": "timestep_features", "channels": 4}, {"op": "timestep_features", "channels": 4}])"),
         {"graph[1]", "second time"}},
    };
    for (const auto &wrong : all) {
        const std::string found = message(wrong.description);
        EXPECT_NE(found, "") << wrong.title << " was accepted";
        for (const char *part : wrong.named)
            EXPECT_NE(found.find(part), std::string::npos)
                << wrong.title << ": no '" << part << "' in: " << found;
    }
}

TEST_F(Descriptions, AFileOfTensorsNeedsADescription) {
    weights(kShapes);
    EXPECT_THROW(Source(file("w.safetensors"), "", {}), ReadError);
    EXPECT_THROW(Source(file("w.safetensors"), "resnet", {}), ReadError);
    writeFile(file("d.json"), minimal().dump());
    EXPECT_THROW(Source(folder_.path(), file("d.json"), {}), ReadError); // does not say which file
    json named = minimal();
    named["weights"] = "../w.safetensors";
    writeFile(file("d.json"), named.dump());
    EXPECT_THROW(Source(folder_.path(), file("d.json"), {}), ReadError);
    named["weights"] = "w.safetensors";
    writeFile(file("d.json"), named.dump());
    EXPECT_NO_THROW(Source(folder_.path(), file("d.json"), {}).lower());
}

} // namespace
} // namespace mote::convert
