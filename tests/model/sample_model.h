// A small model that uses every op, every port source that a first file can have, and every field; and a
// writer that checks nothing, so that tests can write what no honest writer would.
#pragma once

#include "model/encode.h"
#include "model/model.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mote::test {

struct Sample {
    Model model;
    std::vector<std::vector<uint8_t>> payloads; // per weight
};

// A UNet of two levels with attention below, 6 -> 8 -> 16 -> 8 -> 3 channels. `wide` multiplies the inner
// channels; from 8 on the weights fill several chunks.
Sample sampleModel(uint32_t wide = 1);

// What the raw writer can be told to get wrong beside the model itself.
struct RawFile {
    Model model;                                // with segments and places of weights chosen
    std::vector<std::vector<uint8_t>> payloads; // per weight
    std::vector<SegmentLabel> labels;           // per segment
    std::vector<std::string> features;
    bool keepChecksums = false;     // of the segments: do not compute them
    size_t segmentsWritten = kNone; // of those behind this many nothing is laid down
    // Header fields; none means what is right.
    std::optional<uint64_t> formatVersion, minimumRuntime, rootOffset, rootBytes, fileBytes, reserved;
    uint64_t gap = 0;            // extra zero bytes before the root
    uint8_t padding = 0;         // what the padding bytes hold
    std::vector<uint8_t> behind; // after the root
};

// The layout that the writer would choose.
RawFile rawFile(Sample sample);

// Header, segments where the model says they lie (those that would be beyond 16 MB are left out), root; all
// checksums right unless told otherwise.
std::vector<uint8_t> assemble(const RawFile &raw);

// Recomputes root and header checksum of a file in memory, so that changed bytes arrive behind them.
void seal(std::vector<uint8_t> &file);

// Writes or reads a whole file; a failure is a test failure.
void writeBytes(const std::string &path, const std::vector<uint8_t> &bytes);
std::vector<uint8_t> readBytes(const std::string &path);

// A fresh, empty directory below the build tree.
std::string freshDirectory(const std::string &name);
std::vector<std::string> listDirectory(const std::string &path);

} // namespace mote::test
