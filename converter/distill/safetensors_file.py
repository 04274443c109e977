"""Reads and writes safetensors: 8 bytes of header length, a JSON header, raw little-endian tensors."""
import json
import os

import numpy as np
import torch

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "U8": np.uint8}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}


class TensorFileError(Exception):
    pass


def load(path):
    """All tensors of a file, by name."""
    with open(path, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise TensorFileError("%s: header of %d bytes in a file of %d" % (path, length, len(data)))
    try:
        header = json.loads(data[8:8 + length])
    except ValueError as error:
        raise TensorFileError("%s: the header is no JSON: %s" % (path, error)) from error
    body, tensors = data[8 + length:], {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in DTYPES:
            raise TensorFileError("%s: tensor %s: found dtype %s, expected one of %s"
                                  % (path, name, entry["dtype"], ", ".join(DTYPES)))
        dtype, (begin, end) = np.dtype(DTYPES[entry["dtype"]]), entry["data_offsets"]
        expected = int(np.prod(entry["shape"], dtype=np.int64)) * dtype.itemsize
        if not 0 <= begin <= end <= len(body) or end - begin != expected:
            raise TensorFileError("%s: tensor %s: found bytes %d to %d of %d, expected %d bytes"
                                  % (path, name, begin, end, len(body), expected))
        tensors[name] = torch.from_numpy(np.frombuffer(body[begin:end], dtype).reshape(entry["shape"]).copy())
    return tensors


def save(path, tensors):
    """Names are sorted, so that the same tensors make the same bytes. The file appears complete or not at all."""
    header, arrays, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name].detach().cpu().numpy())
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        arrays.append(array)
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    temporary = path + ".tmp"
    with open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            file.write(array.tobytes())
    os.replace(temporary, path)
