// The edge: how a C call becomes a C++ one and back. Statuses become mote_status and the thread's message;
// nothing is thrown across.
#pragma once

#include "model/status.h"
#include "mote/mote.h"

#include <cstddef>
#include <cstring>
#include <new>
#include <system_error>

namespace mote::api {

// Keeps the message for mote_last_message() and returns the code. Allocates nothing.
mote_status finish(const Status &status);
mote_status finish(StatusCode code, const char *message);

// Runs `body`, which returns a Status. What may fly: bad_alloc, and system_error where the system has no more
// threads.
template <typename Body> mote_status guarded(const Body &body) noexcept {
    try {
        return finish(body());
    } catch (const std::bad_alloc &) {
        return finish(StatusCode::OutOfMemory, "host memory: an allocation failed");
    } catch (const std::system_error &error) {
        return finish(StatusCode::OutOfMemory, error.what());
    } catch (...) {
        return finish(StatusCode::Internal, "an unexpected exception; this is a defect in Mote");
    }
}

Status nullArgument(const char *function, const char *argument);

// Copies a caller's descriptor into `to`, which holds this version's defaults: a caller compiled against an
// earlier version has a shorter struct, whose missing fields keep them. FirstBytes: the struct's size in the
// first version that had it. A longer struct comes from a later version: accepted where what this version
// does not know is zero.
template <typename T>
Status readDescriptor(const T *from, T &to, const char *name, size_t firstBytes = sizeof(T)) {
    size_t size = 0;
    std::memcpy(&size, from, sizeof size);
    if (size < firstBytes)
        return makeStatus(StatusCode::InvalidArgument,
                          "%s.struct_size: found %zu, expected at least %zu (begin with the _INIT macro)",
                          name, size, firstBytes);
    const auto *bytes = reinterpret_cast<const unsigned char *>(from);
    for (size_t i = sizeof(T); i < size; ++i)
        if (bytes[i] != 0)
            return makeStatus(StatusCode::Unsupported,
                              "%s.struct_size: found %zu with fields of a later version in use, this version "
                              "knows %zu bytes",
                              name, size, sizeof(T));
    std::memcpy(&to, from, size < sizeof(T) ? size : sizeof(T));
    to.struct_size = sizeof(T);
    return {};
}

// The size of a struct that the library fills, checked.
template <typename T> Status outputSize(const T *to, const char *name, size_t firstBytes, size_t &size) {
    std::memcpy(&size, to, sizeof size);
    if (size < firstBytes)
        return makeStatus(StatusCode::InvalidArgument,
                          "%s.struct_size: found %zu, expected at least %zu (begin with the _INIT macro)",
                          name, size, firstBytes);
    return {};
}

// Fills what a caller's struct of `size` bytes has room for, leaving its struct_size as it was.
template <typename T> void writeOutput(T value, T *to, size_t size) {
    value.struct_size = size;
    std::memcpy(to, &value, size < sizeof(T) ? size : sizeof(T));
}

} // namespace mote::api
