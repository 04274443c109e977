// The graphs of the checkpoints that tests and demo use: how much their plans waste, and how their maps lie.
#include "convert.h"
#include "graph/plan.h"
#include "graph/shapes.h"

#include <cstdio>
#include <gtest/gtest.h>

namespace mote::test {
namespace {

struct Checkpoint {
    const char *directory;
    uint32_t factor; // downsampling, from block_out_channels: 2^(levels - 1)
    bool attention;
};

const Checkpoint kCheckpoints[] = {
    {MOTE_TESTS_DIR "/goldens/ddpm-uncond-32", 4, true},
    {MOTE_TESTS_DIR "/goldens/ddim-vpred-cosine-32", 4, true},
    {MOTE_TESTS_DIR "/goldens/restore-sr-cond-64-conv", 4, true},
    {MOTE_TESTS_DIR "/goldens/restore-sr-cond-64-resnet", 4, true},
    {MOTE_SOURCE_DIR "/converter/models/restore", 8, false},
};

Model modelOf(const Checkpoint &checkpoint) {
    convert::ConvertOptions options;
    options.directory = checkpoint.directory;
    return convert::convertCheckpoint(options).model;
}

// Activations alone, as long as they live, each at a multiple of 256 bytes.
std::vector<PlanBuffer> activations(const Graph &graph, const GraphShapes &shapes) {
    std::vector<PlanBuffer> buffers;
    const std::vector<Liveness> uses = tensorLiveness(graph);
    for (size_t i = 0; i < graph.tensors.size(); ++i)
        if (graph.tensors[i].kind == TensorKind::Activation)
            buffers.push_back({graph.tensors[i].name, tensorBytes(TensorKind::Activation, shapes.tensors[i]),
                               256, uses[i].firstUse, uses[i].lastUse});
    return buffers;
}

TEST(RealModels, PlansStayNearTheLowerBound) {
    for (const Checkpoint &checkpoint : kCheckpoints) {
        const Model model = modelOf(checkpoint);
        const Graph &graph = model.graphs[0];
        const uint32_t sizes[][2] = {
            {checkpoint.factor, checkpoint.factor}, {64, 64}, {256, 256}, {512, 768}};
        for (const auto &size : sizes) {
            const Result<GraphShapes> shapes = inferShapes(model, graph, 1, size[0], size[1]);
            ASSERT_TRUE(shapes.ok()) << shapes.status().message;
            const std::vector<PlanBuffer> buffers = activations(graph, shapes.value());
            const Result<MemoryPlan> whole = planMemory(buffers, uint64_t{1} << 40);
            ASSERT_TRUE(whole.ok()) << whole.status().message;
            EXPECT_LE(static_cast<double>(whole->peakBytes), 1.15 * static_cast<double>(whole->lowerBound))
                << checkpoint.directory << " at " << size[0] << "x" << size[1];
            // In chunks not much larger than the largest map the loss is bounded too.
            uint64_t largest = 0;
            for (const PlanBuffer &buffer : buffers)
                largest = std::max(largest, buffer.bytes);
            const Result<MemoryPlan> chunked = planMemory(buffers, 2 * largest);
            ASSERT_TRUE(chunked.ok()) << chunked.status().message;
            EXPECT_LE(static_cast<double>(chunked->peakBytes), 1.15 * static_cast<double>(whole->lowerBound))
                << checkpoint.directory << " at " << size[0] << "x" << size[1];
            std::printf("%s %ux%u: %.1f operations a pixel, bound %llu, plan %.3f, in chunks %.3f of it\n",
                        graph.name.c_str(), size[0], size[1],
                        static_cast<double>(shapes->total.operations) / size[0] / size[1],
                        static_cast<unsigned long long>(whole->lowerBound),
                        static_cast<double>(whole->peakBytes) / static_cast<double>(whole->lowerBound),
                        static_cast<double>(chunked->peakBytes) / static_cast<double>(whole->lowerBound));
        }
    }
}

TEST(RealModels, FactorAndReceptiveFieldAreTheArchitectures) {
    for (const Checkpoint &checkpoint : kCheckpoints) {
        const Model model = modelOf(checkpoint);
        const Graph &graph = model.graphs[0];
        const Result<uint32_t> factor = downsamplingFactor(graph);
        ASSERT_TRUE(factor.ok()) << factor.status().message;
        EXPECT_EQ(factor.value(), checkpoint.factor) << checkpoint.directory;
        EXPECT_EQ(graph.sizeMultiple, checkpoint.factor) << checkpoint.directory;
        const Result<ReceptiveField> field = receptiveField(model, graph);
        ASSERT_TRUE(field.ok()) << field.status().message;
        EXPECT_EQ(field->wholeImage, checkpoint.attention) << checkpoint.directory;
        if (!field->wholeImage) {
            std::printf("%s: radius %u\n", checkpoint.directory, field->radius);
            EXPECT_EQ(model.receptiveField, field->radius);
            EXPECT_GT(field->radius, checkpoint.factor);
        }
    }
}

} // namespace
} // namespace mote::test
