// Status and Result: how the runtime says what went wrong. Nothing here allocates on the success path.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

namespace mote {

// Values equal those of mote_status in mote/mote.h (checked at compile time in runtime/api).
enum class StatusCode : int {
    Ok = 0,
    InvalidArgument = 1, // the caller's mistake: a null, a size, a name, an order of calls
    InvalidModel = 2,    // the model data is damaged, hostile or not what it says
    Unsupported = 3,     // well-formed, but this version or this device cannot do it
    NotFound = 4,        // a file, a port, a recipe or a device that is not there
    IoError = 5,         // reading or writing failed
    OutOfMemory = 6,     // host memory, device memory, or the budget given
    NoVulkan = 7,        // no loader, no Vulkan 1.1, no device with compute
    DeviceLost = 8,      // the device is gone; handles can only be destroyed
    Cancelled = 9,       // the caller asked for it
    NonFinite = 10,      // the model produced infinities or NaNs; there is no output
    CheckFailed = 11,    // the self-check found wrong results on this device
    NotReady = 12,       // poll: the run is still under way
    Internal = 13,       // a defect in Mote
};

// A code and a message that says what was wrong, where, what was found and what was expected.
struct [[nodiscard]] Status {
    StatusCode code = StatusCode::Ok;
    std::string message;

    bool ok() const { return code == StatusCode::Ok; }
};

// printf-style; the message has no trailing newline.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
inline Status
makeStatus(StatusCode code, const char *format, ...) {
    Status status{code, {}};
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    const int length = std::vsnprintf(nullptr, 0, format, arguments);
    va_end(arguments);
    if (length > 0) {
        status.message.resize(static_cast<size_t>(length) + 1);
        std::vsnprintf(status.message.data(), status.message.size(), format, again);
        status.message.pop_back();
    }
    va_end(again);
    return status;
}

// Either a value or a Status that is not ok.
template <typename T> class [[nodiscard]] Result {
public:
    Result(T value) : value_(std::move(value)) {}
    Result(Status status) : status_(std::move(status)) {}

    bool ok() const { return status_.ok(); }
    const Status &status() const { return status_; }
    T &value() { return *value_; }
    const T &value() const { return *value_; }
    T *operator->() { return &*value_; }
    const T *operator->() const { return &*value_; }

private:
    Status status_;
    std::optional<T> value_;
};

// MOTE_TRY(expression of type Status): returns it to the caller unless ok.
#define MOTE_TRY(expression)                                                                                 \
    do {                                                                                                     \
        ::mote::Status moteTryStatus = (expression);                                                         \
        if (!moteTryStatus.ok())                                                                             \
            return moteTryStatus;                                                                            \
    } while (false)

#define MOTE_TRY_JOIN2(a, b) a##b
#define MOTE_TRY_JOIN(a, b) MOTE_TRY_JOIN2(a, b)
// MOTE_TRY_ASSIGN(auto x, expression of type Result<T>): declares or assigns x, or returns the status.
#define MOTE_TRY_ASSIGN(target, expression)                                                                  \
    auto MOTE_TRY_JOIN(moteTryResult, __LINE__) = (expression);                                              \
    if (!MOTE_TRY_JOIN(moteTryResult, __LINE__).ok())                                                        \
        return MOTE_TRY_JOIN(moteTryResult, __LINE__).status();                                              \
    target = std::move(MOTE_TRY_JOIN(moteTryResult, __LINE__).value())

} // namespace mote
