// Inputs that a model asks of the app, made up: for timing and for comparing runs, where any picture will do.
#pragma once

#include "description.h"

#include <memory>

namespace mote::command {

// Values of all that `model` asks of the app with `recipe`, the same on every machine, within each port's
// range. Bound to a session they must outlive its runs.
class MadeUpInputs {
public:
    // Throws CommandError (Usage) naming the first port that takes neither an image nor a tensor.
    MadeUpInputs(const ModelDescription &model, const RecipeDescription &recipe, uint32_t width,
                 uint32_t height);
    void bind(mote_session *session) const;

private:
    struct Input {
        std::string port;
        std::vector<float> values;
        mote_tensor tensor = MOTE_TENSOR_INIT;
    };
    std::vector<Input> inputs;
    uint32_t labels = 0;       // of the model; the first is taken
    std::vector<float> vector; // of models that take vectors: zeros
};

} // namespace mote::command
