// Version and status names.
#include "model/status.h"
#include "mote/mote.h"

namespace {

using mote::StatusCode;
constexpr bool same(mote_status status, StatusCode code) {
    return static_cast<int>(status) == static_cast<int>(code);
}
static_assert(same(MOTE_OK, StatusCode::Ok), "");
static_assert(same(MOTE_INVALID_ARGUMENT, StatusCode::InvalidArgument), "");
static_assert(same(MOTE_INVALID_MODEL, StatusCode::InvalidModel), "");
static_assert(same(MOTE_UNSUPPORTED, StatusCode::Unsupported), "");
static_assert(same(MOTE_NOT_FOUND, StatusCode::NotFound), "");
static_assert(same(MOTE_IO_ERROR, StatusCode::IoError), "");
static_assert(same(MOTE_OUT_OF_MEMORY, StatusCode::OutOfMemory), "");
static_assert(same(MOTE_NO_VULKAN, StatusCode::NoVulkan), "");
static_assert(same(MOTE_DEVICE_LOST, StatusCode::DeviceLost), "");
static_assert(same(MOTE_CANCELLED, StatusCode::Cancelled), "");
static_assert(same(MOTE_NON_FINITE, StatusCode::NonFinite), "");
static_assert(same(MOTE_CHECK_FAILED, StatusCode::CheckFailed), "");
static_assert(same(MOTE_NOT_READY, StatusCode::NotReady), "");
static_assert(same(MOTE_INTERNAL, StatusCode::Internal), "");

#define MOTE_TEXT2(x) #x
#define MOTE_TEXT(x) MOTE_TEXT2(x)

} // namespace

uint32_t mote_version(void) {
    return MOTE_VERSION;
}

const char *mote_version_string(void) {
    return MOTE_TEXT(MOTE_VERSION_MAJOR) "." MOTE_TEXT(MOTE_VERSION_MINOR) "." MOTE_TEXT(MOTE_VERSION_PATCH);
}

const char *mote_status_name(mote_status status) {
    switch (status) {
    case MOTE_OK:
        return "MOTE_OK";
    case MOTE_INVALID_ARGUMENT:
        return "MOTE_INVALID_ARGUMENT";
    case MOTE_INVALID_MODEL:
        return "MOTE_INVALID_MODEL";
    case MOTE_UNSUPPORTED:
        return "MOTE_UNSUPPORTED";
    case MOTE_NOT_FOUND:
        return "MOTE_NOT_FOUND";
    case MOTE_IO_ERROR:
        return "MOTE_IO_ERROR";
    case MOTE_OUT_OF_MEMORY:
        return "MOTE_OUT_OF_MEMORY";
    case MOTE_NO_VULKAN:
        return "MOTE_NO_VULKAN";
    case MOTE_DEVICE_LOST:
        return "MOTE_DEVICE_LOST";
    case MOTE_CANCELLED:
        return "MOTE_CANCELLED";
    case MOTE_NON_FINITE:
        return "MOTE_NON_FINITE";
    case MOTE_CHECK_FAILED:
        return "MOTE_CHECK_FAILED";
    case MOTE_NOT_READY:
        return "MOTE_NOT_READY";
    case MOTE_INTERNAL:
        return "MOTE_INTERNAL";
    }
    return "MOTE_?";
}
