// mote.h for C++: handles that destroy themselves, and statuses that become exceptions.
#pragma once

#include "errors.h"

#include <mote/mote.h>

#include <memory>
#include <string>
#include <vector>

namespace mote::command {

struct HandleDeleter {
    void operator()(mote_device *device) const { mote_device_destroy(device); }
    void operator()(mote_model *model) const { mote_model_destroy(model); }
    void operator()(mote_session *session) const { mote_session_destroy(session); }
};
using DeviceHandle = std::unique_ptr<mote_device, HandleDeleter>;
using ModelHandle = std::unique_ptr<mote_model, HandleDeleter>;
using SessionHandle = std::unique_ptr<mote_session, HandleDeleter>;

// The exit code for a status, README.md's table.
ExitCode exitCodeOf(mote_status status);

// Throws CommandError with the library's message when `status` is not MOTE_OK.
void check(mote_status status);

struct DeviceOptions {
    std::string device;   // an index of `mote devices`, or a part of a name; empty: the best
    bool useCache = true; // compiled pipelines on disk
};

std::vector<mote_device_properties> listDevices();
DeviceHandle openDevice(const DeviceOptions &options);
// `device` null: the model can be described and estimated only.
ModelHandle openModel(mote_device *device, const std::string &path);
SessionHandle createSession(mote_model *model, const mote_session_desc &desc);

mote_device_properties propertiesOf(const mote_device *device);
mote_session_info infoOf(const mote_session *session);

// $XDG_CACHE_HOME/mote or ~/.cache/mote, created when it is missing; empty when there is no home or it cannot
// be created: a cache is a convenience.
std::string cacheDirectory();

} // namespace mote::command
