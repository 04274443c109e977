#include "gpu/cache_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mote::gpu {

namespace {

constexpr uint64_t kMaxPayloadBytes = 256ull << 20;

// As it stands in the file, in the machine's byte order: a file never leaves its machine.
struct Header {
    char magic[8];
    uint32_t layoutVersion;
    uint32_t moteVersion;
    uint32_t vendorId;
    uint32_t deviceId;
    uint32_t driverVersion;
    uint32_t reserved;
    uint8_t uuid[VK_UUID_SIZE];
    uint64_t payloadBytes;
    uint64_t checksum; // of the payload
};
static_assert(sizeof(Header) == 64, "no padding");

// FNV-1a, 64 bits: against damage, not against malice; the driver checks its own data again.
uint64_t checksumOf(const std::vector<uint8_t> &bytes) {
    uint64_t hash = 14695981039346656037ull;
    for (const uint8_t byte : bytes)
        hash = (hash ^ byte) * 1099511628211ull;
    return hash;
}

Header headerFor(const Device &device) {
    Header header = {};
    std::memcpy(header.magic, "MOTECACH", sizeof header.magic);
    header.layoutVersion = 1;
    header.moteVersion = device.cacheVersion();
    header.vendorId = device.info().vendorId;
    header.deviceId = device.info().deviceId;
    header.driverVersion = device.info().driverVersion;
    std::memcpy(header.uuid, device.info().pipelineCacheUuid, VK_UUID_SIZE);
    return header;
}

class File {
public:
    explicit File(int descriptor) : descriptor_(descriptor) {}
    File(const File &) = delete;
    File &operator=(const File &) = delete;
    ~File() { (void)close(); }

    bool isOpen() const { return descriptor_ >= 0; }
    int descriptor() const { return descriptor_; }
    // False where the system reports a late write error.
    bool close() {
        const int result = descriptor_ >= 0 ? ::close(descriptor_) : 0;
        descriptor_ = -1;
        return result == 0;
    }

    bool read(void *data, size_t size) {
        char *bytes = static_cast<char *>(data);
        while (size > 0) {
            const ssize_t got = ::read(descriptor_, bytes, size);
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0)
                return false;
            bytes += got;
            size -= static_cast<size_t>(got);
        }
        return true;
    }

    bool write(const void *data, size_t size) {
        const char *bytes = static_cast<const char *>(data);
        while (size > 0) {
            const ssize_t put = ::write(descriptor_, bytes, size);
            if (put < 0 && errno == EINTR)
                continue;
            if (put <= 0)
                return false;
            bytes += put;
            size -= static_cast<size_t>(put);
        }
        return true;
    }

private:
    int descriptor_;
};

Status miss(const std::string &path, const char *reason) {
    return makeStatus(StatusCode::NotFound, "%s: %s", path.c_str(), reason);
}

} // namespace

std::string cacheFilePath(const Device &device, const char *name) {
    if (device.cacheDirectory().empty())
        return {};
    char suffix[32];
    std::snprintf(suffix, sizeof suffix, "-%08x-%08x.bin", device.info().vendorId, device.info().deviceId);
    return device.cacheDirectory() + "/" + name + suffix;
}

Result<std::vector<uint8_t>> readCacheFile(const Device &device, const char *name) {
    const std::string path = cacheFilePath(device, name);
    if (path.empty())
        return miss(name, "no cache directory");
    File file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.isOpen())
        return miss(path, std::strerror(errno));
    struct stat info = {};
    if (fstat(file.descriptor(), &info) != 0 || !S_ISREG(info.st_mode))
        return miss(path, "not a file");
    Header header = {};
    if (!file.read(&header, sizeof header))
        return miss(path, "truncated");
    const Header expected = headerFor(device);
    if (std::memcmp(header.magic, expected.magic, sizeof header.magic) != 0 ||
        header.layoutVersion != expected.layoutVersion)
        return miss(path, "not a cache file of this layout");
    if (header.moteVersion != expected.moteVersion)
        return miss(path, "of another Mote version");
    if (header.vendorId != expected.vendorId || header.deviceId != expected.deviceId)
        return miss(path, "of another device");
    if (header.driverVersion != expected.driverVersion)
        return miss(path, "of another driver version");
    if (std::memcmp(header.uuid, expected.uuid, VK_UUID_SIZE) != 0)
        return miss(path, "of another pipeline cache UUID");
    // The size is believed only where the file has it.
    if (header.payloadBytes > kMaxPayloadBytes ||
        static_cast<uint64_t>(info.st_size) != sizeof header + header.payloadBytes)
        return miss(path, "truncated");
    std::vector<uint8_t> payload(static_cast<size_t>(header.payloadBytes));
    if (!file.read(payload.data(), payload.size()))
        return miss(path, "truncated");
    if (checksumOf(payload) != header.checksum)
        return miss(path, "damaged, its checksum differs");
    return payload;
}

Status writeCacheFile(const Device &device, const char *name, const std::vector<uint8_t> &payload) {
    const std::string path = cacheFilePath(device, name);
    if (path.empty())
        return makeStatus(StatusCode::InvalidArgument, "%s: no cache directory", name);
    if (payload.size() > kMaxPayloadBytes)
        return makeStatus(StatusCode::IoError, "%s: %zu bytes, at most %llu are kept", path.c_str(),
                          payload.size(), static_cast<unsigned long long>(kMaxPayloadBytes));
    Header header = headerFor(device);
    header.payloadBytes = payload.size();
    header.checksum = checksumOf(payload);

    std::string temporary = path + ".XXXXXX";
    File file(mkostemp(temporary.data(), O_CLOEXEC));
    if (!file.isOpen())
        return makeStatus(StatusCode::IoError, "%s: %s", temporary.c_str(), std::strerror(errno));
    if (file.write(&header, sizeof header) && file.write(payload.data(), payload.size()) && file.close() &&
        std::rename(temporary.c_str(), path.c_str()) == 0)
        return {};
    Status status = makeStatus(StatusCode::IoError, "%s: %s", path.c_str(), std::strerror(errno));
    unlink(temporary.c_str());
    return status;
}

} // namespace mote::gpu
