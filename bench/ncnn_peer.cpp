// ncnn-peer PARAM BIN INPUT OUTPUT fp16|fp32 [DEVICE_INDEX]
//
// A network of one input ("in") and one output ("out") through ncnn on Vulkan, for bench/peers.py. INPUT and
// OUTPUT are raw floats, [C][H][W]; INPUT begins with C, H and W as 32-bit words. Reads words from standard
// input: "run" is answered with the milliseconds of a pass from recording to the end of its submission (input
// and output stay on the device), "evaluate" writes OUTPUT.
#include <gpu.h>
#include <net.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

bool readInput(const char *path, ncnn::Mat &input) {
    FILE *file = std::fopen(path, "rb");
    if (file == nullptr)
        return false;
    uint32_t shape[3] = {};
    bool ok = std::fread(shape, sizeof(uint32_t), 3, file) == 3;
    if (ok)
        input.create(static_cast<int>(shape[2]), static_cast<int>(shape[1]), static_cast<int>(shape[0]));
    for (uint32_t c = 0; ok && c < shape[0]; ++c) {
        const size_t plane = size_t{shape[1]} * shape[2];
        ok = std::fread(input.channel(static_cast<int>(c)), sizeof(float), plane, file) == plane;
    }
    std::fclose(file);
    return ok;
}

bool writeOutput(const char *path, const ncnn::Mat &output) {
    FILE *file = std::fopen(path, "wb");
    if (file == nullptr)
        return false;
    bool ok = true;
    for (int c = 0; ok && c < output.c; ++c) {
        const size_t plane = static_cast<size_t>(output.w) * static_cast<size_t>(output.h);
        ok = std::fwrite(output.channel(c), sizeof(float), plane, file) == plane;
    }
    return std::fclose(file) == 0 && ok;
}

int run(int count, char **words) {
    const bool half = std::strcmp(words[5], "fp16") == 0;
    ncnn::Net net;
    net.opt.use_vulkan_compute = true;
    net.opt.num_threads = 2;
    // fp16 storage as Mote has it: arithmetic stays in fp32.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = half;
    net.opt.use_fp16_arithmetic = false;
    net.set_vulkan_device(count > 6 ? std::atoi(words[6]) : ncnn::get_default_gpu_index());
    ncnn::Mat input;
    if (net.load_param(words[1]) != 0 || net.load_model(words[2]) != 0 || !readInput(words[3], input)) {
        std::fprintf(stderr, "ncnn-peer: cannot read %s, %s or %s\n", words[1], words[2], words[3]);
        return 1;
    }
    const ncnn::VulkanDevice *device = net.vulkan_device();
    ncnn::VkAllocator *blobs = device->acquire_blob_allocator(),
                      *staging = device->acquire_staging_allocator();
    int status = 0;
    {
        ncnn::Option option = net.opt;
        option.blob_vkallocator = option.workspace_vkallocator = blobs;
        option.staging_vkallocator = staging;
        ncnn::VkMat onDevice;
        ncnn::VkCompute upload(device);
        upload.record_upload(input, onDevice, option);
        upload.submit_and_wait();

        char word[32];
        while (status == 0 && std::scanf("%31s", word) == 1) {
            const auto start = std::chrono::steady_clock::now();
            ncnn::VkCompute commands(device);
            ncnn::Extractor extractor = net.create_extractor();
            extractor.set_blob_vkallocator(blobs);
            extractor.set_workspace_vkallocator(blobs);
            extractor.set_staging_vkallocator(staging);
            extractor.input("in", onDevice);
            ncnn::VkMat made;
            status = extractor.extract("out", made, commands);
            ncnn::Mat output;
            const bool evaluate = std::strcmp(word, "evaluate") == 0;
            if (status == 0 && evaluate)
                commands.record_download(made, output, option);
            if (status == 0)
                status = commands.submit_and_wait();
            const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
            if (status == 0 && evaluate) {
                ncnn::Mat planes; // it comes with four channels side by side
                ncnn::convert_packing(output, planes, 1, option);
                status = writeOutput(words[4], planes) ? 0 : 1;
            }
            std::printf("%.6f\n", time.count());
            std::fflush(stdout);
        }
    }
    net.clear();
    device->reclaim_blob_allocator(blobs);
    device->reclaim_staging_allocator(staging);
    return status == 0 ? 0 : 1;
}

} // namespace

int main(int count, char **words) {
    if (count < 6) {
        std::fputs("usage: ncnn-peer PARAM BIN INPUT OUTPUT fp16|fp32 [DEVICE_INDEX]\n", stderr);
        return 2;
    }
    const int status = run(count, words);
    ncnn::destroy_gpu_instance();
    return status;
}
