// What a reader lets pass may still be nonsense as a graph: shapes that do not meet, sizes beyond any device.
// Each ends in a status or a sound plan, in bounded time, never in a crash.
#include "graph/plan.h"
#include "graph/shapes.h"
#include "model/format.h"
#include "model/reader.h"
#include "model/sample_model.h"

#include <gtest/gtest.h>

namespace mote::test {
namespace {

// Everything that graph offers, at a few sizes. Returns how many of them gave a plan.
int useGraph(const Model &model) {
    int planned = 0;
    const Graph &graph = model.graphs[0];
    const bool named = downsamplingFactor(graph).ok() || !downsamplingFactor(graph).status().message.empty();
    EXPECT_TRUE(named);
    const Result<ReceptiveField> field = receptiveField(model, graph);
    EXPECT_TRUE(field.ok() || !field.status().message.empty());
    const std::vector<Liveness> uses = tensorLiveness(graph);
    for (const uint32_t size : {1u, 8u, 100u, 1u << 24}) {
        const Result<GraphShapes> shapes = inferShapes(model, graph, 1, size, 8);
        if (!shapes.ok()) {
            EXPECT_EQ(shapes.status().message.rfind("graph '", 0), 0u) << shapes.status().message;
            continue;
        }
        std::vector<PlanBuffer> buffers;
        for (size_t i = 0; i < graph.tensors.size(); ++i)
            if (uses[i].firstUse != kNone)
                buffers.push_back({graph.tensors[i].name,
                                   tensorBytes(graph.tensors[i].kind, shapes->tensors[i]), 256,
                                   uses[i].firstUse, uses[i].lastUse});
        const Result<MemoryPlan> plan = planMemory(buffers, 128u << 20);
        if (!plan.ok()) {
            EXPECT_FALSE(plan.status().message.empty());
            continue;
        }
        EXPECT_GE(plan->peakBytes, plan->lowerBound);
        ++planned;
    }
    return planned;
}

TEST(HostileGraph, FlipsThatTheReaderAcceptsEndInAStatusOrAPlan) {
    std::vector<uint8_t> file = assemble(rawFile(sampleModel()));
    const auto root = static_cast<size_t>(loadLittle(file.data() + kHeaderRootOffset, 8));
    int accepted = 0, planned = 0;
    for (size_t bit = root * 8; bit < file.size() * 8; bit += 3) {
        file[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
        seal(file);
        const Source source = std::move(Source::fromMemory(file.data(), file.size(), "hostile.mote").value());
        const Result<Model> model = readModel(source);
        if (model.ok()) {
            ++accepted;
            planned += useGraph(model.value());
        }
        file[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    }
    EXPECT_GT(accepted, 100);
    EXPECT_GT(planned, 100);
}

TEST(HostileGraph, AGraphOfAllItsBoundsIsWalkedInBoundedTime) {
    // 4096 convolutions in a row, every one with a residual of the first: the most that a file can ask for.
    Sample sample = sampleModel();
    Graph &graph = sample.model.graphs[0];
    graph.ops.resize(2); // concat and conv_in
    graph.tensors.resize(4);
    const uint32_t out = 3;
    uint32_t last = out;
    Op op = graph.ops[1];
    sample.model.weights.push_back(sample.model.weights[0]);
    sample.model.weights.back().shape = {8, 3, 3, 8};
    op.weight = static_cast<uint32_t>(sample.model.weights.size() - 1);
    op.residual = out;
    while (graph.ops.size() < 4096) {
        graph.tensors.push_back({"t" + std::to_string(graph.tensors.size()), TensorKind::Activation, 8});
        op.inputs = {last};
        last = op.output = static_cast<uint32_t>(graph.tensors.size() - 1);
        graph.ops.push_back(op);
    }
    graph.tensors[last].kind = TensorKind::Port;
    graph.ports[2].tensor = last;
    graph.ports[2].shape[1].numerator = 8;
    const Result<ReceptiveField> field = receptiveField(sample.model, graph);
    ASSERT_TRUE(field.ok()) << field.status().message;
    EXPECT_EQ(field->radius, 4095u);
    EXPECT_EQ(useGraph(sample.model), 3); // a column of 2^24 rows needs more than 128 MiB in one piece
}

} // namespace
} // namespace mote::test
