#include "gpu/cache_file.h"

#include "gpu/faults.h"
#include "gpu/gpu_test.h"

#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace mote::test {
namespace {

namespace fs = std::filesystem;

std::vector<uint8_t> contentsOf(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void setContents(const std::string &path, const std::vector<uint8_t> &bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char *>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

std::unique_ptr<gpu::Device> openDevice(const std::string &cacheDirectory, uint32_t version = 1,
                                        PFN_vkGetInstanceProcAddr entry = nullptr) {
    gpu::DeviceOptions options;
    options.cacheDirectory = cacheDirectory.c_str();
    options.cacheVersion = version;
    options.instance.getInstanceProcAddr = entry;
    Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
    EXPECT_TRUE(succeeded(device));
    return device.ok() ? std::move(device.value()) : nullptr;
}

// What another device, driver or UUID answers: a change to the real properties.
void (*changeProperties)(VkPhysicalDeviceProperties &) = nullptr;
VKAPI_ATTR void VKAPI_CALL changedProperties(VkPhysicalDevice device,
                                             VkPhysicalDeviceProperties *properties) {
    real<PFN_vkGetPhysicalDeviceProperties>("vkGetPhysicalDeviceProperties")(device, properties);
    changeProperties(*properties);
}

TEST(CacheFile, RoundTripsAndReplacesInOneStep) {
    const ScratchFolder folder;
    const std::unique_ptr<gpu::Device> device = openDevice(folder.path());
    ASSERT_NE(device, nullptr);
    EXPECT_TRUE(failed(gpu::readCacheFile(*device, "test").status(), StatusCode::NotFound, "test-"));
    for (const std::vector<uint8_t> &payload :
         {std::vector<uint8_t>{1, 2, 3}, std::vector<uint8_t>(100000, 7), std::vector<uint8_t>()}) {
        ASSERT_TRUE(succeeded(gpu::writeCacheFile(*device, "test", payload)));
        const Result<std::vector<uint8_t>> read = gpu::readCacheFile(*device, "test");
        ASSERT_TRUE(succeeded(read));
        EXPECT_EQ(read.value(), payload);
    }
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(CacheFile, EveryTruncationAndEveryFlippedBitIsAMiss) {
    const ScratchFolder folder;
    const std::unique_ptr<gpu::Device> device = openDevice(folder.path());
    ASSERT_NE(device, nullptr);
    ASSERT_TRUE(succeeded(gpu::writeCacheFile(*device, "test", {10, 20, 30, 40, 50})));
    const std::string path = gpu::cacheFilePath(*device, "test");
    const std::vector<uint8_t> whole = contentsOf(path);
    ASSERT_EQ(whole.size(), 64u + 5u);
    for (size_t length = 0; length < whole.size(); ++length) {
        setContents(path, {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)});
        EXPECT_TRUE(failed(gpu::readCacheFile(*device, "test").status(), StatusCode::NotFound, "truncated"));
    }
    std::vector<uint8_t> longer = whole;
    longer.push_back(0);
    setContents(path, longer);
    EXPECT_TRUE(failed(gpu::readCacheFile(*device, "test").status(), StatusCode::NotFound, "truncated"));
    for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
        std::vector<uint8_t> changed = whole;
        changed[bit / 8] = static_cast<uint8_t>(changed[bit / 8] ^ (1u << bit % 8));
        setContents(path, changed);
        const Result<std::vector<uint8_t>> read = gpu::readCacheFile(*device, "test");
        const bool reserved = bit / 8 >= 28 && bit / 8 < 32; // not used, so not looked at
        EXPECT_EQ(read.ok(), reserved) << "bit " << bit;
    }
}

TEST(CacheFile, EachPartOfTheKeyIsAMissOfItsOwn) {
    const ScratchFolder folder;
    const std::unique_ptr<gpu::Device> device = openDevice(folder.path(), 5);
    ASSERT_NE(device, nullptr);
    ASSERT_TRUE(succeeded(gpu::writeCacheFile(*device, "test", {1, 2, 3})));
    const std::vector<uint8_t> written = contentsOf(gpu::cacheFilePath(*device, "test"));

    struct Case {
        const char *reason;
        uint32_t version;
        void (*change)(VkPhysicalDeviceProperties &);
    };
    const Case cases[] = {
        {"", 5, [](VkPhysicalDeviceProperties &) {}}, // nothing changed: found
        {"of another Mote version", 6, [](VkPhysicalDeviceProperties &) {}},
        {"of another device", 5, [](VkPhysicalDeviceProperties &p) { p.vendorID += 1; }},
        {"of another device", 5, [](VkPhysicalDeviceProperties &p) { p.deviceID += 1; }},
        {"of another driver version", 5, [](VkPhysicalDeviceProperties &p) { p.driverVersion += 1; }},
        {"of another pipeline cache UUID", 5,
         [](VkPhysicalDeviceProperties &p) { p.pipelineCacheUUID[15] ^= 1; }},
    };
    for (const Case &test : cases) {
        ScopedFaults faults;
        changeProperties = test.change;
        faults.replace("vkGetPhysicalDeviceProperties", asVoid(changedProperties));
        const std::unique_ptr<gpu::Device> other = openDevice(folder.path(), test.version, faults.entry());
        ASSERT_NE(other, nullptr);
        setContents(gpu::cacheFilePath(*other, "test"), written); // its name has vendor and device too
        const Result<std::vector<uint8_t>> read = gpu::readCacheFile(*other, "test");
        if (test.reason[0] == '\0') {
            EXPECT_TRUE(succeeded(read));
        } else {
            EXPECT_TRUE(failed(read.status(), StatusCode::NotFound, test.reason));
        }
    }
}

TEST(CacheFile, UnwritableDirectoryIsAnErrorThatNamesIt) {
    const std::unique_ptr<gpu::Device> device = openDevice("/nowhere/at/all");
    ASSERT_NE(device, nullptr);
    EXPECT_TRUE(
        failed(gpu::writeCacheFile(*device, "test", {1}), StatusCode::IoError, "/nowhere/at/all/test-"));
    EXPECT_TRUE(
        failed(gpu::readCacheFile(*device, "test").status(), StatusCode::NotFound, "/nowhere/at/all"));
}

TEST(CacheFile, FullDiskIsAnErrorThatKeepsTheOldFile) {
    const ScratchFolder folder;
    const std::unique_ptr<gpu::Device> device = openDevice(folder.path());
    ASSERT_NE(device, nullptr);
    ASSERT_TRUE(succeeded(gpu::writeCacheFile(*device, "test", {1, 2, 3})));
    // A limit on the size of files answers as a full disk does.
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    rlimit small = before;
    small.rlim_cur = 4096;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const Status status = gpu::writeCacheFile(*device, "test", std::vector<uint8_t>(100000, 7));
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, handler);
    EXPECT_TRUE(failed(status, StatusCode::IoError, "test-"));
    const Result<std::vector<uint8_t>> read = gpu::readCacheFile(*device, "test");
    ASSERT_TRUE(succeeded(read));
    EXPECT_EQ(read.value(), (std::vector<uint8_t>{1, 2, 3}));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(CacheFile, FolderInItsPlaceIsAMissAndAnErrorThatLeavesNothingBehind) {
    const ScratchFolder folder;
    const std::unique_ptr<gpu::Device> device = openDevice(folder.path());
    ASSERT_NE(device, nullptr);
    fs::create_directory(gpu::cacheFilePath(*device, "test"));
    EXPECT_TRUE(failed(gpu::readCacheFile(*device, "test").status(), StatusCode::NotFound, "not a file"));
    EXPECT_TRUE(failed(gpu::writeCacheFile(*device, "test", {1}), StatusCode::IoError, "test-"));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(PipelineCacheFile, IsWrittenOnceAndFoundAgain) {
    const ScratchFolder folder;
    std::string path;
    {
        const std::unique_ptr<gpu::Device> device = openDevice(folder.path());
        ASSERT_NE(device, nullptr);
        path = gpu::cacheFilePath(*device, "pipelines");
        EXPECT_FALSE(device->pipelines().loadedFromDisk());
        ASSERT_TRUE(succeeded(device->pipelines().save())); // nothing made, nothing to write
        EXPECT_FALSE(fs::exists(path));
        ASSERT_TRUE(succeeded(device->pipelines().get(scaleDescription())));
        ASSERT_TRUE(succeeded(device->pipelines().save()));
        EXPECT_TRUE(fs::exists(path));
        fs::remove(path);
        ASSERT_TRUE(succeeded(device->pipelines().save())); // nothing new
        EXPECT_FALSE(fs::exists(path));
        ASSERT_TRUE(succeeded(device->pipelines().get(scaleDescription(1))));
    } // the device writes what is new
    EXPECT_TRUE(fs::exists(path));
    const std::unique_ptr<gpu::Device> again = openDevice(folder.path());
    ASSERT_NE(again, nullptr);
    EXPECT_TRUE(again->pipelines().loadedFromDisk());
    EXPECT_TRUE(succeeded(again->pipelines().get(scaleDescription())));
}

TEST(PipelineCacheFile, DamagedOrForeignDataIsAMissAndIsReplaced) {
    const ScratchFolder folder;
    std::string path;
    {
        const std::unique_ptr<gpu::Device> device = openDevice(folder.path());
        ASSERT_NE(device, nullptr);
        path = gpu::cacheFilePath(*device, "pipelines");
        ASSERT_TRUE(succeeded(device->pipelines().get(scaleDescription())));
    }
    const std::vector<uint8_t> good = contentsOf(path);
    ASSERT_GT(good.size(), 64u);
    std::vector<uint8_t> damaged = good;
    damaged.back() = static_cast<uint8_t>(damaged.back() + 1);
    setContents(path, damaged);
    {
        const std::unique_ptr<gpu::Device> device = openDevice(folder.path());
        ASSERT_NE(device, nullptr);
        EXPECT_FALSE(device->pipelines().loadedFromDisk());
        ASSERT_TRUE(succeeded(device->pipelines().get(scaleDescription())));
    }
    EXPECT_EQ(contentsOf(path).size(), good.size());
    {
        // A sound file around data whose own header is another driver's.
        const std::unique_ptr<gpu::Device> device = openDevice(folder.path());
        ASSERT_NE(device, nullptr);
        EXPECT_TRUE(device->pipelines().loadedFromDisk());
        std::vector<uint8_t> payload(good.begin() + 64, good.end());
        payload[8] = static_cast<uint8_t>(payload[8] + 1); // the vendor
        ASSERT_TRUE(succeeded(gpu::writeCacheFile(*device, "pipelines", payload)));
    }
    const std::unique_ptr<gpu::Device> device = openDevice(folder.path());
    ASSERT_NE(device, nullptr);
    EXPECT_FALSE(device->pipelines().loadedFromDisk());
}

// Refuses data, as a driver does that finds it of another build.
VKAPI_ATTR VkResult VKAPI_CALL refuseData(VkDevice device, const VkPipelineCacheCreateInfo *info,
                                          const VkAllocationCallbacks *allocator, VkPipelineCache *cache) {
    if (info->initialDataSize > 0) {
        return VK_ERROR_UNKNOWN;
    }
    const auto find = real<PFN_vkGetDeviceProcAddr>("vkGetDeviceProcAddr");
    return reinterpret_cast<PFN_vkCreatePipelineCache>(find(device, "vkCreatePipelineCache"))(
        device, info, allocator, cache);
}

TEST(PipelineCacheFile, DataThatTheDriverRefusesIsAMiss) {
    const ScratchFolder folder;
    {
        const std::unique_ptr<gpu::Device> device = openDevice(folder.path());
        ASSERT_NE(device, nullptr);
        ASSERT_TRUE(succeeded(device->pipelines().get(scaleDescription())));
    }
    ScopedFaults faults;
    faults.replace("vkCreatePipelineCache", asVoid(refuseData));
    const std::unique_ptr<gpu::Device> device = openDevice(folder.path(), 1, faults.entry());
    ASSERT_NE(device, nullptr);
    EXPECT_FALSE(device->pipelines().loadedFromDisk());
    EXPECT_TRUE(succeeded(device->pipelines().get(scaleDescription())));
}

TEST(PipelineCacheFile, FailureToWriteIsLoggedAndHarmsNothing) {
    std::string heard;
    gpu::DeviceOptions options;
    options.cacheDirectory = "/nowhere/at/all";
    options.log.user = &heard;
    options.log.write = [](void *user, gpu::LogLevel level, const char *text) {
        if (level == gpu::LogLevel::Warning) {
            *static_cast<std::string *>(user) += text;
        }
    };
    {
        Result<std::unique_ptr<gpu::Device>> device = gpu::Device::create(options);
        ASSERT_TRUE(succeeded(device));
        ASSERT_TRUE(succeeded(device.value()->pipelines().get(scaleDescription())));
    }
    EXPECT_NE(heard.find("the pipeline cache was not written: /nowhere/at/all/pipelines-"), std::string::npos)
        << heard;
}

} // namespace
} // namespace mote::test
