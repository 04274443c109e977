// Small files in the cache directory that are valid for one device, driver and Mote version only: the
// pipeline cache, the tuner's choices, times of dispatches. Losing one costs time and nothing else, so
// whatever is wrong with it is a miss.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gpu/device.h"

namespace mote::gpu {

// The path of a cache file of the device: "<cacheDirectory>/<name>-<vendor>-<device>.bin"; empty without a
// directory.
std::string cacheFilePath(const Device &device, const char *name);

// The payload, or NotFound with the reason: no file, or another vendor, device, driver version, pipeline
// cache UUID, Mote version, a truncated or damaged file. Never more than 256 MiB is read.
Result<std::vector<uint8_t>> readCacheFile(const Device &device, const char *name);

// Writes to a temporary name in the same directory, then renames, so that a reader sees the old file or the
// new one. The directory must exist. IoError names the file and what the system said.
Status writeCacheFile(const Device &device, const char *name, const std::vector<uint8_t> &payload);

} // namespace mote::gpu
