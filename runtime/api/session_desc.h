// Shared by the estimate and the session.
#pragma once

#include "model/status.h"
#include "mote/mote.h"
#include "pipeline/session_plan.h"

namespace mote::api {

// Strings are borrowed from the descriptor.
Status readSessionDesc(const mote_session_desc *desc, pipeline::SessionOptions &options);

} // namespace mote::api
