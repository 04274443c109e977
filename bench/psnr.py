#!/usr/bin/env python3
"""PSNR of a restoration model through Mote, beside the figures of its card.

usage: psnr.py BIN_DIR CHECKPOINT_DIR PHOTO_DIR [--sigma 25] [--steps 1,2,4] [--expect 30.35,30.35,30.36] [--count N]

BIN_DIR holds `mote` and `mote-convert`. Each photo (sorted by name) gets the card's noise: image i
numpy.random.default_rng(1000 + i).standard_normal((H, W, 3)) * sigma, not clipped; the first state is
numpy.random.default_rng(5000 + i).standard_normal((1, 3, H_padded, W_padded)). Photos are reflected up to multiples of
8 and restored whole; PSNR is in dB over all channels of the 8-bit output. Prints a table; with --expect the exit status
is 1 when a mean is more than 0.05 dB below its figure. Needs numpy and Pillow (python3-numpy, python3-pil).
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

SIZE_MULTIPLE = 8
TOLERANCE_DB = 0.05


def save(path, tensors):
    """Writes fp32 arrays as a safetensors file."""
    header, offset = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in tensors.values():
            file.write(array.tobytes())


def loadSample(path):
    """The fp32 tensor `sample` of a safetensors file."""
    data = open(path, "rb").read()
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8:8 + length])["sample"]
    begin, end = entry["data_offsets"]
    return np.frombuffer(data[8 + length + begin:8 + length + end], np.float32).reshape(entry["shape"])


def psnr(a, b):
    return 10 * np.log10(255.0 ** 2 / np.mean((a - b) ** 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin"), parser.add_argument("checkpoint"), parser.add_argument("photos")
    parser.add_argument("--sigma", type=float, default=25.0)
    parser.add_argument("--steps", default="1,2,4")
    parser.add_argument("--expect", help="mean PSNR per entry of --steps")
    parser.add_argument("--count", type=int, help="only the first N photos")
    arguments = parser.parse_args()
    steps = arguments.steps.split(",")
    photos = sorted(glob.glob(os.path.join(arguments.photos, "*.png")))[:arguments.count]
    if not photos:
        sys.exit("no *.png in %s" % arguments.photos)
    before, after = [], {s: [] for s in steps}
    with tempfile.TemporaryDirectory(prefix="mote-psnr-") as folder:
        model = os.path.join(folder, "model.mote")
        subprocess.run([os.path.join(arguments.bin, "mote-convert"), arguments.checkpoint, "-o", model, "--steps",
                        arguments.steps], check=True, stdout=subprocess.DEVNULL)
        for i, photo in enumerate(photos):
            clean = np.asarray(Image.open(photo).convert("RGB")).astype(np.float64)
            height, width = clean.shape[:2]
            noisy = clean + np.random.default_rng(1000 + i).standard_normal(clean.shape) * arguments.sigma
            padded = np.pad(noisy, ((0, -height % SIZE_MULTIPLE), (0, -width % SIZE_MULTIPLE), (0, 0)), "reflect")
            condition = (padded / 127.5 - 1).transpose(2, 0, 1)[None]
            start = np.random.default_rng(5000 + i).standard_normal(condition.shape)
            source, target = os.path.join(folder, "in.safetensors"), os.path.join(folder, "out.safetensors")
            save(source, {"condition": np.ascontiguousarray(condition, np.float32), "x_start": start.astype(np.float32)})
            before.append(psnr(np.clip(np.round(noisy), 0, 255), clean))
            for s in steps:
                subprocess.run([os.path.join(arguments.bin, "mote"), "run", model, "--tensors", source, "-o", target,
                                "--steps", s], check=True)
                sample = loadSample(target)[0].transpose(1, 2, 0)[:height, :width]
                after[s].append(psnr(np.clip(np.floor((sample + 1.0) * 127.5 + 0.5), 0, 255), clean))
            print("%-24s noisy %.2f  %s" % (os.path.basename(photo), before[-1],
                                            "  ".join("%s: %.2f" % (s, after[s][-1]) for s in steps)), flush=True)
    expected = [float(v) for v in arguments.expect.split(",")] if arguments.expect else [None] * len(steps)
    print("\n%d photos, sigma %g: noisy %.2f dB" % (len(photos), arguments.sigma, np.mean(before)))
    failed = False
    for s, figure in zip(steps, expected):
        mean = np.mean(after[s])
        low = figure is not None and mean < figure - TOLERANCE_DB
        failed |= low
        print("%s steps: %.3f dB%s" % (s, mean, "" if figure is None else
                                       ", card %.2f, difference %+.3f%s" % (figure, mean - figure, " LOW" if low else "")))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
