// Pictures that are damaged, or made to do harm. The same table serves the decoders' test and the command's.
#pragma once

#include "command/picture_files.h"

namespace mote::test {

struct HostileFile {
    std::string what;
    Bytes bytes;
    std::vector<std::string> message; // parts that the error must have
};

std::vector<HostileFile> hostileFiles();

} // namespace mote::test
