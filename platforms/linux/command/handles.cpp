#include "handles.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include <sys/stat.h>

namespace mote::command {

ExitCode exitCodeOf(mote_status status) {
    switch (status) {
    case MOTE_OK:
        return ExitCode::Ok;
    case MOTE_INVALID_ARGUMENT:
        return ExitCode::Usage;
    case MOTE_INVALID_MODEL:
    case MOTE_UNSUPPORTED:
    case MOTE_NOT_FOUND:
    case MOTE_IO_ERROR:
        return ExitCode::BadInput;
    case MOTE_OUT_OF_MEMORY:
        return ExitCode::Memory;
    case MOTE_NO_VULKAN:
    case MOTE_DEVICE_LOST:
        return ExitCode::Device;
    case MOTE_CANCELLED:
        return ExitCode::Cancelled;
    case MOTE_CHECK_FAILED:
        return ExitCode::CheckFailed;
    case MOTE_NON_FINITE:
    case MOTE_NOT_READY:
    case MOTE_INTERNAL:
        break;
    }
    return ExitCode::RunFailed;
}

void check(mote_status status) {
    if (status == MOTE_OK)
        return;
    std::string message = mote_last_message();
    if (message.empty())
        message = mote_status_name(status);
    throw CommandError(exitCodeOf(status), message);
}

std::vector<mote_device_properties> listDevices() {
    uint32_t count = 0;
    check(mote_enumerate_devices(nullptr, &count));
    const mote_device_properties initial = MOTE_DEVICE_PROPERTIES_INIT;
    std::vector<mote_device_properties> devices(count, initial);
    check(mote_enumerate_devices(devices.data(), &count));
    devices.resize(std::min<size_t>(count, devices.size()));
    return devices;
}

std::string cacheDirectory() {
    // Relative paths are to be ignored, https://specifications.freedesktop.org/basedir-spec.
    const char *cache = std::getenv("XDG_CACHE_HOME");
    const char *home = std::getenv("HOME");
    std::string parent;
    if (cache && cache[0] == '/')
        parent = cache;
    else if (home && home[0] == '/')
        parent = std::string(home) + "/.cache";
    else
        return "";
    const std::string directory = parent + "/mote";
    mkdir(parent.c_str(), 0700);
    mkdir(directory.c_str(), 0700);
    struct stat status = {};
    const bool exists = stat(directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
    return exists ? directory : "";
}

DeviceHandle openDevice(const DeviceOptions &options) {
    mote_device_desc desc = MOTE_DEVICE_DESC_INIT;
    const std::string cache = options.useCache ? cacheDirectory() : "";
    if (!cache.empty())
        desc.cache_directory = cache.c_str();
    if (!options.device.empty()) {
        const char *begin = options.device.data(), *end = begin + options.device.size();
        int32_t index = 0;
        const auto [stop, error] = std::from_chars(begin, end, index);
        if (error == std::errc() && stop == end && index >= 0)
            desc.index = index;
        else
            desc.name = options.device.c_str();
    }
    mote_device *device = nullptr;
    const mote_status status = mote_device_create(&desc, &device);
    if (status == MOTE_NOT_FOUND || status == MOTE_UNSUPPORTED)
        throw CommandError(ExitCode::Device, mote_last_message());
    check(status);
    return DeviceHandle(device);
}

ModelHandle openModel(mote_device *device, const std::string &path) {
    mote_model_desc desc = MOTE_MODEL_DESC_INIT;
    desc.path = path.c_str();
    mote_model *model = nullptr;
    check(mote_model_open(device, &desc, &model));
    return ModelHandle(model);
}

SessionHandle createSession(mote_model *model, const mote_session_desc &desc) {
    mote_session *session = nullptr;
    check(mote_session_create(model, &desc, &session));
    return SessionHandle(session);
}

mote_device_properties propertiesOf(const mote_device *device) {
    mote_device_properties properties = MOTE_DEVICE_PROPERTIES_INIT;
    check(mote_device_get_properties(device, &properties));
    return properties;
}

mote_session_info infoOf(const mote_session *session) {
    mote_session_info info = MOTE_SESSION_INFO_INIT;
    check(mote_session_get_info(session, &info));
    return info;
}

} // namespace mote::command
