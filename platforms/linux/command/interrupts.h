// Ctrl-C and termination requests. The signals are blocked and read by a thread of their own, so that what
// they cause runs as ordinary code and not inside a signal handler.
#pragma once

#include <atomic>
#include <csignal>
#include <mutex>
#include <thread>

struct mote_session;

namespace mote::command {

// Made once, first thing in main(), before any other thread starts. While a run is under way the first signal
// cancels it; without a run, or the second time, the program ends at once, its temporary files removed.
class Interrupts {
public:
    Interrupts();
    ~Interrupts();
    Interrupts(const Interrupts &) = delete;
    Interrupts &operator=(const Interrupts &) = delete;

    bool requested() const { return flag; }

    // While it lives, signals cancel `session`.
    class Run {
    public:
        Run(Interrupts &of, mote_session *session);
        ~Run();
        Run(const Run &) = delete;
        Run &operator=(const Run &) = delete;

    private:
        Interrupts &interrupts;
    };

private:
    void wait();

    sigset_t signals = {};
    int signalDescriptor = -1, stopDescriptor = -1;
    std::atomic<bool> flag = false;
    std::mutex mutex;
    mote_session *running = nullptr;
    std::thread thread;
};

} // namespace mote::command
