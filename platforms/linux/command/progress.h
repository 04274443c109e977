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
};

// Prepares and runs a session with progress and Ctrl-C. Throws CommandError.
void prepareSession(mote_session *session, Progress &progress);
void runSession(mote_session *session, const Noise &noise, Progress &progress, Interrupts &interrupts,
                const mote_trace *trace = nullptr);

} // namespace mote::command
