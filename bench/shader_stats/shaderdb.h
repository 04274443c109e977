// Mesa's compiler for Mali says no more than the size of the code through
// VK_KHR_pipeline_executable_properties. The rest it prints on standard error, a line for each shader, where
// BIFROST_MESA_DEBUG has "shaderdb".
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace mote::bench {

using Statistics = std::vector<std::pair<std::string, double>>; // as the driver names them

// Of "SHADER-DB: COMPUTE shader: 86 inst, 3.583333 cycles, 2 threads, 0:4 spills:fills"; empty: another line.
Statistics shaderDbStatistics(const std::string &line);

// Takes what is written to standard error, by whomever, until it is destroyed.
class StandardErrorCapture {
public:
    StandardErrorCapture(); // std::system_error
    ~StandardErrorCapture();
    StandardErrorCapture(const StandardErrorCapture &) = delete;
    StandardErrorCapture &operator=(const StandardErrorCapture &) = delete;

    std::vector<std::string> lines(); // so far

private:
    std::FILE *file_;
    int standardError_;
};

} // namespace mote::bench
