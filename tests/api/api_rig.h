// What the tests of mote.h share. They see the library as an app does; only the model files come from
// elsewhere.
#pragma once

#include "mote/mote.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace mote::test {

// A small restoration model (with attention) of 1 and 2 steps; paths of files that live as long as the
// program.
std::string smallModelPath();
std::string shippedModelPath(); // restore, 1 and 2 steps

// The status must be this one, and the thread's message must say that.
testing::AssertionResult refused(mote_status found, mote_status expected, const std::string &part);
testing::AssertionResult worked(mote_status found);

mote_device *sharedApiDevice();
mote_model *openModel(mote_device *device, const std::string &path);
mote_session *createSession(mote_model *model, uint32_t width, uint32_t height, uint32_t steps = 0);

// Pixels of some picture: [height][stride], the bytes between rows are 0xEE.
std::vector<uint8_t> somePixels(uint32_t width, uint32_t height, uint32_t bytesPerPixel, size_t stride);
mote_image imageOf(std::vector<uint8_t> &pixels, mote_pixel_format format, uint32_t width, uint32_t height,
                   size_t stride = 0);

} // namespace mote::test
