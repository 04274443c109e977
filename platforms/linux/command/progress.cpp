#include "progress.h"

#include "handles.h"
#include "image/image.h"

#include <cstdio>
#include <exception>
#include <utility>

#include <unistd.h>

namespace mote::command {
namespace {

constexpr auto kShortestInterval = std::chrono::milliseconds(100);

struct RunContext {
    Progress *progress;
    Interrupts *interrupts;
    mote_session *session;
};

void onPrepare(void *user, float fraction, const char *what) {
    static_cast<Progress *>(user)->show(fraction, what);
}

void onRun(void *user, float fraction, const char *what) {
    const auto *context = static_cast<RunContext *>(user);
    context->progress->show(fraction, what);
    // A signal that came just before the run began found nothing to cancel.
    if (context->interrupts->requested())
        mote_session_cancel(context->session);
}

} // namespace

Progress::Progress(std::string name) : title(std::move(name)), terminal(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
    clear();
}

void Progress::clear() {
    if (shown)
        std::fputs("\r\033[K", stderr);
    shown = false;
}

void Progress::show(float fraction, const char *what) {
    if (!terminal)
        return;
    const auto now = std::chrono::steady_clock::now();
    if (shown && now - last < kShortestInterval)
        return;
    last = now;
    shown = true;
    std::fprintf(stderr, "\r\033[K%s: %3.0f%% %s", title.c_str(), 100.0 * static_cast<double>(fraction),
                 what ? what : "");
    std::fflush(stderr);
}

mote_tuning tuneModel(mote_model *model, const mote_session_desc &desc, Progress &progress) {
    mote_tune_desc tune = MOTE_TUNE_DESC_INIT;
    tune.progress = onPrepare;
    tune.progress_user = &progress;
    mote_tuning tuning = MOTE_TUNING_INIT;
    check(mote_model_tune(model, &desc, &tune, &tuning));
    return tuning;
}

void prepareSession(mote_session *session, Progress &progress) {
    mote_prepare_desc desc = MOTE_PREPARE_DESC_INIT;
    desc.progress = onPrepare;
    desc.progress_user = &progress;
    check(mote_session_prepare(session, &desc));
}

namespace {

mote_run_desc runDesc(const Noise &noise, RunContext &context) {
    mote_run_desc desc = MOTE_RUN_DESC_INIT;
    desc.seed = noise.seed;
    desc.noise = noise.source;
    desc.other_seed = noise.otherSeed;
    desc.seed_mix = noise.mix;
    desc.progress = onRun;
    desc.progress_user = &context;
    return desc;
}

struct Previews {
    std::string prefix;
    mote_session *session;
    std::exception_ptr failure;
};

// Called by the library: must not throw.
void onPreview(void *user, uint32_t step, uint32_t number, const mote_image *picture) {
    auto *previews = static_cast<Previews *>(user);
    try {
        Image image;
        image.width = picture->width;
        image.height = picture->height;
        image.channels = 4;
        const auto *pixels = static_cast<const uint8_t *>(picture->pixels);
        image.pixels.assign(pixels, pixels + picture->stride * picture->height);
        dropOpaqueAlpha(image);
        writeImage(previews->prefix + "-" + std::to_string(step + 1) +
                       (number == 0 ? "" : "-" + std::to_string(number)) + ".png",
                   std::move(image));
    } catch (...) {
        if (!previews->failure)
            previews->failure = std::current_exception();
        mote_session_cancel(previews->session);
    }
}

} // namespace

void runSession(mote_session *session, const Noise &noise, Progress &progress, Interrupts &interrupts,
                const mote_trace *trace) {
    RunContext context = {&progress, &interrupts, session};
    mote_run_desc desc = runDesc(noise, context);
    desc.trace = trace;
    const Interrupts::Run run(interrupts, session);
    check(mote_session_run(session, &desc));
}

void runSessionShowing(const std::string &prefix, mote_session *session, const Noise &noise,
                       Progress &progress, Interrupts &interrupts) {
    RunContext context = {&progress, &interrupts, session};
    Previews previews = {prefix, session, nullptr};
    mote_run_desc desc = runDesc(noise, context);
    if (!prefix.empty()) {
        desc.preview = onPreview;
        desc.preview_user = &previews;
    }
    const Interrupts::Run run(interrupts, session);
    const mote_status status = mote_session_run(session, &desc);
    if (previews.failure)
        std::rethrow_exception(previews.failure);
    check(status);
}

} // namespace mote::command
