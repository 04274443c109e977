// mote-shader-stats: what a device's compiler makes of every shader that Mote has.
#include "compiler.h"
#include "gpu/packed_spirv.h"
#include "gpu/spirv_info.h"
#include "variants.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <exception>
#include <string>

namespace {

using namespace mote;
using namespace mote::bench;

enum ExitCode { kDone = 0, kDefect = 1, kUsage = 2, kNoDevice = 3, kChecksFailed = 4 };

struct Row {
    Variant variant;
    Compiled compiled;
    std::string refused; // not empty: why there is no pipeline
    uint32_t invocations = 0;
    uint64_t sharedBytes = 0;
    bool matrices = false;
};

std::string constantsOf(const Row &row) {
    std::string text;
    for (uint32_t constant : row.variant.pipeline.constants)
        text += (text.empty() ? "" : " ") + std::to_string(constant);
    return text;
}

std::string cell(double value) {
    return value < 0 ? "-" : std::to_string(static_cast<long long>(value));
}

void printHead(const gpu::DeviceInfo &info) {
    std::printf("%s (%s %s), subgroups of %u\n\n", info.name.c_str(), info.driverName.c_str(),
                info.driverInfo.c_str(), info.caps.subgroupSize);
    std::printf("%-18s %-22s %-28s %-8s %5s %5s %6s %6s %7s %6s\n", "module", "kernel", "constants", "use",
                "ops", "regs", "spills", "waves", "instr", "shared");
}

void printRow(const Row &row) {
    std::printf("%-18s %-22s %-28s %-8s %5u ", row.variant.pipeline.shader.name, row.variant.kernel.c_str(),
                constantsOf(row).c_str(), nameOf(row.variant.use), row.variant.ops);
    if (row.refused.empty())
        std::printf("%5s %6s %6s %7s %6llu\n", cell(row.compiled.registers).c_str(),
                    cell(row.compiled.spills).c_str(), cell(row.compiled.waves).c_str(),
                    cell(row.compiled.instructions).c_str(),
                    static_cast<unsigned long long>(row.sharedBytes));
    else
        std::printf("%s\n", row.refused.c_str());
    std::fflush(stdout); // some compilers take minutes for all of them
}

nlohmann::json number(double value) {
    return value < 0 ? nlohmann::json() : nlohmann::json(value);
}

void printJson(const gpu::DeviceInfo &info, const std::vector<Row> &rows) {
    nlohmann::json pipelines = nlohmann::json::array();
    for (const Row &row : rows) {
        nlohmann::json entry = {{"module", row.variant.pipeline.shader.name},
                                {"kernel", row.variant.kernel},
                                {"constants", row.variant.pipeline.constants},
                                {"use", nameOf(row.variant.use)},
                                {"ops", row.variant.ops},
                                {"invocations", row.invocations},
                                {"shared_bytes", row.sharedBytes}};
        if (row.refused.empty()) {
            entry["registers"] = number(row.compiled.registers);
            entry["spills"] = number(row.compiled.spills);
            entry["instructions"] = number(row.compiled.instructions);
            entry["waves"] = number(row.compiled.waves);
            entry["code_bytes"] = number(row.compiled.codeBytes);
            for (const auto &[name, value] : row.compiled.all)
                entry["driver"][name] = value;
        } else {
            entry["refused"] = row.refused;
        }
        pipelines.push_back(std::move(entry));
    }
    const nlohmann::json whole = {{"device", info.name},
                                  {"driver", info.driverName},
                                  {"driver_info", info.driverInfo},
                                  {"subgroup_size", info.caps.subgroupSize},
                                  {"pipelines", std::move(pipelines)}};
    std::printf("%s\n", whole.dump(1).c_str());
}

// What must hold on every device: what it runs by default fits its registers, and nothing needs more than the
// least device has, or shared memory than devices with matrices (which were asked). Says what does not.
bool checked(const std::vector<Row> &rows) {
    const gpu::LimitsClamp floor = gpu::floorClamp();
    bool good = true;
    for (const Row &row : rows) {
        const auto wrong = [&](const std::string &what) {
            std::fprintf(stderr, "mote-shader-stats: %s [%s] %s\n", row.variant.pipeline.shader.name,
                         constantsOf(row).c_str(), what.c_str());
            good = false;
        };
        if (row.invocations > floor.maxWorkgroupInvocations)
            wrong("has " + std::to_string(row.invocations) + " invocations");
        if (row.sharedBytes > floor.maxSharedBytes && !row.matrices)
            wrong("has " + std::to_string(row.sharedBytes) + " bytes of shared memory");
        if (row.variant.use != Use::Default)
            continue;
        if (!row.refused.empty())
            wrong(row.refused);
        else if (row.compiled.spills != 0)
            wrong("spills: " + cell(row.compiled.spills));
    }
    return good;
}

int run(const std::string &device, bool json, bool check, bool defaults) {
    Result<std::unique_ptr<Compiler>> opened = Compiler::open(device.empty() ? nullptr : device.c_str());
    if (!opened.ok()) {
        std::fprintf(stderr, "mote-shader-stats: %s\n", opened.status().message.c_str());
        return kNoDevice;
    }
    Compiler &compiler = *opened.value();
    std::vector<Row> rows;
    if (!json)
        printHead(compiler.device().info());
    for (Variant &variant : variantsFor(traitsOf(compiler.device()))) {
        if (defaults && variant.use != Use::Default)
            continue;
        Row row;
        const gpu::ShaderCode &code = variant.pipeline.shader;
        const std::vector<uint32_t> words = gpu::unpackSpirv(code.packed, code.packedCount);
        const Result<gpu::SpirvInfo> info =
            gpu::inspectSpirv(words.data(), words.size(), variant.pipeline.constants);
        if (!info.ok())
            throw std::runtime_error(info.status().message);
        row.invocations = info->workgroupSize[0] * info->workgroupSize[1] * info->workgroupSize[2];
        row.sharedBytes = info->sharedBytes;
        row.matrices = needsMatrices(info.value());
        if (variant.use == Use::Elsewhere) {
            // RADV 22.3.6 does not survive the arrays of a thousand registers that suit a processor's stack.
            row.refused = "not compiled: for other devices only";
        } else if (Result<Compiled> compiled = compiler.compile(variant.pipeline); compiled.ok()) {
            row.compiled = std::move(compiled.value());
        } else if (compiled.status().code == StatusCode::Unsupported) {
            row.refused = compiled.status().message;
        } else {
            throw std::runtime_error(compiled.status().message);
        }
        row.variant = std::move(variant);
        if (!json)
            printRow(row);
        rows.push_back(std::move(row));
    }
    if (json)
        printJson(compiler.device().info(), rows);
    return !check || checked(rows) ? kDone : kChecksFailed;
}

} // namespace

int main(int argc, char **argv) {
    CLI::App app("Compiles every shader of Mote on a Vulkan device, as the shipped model and the benchmarks' "
                 "models use "
                 "it, and\nprints what the driver says of registers, spills, instructions and waves.",
                 "mote-shader-stats");
    app.footer(
        "Exit status: 0 done; 2 the command line is wrong; 3 no device, or one whose driver does not say;\n"
        "4 --check found something; 1 a defect.");
    std::string device;
    bool json = false, check = false, defaults = false;
    app.add_option("--device", device, "part of the device's name; else the first of the best kind")
        ->type_name("NAME");
    app.add_flag("--json", json, "print JSON, with all that the driver says");
    app.add_flag("--check", check,
                 "fail where a default variant spills or does not compile, or any variant has more than 256\n"
                 "invocations or, but for cooperative matrices, 16 KiB of shared memory");
    app.add_flag("--defaults", defaults, "compile only what would be used on this device");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        return app.exit(error) == 0 ? kDone : kUsage;
    }
    try {
        return run(device, json, check, defaults);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "mote-shader-stats: %s\n", error.what());
        return kDefect;
    }
}
