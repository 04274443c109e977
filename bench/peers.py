#!/usr/bin/python3
"""Whole models beside PyTorch (torch.jit, traced and frozen) on the host, with the error of both.

    peers.py reference OUT MODEL_DIR [NAME...]    fp64 outputs, once: slow, and not timed
    peers.py time      OUT MODEL_DIR [NAME...]    alternating runs; writes OUT/peers.NAME.json

NAME is one of the models below. OUT keeps the inputs and references; MODEL_DIR has NAME's .mote file with a single
step, made by `mote-convert --timesteps 500` (of random weights: with `--random-weights 1`). Both programs run on two
threads, in processes of their own, one at a time: whoever waits, sleeps.
"""
import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
import warnings

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "converter"))
sys.path.insert(0, HERE)

from distill import network, safetensors_file  # noqa: E402

SEED, TIMESTEP, THREADS = 1, 500, 2
SHIPPED = os.path.join(HERE, "..", "converter", "models", "denoise-edge")
# name: checkpoint, .mote file, size
MODELS = {
    "ddpm32": (os.path.join(HERE, "models", "ddpm32"), "ddpm32.mote", 32),
    "edge128": (os.path.join(HERE, "models", "edge"), "edge.mote", 128),
    "edge256": (os.path.join(HERE, "models", "edge"), "edge.mote", 256),
    "shipped512": (SHIPPED, "denoise-edge.mote", 512),
}


def randomWeights(seed, name, shape):
    """What converter/lower/random_weights.cpp makes: SplitMix64 from a hash of the name, uniform."""
    mask, state = (1 << 64) - 1, seed ^ 0xCBF29CE484222325
    for c in name.encode():
        state = (state ^ c) * 0x100000001B3 & mask
    count = int(np.prod(shape))
    inputs = int(np.prod(shape[1:]))
    centre = np.float32(1 if len(shape) == 1 and name.endswith(".weight") else 0)
    reach = np.float32(0.1) if len(shape) <= 1 else np.sqrt(np.float32(3) / np.float32(inputs))
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0 ** -23) - np.float32(1)
    return torch.from_numpy((centre + reach * unit).reshape(shape))


def load(checkpoint):
    with open(os.path.join(checkpoint, "unet", "config.json")) as file:
        unet = network.UNet(json.load(file))
    weights = os.path.join(checkpoint, "unet", "diffusion_pytorch_model.safetensors")
    if os.path.exists(weights):
        state = {name: tensor.float() for name, tensor in safetensors_file.load(weights).items()}
    else:
        state = {name: randomWeights(SEED, name, tuple(tensor.shape)) for name, tensor in unet.state_dict().items()}
    unet.load_state_dict(state)
    return unet.eval().requires_grad_(False)


def inputs(unet, size):
    """The state, noise, and the condition, a made-up picture, or None; each [1, C, size, size]."""
    generator = torch.Generator().manual_seed(SEED)
    channels, more = unet.config["out_channels"], unet.config["in_channels"] - unet.config["out_channels"]
    x = torch.randn(1, channels, size, size, generator=generator)
    return x, torch.rand(1, more, size, size, generator=generator) * 2 - 1 if more else None


def together(x, condition):
    return x if condition is None else torch.cat([x, condition], dim=1)


def relative(found, exact):
    return float(np.linalg.norm(found.astype(np.float64) - exact) / np.linalg.norm(exact))


def referencePath(out, name):
    return os.path.join(out, "reference.%s.npy" % name)


def makeReference(out, name):
    checkpoint, _, size = MODELS[name]
    unet = load(checkpoint)
    x, condition = inputs(unet, size)
    exact = unet.double()(together(x, condition).double(), torch.tensor([TIMESTEP]))
    np.save(referencePath(out, name), exact.numpy())


def moteProcess(pipe, library, model, x, condition, device):
    """Answers "run" with milliseconds and "evaluate" with the output until told otherwise."""
    from library import Session
    session = Session(library, model, x, condition, device)
    session.run()
    pipe.send("ready")
    while True:
        asked = pipe.recv()
        if asked == "close":
            session.close()
            return
        pipe.send(getattr(session, asked)())


def spread(values):
    return {"min": min(values), "median": statistics.median(values), "runs": len(values)}


def measure(out, modelDir, name, library, seconds, device):
    checkpoint, file, size = MODELS[name]
    exact = np.load(referencePath(out, name))
    unet = load(checkpoint)
    x, condition = inputs(unet, size)
    both, timestep = together(x, condition), torch.tensor([TIMESTEP])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # sizes become constants, as they should
        frozen = torch.jit.freeze(torch.jit.trace(unet, (both, timestep)))
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=moteProcess, daemon=True,
                              args=(theirs, library, os.path.join(modelDir, file), x.numpy(),
                                    None if condition is None else condition.numpy(), device))
    process.start()
    theirs.close()  # so that a process that ends is the pipe's end
    pipe.recv()

    def mote(what):
        pipe.send(what)
        return pipe.recv()

    def torchRun():
        start = time.perf_counter()
        frozen(both, timestep)
        return 1e3 * (time.perf_counter() - start)

    for _ in range(2):  # torch.jit specialises in its first runs
        torchError = relative(frozen(both, timestep).numpy(), exact)
    moteError = relative(mote("evaluate"), exact)
    torchTimes, moteTimes, start = [], [], time.perf_counter()
    while len(moteTimes) < 3 or time.perf_counter() - start < seconds:
        torchTimes.append(torchRun())
        moteTimes.append(mote("run"))
    pipe.send("close")
    process.join()
    result = {"name": name, "size": size, "torch": torch.__version__, "threads": THREADS,
              "pytorch_ms": spread(torchTimes), "pytorch_error": torchError,
              "mote_ms": spread(moteTimes), "mote_error": moteError}
    with open(os.path.join(out, "peers.%s.json" % name), "w") as target:
        json.dump(result, target, indent=2)
    print("%-10s PyTorch %8.1f ms min %8.1f median, error %.1e; Mote %8.1f min %8.1f median, error %.1e; %.2f times"
          % (name, min(torchTimes), statistics.median(torchTimes), torchError, min(moteTimes),
             statistics.median(moteTimes), moteError, min(torchTimes) / min(moteTimes)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["reference", "time"])
    parser.add_argument("out")
    parser.add_argument("models")
    parser.add_argument("names", nargs="*", default=list(MODELS))
    parser.add_argument("--library", help="libmote.so; with time")
    parser.add_argument("--seconds", type=float, default=10, help="of alternating runs for each model")
    parser.add_argument("--device", help="a part of the Vulkan device's name")
    options = parser.parse_args()
    for name in options.names:
        if name not in MODELS:
            parser.error("found %s, expected %s" % (name, ", ".join(MODELS)))
    torch.set_num_threads(THREADS)
    os.makedirs(options.out, exist_ok=True)
    for name in options.names:
        if options.what == "reference":
            if not os.path.exists(referencePath(options.out, name)):
                makeReference(options.out, name)
        else:
            measure(options.out, options.models, name, options.library, options.seconds, options.device)


if __name__ == "__main__":
    main()
