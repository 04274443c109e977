"""`train`: a network learns to predict the picture behind noise, at the timesteps of the recipes or at all."""
import functools
import os
import time

import torch

from . import loop
from .data import seeded
from .degrade import KINDS, NumpyNoise
from .diffusion import TIMESTEPS, Diffusion, recipe, sample
from .latency import latency
from .metrics import psnr
from .network import multiplyAdds, parameterCount
from .task import STATE, ask, makeNetwork, makeTask


def pickDevice(name=None):
    device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return device


@functools.lru_cache
def multipliesHalf(kind):
    """Whether a device, "cuda" or "cpu", multiplies matrices of bfloat16 much faster than those of floats."""
    if kind == "cuda":
        return True
    try:
        with open("/proc/cpuinfo") as file:
            return "amx_bf16" in file.read()
    except OSError:
        return False


def halfPrecision(device):
    """bfloat16 where it is fast: no loss scaling is needed, and fp32 weights stay."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=multipliesHalf(device.type))


def makeDiffusion(config):
    part = config.diffusion
    return Diffusion(part.prediction, part.schedule, part.zero_terminal_snr, part.noise_scale, part.clip)


def trainedTimesteps(config):
    if config.train.timesteps == "all":
        return list(range(TIMESTEPS))
    return sorted({t for steps in config.diffusion.recipes for t in recipe(steps)}, reverse=True)


def differences(x):
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def pictureLoss(found, wanted, train):
    """[N]: the chosen distance of pixels, with the L1 of finite differences and of Fourier coefficients by weight."""
    error = found - wanted
    pixel = {"l1": error.abs, "l2": error.square, "charbonnier": lambda: (error.square() + 1e-6).sqrt()}[train.pixel]()
    loss = pixel.flatten(1).mean(1)
    if train.gradient:
        loss = loss + train.gradient * sum(part.abs().flatten(1).mean(1) for part in differences(error))
    if train.frequency:
        loss = loss + train.frequency * torch.fft.rfft2(error, norm="ortho").abs().flatten(1).mean(1)
    return loss


def timestepWeight(diffusion, t, like, gamma):
    """Hang et al. 2023, "min-SNR": min(SNR, gamma) on x0, and what that means for the other predictions. [N]"""
    if not gamma:
        return 1.0
    snr = diffusion.snr(t, like).flatten()
    weight = snr.clamp(max=gamma)
    return {"x0": weight, "v": weight / (snr + 1), "epsilon": weight / snr}[diffusion.prediction]


def denoisingLoss(network, diffusion, batch, t, noise, labels, train):
    """The mean loss of a batch at timesteps t [N]. The x0 prediction is compared as a picture, v and epsilon by L2 unless
    the configuration says otherwise."""
    x = diffusion.noised(batch.x0, noise, t)
    with halfPrecision(x.device):
        output = ask(network, x, t, batch.condition, labels).float()
    wanted = {"x0": batch.x0, "epsilon": noise}.get(diffusion.prediction)
    if wanted is None:
        wanted = diffusion.outputFor(batch.x0, x, t)
    return (pictureLoss(output, wanted, train) * timestepWeight(diffusion, t, x, train.min_snr)).mean()


def cropsAt(config, part):
    """Side and batch at this part of training."""
    return [entry[1:] for entry in config.train.crops if entry[0] <= part][-1]


@torch.no_grad()
def restorePictures(network, diffusion, timesteps, condition, x):
    """DDIM with the degraded picture [1, 3, H, W] in [-1, 1] as condition, padded by reflection to what the network takes;
    x is the first state, of the padded size."""
    h, w = condition.shape[2:]
    m = network.sizeMultiple
    padded = torch.nn.functional.pad(condition, (0, -w % m, 0, -h % m), mode="reflect")
    return sample(lambda state, t: ask(network, state, t, padded), diffusion, timesteps, x)[:, :, :h, :w]


def validator(config, task, diffusion, device):
    """PSNR of the longest of the shortest recipes, one step if there is one, on held-out pictures; None without any."""
    settings = config.validate
    if config.run.task != "restore" or not task.heldOut or not settings.every:
        return None
    timesteps = recipe(min(config.diffusion.recipes))
    cases = []
    for i, picture in enumerate(task.heldOut):
        m = 2 ** (len(config.network.widths) - 1)
        h, w = (min(extent, settings.side) // m * m for extent in picture.shape[:2])
        top, left = (picture.shape[0] - h) // 2, (picture.shape[1] - w) // 2
        clean = torch.from_numpy(picture[top:top + h, left:left + w]).permute(2, 0, 1)[None].float().to(device)
        degraded = KINDS[settings.kind](clean / 255, NumpyNoise(1000 + i), **settings.parameters) * 2 - 1
        cases.append((clean, degraded, NumpyNoise(5000 + i).normal(clean)))
    network = makeNetwork(config).to(device)

    def validate(weights):
        network.load_state_dict(weights)
        values = []
        for clean, degraded, x in cases:
            output = restorePictures(network, diffusion, timesteps, degraded, x)
            values.append(psnr(((output + 1) * 127.5 + 0.5).floor().clamp(0, 255), clean))
        return sum(values) / len(values)

    return validate


def describe(network, task, benches=(), passes=1):
    side = 256 if task == "restore" else network.config["sample_size"]
    print("%s parameters, %.2f billion multiply-adds a pass at %dx%d"
          % ("{:,}".format(parameterCount(network)), multiplyAdds(network, side, side) / 1e9, side, side), flush=True)
    for name, size, _, milliseconds, source in latency(network, benches, passes, side, side):
        print("%s, %s, %d passes: about %s, from the rate of %s" % (name, size, passes, milliseconds, source), flush=True)


def trainRun(config, device, minutes=None, finish=False, benches=()):
    """Trains, or goes on training; returns whether all is done."""
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    os.makedirs(config.run.output, exist_ok=True)
    task, diffusion = makeTask(config, device), makeDiffusion(config)
    torch.manual_seed(config.run.seed)
    network = makeNetwork(config, task.classes).to(device)
    describe(network, config.run.task, benches, max(config.diffusion.recipes))
    if config.train.start:
        from .export import loadExported
        network.load_state_dict(loadExported(config.train.start, device)[0].state_dict())
    if multipliesHalf(device.type):
        network = network.to(memory_format=torch.channels_last)
    train = config.train
    state = loop.makeState(network, train.weight_decay, classes=task.classes)
    path, identity = os.path.join(config.run.output, "train"), config.trainedBy()
    content = loop.readCheckpoint(path + ".pt", identity)
    if content:
        loop.restore(state, content)
        print("going on from step %d" % state.step, flush=True)
    timesteps = torch.tensor(trainedTimesteps(config), device=device)

    def lossOf(step, part):
        side, size = cropsAt(config, part)
        batch = task.batch(step, side, size)
        generator = seeded(config.run.seed, STATE, step, device)
        noise = torch.randn(batch.x0.shape, generator=generator, device=device)
        t = timesteps[torch.randint(0, len(timesteps), (size,), generator=generator, device=device)]
        labels = batch.labels
        if labels is not None and train.label_dropout:  # Ho and Salimans 2021: now and then without a class
            dropped = torch.rand(size, generator=generator, device=device) < train.label_dropout
            labels = torch.where(dropped, task.classes, labels)
        return denoisingLoss(network, diffusion, batch, t, noise, labels, train), size

    return loop.fit(state, train.steps, lossOf, path, identity, train.learning_rate, train.warmup, train.ema,
                    config.run.log_every, config.run.save_every, validator(config, task, diffusion, device),
                    config.validate.every, deadline, finish)
