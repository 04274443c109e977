// mote-demo MODEL PHOTO OUTPUT_DIRECTORY
//
// Adds noise to a photo, restores it twice through the C API, and says what that brought and what it cost.
// Writes noisy.png, restored.png and before_after.png (noisy left, restored right).
#include "errors.h"
#include "image/image.h"

#include "mote/mote.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <random>
#include <stdexcept>

namespace {

using mote::command::Image;

constexpr double kNoiseSigma = 25; // of 255

void check(mote_status status) {
    if (status != MOTE_OK) {
        throw std::runtime_error(std::string(mote_status_name(status)) + ": " + mote_last_message());
    }
}

// Handles, destroyed in the reverse order also when something throws.
struct Handles {
    mote_device *device = nullptr;
    mote_model *model = nullptr;
    mote_session *session = nullptr;

    Handles() = default;
    Handles(const Handles &) = delete;
    Handles &operator=(const Handles &) = delete;
    ~Handles() {
        mote_session_destroy(session);
        mote_model_destroy(model);
        mote_device_destroy(device);
    }
};

double secondsSince(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Image withNoise(const Image &clean) {
    Image noisy = clean;
    std::mt19937 bits(1);
    std::normal_distribution<double> noise(0, kNoiseSigma);
    for (uint8_t &sample : noisy.pixels) {
        sample = static_cast<uint8_t>(std::lround(std::clamp(sample + noise(bits), 0.0, 255.0)));
    }
    return noisy;
}

// Peak signal-to-noise ratio over all samples in dB; the images have one size.
double psnr(const Image &found, const Image &expected) {
    double squares = 0;
    for (size_t i = 0; i < found.pixels.size(); i++) {
        const double difference = double(found.pixels[i]) - double(expected.pixels[i]);
        squares += difference * difference;
    }
    return 10 * std::log10(255.0 * 255.0 * static_cast<double>(found.pixels.size()) / squares);
}

Image besideEachOther(const Image &left, const Image &right) {
    constexpr uint32_t kGap = 8; // white pixels
    Image both;
    both.width = left.width + kGap + right.width;
    both.height = left.height;
    both.channels = left.channels;
    for (uint32_t y = 0; y < left.height; y++) {
        const auto row = [y](const Image &image) {
            return image.pixels.begin() + std::ptrdiff_t{y} * image.width * image.channels;
        };
        both.pixels.insert(both.pixels.end(), row(left), row(left) + left.width * left.channels);
        both.pixels.insert(both.pixels.end(), kGap * left.channels, 255);
        both.pixels.insert(both.pixels.end(), row(right), row(right) + right.width * right.channels);
    }
    return both;
}

mote_image view(Image &image) {
    mote_image result = MOTE_IMAGE_INIT;
    result.format = MOTE_RGB8;
    result.width = image.width;
    result.height = image.height;
    result.pixels = image.pixels.data();
    return result;
}

void demo(const std::string &modelPath, const std::string &photoPath, const std::string &directory) {
    const Image clean = mote::command::readImage(photoPath);
    if (clean.channels != 3) {
        throw std::runtime_error(photoPath + ": expected a colour photo without alpha");
    }
    Image noisy = withNoise(clean);
    Image restored = noisy;

    auto start = std::chrono::steady_clock::now();
    Handles handles;
    mote_device_desc deviceDesc = MOTE_DEVICE_DESC_INIT;
    deviceDesc.cache_directory = directory.c_str();
    check(mote_device_create(&deviceDesc, &handles.device));
    mote_model_desc modelDesc = MOTE_MODEL_DESC_INIT;
    modelDesc.path = modelPath.c_str();
    check(mote_model_open(handles.device, &modelDesc, &handles.model));
    mote_session_desc sessionDesc = MOTE_SESSION_DESC_INIT;
    sessionDesc.width = noisy.width;
    sessionDesc.height = noisy.height;
    check(mote_session_create(handles.model, &sessionDesc, &handles.session));
    const double load = secondsSince(start);

    const mote_image input = view(noisy);
    const mote_image output = view(restored);
    check(mote_session_bind_image(handles.session, "condition", &input));
    check(mote_session_bind_output_image(handles.session, &output));
    start = std::chrono::steady_clock::now();
    check(mote_session_run(handles.session, nullptr));
    const double first = secondsSince(start);
    start = std::chrono::steady_clock::now();
    check(mote_session_run(handles.session, nullptr));
    const double next = secondsSince(start);

    mote_device_properties properties = MOTE_DEVICE_PROPERTIES_INIT;
    check(mote_device_get_properties(handles.device, &properties));
    mote_session_info info = MOTE_SESSION_INFO_INIT;
    check(mote_session_get_info(handles.session, &info));

    const std::string picture = directory + "/before_after.png";
    mote::command::writeImage(directory + "/noisy.png", noisy);
    mote::command::writeImage(directory + "/restored.png", restored);
    mote::command::writeImage(picture, besideEachOther(noisy, restored));

    const double before = psnr(noisy, clean);
    const double after = psnr(restored, clean);
    std::printf("device       %s (%s)\n", properties.name, properties.driver);
    std::printf("photo        %s, %u x %u, with Gaussian noise of sigma %.0f\n", photoPath.c_str(),
                clean.width, clean.height, kNoiseSigma);
    std::printf("quality      %.2f dB before, %.2f dB after: %.2f dB gained in %u step%s\n", before, after,
                after - before, info.steps, info.steps == 1 ? "" : "s");
    std::printf("load         %.3f s (device, model, session)\n", load);
    std::printf("first image  %.3f s (what is not in the cache is compiled)\n", first);
    std::printf("next image   %.3f s\n", next);
    std::printf("memory       %.1f MB on the device, %.1f MB planned\n",
                static_cast<double>(info.peak_allocated_bytes) / 1e6,
                static_cast<double>(info.planned_bytes) / 1e6);
    std::printf("picture      %s (before on the left, after on the right)\n", picture.c_str());
}

} // namespace

int main(int count, char **arguments) {
    if (count != 4) {
        std::fputs("usage: mote-demo MODEL PHOTO OUTPUT_DIRECTORY\n", stderr);
        return 2;
    }
    try {
        demo(arguments[1], arguments[2], arguments[3]);
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "mote-demo: %s\n", error.what());
        return 1;
    }
}
