"""`distil`: rounds in which a student learns to do in one DDIM step what its teacher does in two.

Salimans and Ho 2022, "Progressive distillation", algorithm 2. With guidance, a first round teaches the student the guided
prediction of the teacher (Meng et al. 2023, stage one, at one guidance scale), so that no later pass needs two. The
students' timesteps are those of their recipes: 4 steps are trained at 999, 749, 499, 249 and at nothing else.

The functions of the method know no network: a teacher is any function (x, t) -> x0.
"""
import os
import time
from dataclasses import dataclass

import torch

from . import loop, safetensors_file
from .data import seeded
from .diffusion import recipe
from .loop import RunError
from .task import STATE, ask, makeNetwork, makeTask
from .training import describe, halfPrecision, makeDiffusion, multipliesHalf


@torch.no_grad()
def halvedTarget(teacher, diffusion, x, t, middle, target):
    """The x0 that one DDIM step from t to `target` needs to arrive where the teacher's two steps arrive, by `middle`."""
    there = diffusion.ddim(x, teacher(x, t), t, middle)
    there = diffusion.ddim(there, teacher(there, middle), middle, target)
    alpha, sigma = diffusion.coefficients(t, x)
    alphaTo, sigmaTo = diffusion.coefficients(target, x)
    ratio = sigmaTo / sigma
    return (there - ratio * x) / (alphaTo - ratio * alpha)


@torch.no_grad()
def guidedX0(predict, diffusion, scale, x, t):
    """x0 of the guided output, unconditional + scale (conditional - unconditional), as samplers compute it (Ho and
    Salimans 2021); predict(x, t, conditional) is a network's output."""
    without, given = predict(x, t, False), predict(x, t, True)
    return diffusion.x0From(without + scale * (given - without), x, t)


def distillationLoss(diffusion, output, x, t, target):
    """Salimans and Ho 2022, equation 9: the squared error of x0 times max(SNR, 1)."""
    weight = diffusion.snr(t, x).clamp(min=1)
    # v at high SNR is divided by sigma and multiplied by alpha / sigma: form the error of v itself where that is exact
    if diffusion.prediction == "v":
        alpha, sigma = diffusion.coefficients(t, x)
        error = output - diffusion.outputFor(target, x, t)
        return (error.square() * (weight * sigma ** 2)).mean()
    return ((diffusion.x0From(output, x, t) - target).square() * weight).mean()


@dataclass
class Round:
    name: str
    steps: int          # of the student
    guided: bool        # folds guidance in and halves nothing


def rounds(config):
    listed = [Round("%d" % steps, steps, False) for steps in config.distil.rounds]
    if config.distil.guidance != 1.0:
        first = 2 * config.distil.rounds[0]
        listed.insert(0, Round("guided-%d" % first, first, True))
    return listed


def roundTimesteps(steps):
    """[steps, 3] timesteps: where a student's step begins, the middle of the teacher's two, and where both arrive."""
    fine = recipe(2 * steps) + [-1]
    return torch.tensor([fine[2 * i:2 * i + 3] for i in range(steps)])


def drawWeights(one):
    """[steps] how often each step of a round's student is trained: a quarter of the draws alike, the rest as 1, 1/4, 1/9
    and so on from the noise. What a student loses it loses in its first step, which decides what the picture will be: with
    the teacher's first half and the student's second the tiles' Frechet distance is the teacher's."""
    even = torch.full((one.steps,), 1 / one.steps, dtype=torch.float64)
    if one.guided:  # no step there is longer than its teacher's
        return even
    falling = 1 / torch.arange(1, one.steps + 1).double().square()
    return 0.25 * even + 0.75 * falling / falling.sum()


def teacherWeights(config):
    """The moving average at the end of `train`."""
    path = os.path.join(config.run.output, "train.pt")
    if not os.path.exists(path):
        raise RunError("%s does not exist: train first, with the same [run] output" % path)
    content = torch.load(path, map_location="cpu")
    network = makeNetwork(config, content["extra"].get("classes", 0))
    network.load_state_dict(content["network"])
    return {name: value for (name, _), value in zip(network.named_parameters(), content["average"])}


def studentPath(config, name):
    return os.path.join(config.run.output, "student-%s.safetensors" % name)


def distilRun(config, device, minutes=None, finish=False):
    """All rounds, or the rest of them; each leaves student-STEPS.safetensors. With `finish` the rounds that are left share the
    minutes evenly. Returns whether all is done."""
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    task, diffusion, settings = makeTask(config, device), makeDiffusion(config), config.distil
    identity = config.distilledBy()
    weights = {name: value.to(device) for name, value in teacherWeights(config).items()}
    network, teacher = (makeNetwork(config, task.classes).to(device) for _ in range(2))
    describe(network, config.run.task)
    if multipliesHalf(device.type):
        network, teacher = (net.to(memory_format=torch.channels_last) for net in (network, teacher))
    teacher.requires_grad_(False)
    side = settings.side or config.train.crops[-1][1]
    listed = rounds(config)
    for number, one in enumerate(listed):
        if os.path.exists(studentPath(config, one.name)):
            weights = {name: value.to(device) for name, value in safetensors_file.load(studentPath(config, one.name)).items()}
            continue
        path = os.path.join(config.run.output, "distil-%s" % one.name)
        teacher.load_state_dict(weights)
        network.load_state_dict(weights)
        state = loop.makeState(network)
        content = loop.readCheckpoint(path + ".pt", identity)
        if content:
            loop.restore(state, content)
            print("round %s: going on from step %d" % (one.name, state.step), flush=True)
        grid, often = roundTimesteps(one.steps).to(device), drawWeights(one).to(device)

        def lossOf(step, part, one=one, grid=grid, often=often, number=number):
            batch = task.batch(step, side, settings.batch)
            generator = seeded(config.run.seed, STATE + 100 * (number + 1), step, device)
            noise = torch.randn(batch.x0.shape, generator=generator, device=device)
            drawn = torch.multinomial(often, settings.batch, replacement=True, generator=generator)
            t, middle, target = grid[drawn].T
            x = diffusion.noised(batch.x0, noise, t)
            none = None if batch.labels is None else torch.full_like(batch.labels, task.classes)

            def predict(x, t, conditional=True):
                with halfPrecision(x.device):
                    return ask(teacher, x, t, batch.condition, batch.labels if conditional else none).float()

            if one.guided:
                wanted = guidedX0(predict, diffusion, settings.guidance, x, t)
            else:
                wanted = halvedTarget(lambda x, t: diffusion.x0From(predict(x, t), x, t), diffusion, x, t, middle, target)
            with halfPrecision(x.device):
                output = ask(network, x, t, batch.condition, batch.labels).float()
            return distillationLoss(diffusion, output, x, t, wanted), settings.batch

        if finish:
            now = time.monotonic()
            until = now + (deadline - now) / (len(listed) - number)
        else:
            until = deadline
        if not loop.fit(state, settings.steps, lossOf, path, identity, settings.learning_rate, settings.warmup,
                        settings.ema, config.run.log_every, config.run.save_every, deadline=until, finish=finish,
                        title="round %s: " % one.name):
            return False
        weights = loop.averageWeights(state)
        safetensors_file.save(studentPath(config, one.name), weights)
    return True
