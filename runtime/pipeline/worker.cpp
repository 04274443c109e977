#include "pipeline/worker.h"

#include <chrono>
#include <new>
#include <utility>

namespace mote::pipeline {

Worker::~Worker() {
    cancel();
    if (thread_.joinable())
        thread_.join();
}

Status Worker::begin() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (running_)
        return makeStatus(StatusCode::InvalidArgument, "a run of this session is under way");
    running_ = true;
    cancel_ = false;
    return {};
}

void Worker::end() {
    std::lock_guard<std::mutex> lock(mutex_);
    running_ = false;
    changed_.notify_all();
}

Status Worker::runGuarded(const RunOptions &options) noexcept {
    try {
        return session_->run(options, &cancel_);
    } catch (const std::bad_alloc &) {
        return {StatusCode::OutOfMemory, "host memory"}; // short enough to need none
    } catch (...) {
        return {StatusCode::Internal, "exception"};
    }
}

Status Worker::run(const RunOptions &options) {
    Status status = exclusive([&](Session &, const std::atomic<bool> *) { return runGuarded(options); });
    std::lock_guard<std::mutex> lock(mutex_);
    if (!running_) { // else it was refused, and the message belongs to the run under way
        message_ = status.message;
        lastWasSubmitted_ = false;
    }
    return status;
}

const char *Worker::message() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!lastWasSubmitted_)
        return message_.c_str();
    return submittedStatus_.code == StatusCode::NotReady ? "" : submittedStatus_.message.c_str();
}

Status Worker::submit(const RunOptions &options) {
    MOTE_TRY(begin());
    // A failure to start leaves the session as before.
    struct Undo {
        Worker *worker;
        ~Undo() {
            if (worker != nullptr)
                worker->end();
        }
    } undo{this};
    if (thread_.joinable())
        thread_.join(); // an earlier run: it has ended
    RunOptions own = options;
    own.progress = [this, progress = options.progress](float fraction, const char *what) {
        fraction_ = fraction;
        if (progress)
            progress(fraction, what);
    };
    {
        std::lock_guard<std::mutex> lock(mutex_);
        lastWasSubmitted_ = true;
        submitted_ = true;
        submittedStatus_ = {StatusCode::NotReady, "under way"};
        fraction_ = 0;
    }
    try {
        thread_ = std::thread([this, own = std::move(own)] {
            Status status = runGuarded(own);
            std::lock_guard<std::mutex> lock(mutex_);
            if (status.ok())
                fraction_ = 1;
            submittedStatus_.code = status.code;
            submittedStatus_.message.swap(status.message);
            running_ = false;
            changed_.notify_all();
        });
    } catch (...) {
        std::lock_guard<std::mutex> lock(mutex_);
        submittedStatus_ = {StatusCode::OutOfMemory, "no thread"};
        throw;
    }
    undo.worker = nullptr;
    return {};
}

Status Worker::poll(float *fraction) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!submitted_)
        return makeStatus(StatusCode::InvalidArgument, "nothing was submitted to this session");
    if (fraction != nullptr)
        *fraction = fraction_;
    if (submittedStatus_.code == StatusCode::NotReady)
        return makeStatus(StatusCode::NotReady, "the run is under way");
    return submittedStatus_;
}

Status Worker::wait(uint32_t milliseconds) {
    {
        std::unique_lock<std::mutex> lock(mutex_);
        const auto ended = [&] { return !submitted_ || submittedStatus_.code != StatusCode::NotReady; };
        if (milliseconds == UINT32_MAX)
            changed_.wait(lock, ended);
        else
            changed_.wait_for(lock, std::chrono::milliseconds(milliseconds), ended);
    }
    return poll(nullptr);
}

void Worker::cancel() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (running_)
        cancel_ = true;
}

} // namespace mote::pipeline
