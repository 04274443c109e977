// One line on the terminal that says how far a run is; nothing where standard error is not a terminal.
#pragma once

#include "interrupts.h"

#include <mote/mote.h>

#include <chrono>
#include <string>

namespace mote::command {

class Progress {
public:
    explicit Progress(std::string title);
    ~Progress(); // clears the line
    Progress(const Progress &) = delete;
    Progress &operator=(const Progress &) = delete;

    void show(float fraction, const char *what);
    void clear();

private:
    std::string title;
    bool terminal;
    bool shown = false;
    std::chrono::steady_clock::time_point last = {};
};

// Where the normals of a run come from.
struct Noise {
    uint64_t seed = 0;
    mote_noise_source source = MOTE_NOISE_PHILOX;
    uint64_t otherSeed = 0;
    float mix = 0; // 0: seed, 1: otherSeed
};

// Finds the fastest kernels for sessions like `desc`, with progress. Throws CommandError.
mote_tuning tuneModel(mote_model *model, const mote_session_desc &desc, Progress &progress);

// Prepares and runs a session with progress and Ctrl-C. Throws CommandError.
void prepareSession(mote_session *session, Progress &progress);
void runSession(mote_session *session, const Noise &noise, Progress &progress, Interrupts &interrupts,
                const mote_trace *trace = nullptr);
// With the present estimate after each step as a picture PREFIX-1.png, PREFIX-2.png, ...; of image I of a
// batch, but the first, PREFIX-1-I.png.
void runSessionShowing(const std::string &prefix, mote_session *session, const Noise &noise,
                       Progress &progress, Interrupts &interrupts);

} // namespace mote::command
