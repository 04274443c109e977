"""Noise schedules, what the network predicts, and DDIM steps between chosen timesteps.

x_t = alpha_t x0 + sigma_t noise with alpha_t^2 = alphasCumprod[t] = 1 - sigma_t^2. Tables are computed in double.
"""
import math

import torch

TIMESTEPS = 1000
PREDICTIONS = {"epsilon": "epsilon", "x0": "sample", "v": "v_prediction"}  # here -> diffusers


def linearBetas():
    return torch.linspace(1e-4, 0.02, TIMESTEPS, dtype=torch.float64)  # Ho et al. 2020


def cosineBetas():
    """Nichol and Dhariwal 2021, equation 17, with betas of at most 0.999."""
    def alphaBar(fraction):
        return math.cos((fraction + 0.008) / 1.008 * math.pi / 2) ** 2
    return torch.tensor([min(1 - alphaBar((i + 1) / TIMESTEPS) / alphaBar(i / TIMESTEPS), 0.999)
                         for i in range(TIMESTEPS)], dtype=torch.float64)


def zeroTerminal(alphasCumprod):
    """Lin et al. 2023, algorithm 1: sqrt(alphasCumprod) shifted to end at 0 and scaled to keep its first value."""
    root = alphasCumprod.sqrt()
    return ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2


class Diffusion:
    """`noiseScale` multiplies sigma_t / alpha_t at every t (Hoogeboom et al. 2023, "simple diffusion", section 3.1):
    below 1 it moves the few timesteps of a short recipe to less noise, where the last steps make texture. `clip` is
    whether sampling clips the picture at every step."""

    def __init__(self, prediction, schedule, zeroTerminalSnr, noiseScale=1.0, clip=True):
        if prediction == "epsilon" and zeroTerminalSnr:
            raise ValueError("epsilon says nothing about the picture at zero terminal SNR: predict v or x0")
        self.prediction, self.schedule = prediction, schedule
        self.zeroTerminalSnr, self.noiseScale, self.clip = zeroTerminalSnr, noiseScale, clip
        cumprod = torch.cumprod(1 - {"linear": linearBetas, "cosine": cosineBetas}[schedule](), 0)
        if zeroTerminalSnr:
            cumprod = zeroTerminal(cumprod)
        if noiseScale != 1.0:
            cumprod = cumprod / (cumprod + noiseScale ** 2 * (1 - cumprod))
        self.alphasCumprod = cumprod
        self.tables = {}  # device -> alpha, sigma

    def schedulerConfig(self):
        """diffusers' scheduler_config.json of the sampler that the models are trained for: DDIM, trailing timesteps."""
        config = {"_class_name": "DDIMScheduler", "_diffusers_version": "0.29.2", "num_train_timesteps": TIMESTEPS,
                  "prediction_type": PREDICTIONS[self.prediction], "timestep_spacing": "trailing", "clip_sample": self.clip,
                  "clip_sample_range": 1.0, "set_alpha_to_one": True, "steps_offset": 0, "thresholding": False,
                  "rescale_betas_zero_snr": self.zeroTerminalSnr, "beta_start": 1e-4, "beta_end": 0.02,
                  "beta_schedule": {"linear": "linear", "cosine": "squaredcos_cap_v2"}[self.schedule],
                  "trained_betas": None}
        if self.noiseScale != 1.0:  # no name for it in diffusers: the betas themselves, the last one 1 at zero SNR
            before = torch.cat([torch.ones(1, dtype=torch.float64), self.alphasCumprod[:-1]])
            config.update(trained_betas=(1 - self.alphasCumprod / before).tolist(), rescale_betas_zero_snr=False)
        return config

    @staticmethod
    def fromSchedulerConfig(config):
        """The schedule of a scheduler_config.json of the kinds that schedulerConfig() writes."""
        names = {value: key for key, value in PREDICTIONS.items()}
        schedules = {"linear": "linear", "squaredcos_cap_v2": "cosine"}
        for key, expected in (("beta_schedule", schedules), ("prediction_type", names)):
            if config.get(key) not in expected:
                raise ValueError("scheduler_config.json: %s: found %r, expected one of %s"
                                 % (key, config.get(key), ", ".join(expected)))
        diffusion = Diffusion("x0", schedules[config["beta_schedule"]], bool(config.get("rescale_betas_zero_snr")),
                              clip=bool(config.get("clip_sample", True)))
        diffusion.prediction = names[config["prediction_type"]]
        if config.get("trained_betas"):
            betas = torch.tensor(config["trained_betas"], dtype=torch.float64)
            diffusion.alphasCumprod = torch.cumprod(1 - betas, 0)
        return diffusion

    def coefficients(self, t, like):
        """alpha_t and sigma_t for timesteps t [N], shaped to multiply `like`; t = -1 is the clean picture."""
        if like.device not in self.tables:  # index -1 is the entry behind the last timestep
            cumprod = torch.cat([self.alphasCumprod, torch.ones(1, dtype=torch.float64)])
            self.tables[like.device] = cumprod.sqrt().float().to(like.device), (1 - cumprod).sqrt().float().to(like.device)
        shape = (-1,) + (1,) * (like.dim() - 1)
        return tuple(table[t].reshape(shape) for table in self.tables[like.device])

    def snr(self, t, like):
        alpha, sigma = self.coefficients(t, like)
        return (alpha / sigma) ** 2

    def noised(self, x0, noise, t):
        alpha, sigma = self.coefficients(t, x0)
        return alpha * x0 + sigma * noise

    def x0From(self, output, x, t):
        """The picture that a network's output stands for."""
        if self.prediction == "x0":
            return output
        alpha, sigma = self.coefficients(t, x)
        if self.prediction == "v":  # Salimans and Ho 2022: v = alpha noise - sigma x0
            return alpha * x - sigma * output
        return (x - sigma * output) / alpha

    def outputFor(self, x0, x, t):
        """What a network must say at x for this picture: the inverse of x0From."""
        if self.prediction == "x0":
            return x0
        alpha, sigma = self.coefficients(t, x)
        if self.prediction == "v":
            return (alpha * x - x0) / sigma
        return (x - alpha * x0) / sigma

    def ddim(self, x, x0, t, target, clip=False):
        """Song et al. 2021, equation 12 without noise: from x at t to timestep `target`, -1 for the picture itself. With
        `clip` x0 is clipped to [-1, 1] and the noise kept as predicted, as diffusers' clip_sample does."""
        alpha, sigma = self.coefficients(t, x)
        alphaTo, sigmaTo = self.coefficients(target, x)
        noise = (x - alpha * x0) / sigma
        return alphaTo * (x0.clamp(-1, 1) if clip else x0) + sigmaTo * noise


def recipe(steps):
    """The timesteps of a recipe: "trailing" spacing, as diffusers and mote-convert make it; 4 -> 999, 749, 499, 249."""
    if not 1 <= steps <= TIMESTEPS:
        raise ValueError("a recipe has 1 to %d steps, found %d" % (TIMESTEPS, steps))
    return [round(TIMESTEPS - i * TIMESTEPS / steps) - 1 for i in range(steps)]


@torch.no_grad()
def sample(predict, diffusion, timesteps, x):
    """DDIM from the state x down the timesteps to a picture; predict(x, t [N]) is the network's output."""
    for t, target in zip(timesteps, list(timesteps[1:]) + [-1]):
        t, target = (torch.full((x.shape[0],), value, device=x.device) for value in (t, target))
        x = diffusion.ddim(x, diffusion.x0From(predict(x, t), x, t), t, target, diffusion.clip)
    return x
