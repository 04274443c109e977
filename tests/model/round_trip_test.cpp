// What is written is read back, byte for byte and field for field.
#include "model/format.h"
#include "model/reader.h"
#include "model/sample_model.h"
#include "model/validate.h"
#include "model/writer.h"
#include "mote/mote.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace mote::test {
namespace {

static_assert(kRuntimeVersion == MOTE_VERSION,
              "the version that files are compared with is that of the header");

WeightProvider providerOf(const Sample &sample) {
    return [&sample](uint32_t weight, uint64_t offset, void *to, size_t bytes) {
        std::memcpy(to, sample.payloads[weight].data() + offset, bytes);
        return Status{};
    };
}

void expectEqual(const Model &a, const Model &b) {
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.version, b.version);
    EXPECT_EQ(a.licence, b.licence);
    EXPECT_EQ(a.task, b.task);
    EXPECT_EQ(a.description, b.description);
    EXPECT_EQ(a.sourceClass, b.sourceClass);
    EXPECT_EQ(a.timesteps, b.timesteps);
    EXPECT_EQ(a.statisticsWindow, b.statisticsWindow);
    EXPECT_EQ(a.receptiveField, b.receptiveField);
    ASSERT_EQ(a.weights.size(), b.weights.size());
    for (size_t i = 0; i < a.weights.size(); ++i) {
        EXPECT_EQ(a.weights[i].name, b.weights[i].name);
        EXPECT_EQ(a.weights[i].type, b.weights[i].type);
        EXPECT_EQ(a.weights[i].shape, b.weights[i].shape);
        EXPECT_EQ(a.weights[i].bytes, b.weights[i].bytes);
    }
    ASSERT_EQ(a.graphs.size(), b.graphs.size());
    for (size_t i = 0; i < a.graphs.size(); ++i) {
        const Graph &g = a.graphs[i], &h = b.graphs[i];
        EXPECT_EQ(g.name, h.name);
        EXPECT_EQ(g.phase, h.phase);
        EXPECT_EQ(g.order, h.order);
        EXPECT_EQ(g.sizeMultiple, h.sizeMultiple);
        ASSERT_EQ(g.tensors.size(), h.tensors.size());
        for (size_t k = 0; k < g.tensors.size(); ++k) {
            EXPECT_EQ(g.tensors[k].name, h.tensors[k].name);
            EXPECT_EQ(g.tensors[k].kind, h.tensors[k].kind);
            EXPECT_EQ(g.tensors[k].channels, h.tensors[k].channels);
        }
        ASSERT_EQ(g.ops.size(), h.ops.size());
        for (size_t k = 0; k < g.ops.size(); ++k) {
            const Op &p = g.ops[k], &q = h.ops[k];
            EXPECT_EQ(p.kind, q.kind);
            EXPECT_EQ(p.name, q.name);
            EXPECT_EQ(p.inputs, q.inputs);
            EXPECT_EQ(p.output, q.output);
            EXPECT_EQ(p.inputScale, q.inputScale);
            EXPECT_EQ(p.inputOffset, q.inputOffset);
            EXPECT_EQ(p.weight, q.weight);
            EXPECT_EQ(p.bias, q.bias);
            EXPECT_EQ(p.stride, q.stride);
            EXPECT_EQ(p.padTop, q.padTop);
            EXPECT_EQ(p.padLeft, q.padLeft);
            EXPECT_EQ(p.padBottom, q.padBottom);
            EXPECT_EQ(p.padRight, q.padRight);
            EXPECT_EQ(p.inputResample, q.inputResample);
            EXPECT_EQ(p.residual, q.residual);
            EXPECT_EQ(p.residualResample, q.residualResample);
            EXPECT_EQ(p.outputScale, q.outputScale);
            EXPECT_EQ(p.outputScales, q.outputScales);
            EXPECT_EQ(p.affine, q.affine);
            EXPECT_EQ(p.groups, q.groups);
            EXPECT_EQ(p.epsilon, q.epsilon);
            EXPECT_EQ(p.activation, q.activation);
            EXPECT_EQ(p.outputResample, q.outputResample);
            EXPECT_EQ(p.heads, q.heads);
            EXPECT_EQ(p.projection, q.projection);
        }
        EXPECT_EQ(g.conditioning.kind, h.conditioning.kind);
        EXPECT_EQ(g.conditioning.stepEmbeddings, h.conditioning.stepEmbeddings);
        EXPECT_EQ(g.conditioning.classes, h.conditioning.classes);
        EXPECT_EQ(g.conditioning.nullClass, h.conditioning.nullClass);
        EXPECT_EQ(g.conditioning.activation, h.conditioning.activation);
        ASSERT_EQ(g.ports.size(), h.ports.size());
        for (size_t k = 0; k < g.ports.size(); ++k) {
            const Port &p = g.ports[k], &q = h.ports[k];
            EXPECT_EQ(p.name, q.name);
            EXPECT_EQ(p.output, q.output);
            EXPECT_EQ(p.kind, q.kind);
            EXPECT_EQ(p.source, q.source);
            EXPECT_EQ(p.tensor, q.tensor);
            ASSERT_EQ(p.shape.size(), q.shape.size());
            for (size_t d = 0; d < p.shape.size(); ++d) {
                EXPECT_EQ(p.shape[d].symbol, q.shape[d].symbol);
                EXPECT_EQ(p.shape[d].numerator, q.shape[d].numerator);
                EXPECT_EQ(p.shape[d].denominator, q.shape[d].denominator);
            }
            EXPECT_EQ(p.valueLow, q.valueLow);
            EXPECT_EQ(p.valueHigh, q.valueHigh);
            EXPECT_EQ(p.sourceGraph, q.sourceGraph);
            EXPECT_EQ(p.sourcePort, q.sourcePort);
            EXPECT_EQ(p.sourceWeight, q.sourceWeight);
            EXPECT_EQ(p.description, q.description);
        }
    }
    ASSERT_EQ(a.recipes.size(), b.recipes.size());
    for (size_t i = 0; i < a.recipes.size(); ++i) {
        const Recipe &r = a.recipes[i], &s = b.recipes[i];
        EXPECT_EQ(r.name, s.name);
        EXPECT_EQ(r.sampler, s.sampler);
        EXPECT_EQ(r.steps, s.steps);
        EXPECT_EQ(r.initNoise, s.initNoise);
        EXPECT_EQ(r.initCondition, s.initCondition);
        EXPECT_EQ(r.initScale, s.initScale);
        ASSERT_EQ(r.rows.size(), s.rows.size());
        for (size_t k = 0; k < r.rows.size(); ++k) {
            const StepRow &p = r.rows[k], &q = s.rows[k];
            EXPECT_EQ(p.timestep, q.timestep);
            EXPECT_EQ(p.timestepIndex, q.timestepIndex);
            EXPECT_EQ(p.p, q.p);
            EXPECT_EQ(p.q, q.q);
            EXPECT_EQ(p.clip, q.clip);
            EXPECT_EQ(p.clipLow, q.clipLow);
            EXPECT_EQ(p.clipHigh, q.clipHigh);
            EXPECT_EQ(p.quantile, q.quantile);
            EXPECT_EQ(p.thresholdMax, q.thresholdMax);
            EXPECT_EQ(p.a, q.a);
            EXPECT_EQ(p.b, q.b);
            EXPECT_EQ(p.g, q.g);
            EXPECT_EQ(p.e, q.e);
            EXPECT_EQ(p.c, q.c);
            EXPECT_EQ(p.h, q.h);
            EXPECT_EQ(p.store, q.store);
            EXPECT_EQ(p.u, q.u);
            EXPECT_EQ(p.v, q.v);
            EXPECT_EQ(p.w, q.w);
            EXPECT_EQ(p.draws, q.draws);
            EXPECT_EQ(p.langevin, q.langevin);
            EXPECT_EQ(p.variance, q.variance);
            EXPECT_EQ(p.varianceExponent, q.varianceExponent);
            EXPECT_EQ(p.known, q.known);
            EXPECT_EQ(p.knownImage, q.knownImage);
            EXPECT_EQ(p.knownNoise, q.knownNoise);
            EXPECT_EQ(p.scale, q.scale);
            EXPECT_EQ(p.guided, q.guided);
            EXPECT_EQ(p.guidance, q.guidance);
            EXPECT_EQ(p.guidanceRescale, q.guidanceRescale);
        }
    }
    const SelfCheck &c = a.selfCheck, &d = b.selfCheck;
    EXPECT_EQ(c.graph, d.graph);
    EXPECT_EQ(c.timestepIndex, d.timestepIndex);
    EXPECT_EQ(c.height, d.height);
    EXPECT_EQ(c.width, d.width);
    EXPECT_EQ(c.label, d.label);
    EXPECT_EQ(c.inputs, d.inputs);
    EXPECT_EQ(c.output, d.output);
    EXPECT_EQ(c.outputTolerance, d.outputTolerance);
    ASSERT_EQ(c.ops.size(), d.ops.size());
    for (size_t k = 0; k < c.ops.size(); ++k) {
        EXPECT_EQ(c.ops[k].op, d.ops[k].op);
        EXPECT_EQ(c.ops[k].rms, d.ops[k].rms);
        EXPECT_EQ(c.ops[k].tolerance, d.ops[k].tolerance);
        EXPECT_EQ(c.ops[k].positions, d.ops[k].positions);
        EXPECT_EQ(c.ops[k].values, d.ops[k].values);
    }
}

void expectWeights(const Source &source, const Model &model, const Sample &sample) {
    WeightReader reader(source, model);
    for (uint32_t i = 0; i < sample.payloads.size(); ++i) {
        std::vector<uint8_t> found(sample.payloads[i].size());
        const Status status = reader.read(i, 0, found.size(), found.data());
        ASSERT_TRUE(status.ok()) << status.message;
        EXPECT_EQ(found, sample.payloads[i]) << model.weights[i].name;
    }
}

TEST(ModelFile, EveryFieldAndWeightComesBack) {
    for (const uint32_t wide : {1u, 8u, 24u}) {
        const Sample sample = sampleModel(wide);
        const std::string path = freshDirectory("round_trip") + "/model.mote";
        const Status written = writeModel(sample.model, providerOf(sample), path);
        ASSERT_TRUE(written.ok()) << written.message;
        Result<Source> source = Source::fromPath(path);
        ASSERT_TRUE(source.ok()) << source.status().message;
        const Result<Model> model = readModel(source.value());
        ASSERT_TRUE(model.ok()) << model.status().message;
        expectEqual(sample.model, model.value());
        expectWeights(source.value(), model.value(), sample);
        ASSERT_EQ(model->segments.size(), 1u);
        EXPECT_EQ(model->segments[0].checksums.size(),
                  (model->segments[0].bytes + kChunkBytes - 1) / kChunkBytes);
    }
}

TEST(ModelFile, TheRawWriterOfTheTestsWritesTheSameBytes) {
    const Sample sample = sampleModel();
    const std::string path = freshDirectory("round_trip") + "/model.mote";
    ASSERT_TRUE(writeModel(sample.model, providerOf(sample), path).ok());
    EXPECT_EQ(readBytes(path), assemble(rawFile(sample)));
}

TEST(ModelFile, SameModelSameBytesWhateverTheWriterChoosesWas) {
    Sample sample = sampleModel(8);
    const std::string directory = freshDirectory("round_trip");
    ASSERT_TRUE(writeModel(sample.model, providerOf(sample), directory + "/a.mote").ok());
    // What the writer chooses itself must not show.
    for (Weight &weight : sample.model.weights) {
        weight.segment = 5;
        weight.offset = 77;
        weight.bytes = 1;
    }
    sample.model.segments.resize(3);
    ASSERT_TRUE(writeModel(sample.model, providerOf(sample), directory + "/b.mote").ok());
    EXPECT_EQ(readBytes(directory + "/a.mote"), readBytes(directory + "/b.mote"));
}

TEST(ModelFile, EverySourceReadsTheSame) {
    const Sample sample = sampleModel(8);
    const std::string path = freshDirectory("round_trip") + "/model.mote";
    ASSERT_TRUE(writeModel(sample.model, providerOf(sample), path).ok());
    const std::vector<uint8_t> bytes = readBytes(path);
    std::vector<uint8_t> wrapped(1000 + bytes.size(),
                                 0xee); // the file inside another, as an Android asset is
    std::copy(bytes.begin(), bytes.end(), wrapped.begin() + 1000);
    const std::string asset = path + ".asset";
    writeBytes(asset, wrapped);
    const int toTheEnd = open(asset.c_str(), O_RDONLY);
    wrapped.resize(wrapped.size() + 500, 0xee);
    writeBytes(path + ".asset2", wrapped);
    const int inside = open((path + ".asset2").c_str(), O_RDONLY);
    ASSERT_GE(toTheEnd, 0);
    ASSERT_GE(inside, 0);

    std::vector<Result<Source>> sources;
    sources.push_back(Source::fromMemory(bytes.data(), bytes.size(), "memory"));
    sources.push_back(Source::fromDescriptor(toTheEnd, 1000, 0, "to the end"));
    sources.push_back(Source::fromDescriptor(inside, 1000, bytes.size(), "inside"));
    sources.push_back(Source::fromCallback(
        [&bytes](uint64_t offset, void *to, size_t count) {
            EXPECT_LE(count, kMaxRootBytes);
            std::memcpy(to, bytes.data() + offset, count);
            return true;
        },
        bytes.size(), "callback"));
    close(toTheEnd); // the source has its own
    close(inside);
    for (Result<Source> &source : sources) {
        ASSERT_TRUE(source.ok()) << source.status().message;
        EXPECT_EQ(source->size(), bytes.size());
        const Source moved = std::move(source.value());
        const Result<Model> model = readModel(moved);
        ASSERT_TRUE(model.ok()) << model.status().message;
        expectEqual(sample.model, model.value());
        expectWeights(moved, model.value(), sample);
    }
}

TEST(ModelFile, AnyRangeOfAWeightStreamsInBoundedPieces) {
    const Sample sample = sampleModel(32);
    const std::vector<uint8_t> bytes = assemble(rawFile(sample));
    const Source source = std::move(Source::fromMemory(bytes.data(), bytes.size(), "memory").value());
    const Result<Model> model = readModel(source);
    ASSERT_TRUE(model.ok()) << model.status().message;
    WeightReader reader(source, model.value());
    uint32_t largest = 0;
    for (uint32_t i = 0; i < sample.payloads.size(); ++i)
        if (sample.payloads[i].size() > sample.payloads[largest].size())
            largest = i;
    const std::vector<uint8_t> &payload = sample.payloads[largest];
    ASSERT_GT(payload.size(), 2 * kChunkBytes);
    for (const uint64_t begin : {uint64_t{0}, uint64_t{1}, kChunkBytes - 3, uint64_t{payload.size()}})
        for (const uint64_t length : {uint64_t{0}, uint64_t{1}, kChunkBytes + 7, payload.size() - begin}) {
            if (begin + length > payload.size())
                continue;
            std::vector<uint8_t> found;
            const Status status =
                reader.stream(largest, begin, length, [&found](const void *data, size_t piece) {
                    EXPECT_LE(piece, kChunkBytes);
                    found.insert(found.end(), static_cast<const uint8_t *>(data),
                                 static_cast<const uint8_t *>(data) + piece);
                    return Status{};
                });
            ASSERT_TRUE(status.ok()) << status.message;
            EXPECT_TRUE(
                std::equal(found.begin(), found.end(), payload.begin() + static_cast<ptrdiff_t>(begin)));
            EXPECT_EQ(found.size(), length);
        }
    const Status beyond =
        reader.stream(largest, 1, payload.size(), [](const void *, size_t) { return Status{}; });
    EXPECT_EQ(beyond.code, StatusCode::Internal);
    EXPECT_FALSE(reader.read(static_cast<uint32_t>(sample.payloads.size()), 0, 0, nullptr).ok());
    const Status stopped = reader.stream(largest, 0, payload.size(), [](const void *, size_t) {
        return makeStatus(StatusCode::Cancelled, "enough");
    });
    EXPECT_EQ(stopped.code, StatusCode::Cancelled);
}

TEST(ModelFile, ReadingWeightsInOrderReadsEachByteOnce) {
    const Sample sample = sampleModel(24);
    const std::vector<uint8_t> bytes = assemble(rawFile(sample));
    uint64_t read = 0;
    const Source source = std::move(Source::fromCallback(
                                        [&](uint64_t offset, void *to, size_t count) {
                                            read += count;
                                            std::memcpy(to, bytes.data() + offset, count);
                                            return true;
                                        },
                                        bytes.size(), "counted")
                                        .value());
    const Result<Model> model = readModel(source);
    ASSERT_TRUE(model.ok());
    read = 0;
    expectWeights(source, model.value(), sample);
    EXPECT_EQ(read, model->segments[0].bytes);
}

TEST(ModelFile, AFailedWriteLeavesNothingAndKeepsWhatWasThere) {
    const Sample sample = sampleModel(8);
    const std::string directory = freshDirectory("failed_write");
    const std::string path = directory + "/model.mote";
    writeBytes(path, {1, 2, 3});
    // The provider fails half-way.
    const Status refused = writeModel(
        sample.model,
        [](uint32_t weight, uint64_t, void *to, size_t bytes) {
            std::memset(to, 0, bytes);
            return weight < 5 ? Status{} : makeStatus(StatusCode::IoError, "the checkpoint is gone");
        },
        path);
    EXPECT_EQ(refused.message, "the checkpoint is gone");
    // The model is wrong.
    Sample wrong = sample;
    wrong.model.graphs[0].ops[1].stride = 3;
    EXPECT_EQ(writeModel(wrong.model, providerOf(wrong), path).code, StatusCode::InvalidModel);
    EXPECT_EQ(listDirectory(directory), std::vector<std::string>{"model.mote"});
    EXPECT_EQ(readBytes(path), (std::vector<uint8_t>{1, 2, 3}));
    // The place does not exist.
    const Status nowhere = writeModel(sample.model, providerOf(sample), directory + "/none/model.mote");
    EXPECT_EQ(nowhere.code, StatusCode::IoError);
    EXPECT_NE(nowhere.message.find(directory + "/none/model.mote"), std::string::npos);
}

TEST(ModelFile, ADiskThatFillsUpLeavesNothing) {
    const Sample sample = sampleModel(8);
    const std::string directory = freshDirectory("full_disk");
    // A limit on file size stands for the full disk: write fails with EFBIG instead of ENOSPC.
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (const rlim_t limit : {rlim_t{0}, rlim_t{50000}, rlim_t{200000}}) {
        const rlimit small{limit, before.rlim_max};
        ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
        const Status status = writeModel(sample.model, providerOf(sample), directory + "/model.mote");
        ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
        EXPECT_EQ(status.code, StatusCode::IoError) << limit;
        EXPECT_TRUE(listDirectory(directory).empty()) << limit;
    }
}

TEST(ModelFile, ASourceThatIsNotThereSaysSo) {
    const std::string directory = freshDirectory("sources");
    EXPECT_EQ(Source::fromPath(directory + "/none.mote").status().code, StatusCode::NotFound);
    EXPECT_EQ(Source::fromPath(directory).status().code, StatusCode::IoError);
    EXPECT_EQ(Source::fromMemory(nullptr, 5, "memory").status().code, StatusCode::InvalidArgument);
    EXPECT_EQ(Source::fromDescriptor(-1, 0, 100, "fd").status().code, StatusCode::InvalidArgument);
    EXPECT_EQ(Source::fromDescriptor(0, ~uint64_t{0}, 100, "fd").status().code, StatusCode::InvalidArgument);
    EXPECT_EQ(Source::fromCallback(nullptr, 100, "callback").status().code, StatusCode::InvalidArgument);
    // A read callback that fails and a file that shrinks are errors that say where.
    const Source failing = std::move(
        Source::fromCallback([](uint64_t, void *, size_t) { return false; }, 1000, "failing").value());
    const Status status = readModel(failing).status();
    EXPECT_EQ(status.code, StatusCode::IoError);
    EXPECT_NE(status.message.find("failing: "), std::string::npos);
    const std::string path = directory + "/shrinking.mote";
    writeBytes(path, assemble(rawFile(sampleModel())));
    const Source shrinking = std::move(Source::fromPath(path).value());
    ASSERT_EQ(truncate(path.c_str(), 100), 0);
    EXPECT_EQ(readModel(shrinking).status().code, StatusCode::IoError);
}

} // namespace
} // namespace mote::test
