// Arguments, descriptors and the lives of handles.
#include "api/api_rig.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

namespace mote::test {
namespace {

TEST(Version, IsThatOfTheHeader) {
    EXPECT_EQ(mote_version(), static_cast<uint32_t>(MOTE_VERSION));
    EXPECT_STREQ(mote_version_string(), "0.1.0");
}

TEST(StatusName, NamesEveryStatus) {
    for (int status = 0; status <= MOTE_INTERNAL; ++status)
        EXPECT_EQ(std::string(mote_status_name(static_cast<mote_status>(status))).rfind("MOTE_", 0), 0u);
    EXPECT_STREQ(mote_status_name(MOTE_NON_FINITE), "MOTE_NON_FINITE");
    EXPECT_STREQ(mote_status_name(static_cast<mote_status>(15)), "MOTE_?");
}

TEST(LastMessage, BelongsToItsThread) {
    EXPECT_TRUE(
        refused(mote_device_get_properties(nullptr, nullptr), MOTE_INVALID_ARGUMENT, "device is null"));
    std::thread([] { EXPECT_STREQ(mote_last_message(), ""); }).join();
    EXPECT_NE(std::string(mote_last_message()).find("device is null"), std::string::npos);
}

TEST(Arguments, NullsAreRefusedByName) {
    mote_device *device = sharedApiDevice();
    mote_model *model = openModel(device, smallModelPath());
    mote_session *session = createSession(model, 8, 8);
    mote_session_desc sessionDesc = MOTE_SESSION_DESC_INIT;
    mote_model_desc modelDesc = MOTE_MODEL_DESC_INIT;
    mote_estimate estimate = MOTE_ESTIMATE_INIT;
    mote_model *noModel = nullptr;
    const mote_status bad = MOTE_INVALID_ARGUMENT;
    EXPECT_TRUE(refused(mote_enumerate_devices(nullptr, nullptr), bad, "count"));
    EXPECT_TRUE(refused(mote_device_create(nullptr, nullptr), bad, "device"));
    EXPECT_TRUE(refused(mote_device_get_properties(device, nullptr), bad, "properties"));
    EXPECT_TRUE(refused(mote_model_open(device, nullptr, &noModel), bad, "desc"));
    EXPECT_TRUE(refused(mote_model_open(device, &modelDesc, nullptr), bad, "model"));
    EXPECT_TRUE(refused(mote_model_open(device, &modelDesc, &noModel), bad, "exactly one"));
    EXPECT_EQ(noModel, nullptr);
    EXPECT_STREQ(mote_model_describe(nullptr), "");
    EXPECT_TRUE(refused(mote_model_estimate(nullptr, &sessionDesc, &estimate), bad, "model"));
    EXPECT_TRUE(refused(mote_model_estimate(model, nullptr, &estimate), bad, "desc"));
    EXPECT_TRUE(refused(mote_model_estimate(model, &sessionDesc, nullptr), bad, "estimate"));
    EXPECT_TRUE(refused(mote_model_estimate(model, &sessionDesc, &estimate), bad, "0 x 0"));
    EXPECT_TRUE(refused(mote_session_create(nullptr, &sessionDesc, &session), bad, "model"));
    EXPECT_TRUE(refused(mote_session_create(model, nullptr, &session), bad, "desc"));
    EXPECT_TRUE(refused(mote_session_create(model, &sessionDesc, nullptr), bad, "session"));
    EXPECT_TRUE(refused(mote_session_prepare(nullptr, nullptr), bad, "session"));
    EXPECT_TRUE(refused(mote_session_bind_image(nullptr, "condition", nullptr), bad, "session"));
    EXPECT_TRUE(refused(mote_session_bind_image(session, nullptr, nullptr), bad, "port"));
    EXPECT_TRUE(refused(mote_session_bind_images(nullptr, "condition", nullptr, 0), bad, "session"));
    EXPECT_TRUE(refused(mote_session_bind_images(session, nullptr, nullptr, 0), bad, "port"));
    EXPECT_TRUE(refused(mote_session_bind_output_images(nullptr, nullptr, 0), bad, "session"));
    const mote_image image = MOTE_IMAGE_INIT;
    EXPECT_TRUE(refused(mote_session_bind_images(session, "condition", &image, 0), bad, "found none"));
    EXPECT_TRUE(refused(mote_session_set_class_labels(nullptr, nullptr, 0), bad, "session"));
    const int64_t label = 0;
    EXPECT_TRUE(refused(mote_session_set_class_labels(session, &label, 1), bad, "the model has no classes"));
    EXPECT_TRUE(refused(mote_session_set_class_vectors(nullptr, nullptr, 0, 0), bad, "session"));
    EXPECT_TRUE(refused(mote_session_set_guidance(nullptr, nullptr), bad, "session"));
    EXPECT_TRUE(refused(mote_session_bind_tensor(nullptr, "condition", nullptr), bad, "session"));
    EXPECT_TRUE(refused(mote_session_bind_tensor(session, nullptr, nullptr), bad, "port"));
    EXPECT_TRUE(refused(mote_session_bind_output_image(nullptr, nullptr), bad, "session"));
    EXPECT_TRUE(refused(mote_session_bind_output_tensor(nullptr, nullptr), bad, "session"));
    EXPECT_TRUE(refused(mote_session_run(nullptr, nullptr), bad, "session"));
    EXPECT_TRUE(refused(mote_session_submit(nullptr, nullptr), bad, "session"));
    EXPECT_TRUE(refused(mote_session_poll(nullptr, nullptr), bad, "session"));
    EXPECT_TRUE(refused(mote_session_wait(nullptr, 0), bad, "session"));
    EXPECT_TRUE(refused(mote_session_poll(session, nullptr), bad, "nothing was submitted"));
    EXPECT_TRUE(refused(mote_session_wait(session, 0), bad, "nothing was submitted"));
    EXPECT_TRUE(refused(mote_session_get_info(session, nullptr), bad, "info"));
    EXPECT_TRUE(refused(mote_session_evaluate(session, 0, nullptr), bad, "output"));
    EXPECT_TRUE(refused(mote_session_measure(session, nullptr, nullptr), bad, "count"));
    EXPECT_TRUE(refused(mote_model_check(nullptr, nullptr, nullptr), bad, "model"));
    EXPECT_TRUE(refused(mote_model_tune(nullptr, &sessionDesc, nullptr, nullptr), bad, "model"));
    EXPECT_TRUE(refused(mote_model_tune(model, nullptr, nullptr, nullptr), bad, "desc"));
    EXPECT_TRUE(refused(mote_model_tune(model, &sessionDesc, nullptr, nullptr), bad, "0 x 0"));
    mote_model_cancel_tuning(nullptr);
    mote_session_cancel(nullptr);
    EXPECT_STREQ(mote_session_message(nullptr), "");
    mote_session_destroy(nullptr);
    mote_model_destroy(nullptr);
    mote_device_destroy(nullptr);
    mote_session_destroy(session);
    mote_model_destroy(model);
}

TEST(Descriptors, WithoutASizeAreRefused) {
    mote_device_desc desc = MOTE_DEVICE_DESC_INIT;
    desc.struct_size = 0;
    mote_device *device = nullptr;
    EXPECT_TRUE(
        refused(mote_device_create(&desc, &device), MOTE_INVALID_ARGUMENT, "mote_device_desc.struct_size"));
    EXPECT_EQ(device, nullptr);
}

TEST(Descriptors, OfALaterVersionWorkWhereItsFieldsAreNotUsed) {
    struct {
        mote_session_desc desc = MOTE_SESSION_DESC_INIT;
        uint64_t later = 0;
    } longer;
    longer.desc.struct_size = sizeof longer;
    longer.desc.width = longer.desc.height = 8;
    mote_model *model = openModel(nullptr, smallModelPath());
    struct {
        mote_estimate estimate = MOTE_ESTIMATE_INIT;
        uint64_t later = 0x1234;
    } out;
    out.estimate.struct_size = sizeof out;
    EXPECT_TRUE(worked(mote_model_estimate(model, &longer.desc, &out.estimate)));
    EXPECT_EQ(out.estimate.struct_size, sizeof out);
    EXPECT_EQ(out.later, 0x1234u);
    EXPECT_GT(out.estimate.peak_bytes, 0u);
    longer.later = 1;
    EXPECT_TRUE(
        refused(mote_model_estimate(model, &longer.desc, &out.estimate), MOTE_UNSUPPORTED, "later version"));
    mote_model_destroy(model);
}

TEST(Devices, AreListedAndFoundByIndexAndName) {
    uint32_t count = 0;
    ASSERT_TRUE(worked(mote_enumerate_devices(nullptr, &count)));
    ASSERT_GE(count, 1u);
    std::vector<mote_device_properties> list(count + 1, mote_device_properties MOTE_DEVICE_PROPERTIES_INIT);
    uint32_t room = count + 1;
    ASSERT_TRUE(worked(mote_enumerate_devices(list.data(), &room)));
    EXPECT_EQ(room, count);
    EXPECT_NE(list[0].name[0], 0);
    EXPECT_GE(list[0].max_workgroup_invocations, 128u);
    mote_device_desc desc = MOTE_DEVICE_DESC_INIT;
    desc.index = static_cast<int32_t>(list[0].index);
    mote_device *device = nullptr;
    ASSERT_TRUE(worked(mote_device_create(&desc, &device)));
    mote_device_properties properties = MOTE_DEVICE_PROPERTIES_INIT;
    ASSERT_TRUE(worked(mote_device_get_properties(device, &properties)));
    EXPECT_STREQ(properties.name, list[0].name);
    mote_device_destroy(device);
    desc.index = -1;
    desc.name = "no such device";
    EXPECT_TRUE(refused(mote_device_create(&desc, &device), MOTE_NOT_FOUND, "no such device"));
    list[0].struct_size = 3;
    EXPECT_TRUE(refused(mote_enumerate_devices(list.data(), &room), MOTE_INVALID_ARGUMENT, "struct_size"));
}

TEST(Devices, LogToTheAppsFunctionOnly) {
    struct Log {
        std::vector<std::string> lines;
    } log;
    mote_device_desc desc = MOTE_DEVICE_DESC_INIT;
    desc.log = [](void *user, mote_log_level, const char *message) {
        static_cast<Log *>(user)->lines.push_back(message);
    };
    desc.log_user = &log;
    desc.cache_directory =
        "/dev/null/not-a-folder"; // nothing can be written there: worth a line, never a failure
    mote_device *device = nullptr;
    ASSERT_TRUE(worked(mote_device_create(&desc, &device)));
    mote_model *model = openModel(device, smallModelPath());
    mote_session *session = createSession(model, 8, 8);
    mote_session_destroy(session);
    mote_model_destroy(model);
    mote_device_destroy(device);
    EXPECT_FALSE(log.lines.empty());
}

TEST(Models, OpenFromPathMemoryDescriptorAndCallbackAlike) {
    const std::string path = smallModelPath();
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
    std::vector<std::string> descriptions;
    const auto open = [&](const mote_model_desc &desc) {
        mote_model *model = nullptr;
        ASSERT_TRUE(worked(mote_model_open(sharedApiDevice(), &desc, &model)));
        descriptions.push_back(mote_model_describe(model));
        mote_model_destroy(model);
    };
    mote_model_desc desc = MOTE_MODEL_DESC_INIT;
    desc.path = path.c_str();
    open(desc);
    desc = MOTE_MODEL_DESC_INIT;
    desc.data = bytes.data();
    desc.size = bytes.size();
    open(desc);
    // Behind 100 other bytes in a larger file, as an asset is.
    const std::string packed = path + ".packed";
    std::ofstream(packed, std::ios::binary)
        << std::string(100, 'x') << std::string(bytes.data(), bytes.size()) << std::string(50, 'y');
    const int fd = ::open(packed.c_str(), O_RDONLY);
    ASSERT_GE(fd, 0);
    desc = MOTE_MODEL_DESC_INIT;
    desc.use_fd = 1;
    desc.fd = fd;
    desc.offset = 100;
    desc.size = bytes.size();
    open(desc);
    EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0); // left alone
    close(fd);
    desc = MOTE_MODEL_DESC_INIT;
    desc.read = [](void *user, uint64_t offset, void *buffer, size_t size) {
        std::memcpy(buffer, static_cast<const std::vector<char> *>(user)->data() + offset, size);
        return 0;
    };
    desc.read_user = const_cast<std::vector<char> *>(&bytes);
    desc.size = bytes.size();
    open(desc);
    ASSERT_EQ(descriptions.size(), 4u);
    for (const std::string &description : descriptions)
        EXPECT_EQ(description, descriptions[0]);
    EXPECT_NE(descriptions[0].find("\"recipes\""), std::string::npos);
}

TEST(Models, DamagedWeightsAreRefusedWithAndWithoutADevice) {
    std::ifstream file(smallModelPath(), std::ios::binary);
    std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
    bytes[bytes.size() / 2] ^= 1;
    mote_model_desc desc = MOTE_MODEL_DESC_INIT;
    desc.data = bytes.data();
    desc.size = bytes.size();
    desc.name = "broken.mote";
    mote_model *model = nullptr;
    EXPECT_TRUE(refused(mote_model_open(nullptr, &desc, &model), MOTE_INVALID_MODEL, "broken.mote"));
    EXPECT_TRUE(
        refused(mote_model_open(sharedApiDevice(), &desc, &model), MOTE_INVALID_MODEL, "broken.mote"));
    EXPECT_EQ(model, nullptr);
    desc = MOTE_MODEL_DESC_INIT;
    desc.path = "/no/such/file.mote";
    EXPECT_TRUE(refused(mote_model_open(nullptr, &desc, &model), MOTE_NOT_FOUND, "/no/such/file.mote"));
    desc = MOTE_MODEL_DESC_INIT;
    desc.size = 1000;
    desc.read = [](void *, uint64_t, void *, size_t) { return 1; };
    EXPECT_TRUE(refused(mote_model_open(nullptr, &desc, &model), MOTE_IO_ERROR, "model"));
}

TEST(Handles, AreDestroyedInAnyOrder) {
    for (int order = 0; order < 6; ++order) {
        mote_device *device = nullptr;
        ASSERT_TRUE(worked(mote_device_create(nullptr, &device)));
        mote_model *model = openModel(device, smallModelPath());
        mote_session *session = createSession(model, 8, 8);
        // Each of the six orders of d, m, s.
        const char *const orders[] = {"dms", "dsm", "mds", "msd", "sdm", "smd"};
        for (const char *which = orders[order]; *which != 0; ++which) {
            if (*which == 'd')
                mote_device_destroy(device);
            else if (*which == 'm')
                mote_model_destroy(model);
            else
                mote_session_destroy(session);
        }
    }
}

TEST(Handles, SessionRunsAfterItsModelAndDeviceWereDestroyed) {
    mote_device *device = nullptr;
    ASSERT_TRUE(worked(mote_device_create(nullptr, &device)));
    mote_model *model = openModel(device, smallModelPath());
    mote_session *session = createSession(model, 8, 8);
    mote_model_destroy(model);
    mote_device_destroy(device);
    std::vector<uint8_t> pixels = somePixels(8, 8, 3, 24);
    const mote_image image = imageOf(pixels, MOTE_RGB8, 8, 8);
    EXPECT_TRUE(worked(mote_session_bind_image(session, "condition", &image)));
    EXPECT_TRUE(worked(mote_session_run(session, nullptr)));
    mote_session_destroy(session);
}

TEST(Tuning, StopsWhenAskedAndGoesOn) {
    mote_model *model = openModel(sharedApiDevice(), smallModelPath());
    mote_session_desc desc = MOTE_SESSION_DESC_INIT;
    desc.width = desc.height = 16;
    mote_tune_desc tune = MOTE_TUNE_DESC_INIT;
    tune.progress = [](void *user, float fraction, const char *) {
        if (fraction > 0)
            mote_model_cancel_tuning(static_cast<mote_model *>(user));
    };
    tune.progress_user = model;
    mote_tuning tuning = MOTE_TUNING_INIT;
    EXPECT_TRUE(refused(mote_model_tune(model, &desc, &tune, &tuning), MOTE_CANCELLED, "cancelled"));
    // The time is up after one kernel at most; the others stay with the rules.
    tune = MOTE_TUNE_DESC_INIT;
    tune.milliseconds = 1;
    EXPECT_TRUE(worked(mote_model_tune(model, &desc, &tune, &tuning)));
    EXPECT_GT(tuning.shapes, 10u);
    EXPECT_LE(tuning.timed, 1u);
    EXPECT_GT(tuning.milliseconds, 0);
    mote_session_destroy(createSession(model, 16, 16));
    mote_model_destroy(model);

    mote_model_desc described = MOTE_MODEL_DESC_INIT;
    const std::string path = smallModelPath();
    described.path = path.c_str();
    ASSERT_TRUE(worked(mote_model_open(nullptr, &described, &model)));
    EXPECT_TRUE(refused(mote_model_tune(model, &desc, nullptr, nullptr), MOTE_INVALID_ARGUMENT,
                        "opened without a device"));
    mote_model_destroy(model);
}

TEST(Estimate, IsWhatTheSessionThenHas) {
    mote_model *model = openModel(sharedApiDevice(), smallModelPath());
    mote_session_desc desc = MOTE_SESSION_DESC_INIT;
    desc.width = 40;
    desc.height = 24;
    desc.steps = 2;
    mote_estimate estimate = MOTE_ESTIMATE_INIT;
    ASSERT_TRUE(worked(mote_model_estimate(model, &desc, &estimate)));
    EXPECT_EQ(estimate.peak_bytes, estimate.weight_bytes + estimate.activation_bytes + estimate.image_bytes +
                                       estimate.staging_bytes);
    EXPECT_GT(estimate.activation_bound_bytes, 0u);
    EXPECT_LE(estimate.activation_bound_bytes, estimate.activation_bytes);
    EXPECT_EQ(estimate.tile_count, 1u);
    mote_session *session = nullptr;
    ASSERT_TRUE(worked(mote_session_create(model, &desc, &session)));
    mote_session_info info = MOTE_SESSION_INFO_INIT;
    ASSERT_TRUE(worked(mote_session_get_info(session, &info)));
    EXPECT_EQ(info.planned_bytes, estimate.peak_bytes);
    EXPECT_EQ(info.allocated_bytes, estimate.peak_bytes); // nothing else is on the device
    EXPECT_EQ(info.steps, 2u);
    EXPECT_EQ(info.tile_width, estimate.tile_width);
    EXPECT_GT(info.dispatches, 50u);
    EXPECT_GT(info.pipelines, 5u);
    EXPECT_LT(info.pipelines, 40u);
    EXPECT_GE(info.submissions, 1u);
    EXPECT_GT(info.open_milliseconds, 0);
    EXPECT_GT(info.create_milliseconds, 0);
    EXPECT_EQ(info.prepare_milliseconds, 0);
    mote_session_destroy(session);
    desc.memory_budget = 1000;
    session = nullptr;
    EXPECT_TRUE(refused(mote_model_estimate(model, &desc, &estimate), MOTE_OUT_OF_MEMORY,
                        std::to_string(estimate.peak_bytes)));
    EXPECT_TRUE(refused(mote_session_create(model, &desc, &session), MOTE_OUT_OF_MEMORY, "1000"));
    EXPECT_EQ(session, nullptr);
    mote_model_destroy(model);
}

} // namespace
} // namespace mote::test
