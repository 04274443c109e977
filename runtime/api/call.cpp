#include "api/call.h"

#include <cstdio>

namespace mote::api {
namespace {

// Plain bytes: a thread-local std::string would need a constructor and a destructor in every thread.
thread_local char lastMessage[4096];

} // namespace

mote_status finish(StatusCode code, const char *message) {
    if (code != StatusCode::Ok)
        std::snprintf(lastMessage, sizeof lastMessage, "%s", message);
    return static_cast<mote_status>(code);
}

mote_status finish(const Status &status) {
    return finish(status.code, status.message.c_str());
}

Status nullArgument(const char *function, const char *argument) {
    return makeStatus(StatusCode::InvalidArgument, "%s: %s is null", function, argument);
}

} // namespace mote::api

const char *mote_last_message(void) {
    return mote::api::lastMessage;
}
