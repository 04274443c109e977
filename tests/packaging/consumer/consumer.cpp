// A program of somebody else's, in C++17: descriptors with their _INIT macros, and an expected failure.
#include <mote/mote.h>

#include <cstdio>
#include <string>

int main() {
    if (mote_version() != MOTE_VERSION) {
        return 1;
    }
    mote_model_desc desc = MOTE_MODEL_DESC_INIT;
    desc.path = "no-such-file.mote";
    mote_model *model = nullptr;
    const mote_status status = mote_model_open(nullptr, &desc, &model);
    const std::string message = mote_last_message();
    std::printf("Mote %s in C++: %s: %s\n", mote_version_string(), mote_status_name(status), message.c_str());
    return status == MOTE_NOT_FOUND && model == nullptr && message.find(desc.path) != std::string::npos ? 0
                                                                                                        : 1;
}
