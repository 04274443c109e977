// The one EXIF field that matters for restoring: which way up the picture is.
#pragma once

#include "image/image.h"

namespace mote::command {

// `tiff` is an EXIF block from its TIFF header on ("II*\0" or "MM\0*"; in a JPEG, what follows "Exif\0\0").
// Returns 1 to 8; 1 (upright) when the block is damaged, has no orientation or a senseless one: a bad note on
// a picture is no reason to refuse the picture.
uint32_t exifOrientation(std::span<const uint8_t> tiff);

// Turns the picture upright. `orientation` as EXIF 2.3, tag 0x0112, has it: 1 upright, 2 mirrored, 3 turned
// by 180 degrees, 4 flipped, 5 transposed, 6 to be turned clockwise, 7 transversed, 8 to be turned
// anticlockwise.
Image orientImage(Image image, uint32_t orientation);

} // namespace mote::command
