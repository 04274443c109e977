// What is behind the C handles. Each holds what it needs alive, so handles are destroyed in any order.
#pragma once

#include "gpu/device.h"
#include "mote/mote.h"
#include "pipeline/loaded_model.h"
#include "pipeline/worker.h"

#include <memory>
#include <string>

namespace mote::api {

// The device and the app's log function that it calls; kept together as long as anything uses either.
struct DeviceState {
    mote_log_callback log = nullptr;
    void *logUser = nullptr;
    std::unique_ptr<gpu::Device> device; // last: it may log while it is destroyed
};

} // namespace mote::api

struct mote_device {
    std::shared_ptr<mote::api::DeviceState> state;
};

struct mote_model {
    std::shared_ptr<mote::pipeline::LoadedModel> loaded;
};

struct mote_session {
    explicit mote_session(std::unique_ptr<mote::pipeline::Session> session) : worker(std::move(session)) {}

    mote::pipeline::Worker worker; // its session holds the model, and the model the device
};
