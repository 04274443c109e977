"""The two tasks: what a batch is, and how the network is asked."""
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch

from . import degrade
from .data import Crops, DataError, Folder, Labelled, order, seeded
from .network import UNet

# Streams of random numbers; 0 is the order of the pictures.
CHOICES, PIXELS, JPEG_NOISE, STATE = 1, 2, 3, 4


@dataclass
class Batch:
    x0: torch.Tensor                       # [N, 3, S, S] in [-1, 1]
    condition: torch.Tensor | None = None  # the degraded picture, the same shape
    labels: torch.Tensor | None = None     # [N]


def makeNetwork(config, classes=0):
    network = config.network
    levels = len(network.widths)
    attention = [network.attention and i == levels - 1 for i in range(levels)]
    restore = config.run.task == "restore"
    return UNet({
        "in_channels": 6 if restore else 3, "out_channels": 3, "block_out_channels": network.widths,
        "layers_per_block": network.layers, "norm_num_groups": network.groups, "add_attention": network.attention,
        "attention_head_dim": network.head_width, "sample_size": None if restore else config.data.side,
        "down_block_types": ["AttnDownBlock2D" if here else "DownBlock2D" for here in attention],
        "up_block_types": ["AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)],
        "num_class_embeds": None if restore else classes + 1,  # the last is "no class"
    })


def ask(network, x, t, condition=None, labels=None):
    """A forward pass: x [N, 3, H, W] at timesteps t [N]; condition and labels as the task has them."""
    return network(x if condition is None else torch.cat([x, condition], dim=1), t, labels)


class Restore:
    """Crops of photos, each degraded in a way drawn by weight."""

    classes = 0

    def __init__(self, config, device):
        self.config, self.device, self.seed = config, device, config.run.seed
        data = config.data
        largest = max(entry[1] for entry in config.train.crops)
        found = Folder(data.folder, max(largest, config.distil.side), data.max_side or None)
        print(found.report(), flush=True)
        held = set(range(data.holdout - 1, len(found.pictures), data.holdout)) if data.holdout else set()
        if len(held) == len(found.pictures):
            raise DataError("%s: all %d pictures are held out" % (data.folder, len(held)))
        self.heldOut = [found.pictures[i] for i in sorted(held)]
        pictures = [picture for i, picture in enumerate(found.pictures) if i not in held]
        self.count = len(pictures)
        self.onCpu = Crops(pictures, "cpu")
        self.onDevice = Crops(pictures, device) if device.type != "cpu" else self.onCpu
        self.kinds = list(config.degrade)
        self.weights = torch.tensor([float(config.degrade[kind].get("weight", 1)) for kind in self.kinds])
        self.ahead = ThreadPoolExecutor(4) if device.type != "cpu" else None
        self.planned = {}

    def plan(self, step, side, batch):
        """What can be done before the device is free: all choices, and the kinds that need a JPEG coder."""
        generator = seeded(self.seed, CHOICES, step)
        places = self.onCpu.places(order(self.count, batch, step, self.seed), side, generator)
        kinds = torch.multinomial(self.weights, batch, replacement=True, generator=generator)
        parts = []
        for number, kind in enumerate(self.kinds):
            index = (kinds == number).nonzero()[:, 0]
            if len(index) == 0:
                continue
            parameters = degrade.drawParameters(kind, self.config.degrade[kind], len(index), generator)
            done = None
            if kind in degrade.USES_JPEG:
                noise = degrade.TorchNoise(seeded(self.seed, JPEG_NOISE + 10 * number, step))
                done = degrade.KINDS[kind](self.onCpu.gather(places[index], side), noise, **parameters)
            parts.append((kind, index, parameters, done))
        return places, parts

    def batch(self, step, side, batch):
        key = (step, side, batch)
        if self.ahead:  # a crop size change leaves a few unused plans behind
            self.planned = {k: future for k, future in self.planned.items() if k[0] >= step and k[1:] == key[1:]}
            for later in range(step, step + 8):
                if (later, side, batch) not in self.planned:
                    self.planned[later, side, batch] = self.ahead.submit(self.plan, later, side, batch)
            places, parts = self.planned.pop(key).result()
        else:
            places, parts = self.plan(step, side, batch)
        x = self.onDevice.gather(places, side)
        y = torch.empty_like(x)
        noise = degrade.TorchNoise(seeded(self.seed, PIXELS, step, self.device))
        for kind, index, parameters, done in parts:
            index = index.to(self.device)
            y[index] = degrade.KINDS[kind](x[index], noise, **parameters) if done is None else done.to(self.device)
        return Batch(x0=x * 2 - 1, condition=y * 2 - 1)


class Generate:
    """Small pictures with their classes, mirrored at random never: letters and signs read one way."""

    def __init__(self, config, device):
        self.config, self.device, self.seed = config, device, config.run.seed
        data = config.data
        self.data = Labelled.configured(data)
        print(self.data.report(), flush=True)
        self.classes, self.count = len(self.data.names), len(self.data.labels)
        self.pictures, self.labels = self.data.pictures.to(device), self.data.labels.to(device)

    def batch(self, step, side, batch):
        chosen = order(self.count, batch, step, self.seed).to(self.device)
        return Batch(x0=self.pictures[chosen].float() / 127.5 - 1, labels=self.labels[chosen])


def makeTask(config, device):
    if not config.data.folder:
        raise DataError("%s: [data] folder: none given, here or with --data" % config.path)
    return {"restore": Restore, "generate": Generate}[config.run.task](config, device)
