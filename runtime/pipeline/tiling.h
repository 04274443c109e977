// How a padded image is cut into equal, overlapping tiles, and how much of each counts. Pure geometry.
#pragma once

#include <cstdint>
#include <vector>

namespace mote::pipeline {

// One direction of the cut. All lengths are pixels and multiples of the model's size multiple.
struct TileAxis {
    uint32_t length = 0;           // of the padded image
    uint32_t tile = 0;             // of every tile, at most length
    uint32_t overlap = 0;          // neighbours share at least this many; 0 where there is one tile
    std::vector<uint32_t> origins; // ascending, the first 0, the last length - tile
};

// Cuts `length` into as few tiles as possible. The overlap asked for is rounded up to the multiple, then
// lowered to half a tile (rounded down to the multiple) where the tile is small: a tile then still brings
// half of itself forward, and its context is as good as its size allows. `tile` is rounded up to the multiple
// and lowered to the length.
TileAxis cutAxis(uint32_t length, uint32_t tile, uint32_t overlap, uint32_t multiple);

// The outer pixels of a tile's cut edges that are given no weight where its output is blended with a
// neighbour's: a quarter of what they share at least, so that half of it is left to cross over in. They lack
// the most context.
inline uint32_t featherMargin(const TileAxis &axis) {
    return axis.overlap / 4;
}

// Source index of position i (from 0, may reach beyond the end) for an image of n pixels continued by
// reflection without repeating the edge: n = 3 gives 0 1 2 1 0 1 2 ...; n = 1 gives 0 always.
uint32_t reflectIndex(uint32_t i, uint32_t n);

} // namespace mote::pipeline
