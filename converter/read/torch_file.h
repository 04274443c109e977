// What torch.save writes since PyTorch 1.6, of a state dict: a zip archive with data.pkl (the names, shapes
// and strides, pickled), data/<key> (a storage each) and byteorder. torch/serialization.py, "_save" and
// "_load".
#pragma once

#include "read/unpickler.h"
#include "read/zip.h"

#include <string>
#include <vector>

namespace mote::convert {

// Whether a file begins as a zip archive does, or as PyTorch's older formats do.
bool looksLikeTorchFile(const InputFile &file);

class TorchFile {
public:
    explicit TorchFile(const std::string &path); // throws ReadError

    const std::string &path() const { return zip_.file().path(); }
    const std::vector<PickledTensor> &tensors() const { return tensors_; } // sorted by name

    // F32, F16 and BF16 exactly, F64 rounded, in the order of the tensor's indices. Other types are refused
    // by name.
    std::vector<float> readFloats(const PickledTensor &tensor) const;

private:
    ZipFile zip_;
    std::string folder_; // of all entries
    std::vector<PickledTensor> tensors_;
};

} // namespace mote::convert
