#!/usr/bin/python3
"""Whole models beside PyTorch (torch.jit, traced and frozen) on the host or ncnn on Vulkan, with every error.

    peers.py reference OUT MODEL_DIR [NAME...]    fp64 outputs, once: slow, and not timed
    peers.py time      OUT MODEL_DIR [NAME...]    runs in turn; writes OUT/peers.NAME.json, with --ncnn .ncnn.json
    peers.py singles   OUT MODEL_DIR --ncnn ...   single shapes, ncnn and Mote in turn; writes OUT/singles.ncnn.json

NAME is one of the models below. OUT keeps the inputs and references; MODEL_DIR has NAME's .mote file with a single
step, made by `mote-convert --timesteps 500` (of random weights: with `--random-weights 1`). Both programs run on two
threads, in processes of their own, one at a time: whoever waits, sleeps.
"""
import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import torch
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "converter"))
sys.path.insert(0, HERE)

import ncnn_model  # noqa: E402
from distill import network, safetensors_file  # noqa: E402

SEED, TIMESTEP, THREADS = 1, 500, 2
SHIPPED = os.path.join(HERE, "..", "converter", "models", "restore")
PHOTO, SIGMA = os.path.join(HERE, "..", "tests", "photos", "dog.png"), 25
# name: checkpoint, .mote file, size, whether its inputs are a photo: a trained network is held to what it was trained for
MODELS = {
    "ddpm32": (os.path.join(HERE, "models", "ddpm32"), "ddpm32.mote", 32, False),
    "edge128": (os.path.join(HERE, "models", "edge"), "edge.mote", 128, False),
    "edge256": (os.path.join(HERE, "models", "edge"), "edge.mote", 256, False),
    "shipped512": (SHIPPED, "restore.mote", 512, True),
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


def photo(size):
    """The middle of a photo, reflected where it is smaller, [1, 3, size, size] in -1..1."""
    picture = np.asarray(Image.open(PHOTO).convert("RGB"), np.float32) / 127.5 - 1
    more = [max(0, size - side) for side in picture.shape[:2]]
    picture = np.pad(picture, [(each // 2, each - each // 2) for each in more] + [(0, 0)], "reflect")
    top, left = ((side - size) // 2 for side in picture.shape[:2])
    return torch.from_numpy(picture[top:top + size, left:left + size].transpose(2, 0, 1).copy())[None]


def photoInputs(size):
    """A photo as far into noise as the timestep is (betas 1e-4 to 0.02 in 1000 steps), and with noise of SIGMA of 255."""
    clean, generator = photo(size), torch.Generator().manual_seed(SEED)
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[TIMESTEP]
    x = kept.sqrt() * clean + (1 - kept).sqrt() * torch.randn(clean.shape, generator=generator)
    return x.float(), clean + SIGMA / 127.5 * torch.randn(clean.shape, generator=generator)


def inputs(unet, size):
    """The state, noise, and the condition, a made-up picture, or None; each [1, C, size, size]."""
    generator = torch.Generator().manual_seed(SEED)
    channels, more = unet.config["out_channels"], unet.config["in_channels"] - unet.config["out_channels"]
    x = torch.randn(1, channels, size, size, generator=generator)
    return x, torch.rand(1, more, size, size, generator=generator) * 2 - 1 if more else None


def inputsOf(name, unet):
    _, _, size, real = MODELS[name]
    return photoInputs(size) if real else inputs(unet, size)


def together(x, condition):
    return x if condition is None else torch.cat([x, condition], dim=1)


def relative(found, exact):
    return float(np.linalg.norm(found.astype(np.float64) - exact) / np.linalg.norm(exact))


def referencePath(out, name):
    return os.path.join(out, "reference.%s.npy" % name)


def makeReference(out, name):
    unet = load(MODELS[name][0])
    x, condition = inputsOf(name, unet)
    exact = unet.double()(together(x, condition).double(), torch.tensor([TIMESTEP]))
    path = referencePath(out, name)
    np.save(path + ".part.npy", exact.numpy())
    os.replace(path + ".part.npy", path)


def moteProcess(pipe, library, model, x, condition, device, tuned):
    """Answers "run" with milliseconds and "evaluate" with the output, until "close"."""
    from library import Session
    session = Session(library, model, x, condition, device, tuned)
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


class Contestant:
    """Has run() for the milliseconds of a run, and evaluate() for the output, or an error of its own."""

    def error(self, exact):
        return relative(self.evaluate(), exact)


class PyTorch(Contestant):
    """In this process, traced and frozen."""

    def __init__(self, unet, x, condition):
        self.arguments = together(x, condition), torch.tensor([TIMESTEP])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # sizes become constants, as they should
            self.frozen = torch.jit.freeze(torch.jit.trace(unet, self.arguments))
        for _ in range(2):  # torch.jit specialises in its first runs
            self.frozen(*self.arguments)

    def evaluate(self):
        return self.frozen(*self.arguments).numpy()

    def run(self):
        start = time.perf_counter()
        self.frozen(*self.arguments)
        return 1e3 * (time.perf_counter() - start)

    def close(self):
        pass


class Mote(Contestant):
    def __init__(self, library, model, x, condition, device, tuned=False):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=moteProcess, daemon=True, args=(
            theirs, library, model, x.numpy(), None if condition is None else condition.numpy(), device, tuned))
        self.process.start()
        theirs.close()  # so that a process that ends is the pipe's end
        self.pipe.recv()

    def ask(self, what):
        self.pipe.send(what)
        return self.pipe.recv()

    def evaluate(self):
        return self.ask("evaluate")

    def run(self):
        return self.ask("run")

    def close(self):
        self.pipe.send("close")
        self.process.join()


class Asked:
    """A program that answers each word on a line with a number on one."""

    def __init__(self, arguments):
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True, bufsize=1)

    def run(self, word="run"):
        self.process.stdin.write(word + "\n")
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("%s ended with %d" % (self.process.args[0], self.process.wait()))
        return float(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class MoteShape(Asked):
    """One of mote-bench's single shapes, which knows its error itself."""

    def error(self, _):
        return self.run("error")


class Ncnn(Asked, Contestant):
    """`write(path)` writes path.param and path.bin."""

    def __init__(self, program, write, x, outputShape, storage):
        self.folder, self.shape = tempfile.TemporaryDirectory(), outputShape
        path = os.path.join(self.folder.name, "model")
        write(path)
        with open(path + ".in", "wb") as file:
            file.write(np.array(x.shape[1:], "<u4").tobytes() + x.numpy().astype("<f4").tobytes())
        self.output = path + ".out"
        super().__init__([program, path + ".param", path + ".bin", path + ".in", self.output, storage])

    def evaluate(self):
        self.run("evaluate")
        return np.fromfile(self.output, "<f4").reshape(self.shape)

    def resident(self):
        """Bytes at most."""
        with open("/proc/%d/status" % self.process.pid) as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))

    def close(self):
        super().close()
        self.folder.cleanup()


def alternate(contestants, exact, seconds, rounds):
    """Runs in turn, a turn being what fits in half a second, so that it is warm: {name: {"ms", "error"}}."""
    result = {name: {"error": each.error(exact), "ms": []} for name, each in contestants.items()}
    start, done = time.perf_counter(), 0
    while done < rounds or time.perf_counter() - start < seconds:
        for name, each in contestants.items():
            turn = [each.run()]
            while sum(turn) < 500:
                turn.append(each.run())
            result[name]["ms"] += turn
        done += 1
    for name, each in contestants.items():
        result[name]["ms"] = spread(result[name]["ms"])
        if isinstance(each, Ncnn):  # the others have Python in them
            result[name]["resident_bytes"] = each.resident()
        each.close()
    return result


def writeJson(path, value):
    """Never half."""
    with open(path + ".part", "w") as file:
        json.dump(value, file, indent=2)
    os.replace(path + ".part", path)


def report(name, result):
    print("%s: " % name + "; ".join("%s %.1f ms min %.1f median, error %.1e" % (
        peer, found["ms"]["min"], found["ms"]["median"], found["error"]) for peer, found in result.items()), flush=True)


def ncnnOf(options, write, x, shape):
    return {"ncnn " + storage: Ncnn(options.ncnn, write, x, shape, storage) for storage in ("fp32", "fp16")}


def measure(options, name):
    checkpoint, file, size, _ = MODELS[name]
    exact = np.load(referencePath(options.out, name))
    unet = load(checkpoint)
    x, condition = inputsOf(name, unet)
    model = os.path.join(options.models, file)
    contestants = {"mote": Mote(options.library, model, x, condition, options.device)}
    suffix = ""
    if options.ncnn:
        suffix = ".ncnn"
        contestants.update(ncnnOf(options, lambda path: ncnn_model.writeUNet(unet, TIMESTEP, size, path),
                                  together(x, condition), exact.shape))
    else:
        contestants["mote tuned"] = Mote(options.library, model, x, condition, options.device, tuned=True)
        contestants["pytorch"] = PyTorch(unet, x, condition)
    result = alternate(contestants, exact, options.seconds, 1 if options.ncnn else 3)
    writeJson(os.path.join(options.out, "peers.%s%s.json" % (name, suffix)),
              {"name": name, "size": size, "torch": torch.__version__, "threads": THREADS, **result})
    report(name, result)


def measureSingles(options):
    """Single shapes, both by the host's clock."""
    results = {}
    for name, kind, channels, outputs, size in ncnn_model.SINGLES:
        torch.manual_seed(SEED)
        single = ncnn_model.Single(kind, channels, outputs).requires_grad_(False)
        x = torch.randn(1, channels, size, size)
        exact = single.double()(x.double()).numpy()
        single.float()
        device = ["--device", options.device] if options.device else []
        contestants = {"mote": MoteShape([options.mote_bench, *device, "--serve", name]),
                       **ncnnOf(options, lambda path: single.write(size, path), x, exact.shape)}
        results[name] = alternate(contestants, exact, options.seconds, 1)
        report(name, results[name])
    writeJson(os.path.join(options.out, "singles.ncnn.json"), results)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["reference", "time", "singles"])
    parser.add_argument("out")
    parser.add_argument("models")
    parser.add_argument("names", nargs="*", default=list(MODELS))
    parser.add_argument("--library", help="libmote.so; with time")
    parser.add_argument("--mote-bench", help="the program mote-bench; with singles")
    parser.add_argument("--ncnn", help="the program ncnn-peer: against it instead of PyTorch")
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
        elif options.what == "time":
            measure(options, name)
    if options.what == "singles":
        measureSingles(options)


if __name__ == "__main__":
    main()
