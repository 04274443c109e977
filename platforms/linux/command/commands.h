// The subcommands: their options as plain values, and one function each. They return normally on success and
// throw CommandError otherwise; main.cpp fills the options and translates.
#pragma once

#include "description.h"
#include "handles.h"
#include "interrupts.h"
#include "progress.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mote::command {

struct Size {
    uint32_t width = 0, height = 0; // 0x0: not given
};

// "640x480"; throws CommandError (Usage) naming `option`.
Size parseSize(const std::string &text, const std::string &option);

struct InfoOptions {
    std::string file;
    bool json = false;
    Size size = {512, 512};
};

struct CheckOptions {
    DeviceOptions device;
    std::string model;
    bool layers = false;
    uint32_t repeat = 0; // runs to compare bit by bit
};

struct RestoreOptions {
    DeviceOptions device;
    std::string input, output, model, mask, preview;
    RecipeChoice recipe;
    Noise noise;
    uint64_t memoryBudgetMegabytes = 0;
    Size tile;
    bool tune = false;
};

struct GenerateOptions {
    DeviceOptions device;
    std::string output, model, preview;
    RecipeChoice recipe;
    Noise noise;
    Size size;
    uint32_t count = 1;           // images; image i is that of the seed plus i
    std::vector<int64_t> classes; // one for each image, or in turn
    std::optional<float> guidance;
    bool tune = false;
};

struct TensorOptions { // run and eval
    DeviceOptions device;
    std::string model, input, output;
    RecipeChoice recipe;
    Noise noise;
    bool trace = false;
};

struct BenchOptions {
    DeviceOptions device;
    std::string model;
    Size size;
    RecipeChoice recipe;
    uint32_t runs = 5;
    bool tune = false; // and once more with tuned kernels
    bool json = false;
};

void runDevices();
void runInfo(const InfoOptions &options);
void runCheck(const CheckOptions &options, Interrupts &interrupts);
void runRestore(const RestoreOptions &options, Interrupts &interrupts);
void runGenerate(const GenerateOptions &options, Interrupts &interrupts);
void runTensors(const TensorOptions &options, Interrupts &interrupts);
void evaluateTensors(const TensorOptions &options);
void runBench(const BenchOptions &options, Interrupts &interrupts);

} // namespace mote::command
