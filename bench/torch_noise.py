#!/usr/bin/env python3
"""Compares the noise source "torch" with PyTorch itself.

    torch_noise.py BIN/mote MODEL.mote

MODEL generates 3 channels from noise of variance 1 alone (DDPM, DDIM); its first recipe is run from several seeds and
sizes, and the first state of each run is held to torch.randn of a CPU generator of that seed. Needs PyTorch (Debian: python3-torch) and a Vulkan device.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile

import torch


def write_tensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = struct.pack(f"<{tensor.numel()}f", *tensor.flatten().tolist())
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def read_tensor(path, name):
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        entry = json.loads(file.read(size))[name]
        begin, end = entry["data_offsets"]
        file.seek(8 + size + begin)
        values = struct.unpack(f"<{(end - begin) // 4}f", file.read(end - begin))
    return torch.tensor(values).reshape(entry["shape"])


def main():
    mote, model = sys.argv[1:]
    described = json.loads(subprocess.run([mote, "info", "--json", model], capture_output=True, check=True).stdout)
    multiple = max(graph["size_multiple"] for graph in described["graphs"])
    recipe = described["recipes"][0]
    worst = 0.0
    for seed in (0, 1, 42, 2**31, 2**32 + 7):
        for height, width in ((multiple, multiple), (2 * multiple, 4 * multiple), (8 * multiple, 8 * multiple)):
            with tempfile.TemporaryDirectory() as folder:
                given, found = os.path.join(folder, "in"), os.path.join(folder, "out")
                # Normals of the steps say the size and leave the start to the seed.
                write_tensors(given, {"step_noise": torch.zeros(recipe["passes"], 3, height, width)})
                subprocess.run([mote, "run", model, "--tensors", given, "-o", found, "--recipe", recipe["name"],
                                "--seed", str(seed), "--noise", "torch", "--trace"], check=True)
                start = read_tensor(found, "x")[0]
            expected = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed % 2**32))
            error = (start - expected).abs().max().item()
            worst = max(worst, error)
            print(f"seed {seed:11d}  {height:4d}x{width:<4d}  largest difference {error:.2e}")
    print(f"PyTorch {torch.__version__}: largest difference {worst:.2e}")
    return 0 if worst < 2e-6 else 1


if __name__ == "__main__":
    sys.exit(main())
