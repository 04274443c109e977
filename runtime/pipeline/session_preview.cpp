// Previews: the sampler's present estimate of the picture, between a forward pass and its row.
#include "pipeline/session.h"

namespace mote::pipeline {

// The dynamic threshold of each image, as the row will take it; empty where it takes none.
Status Session::measureThresholds(const StepRow &row, std::vector<float> &thresholds) {
    if (row.clip != ClipKind::Threshold)
        return {};
    StepRow alone = row;
    alone.langevin = false; // its noise may not be there yet
    MOTE_TRY_ASSIGN(std::vector<Command> commands, measureCommands(alone, samplerBands(false), 0));
    if (commands.empty())
        return {};
    MOTE_TRY(runCut(std::move(commands)));
    std::vector<uint32_t> session(sessionBytes(plan_.batch) / sizeof(uint32_t));
    MOTE_TRY(staging_->read(table_.bound({plan_.session, 0, sessionBytes(plan_.batch)}),
                            sessionBytes(plan_.batch), session.data()));
    for (uint32_t image = 0; image < plan_.batch; ++image)
        thresholds.push_back(measuredThreshold(session, image));
    return {};
}

// What the picture would be if the rest of the noise went at once: x0 of the row, of which the state and the
// model's output are there.
Status Session::showPreview(const RunOptions &options, uint32_t step) {
    MOTE_TRY(submitter_->drain());
    const StepRow &row = recipe().rows[step];
    std::vector<float> thresholds;
    MOTE_TRY(measureThresholds(row, thresholds));
    std::vector<uint8_t> rgba;
    for (uint32_t image = 0; image < plan_.batch; ++image) {
        StepRow shown = row;
        if (!thresholds.empty()) { // clamp(x0, -s, s) / s
            shown.clip = ClipKind::Clamp;
            shown.clipLow = -1;
            shown.clipHigh = 1;
            shown.p /= thresholds[image];
            shown.q /= thresholds[image];
        }
        MOTE_TRY(readImage(image, &shown, rgba));
        options.preview(step, image, {4, plan_.width, plan_.height, size_t{4} * plan_.width, rgba.data()});
    }
    return {};
}

} // namespace mote::pipeline
