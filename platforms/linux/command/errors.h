// How a command ends: the exit codes that README.md and --help document, and the exception that carries one
// of them with a message up to main().
#pragma once

#include <stdexcept>
#include <string>

namespace mote::command {

enum class ExitCode : int {
    Ok = 0,
    RunFailed = 1,   // the run began and failed: non-finite values, a defect
    Usage = 2,       // options, or a wish that the model cannot fulfil (steps that the file lacks)
    BadInput = 3,    // an input file is missing, damaged, hostile or of the wrong kind
    Device = 4,      // no Vulkan, no such device, device lost
    Memory = 5,      // the memory or the budget does not suffice
    CheckFailed = 6, // the self-check or the comparison of repeats found wrong results
    Output = 7,      // the output cannot be written
    Cancelled = 130, // Ctrl-C, as shells report it (128 + SIGINT)
};

class CommandError : public std::runtime_error {
public:
    CommandError(ExitCode exitCode, const std::string &message)
        : std::runtime_error(message), code(exitCode) {}
    ExitCode code;
};

} // namespace mote::command
