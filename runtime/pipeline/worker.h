// A session and the thread that runs it: who may do what while a run is under way.
#pragma once

#include "pipeline/session.h"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace mote::pipeline {

// cancel, poll, wait and message may be called by any thread at any time, all others by one thread at a time.
class Worker {
public:
    explicit Worker(std::unique_ptr<Session> session) : session_(std::move(session)) {}
    // Cancels what is under way and waits for it.
    ~Worker();
    Worker(const Worker &) = delete;
    Worker &operator=(const Worker &) = delete;

    Status run(const RunOptions &options);
    // Returns at once; the run goes on in a thread of its own.
    Status submit(const RunOptions &options);
    // NotReady while the submitted run is under way, then its status. `fraction` may be null.
    Status poll(float *fraction);
    Status wait(uint32_t milliseconds); // all ones: without limit
    void cancel();
    // Of the last run or submit; empty when it succeeded.
    const char *message();

    // Calls body(session, cancel flag) unless a run is under way. Can be cancelled like a run.
    template <typename Body> Status exclusive(const Body &body) {
        MOTE_TRY(begin());
        struct End {
            Worker &worker;
            ~End() { worker.end(); }
        } end{*this};
        return body(*session_, &cancel_);
    }
    // For what does not change while a session lives, or only between runs.
    const Session &session() const { return *session_; }

private:
    Status begin(); // marks a run as under way
    void end();
    Status runGuarded(const RunOptions &options) noexcept;

    std::unique_ptr<Session> session_;
    std::mutex mutex_; // guards all below but the atomics
    std::condition_variable changed_;
    bool running_ = false, submitted_ = false;
    Status submittedStatus_; // NotReady while the submitted run is under way
    std::string message_;    // of the last run that was not submitted
    bool lastWasSubmitted_ = false;
    std::atomic<bool> cancel_{false};
    std::atomic<float> fraction_{0};
    std::thread thread_;
};

} // namespace mote::pipeline
