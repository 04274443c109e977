// mote check: does this device compute what the file says it should, and the same every time?
#include "commands.h"
#include "description.h"
#include "inputs.h"
#include "progress.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

namespace mote::command {
namespace {

struct CheckedOp {
    std::string name, kind;
    double fraction;
};

void collect(void *user, uint32_t, const char *name, const char *kind, float fraction) {
    static_cast<std::vector<CheckedOp> *>(user)->push_back({name, kind, static_cast<double>(fraction)});
}

// Two zeros of different sign differ here, two equal NaNs do not.
bool equalBits(float a, float b) {
    return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

// Eight times the smallest legal size: several workgroups for every op, and still quick.
constexpr uint32_t kRepeatScale = 8;

void repeatRuns(mote_model *handle, const ModelDescription &model, uint32_t runs, Interrupts &interrupts) {
    mote_session_desc desc = MOTE_SESSION_DESC_INIT;
    desc.width = model.width != 0 ? model.width : model.sizeMultiple * kRepeatScale;
    desc.height = model.height != 0 ? model.height : model.sizeMultiple * kRepeatScale;
    const RecipeDescription &recipe = model.recipes.front();
    desc.recipe = recipe.name.c_str();
    const MadeUpInputs inputs(model, recipe, desc.width, desc.height);
    const SessionHandle session = createSession(handle, desc);
    inputs.bind(session.get());

    const size_t plane = static_cast<size_t>(desc.width) * desc.height;
    std::vector<float> first(model.stateChannels() * plane), again(first.size());
    mote_tensor output = MOTE_TENSOR_INIT;
    const uint32_t shape[4] = {1, model.stateChannels(), desc.height, desc.width};
    std::copy(shape, shape + 4, output.shape);

    Progress progress("check");
    for (uint32_t run = 0; run < runs; ++run) {
        std::vector<float> &values = run == 0 ? first : again;
        output.data = values.data();
        check(mote_session_bind_output_tensor(session.get(), &output));
        runSession(session.get(), {}, progress, interrupts);
        if (run == 0)
            continue;
        const auto [wanted, found] = std::mismatch(first.begin(), first.end(), again.begin(), equalBits);
        if (wanted == first.end())
            continue;
        char message[200];
        std::snprintf(
            message, sizeof message,
            "repeat %u of %u: element %zu of the output: found %.9g, expected %.9g as in the first run",
            run + 1, runs, static_cast<size_t>(wanted - first.begin()), static_cast<double>(*found),
            static_cast<double>(*wanted));
        throw CommandError(ExitCode::CheckFailed, message);
    }
    std::printf("%u runs of %ux%u: equal to the bit\n", runs, desc.width, desc.height);
}

} // namespace

void runCheck(const CheckOptions &options, Interrupts &interrupts) {
    const DeviceHandle device = openDevice(options.device);
    const ModelHandle handle = openModel(device.get(), options.model);
    const ModelDescription model = describe(handle.get());

    std::vector<CheckedOp> ops;
    const mote_status status = mote_model_check(handle.get(), collect, &ops);
    const std::string message = status == MOTE_OK ? "" : mote_last_message();
    double worst = 0;
    for (const CheckedOp &op : ops) {
        worst = std::max(worst, op.fraction);
        if (options.layers)
            std::printf("%8.4f  %-10s %s%s\n", op.fraction, op.kind.c_str(), op.name.c_str(),
                        op.fraction > 1 ? "  FAILED" : "");
    }
    if (status != MOTE_OK)
        throw CommandError(exitCodeOf(status), message);
    std::printf("self-check on %s: %zu results right, the largest error %.4f of its tolerance\n",
                propertiesOf(device.get()).name, ops.size(), worst);
    if (options.repeat > 0)
        repeatRuns(handle.get(), model, options.repeat, interrupts);
}

} // namespace mote::command
