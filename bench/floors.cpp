#include "floors.h"

#include <algorithm>
#include <cmath>

namespace mote::bench {
namespace {

// What a way to compute an op takes, or one of its dispatches.
struct Work {
    double operations = 0; // a multiply-add is two
    double exponentials = 0;
    double loaded = 0, stored = 0;         // bytes, each touched once
    double tileLoaded = 0, tileStored = 0; // bytes besides, see Floor::tileSeconds
    double dispatches = 1;
};

// Up to so many channels the 16 positions of F(2 x 2) stay at hand, and nothing is staged.
constexpr uint32_t kHeldChannels = 64;
// Up to so many, and up to twice as many outputs, a workgroup has V and M of F(4 x 4) in its shared memory.
constexpr uint32_t kWholeChannels = 48;

// Bytes that a lane loads again for a multiply-add: a value of the source after each 64 outputs, and an
// eighth of the fp16 weights, which eight lanes share, for each 4 of its pixels.
double operandBytes(double valueBytes, double outputs) {
    return valueBytes * (std::ceil(outputs / 64) - 1) / outputs + 2.0 / 8 / 4;
}

double elementsOf(const TensorShape &shape) {
    return static_cast<double>(shape.n) * shape.c * shape.h * shape.w;
}

// Arithmetic and memory side by side, as far as this device has them so.
double together(double arithmetic, double memory, const Ceilings &ceilings) {
    return std::max(arithmetic, memory) + ceilings.apart * std::min(arithmetic, memory);
}

Floor floorOfWork(const Work &work, const Ceilings &ceilings) {
    const auto moving = [&](double loaded, double stored) {
        return loaded / ceilings.loadedBytesPerSecond + stored / ceilings.storedBytesPerSecond;
    };
    const double start = work.dispatches * ceilings.dispatchSeconds;
    Floor floor;
    floor.arithmeticSeconds =
        work.operations / ceilings.operationsPerSecond + work.exponentials / ceilings.exponentialsPerSecond;
    floor.memorySeconds = moving(work.loaded, work.stored);
    floor.seconds = start + together(floor.arithmeticSeconds, floor.memorySeconds, ceilings);
    floor.tileSeconds =
        start + together(floor.arithmeticSeconds,
                         floor.memorySeconds + moving(work.tileLoaded, work.tileStored), ceilings);
    return floor;
}

void add(Floor &sum, const Floor &floor) {
    sum.seconds += floor.seconds;
    sum.tileSeconds += floor.tileSeconds;
    sum.arithmeticSeconds += floor.arithmeticSeconds;
    sum.memorySeconds += floor.memorySeconds;
}

// Winograd F(m x m, 3 x 3), see shaders/winograd.glsl: of V and of M there are side^2 and points^2 for a
// tile.
struct Transforms {
    double m, side, points, operationsOfInputLine, operationsOfOutputLine;
};
constexpr Transforms kFour = {4, 6, 6, 20, 16}, kTwo = {2, 4, 4, 4, 4};
// Of a doubled source.
constexpr Transforms kFourDoubled = {4, 4, 5, 4, 7}, kTwoDoubled = {2, 3, 3, 3, 2};

// What it needs besides the tensors around it: V and M staged in fp32, U in fp16. An input transform is
// 2 side lines of a tile, an output transform `points` lines and m columns. Three dispatches, of which each
// waits for the one before: input, product, output.
std::vector<Work> winograd(const TensorShape &output, double inputs, const Transforms &of) {
    const double positions = of.points * of.points;
    const double tiles = output.n * std::ceil(output.h / of.m) * std::ceil(output.w / of.m);
    const double products = positions * tiles * inputs * output.c;
    std::vector<Work> work(3);
    work[0].operations = tiles * 2 * of.side * of.operationsOfInputLine * inputs;
    work[0].stored = 4 * of.side * of.side * tiles * inputs;
    work[1].operations = 2 * products;
    work[1].tileLoaded = products * operandBytes(4, output.c);
    work[1].loaded = work[0].stored + 2 * positions * inputs * output.c;
    work[1].stored = 4 * positions * tiles * output.c;
    work[2].operations = tiles * (of.points + of.m) * of.operationsOfOutputLine * output.c;
    work[2].loaded = work[1].stored;
    return work;
}

// The same in one dispatch, where nothing is staged.
Work unstaged(const std::vector<Work> &staged, double inputs, double outputs, double positions) {
    Work work;
    for (const Work &part : staged) {
        work.operations += part.operations;
        work.tileLoaded += part.tileLoaded;
    }
    work.loaded = 2 * positions * inputs * outputs;
    return work;
}

// The same in one dispatch, with U in fp32: what is staged is stored and loaded all the same.
Work whole(const std::vector<Work> &staged, double inputs, double outputs, double positions) {
    Work work;
    for (const Work &part : staged) {
        work.operations += part.operations;
        work.tileLoaded += part.tileLoaded;
        work.loaded += part.loaded;
        work.stored += part.stored;
    }
    work.loaded += 2 * positions * inputs * outputs;
    return work;
}

class Counter {
public:
    Counter(const Model &model, const Graph &graph, const GraphShapes &shapes, const Ceilings &ceilings)
        : model_(model), graph_(graph), shapes_(shapes), ceilings_(ceilings) {}

    Floor floorOf(uint32_t index, bool mayBeFused) const {
        const Op &op = graph_.ops[index];
        if (op.kind == OpKind::Conv2d)
            return convolution(op);
        const TensorShape &output = shapes_.tensors[op.output];
        Work work = moved(op);
        if (op.kind == OpKind::Attention) {
            const double tokens = static_cast<double>(output.h) * output.w;
            work.operations = 4 * elementsOf(output) * tokens;
            work.exponentials = output.n * op.heads * tokens * tokens;
            work.tileStored = 2.5 * work.exponentials; // weights of 16 bits, a float for each eight
            work.tileLoaded = work.tileStored + work.operations / 2 * operandBytes(2, 64);
        } else {
            const double inputs = elementsOf(shapes_.tensors[op.inputs[0]]);
            work.operations = 2 * inputs;
            work.exponentials = op.activation == ActivationFunction::None ? 0 : inputs;
        }
        if (mayBeFused && op.kind == OpKind::GroupNorm)
            work.loaded = work.stored = work.dispatches = 0;
        return floorOfWork(work, ceilings_);
    }

private:
    double bytesOf(uint32_t tensor) const {
        return static_cast<double>(tensorBytes(graph_.tensors[tensor].kind, shapes_.tensors[tensor]));
    }

    // The tensors alone.
    Work moved(const Op &op) const {
        Work work;
        for (uint32_t input : op.inputs)
            work.loaded += bytesOf(input);
        if (op.residual != kNone)
            work.loaded += bytesOf(op.residual);
        work.stored = bytesOf(op.output);
        return work;
    }

    Floor convolution(const Op &op) const {
        const std::vector<uint32_t> &weight = model_.weights[op.weight].shape; // [out][kh][kw][in]
        const TensorShape &output = shapes_.tensors[op.output];
        const Work around = moved(op);
        Work direct;
        direct.operations = 2 * elementsOf(output) * weight[1] * weight[2] * weight[3];
        direct.tileLoaded = direct.operations / 2 * operandBytes(2, weight[0]);
        direct.loaded = 2.0 * weight[0] * weight[1] * weight[2] * weight[3];
        std::vector<std::vector<Work>> ways = {{direct}};
        if (weight[1] == 3 && weight[2] == 3 && op.stride == 1) {
            const bool doubled = op.inputResample == Resample::NearestUp2;
            const Transforms four = doubled ? kFourDoubled : kFour, two = doubled ? kTwoDoubled : kTwo;
            ways.push_back(winograd(output, weight[3], four));
            if (weight[3] <= kWholeChannels && weight[0] <= 2 * weight[3])
                ways.push_back({whole(ways.back(), weight[3], output.c, four.points * four.points)});
            ways.push_back(winograd(output, weight[3], two));
            if (weight[3] <= kHeldChannels)
                ways.push_back({unstaged(ways.back(), weight[3], output.c, two.points * two.points)});
        }
        Floor least;
        for (std::vector<Work> &way : ways) {
            way.front().loaded += around.loaded;
            way.back().stored += around.stored;
            Floor floor;
            for (const Work &part : way)
                add(floor, floorOfWork(part, ceilings_));
            if (least.seconds == 0 || floor.seconds < least.seconds)
                least = floor;
        }
        return least;
    }

    const Model &model_;
    const Graph &graph_;
    const GraphShapes &shapes_;
    const Ceilings &ceilings_;
};

} // namespace

Floor floorOf(const Model &model, const Graph &graph, const GraphShapes &shapes,
              const std::vector<uint32_t> &ops, const std::vector<uint32_t> &norms,
              const Ceilings &ceilings) {
    Floor sum;
    for (uint32_t op : ops)
        add(sum, Counter(model, graph, shapes, ceilings).floorOf(op, false));
    for (uint32_t norm : norms)
        add(sum, Counter(model, graph, shapes, ceilings).floorOf(norm, true));
    return sum;
}

Floor floorOfPass(const Model &model, const Graph &graph, const GraphShapes &shapes,
                  const Ceilings &ceilings) {
    Floor sum;
    for (uint32_t op = 0; op < graph.ops.size(); ++op)
        add(sum, Counter(model, graph, shapes, ceilings).floorOf(op, true));
    return sum;
}

} // namespace mote::bench
