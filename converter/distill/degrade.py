"""Degradations for restoration, on batches [N, C, H, W] in [0, 1] on any device.

Each kind is a function of the batch, its parameters ([N] each, or numbers) and a source of random numbers. RANGES says
between which bounds training draws each parameter, a configuration may say otherwise; the values are uniform, whole
numbers for `quality` and `factor`. What is not noise is deterministic given its parameters.

| kind | parameters | what it does |
| --- | --- | --- |
| clean | | nothing |
| gaussian | sigma (of 255) | white noise, not clipped |
| poisson | peak (photons at white) | shot noise, Poisson(x peak) / peak |
| jpeg | quality | Pillow's JPEG with its default chroma subsampling |
| blur | width, ratio, angle | a Gaussian of `width` pixels, `ratio` times as narrow across, turned by `angle` (radians) |
| bicubic | factor | down by 2 or 4 and back up, Pillow's bicubic filters |
| area | factor | down by the mean of factor x factor pixels, up by bicubic |
| camera | width, peak, read, quality | in linear light: blur, shot noise, Gaussian read noise (of 255); clipped, then JPEG |
"""
import io
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

RANGES = {
    "clean": {},
    "gaussian": {"sigma": (5, 50)},
    "poisson": {"peak": (30, 500)},
    "jpeg": {"quality": (10, 90)},
    "blur": {"width": (0.5, 1.6), "ratio": (0.6, 1.0), "angle": (0, math.pi)},
    "bicubic": {"factor": (2, 4)},
    "area": {"factor": (2, 4)},
    "camera": {"width": (0.3, 0.9), "peak": (80, 800), "read": (0.5, 6), "quality": (40, 95)},
}
WHOLE = {"quality", "factor"}
USES_JPEG = {"jpeg", "camera"}  # done on the CPU, in the processor's own threads


class TorchNoise:
    """Random numbers for training."""

    def __init__(self, generator):
        self.generator = generator

    def normal(self, like):
        return torch.randn(like.shape, generator=self.generator, device=like.device)

    def poisson(self, rates):
        return torch.poisson(rates, generator=self.generator)


class NumpyNoise:
    """Random numbers for evaluation, in the order [H, W, C] of numpy.random.default_rng(seed): the same everywhere."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def normal(self, like):
        n, c, h, w = like.shape
        return torch.from_numpy(self.generator.standard_normal((n, h, w, c))).permute(0, 3, 1, 2).to(like)

    def poisson(self, rates):
        drawn = self.generator.poisson(rates.permute(0, 2, 3, 1).cpu().double().numpy())
        return torch.from_numpy(drawn).permute(0, 3, 1, 2).to(rates)


def perSample(value, like):
    """A parameter as [N, 1, 1, 1]."""
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).expand(like.shape[0]).reshape(-1, 1, 1, 1)


def gaussian(x, noise, sigma):
    return x + perSample(sigma, x) / 255 * noise.normal(x)


def poisson(x, noise, peak):
    peak = perSample(peak, x)
    return noise.poisson(x * peak) / peak


def blur(x, noise, width, ratio, angle):
    del noise
    n, c, h, w = x.shape
    radius = int(math.ceil(3 * float(torch.as_tensor(width).max())))
    axis = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    dy, dx = axis.reshape(1, -1, 1), axis.reshape(1, 1, -1)
    width, ratio, angle = (perSample(value, x)[:, :, :, 0] for value in (width, ratio, angle))
    along, across = dx * torch.cos(angle) + dy * torch.sin(angle), dy * torch.cos(angle) - dx * torch.sin(angle)
    kernels = torch.exp(-0.5 * ((along / width) ** 2 + (across / (width * ratio)) ** 2))
    kernels = (kernels / kernels.sum(dim=(1, 2), keepdim=True)).repeat_interleave(c, dim=0)[:, None]
    padded = F.pad(x, [radius] * 4, mode="reflect").reshape(1, n * c, h + 2 * radius, w + 2 * radius)
    return F.conv2d(padded, kernels, groups=n * c).reshape(n, c, h, w)


def resized(x, height, width):
    """Pillow's bicubic filter (a = -0.5, widened when going down), in torch."""
    return F.interpolate(x, size=(height, width), mode="bicubic", align_corners=False, antialias=True)


def perFactor(x, factor, down):
    """Down by each sample's factor, 2 or 4, and back up; the last row and column are repeated up to a multiple."""
    h, w = x.shape[2:]
    out = torch.empty_like(x)
    factors = torch.as_tensor(factor).reshape(-1).expand(x.shape[0])
    for f in (2, 4):
        index = (factors == f).nonzero()[:, 0].to(x.device)
        if len(index):
            padded = F.pad(x[index], (0, -w % f, 0, -h % f), mode="replicate")
            out[index] = resized(down(padded, f), *padded.shape[2:])[:, :, :h, :w]
    return out


def bicubic(x, noise, factor):
    del noise
    return perFactor(x, factor, lambda y, f: resized(y, y.shape[2] // f, y.shape[3] // f))


def area(x, noise, factor):
    del noise
    return perFactor(x, factor, F.avg_pool2d)


THREADS = ThreadPoolExecutor()


def oneJpeg(job):
    pixels, quality = job
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def jpeg(x, noise, quality):
    del noise
    pixels = (x.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    qualities = torch.as_tensor(quality).reshape(-1).expand(x.shape[0]).tolist()
    jobs = [(picture[..., 0] if picture.shape[2] == 1 else picture, int(q)) for picture, q in zip(pixels, qualities)]
    done = np.stack(list(THREADS.map(oneJpeg, jobs))).reshape(pixels.shape)
    return torch.from_numpy(done).permute(0, 3, 1, 2).to(x) / 255


def camera(x, noise, width, peak, read, quality):
    light = torch.where(x <= 0.04045, x / 12.92, ((x.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    light = gaussian(poisson(blur(light, noise, width, 1.0, 0.0).clamp(min=0), noise, peak), noise, read).clamp(0, 1)
    seen = torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
    return jpeg(seen, noise, quality)


KINDS = {"clean": lambda x, noise: x, "gaussian": gaussian, "poisson": poisson, "jpeg": jpeg, "blur": blur,
         "bicubic": bicubic, "area": area, "camera": camera}


def drawParameters(kind, ranges, count, generator):
    """[count] values of each parameter, from a CPU generator. `ranges` overrides RANGES."""
    drawn = {}
    for name, bounds in RANGES[kind].items():
        low, high = ranges.get(name, bounds)
        value = torch.rand(count, generator=generator)
        if name == "factor":  # one of the two ends
            drawn[name] = low + (value >= 0.5) * (high - low)
        elif name in WHOLE:
            drawn[name] = (low + value * (high + 1 - low)).floor().clamp(max=high)
        else:
            drawn[name] = low + value * (high - low)
    return drawn
