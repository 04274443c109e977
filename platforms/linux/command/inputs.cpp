#include "inputs.h"

#include "handles.h"

namespace mote::command {

MadeUpInputs::MadeUpInputs(const ModelDescription &model, const RecipeDescription &recipe, uint32_t width,
                           uint32_t height) {
    labels = model.labels;
    vector.resize(model.vectorLength);
    uint32_t state = 1;
    for (const PortDescription &port : model.inputsOf(recipe)) {
        if (port.kind != "image" && port.kind != "tensor")
            throw CommandError(ExitCode::Usage, model.name + ": input '" + port.name + "': found kind " +
                                                    port.kind + ", expected image or tensor");
        Input &input = inputs.emplace_back();
        input.port = port.name;
        input.values.resize(static_cast<size_t>(port.channels) * height * width);
        for (float &value : input.values) {
            state = state * 1664525u + 1013904223u; // Numerical Recipes, section 7.1
            const float unit = static_cast<float>(state >> 8) * 0x1p-24f;
            value = port.low + (port.high - port.low) * unit;
        }
        input.tensor.shape[0] = 1;
        input.tensor.shape[1] = port.channels;
        input.tensor.shape[2] = height;
        input.tensor.shape[3] = width;
        input.tensor.data = input.values.data();
    }
}

void MadeUpInputs::bind(mote_session *session) const {
    const int64_t label = 0;
    if (labels != 0)
        check(mote_session_set_class_labels(session, &label, 1));
    if (!vector.empty())
        check(
            mote_session_set_class_vectors(session, vector.data(), 1, static_cast<uint32_t>(vector.size())));
    for (const Input &input : inputs)
        check(mote_session_bind_tensor(session, input.port.c_str(), &input.tensor));
}

} // namespace mote::command
