// The part of Python's pickle (PEP 307; Lib/pickletools.py) in which torch.save writes a state dict:
// containers, numbers, strings, and tensors. A stack machine without a recursion; nothing is imported and
// nothing is called: the few globals that tensors need are names that stand for what torch would make of
// them. Every other opcode and every other global is refused by name.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mote::convert {

// A view of a storage: element (i, j, ...) is at offset + i stride[0] + j stride[1] + ... , in elements.
struct PickledTensor {
    std::string name; // its key
    std::string type; // of its storage: "F32", "F16", ...
    std::string storage;
    std::vector<uint64_t> shape, strides;
    uint64_t offset = 0;
    uint64_t storageElements = 0; // as the pickle says
};

// The tensors of a pickled state dict: a dict (or OrderedDict) from text to tensors. `where` begins every
// message. Throws ReadError; where the dict holds something else the message says what.
std::vector<PickledTensor> unpickleStateDict(std::string_view pickle, const std::string &where);

} // namespace mote::convert
