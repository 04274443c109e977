// What is measured: a model at a size, on the device of the run.
#pragma once

#include "graph/shapes.h"
#include "pipeline/loaded_model.h"
#include "pipeline/session.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mote::bench {

class Subject {
public:
    // Reads the file's structure; weights and session come at first use. Throws std::runtime_error.
    Subject(std::shared_ptr<gpu::Device> device, std::string name, std::string path, uint32_t width,
            uint32_t height);

    const std::string &name() const { return name_; } // "edge 128x128"
    const std::string &path() const { return path_; }
    const Model &model() const { return model_; }
    const Graph &graph() const { return model_.graphs[0]; }
    const GraphShapes &shapes() const { return shapes_; } // of one image of the padded size
    const std::shared_ptr<gpu::Device> &device() const { return device_; }

    std::shared_ptr<pipeline::LoadedModel> open(const std::shared_ptr<gpu::Device> &device) const;
    // With made-up inputs bound. `submissionMilliseconds`: 0 for the default; `steps`: 0 for the file's first
    // recipe.
    std::unique_ptr<pipeline::Session> newSession(std::shared_ptr<pipeline::LoadedModel> model,
                                                  uint32_t submissionMilliseconds = 0, uint32_t steps = 0);
    // Prepared, without the self-check; its ops are not cut to what a submission may take, because they are
    // timed whole.
    pipeline::Session &session();

    // What is bound to the app's ports, [C][H][W] of the size asked for, per Graph::tensors (empty: no such
    // port).
    const std::vector<std::vector<float>> &inputs() const { return inputs_; }

private:
    std::shared_ptr<gpu::Device> device_;
    std::string name_, path_;
    uint32_t width_, height_;
    Model model_;
    GraphShapes shapes_;
    std::vector<std::vector<float>> inputs_;
    std::vector<float> output_;
    std::unique_ptr<pipeline::Session> session_;
};

} // namespace mote::bench
