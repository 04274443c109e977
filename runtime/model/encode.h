// Model -> root, the FlatBuffer of a .mote file. Checks nothing: writer.h is the way to write a file.
#pragma once

#include "model/model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mote {

// How the file names a segment beside what Segment holds.
struct SegmentLabel {
    std::string name;
    uint32_t kind = 0; // the number in the file: may be one that no SegmentKind has
    bool required = true;
};

// `labels` has one entry per segment of the model. The same input gives the same bytes.
std::vector<uint8_t> encodeRoot(const Model &model, const std::vector<SegmentLabel> &labels,
                                const std::vector<std::string> &requiredFeatures = {});

} // namespace mote
