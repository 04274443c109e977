#include "api/api_rig.h"

#include "pipeline/rig.h"

namespace mote::test {
namespace {

mote_device *sharedByTests = nullptr;

// It goes before main() ends: later the validation layer's own statics may be gone.
class GiveBackDevice : public testing::Environment {
    void TearDown() override {
        mote_device_destroy(sharedByTests);
        sharedByTests = nullptr;
    }
};
[[maybe_unused]] testing::Environment *const kGiveBackDevice =
    testing::AddGlobalTestEnvironment(new GiveBackDevice);

} // namespace

std::string smallModelPath() {
    return convertCase("restore-sr-cond-64-conv", {1, 2});
}
std::string shippedModelPath() {
    return convertCase("restore", {1, 2});
}

testing::AssertionResult refused(mote_status found, mote_status expected, const std::string &part) {
    const std::string message = mote_last_message();
    if (found == expected && message.find(part) != std::string::npos)
        return testing::AssertionSuccess();
    return testing::AssertionFailure()
           << "found " << mote_status_name(found) << " '" << message << "', expected "
           << mote_status_name(expected) << " with '" << part << "'";
}

testing::AssertionResult worked(mote_status found) {
    return found == MOTE_OK
               ? testing::AssertionSuccess()
               : testing::AssertionFailure() << mote_status_name(found) << ": " << mote_last_message();
}

mote_device *sharedApiDevice() {
    if (sharedByTests == nullptr) {
        EXPECT_TRUE(worked(mote_device_create(nullptr, &sharedByTests)));
    }
    return sharedByTests;
}

mote_model *openModel(mote_device *device, const std::string &path) {
    mote_model_desc desc = MOTE_MODEL_DESC_INIT;
    desc.path = path.c_str();
    mote_model *model = nullptr;
    EXPECT_TRUE(worked(mote_model_open(device, &desc, &model)));
    return model;
}

mote_session *createSession(mote_model *model, uint32_t width, uint32_t height, uint32_t steps) {
    mote_session_desc desc = MOTE_SESSION_DESC_INIT;
    desc.width = width;
    desc.height = height;
    desc.steps = steps;
    mote_session *session = nullptr;
    EXPECT_TRUE(worked(mote_session_create(model, &desc, &session)));
    return session;
}

std::vector<uint8_t> somePixels(uint32_t width, uint32_t height, uint32_t bytesPerPixel, size_t stride) {
    std::vector<uint8_t> pixels(stride * height, 0xEE);
    for (uint32_t y = 0; y < height; ++y)
        for (uint32_t x = 0; x < width; ++x)
            for (uint32_t c = 0; c < bytesPerPixel; ++c)
                pixels[y * stride + size_t{x} * bytesPerPixel + c] =
                    static_cast<uint8_t>(c == 3 ? 40 + x + y : 100 + 3 * x + 2 * y + 20 * c);
    return pixels;
}

mote_image imageOf(std::vector<uint8_t> &pixels, mote_pixel_format format, uint32_t width, uint32_t height,
                   size_t stride) {
    mote_image image = MOTE_IMAGE_INIT;
    image.format = format;
    image.width = width;
    image.height = height;
    image.stride = stride;
    image.pixels = pixels.data();
    return image;
}

} // namespace mote::test
