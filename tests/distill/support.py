"""What the tests share: pictures made here, tiny configurations, the command."""
import contextlib
import io
import os
import sys

import numpy as np
from PIL import Image

from distill.__main__ import main

SOURCE = os.environ.get("MOTE_SOURCE_DIR") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
GOLDENS = os.path.join(SOURCE, "tests", "goldens")
SHIPPED = os.path.join(SOURCE, "converter", "models", "restore")

RESTORE = """
[run]
seed = 3
log_every = 10
save_every = 10
[network]
widths = [8, 16]
[diffusion]
noise_scale = 0.5
[data]
holdout = 3
[degrade.gaussian]
weight = 2
[degrade.jpeg]
[degrade.camera]
[degrade.blur]
[degrade.area]
[train]
steps = 60
crops = [[0.0, 16, 4], [0.6, 24, 2]]
learning_rate = 3e-3
warmup = 5
ema = 0.9
pixel = "charbonnier"
gradient = 0.1
frequency = 0.05
[validate]
every = 30
side = 32
[evaluate]
count = 2
tile = 16
overlap = 8
[[evaluate.degradations]]
name = "noise 25"
kind = "gaussian"
parameters = { sigma = 25 }
[[evaluate.degradations]]
kind = "bicubic"
parameters = { factor = 2 }
"""

GENERATE = """
[run]
task = "generate"
save_every = 20
log_every = 20
[network]
widths = [8, 16]
attention = true
head_width = 8
[diffusion]
prediction = "v"
[data]
side = 16
[train]
steps = 60
crops = [[0.0, 16, 16]]
learning_rate = 3e-3
warmup = 5
ema = 0.9
timesteps = "all"
min_snr = 5.0
label_dropout = 0.2
[distil]
guidance = 2.0
rounds = [2, 1]
steps = 20
batch = 16
[evaluate]
count = 40
classifier_steps = 40
teacher_steps = 4
guidance = 2.0
"""


def writePhotos(folder, count=6, side=48, seed=0):
    """Smooth colourful pictures with edges: enough for a loss to fall on."""
    os.makedirs(folder, exist_ok=True)
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side + 8] / side
    for i in range(count):
        a, b, c = random.uniform(-4, 4, (3, 3))
        picture = 127 + 90 * np.sin(a * x[..., None] + b * y[..., None] + c) + 60 * (x[..., None] > random.uniform(0.2, 0.8))
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(os.path.join(folder, "photo%d.png" % i))


def writeClasses(folder, perClass=24, side=16):
    """Disks and bars: a folder a class."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[0:side, 0:side]
    for name in ("bar", "disk"):
        os.makedirs(os.path.join(folder, name))
        for i in range(perClass):
            cx, cy, size = random.uniform(5, side - 5, 2).tolist() + [random.uniform(2, 4)]
            shape = (x - cx) ** 2 + (y - cy) ** 2 < size ** 2 if name == "disk" else abs(x - cx) < size / 2
            picture = np.where(shape[..., None], random.uniform(0, 120, 3), 255).astype(np.uint8)
            Image.fromarray(picture).save(os.path.join(folder, name, "%02d.png" % i))


def writeConfig(path, text, **replaced):
    for before, after in replaced.values():
        assert before in text, before
        text = text.replace(before, after)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return str(path)


def command(*arguments):
    return [sys.executable, "-m", "distill", *map(str, arguments)]


def runCommand(*arguments):
    """The command without a process of its own: what it printed, and the message it ended with, or None."""
    with silence() as text:
        try:
            main([str(word) for word in arguments])
        except SystemExit as end:
            return text.getvalue(), str(end)
    return text.getvalue(), None


@contextlib.contextmanager
def silence():
    with contextlib.redirect_stdout(io.StringIO()) as text:
        yield text
