#include "conv2d_rig.h"

#include "read/half.h"

#include <cmath>
#include <cstring>

namespace mote::test {

const std::vector<ConvCase> &convCases() {
    static const std::vector<ConvCase> kCases = {
        {"OnePixel", {1}, 1, 1, 1, 1},
        {"ThreeChannelsOddSize", {3}, 5, 1, 7, 9},
        {"FiveToSix", {5}, 6, 1, 5, 3},
        {"SixTo24BatchTwo", {6}, 24, 2, 9, 13},
        {"SevenTo130BatchTwo", {7}, 130, 2, 11, 13},
        {"FortyTo130", {40}, 130, 1, 6, 11},
        {"LongRow", {8}, 8, 1, 2, 301},
        {"TallColumn", {8}, 8, 1, 301, 1},
        {"TwoSources", {16, 24}, 8, 1, 10, 12},
        {"TwoSourcesOddChannels", {3, 5}, 6, 2, 7, 5},
        {"StrideTwoOddWidth", {8}, 8, 1, 9, 13, 3, 3, 2},
        {"StrideTwoManyChannels", {30}, 22, 2, 9, 10, 3, 3, 2},
        {"StrideTwoNoPaddingAtTopLeft", {6}, 10, 1, 8, 12, 3, 3, 2, 0, 0, 1, 1},
        {"StrideTwoNoPadding", {8}, 8, 2, 9, 11, 3, 3, 2, 0, 0, 0, 0},
        {"NoPadding", {8}, 8, 1, 6, 9, 3, 3, 1, 0, 0, 0, 0},
        {"Upsample", {8}, 16, 1, 5, 7, 3, 3, 1, 1, 1, 1, 1, true},
        {"UpsampleTwoSources", {3, 8}, 3, 1, 3, 5, 3, 3, 1, 1, 1, 1, 1, true},
        {"ResidualAndScale", {8}, 12, 2, 7, 9, 3, 3, 1, 1, 1, 1, 1, false, 0, kActivation, 0.5f},
        {"ResidualDoubled", {8}, 5, 1, 6, 10, 3, 3, 1, 1, 1, 1, 1, false, 1},
        {"ResidualAveraged", {8}, 9, 1, 3, 7, 3, 3, 1, 1, 1, 1, 1, false, 2},
        {"Pointwise", {40}, 24, 2, 9, 7, 1, 1, 1, 0, 0, 0, 0},
        {"PointwiseTwoSourcesResidual", {24, 16}, 40, 1, 5, 9, 1, 1, 1, 0, 0, 0, 0, false, 0},
        {"PointwiseManySourcesTwo", {90, 60}, 50, 1, 5, 9, 1, 1, 1, 0, 0, 0, 0},
        {"Pointwise280", {280}, 12, 1, 5, 9, 1, 1, 1, 0, 0, 0, 0},
        {"PointwiseStrideTwo", {8}, 8, 1, 7, 9, 1, 1, 2, 0, 0, 0, 0},
        {"FiveByOne", {8}, 8, 1, 9, 6, 5, 1, 1, 2, 0, 2, 0},
        {"OneBySeven", {3}, 8, 1, 4, 9, 1, 7, 1, 0, 3, 0, 3},
        {"LastToPort", {24}, 3, 2, 9, 11, 3, 3, 1, 1, 1, 1, 1, false, -1, kPort},
        {"OnePixelToPort", {11}, 4, 1, 1, 1, 3, 3, 1, 1, 1, 1, 1, false, -1, kPort},
        {"ManyPixelsToPort", {8}, 1, 2, 23, 41, 3, 3, 1, 1, 1, 1, 1, false, -1, kPort, 0.5f},
        {"UnevenRowsToPort", {20}, 3, 1, 9, 70, 3, 3, 1, 2, 1, 0, 1, false, -1, kPort},
        {"TallColumnToPort", {9}, 2, 1, 130, 1, 3, 3, 1, 1, 1, 1, 1, false, -1, kPort},
        {"RowsOfBiasToPort", {9}, 3, 1, 5, 6, 3, 3, 1, 1, 1, 1, 1, false, -1, kPort, 1, 3},
        {"RowsOfBiasAndScale", {8}, 9, 1, 4, 4, 3, 3, 1, 1, 1, 1, 1, false, -1, kActivation, 1, 3},
    };
    return kCases;
}

OpCase makeCase(const ConvCase &c) {
    Random random(c.outputs * 31 + c.h);
    OpCase made;
    Op &op = made.op();
    op.kind = OpKind::Conv2d;
    op.name = c.name;
    uint32_t channels = 0;
    for (uint32_t count : c.channels) {
        made.input(random.map(c.n, count, c.h, c.w));
        channels += count;
    }
    const uint32_t up = c.upsample ? 2 : 1;
    const TensorShape shape{c.n, c.outputs,
                            (c.h * up + c.padTop + c.padBottom - c.kernelHeight) / c.stride + 1,
                            (c.w * up + c.padLeft + c.padRight - c.kernelWidth) / c.stride + 1};
    op.stride = c.stride;
    op.padTop = c.padTop;
    op.padLeft = c.padLeft;
    op.padBottom = c.padBottom;
    op.padRight = c.padRight;
    op.inputResample = c.upsample ? Resample::NearestUp2 : Resample::None;
    op.outputScale = c.scale;
    const size_t weights = size_t{c.outputs} * c.kernelHeight * c.kernelWidth * channels;
    op.weight = made.table({c.outputs, c.kernelHeight, c.kernelWidth, channels}, random.halfs(weights),
                           DataType::F16);
    op.bias = made.table({c.biasRows, c.outputs}, random.halfs(size_t{c.biasRows} * c.outputs));
    for (uint32_t row = 1; c.biasRows > 1 && row <= c.biasRows; ++row)
        op.outputScales.push_back(0.5f * static_cast<float>(row));
    if (c.residual >= 0) {
        op.residualResample = static_cast<Resample>(c.residual);
        const uint32_t height = c.residual == 1 ? shape.h / 2 : c.residual == 2 ? shape.h * 2 : shape.h;
        const uint32_t width = c.residual == 1 ? shape.w / 2 : c.residual == 2 ? shape.w * 2 : shape.w;
        made.setResidual(random.map(c.n, c.outputs, height, width));
    }
    made.output(shape, c.target);
    return made;
}

OpCase atRow(OpCase c, uint32_t row) {
    Op &op = c.op();
    auto &bias = c.tables[op.bias];
    const uint32_t outputs = bias.shape[1];
    bias.values = {bias.values.begin() + row * outputs, bias.values.begin() + (row + 1) * outputs};
    bias.shape = {1, outputs};
    if (!op.outputScales.empty())
        op.outputScale *= op.outputScales[row];
    op.outputScales.clear();
    return c;
}

OpBuffers Conv2d::upload(OpCase &c, const GraphKernels &kernels, uint32_t row) {
    const OpKernel &kernel = kernels.ops[0];
    OpBuffers buffers;
    for (const Map &in : c.inputs)
        buffers.inputs.push_back(activation(in));
    if (c.op().residual != kNone)
        buffers.residual = activation(c.residual);
    std::vector<uint16_t> halfs;
    for (double value : c.tables[c.op().weight].values)
        halfs.push_back(convert::halfFromDouble(value));
    std::vector<std::byte> packed(kernel.weightBytes);
    packWeights(kernel, c.model, c.graph, 0, halfs.data(), packed.data());
    buffers.weights = bufferOf(packed.data(), packed.size());
    const std::vector<float> bias(c.tables[c.op().bias].values.begin(), c.tables[c.op().bias].values.end());
    packed.resize(kernel.biasBytes);
    packBias(kernel, c.model, c.graph, 0, bias.data(), packed.data());
    buffers.bias = bufferOf(packed.data(), packed.size());
    buffers.session = session();
    buffers.row = row;
    const uint32_t output = c.op().output;
    buffers.output = buffer(tensorBytes(c.graph.tensors[output].kind, c.shapes.tensors[output]));
    if (kernel.scratchBytes != 0)
        buffers.scratch = buffer(kernel.scratchBytes);
    if (kernels.statistics[output].bytes != 0)
        buffers.outputStatistics = buffer(kernels.statistics[output].bytes);
    return buffers;
}

Result<GraphKernels> Conv2d::choose(const OpCase &c, const std::string &name) {
    Traits with = traits();
    with.cpu = with.cpu || software_;
    with.caps.bufferDeviceAddress = with.caps.bufferDeviceAddress && !noAddresses_;
    with.scatters = with.scatters != otherStaging_;
    with.preferred = name;
    const auto all = [](const gpu::PipelineDescription &) { return Status{}; };
    Result<GraphKernels> kernels = chooseKernels(c.model, c.graph, c.shapes, with, all);
    if (kernels.ok() && kernels->ops[0].name != name)
        return makeStatus(StatusCode::Unsupported, "found %s, expected %s", kernels->ops[0].name.c_str(),
                          name.c_str());
    return kernels;
}

std::string Conv2d::chosenBy(RegisterTiles tiles, const ConvCase &wanted) {
    const OpCase c = makeCase(wanted);
    Traits with = traits();
    with.cpu = false;
    with.tiles = tiles;
    const auto all = [](const gpu::PipelineDescription &) { return Status{}; };
    return chooseKernels(c.model, c.graph, c.shapes, with, all)->ops[0].name;
}

void Conv2d::expectClose(const Map &found, OpCase &c, uint32_t row, const std::string &kernel) {
    const OpCase one = atRow(c, row);
    const Map expected = one.reference(), magnitude = one.reference(true);
    const std::vector<uint32_t> &shape = c.model.weights[c.op().weight].shape;
    const double terms = static_cast<double>(shape[1]) * shape[2] * shape[3] + 4;
    const bool half = c.graph.tensors[c.op().output].kind == TensorKind::Activation;
    ASSERT_EQ(found.values.size(), expected.values.size());
    for (size_t i = 0; i < found.values.size(); ++i) {
        const double sum = (terms * 0x1p-24 + weightRounding_) * magnitude.values[i];
        const double store = half ? 0x1p-11 * (std::fabs(expected.values[i]) + sum) + 0x1p-25 : 0;
        const double fraction = std::fabs(found.values[i] - expected.values[i]) / (sum + store);
        ASSERT_LE(fraction, 1.0) << kernel << ", value " << i << ": " << found.values[i] << ", expected "
                                 << expected.values[i];
        ErrorLog::note(kernel, fraction);
    }
}

void Conv2d::expectMatchesReference(const ConvCase &wanted, const std::vector<std::string> &names,
                                    int expectedVariants) {
    OpCase c = makeCase(wanted);
    if (exactSums_)
        for (double &value : c.tables[c.op().weight].values)
            value = std::round(value * 64) / 64;
    const bool port = wanted.target == kPort;
    if (!port)
        c.wantStatistics();
    const uint32_t row = wanted.biasRows - 1;
    const TensorShape shape = c.shapes.tensors[c.op().output];
    int variants = 0;
    for (const std::string &name : names) {
        const Result<GraphKernels> kernels = choose(c, name);
        if (!kernels.ok())
            continue; // the row kernels do not take every shape
        ++variants;
        SCOPED_TRACE(kernels->ops[0].name);
        buffers_.clear();
        const OpBuffers buffers = upload(c, kernels.value(), row);
        run(buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, traits()));
        const Map found = port ? readPort(buffers.output, shape) : readActivation(buffers.output, shape);
        expectClose(found, c, row, kernels->ops[0].name);
        if (!port)
            expectStatistics(found, floatsOf(buffers.outputStatistics),
                             kernels->statistics[c.op().output].tiles);
    }
    EXPECT_EQ(variants, expectedVariants);
}

void Conv2d::expectManyWalksGiveOneSetOfStatistics(const std::string &kernel) {
    // 75,000 segments of 4 pixels, 586 times 512 pixels: a workgroup walks several times.
    OpCase c = makeCase(kernel == "conv2d held" ? ConvCase{"Large", {3}, 5, 1, 300, 1000, 1, 1, 1, 0, 0, 0, 0}
                        : kernel.find("3x3") != std::string::npos
                            ? ConvCase{"Large", {3}, 5, 1, 300, 1000}
                            : ConvCase{"Large", {3}, 5, 1, 300, 1000, 1, 3, 1, 0, 1, 0, 1});
    c.wantStatistics();
    const Result<GraphKernels> kernels = choose(c, kernel);
    ASSERT_TRUE(kernels.ok()) << kernels.status().message;
    EXPECT_GE(kernels->ops[0].tileLoops, 4u);
    EXPECT_LE(kernels->statistics[c.op().output].tiles, 128u);
    const OpBuffers buffers = upload(c, kernels.value(), 0);
    run(buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, traits()));
    const Map found = readActivation(buffers.output, c.shapes.tensors[c.op().output]);
    expectClose(found, c, 0, kernels->ops[0].name);
    expectStatistics(found, floatsOf(buffers.outputStatistics), kernels->statistics[c.op().output].tiles);
}

// Any cut into slices, and any folding of the grid, gives the bits of the whole.
void Conv2d::expectSlicesAndFoldsEqualTheWhole(const std::string &kernel) {
    const bool doubled = kernel.find("folded") != std::string::npos;
    const ConvCase square{"Split", {12}, 40, 2, 30, 110},
        pointwise{"Split", {12}, 40, 2, 20, 70, 1, 1, 1, 0, 0, 0, 0},
        twice{"Split", {12}, 40, 2, 20, 35, 3, 3, 1, 1, 1, 1, 1, true};
    const ConvCase manyInputs{"Split", {40}, 40, 2, 30, 110};
    const ConvCase manyOutputs{"Split", {72}, 136, 2, 20, 35, 1, 1, 1, 0, 0, 0, 0};
    OpCase c = makeCase(doubled                             ? twice
                        : kernel == "conv2d held"           ? pointwise
                        : kernel == "conv2d winograd whole" ? manyInputs
                        : kernel == "conv2d staged"         ? manyOutputs
                                                            : square);
    c.wantStatistics();
    const Result<GraphKernels> kernels = choose(c, kernel);
    ASSERT_TRUE(kernels.ok()) << kernels.status().message;
    OpBuffers buffers = upload(c, kernels.value(), 0);
    const auto build = [&](const Traits &with) {
        return buildDispatches(kernels.value(), c.model, c.graph, c.shapes, 0, buffers, with);
    };
    run(build(traits()));
    const std::vector<float> whole = floatsOf(buffers.output),
                             statistics = floatsOf(buffers.outputStatistics);

    const auto expectSame = [&](const std::vector<Dispatch> &parts) {
        const BufferRange output = buffer(buffers.output.end - buffers.output.begin),
                          entries = buffer(buffers.outputStatistics.end - buffers.outputStatistics.begin);
        std::vector<Dispatch> moved = parts;
        for (Dispatch &part : moved)
            for (Binding &binding : part.bindings)
                if (binding.range.buffer == buffers.output.buffer)
                    binding.range = output;
                else if (binding.range.buffer == buffers.outputStatistics.buffer)
                    binding.range = entries;
        run(moved);
        const std::vector<float> again = floatsOf(output), other = floatsOf(entries);
        EXPECT_EQ(0, std::memcmp(whole.data(), again.data(), whole.size() * 4));
        EXPECT_EQ(0, std::memcmp(statistics.data(), other.data(), statistics.size() * 4));
    };
    const Result<std::vector<Dispatch>> built = build(traits());
    const Dispatch &dispatch = built.value()[0];
    ASSERT_GT(dispatch.groupCount, 9u);
    for (uint64_t pieces : {2u, 3u, 7u}) {
        const std::vector<Dispatch> parts = split(dispatch, dispatch.operations / pieces, traits());
        EXPECT_GE(parts.size(), pieces);
        expectSame(parts);
    }
    const std::vector<Dispatch> single = split(dispatch, 1, traits()); // one workgroup each
    EXPECT_EQ(single.size(), dispatch.groupCount);
    expectSame(single);

    Traits small = traits();
    small.caps.maxWorkgroupCount[0] = 3;
    small.caps.maxWorkgroupCount[1] = 2;
    const Result<std::vector<Dispatch>> folded = build(small);
    ASSERT_TRUE(folded.ok());
    const std::array<uint32_t, 3> &groups = folded.value()[0].groups;
    EXPECT_LE(groups[0], 3u);
    EXPECT_LE(groups[1], 2u);
    EXPECT_GE(uint64_t{groups[0]} * groups[1] * groups[2], dispatch.groupCount);
    expectSame(folded.value());
}

} // namespace mote::test
