"""The loop that train and each round of distil share: optimizer, moving average, checkpoints, progress, curves.

Random numbers depend on the seed and the step alone (data.seeded), so that network, optimizer, moving average and step
number are the whole state: a run that was killed and resumed from its last checkpoint ends in the same bits as one that
was not. On CUDA the order of sums inside kernels may differ between runs; everything drawn does not.
"""
import csv
import math
import os
import signal
import time
from dataclasses import dataclass, field

import torch

from .muon import Muon


class RunError(Exception):
    pass


@dataclass
class State:
    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    average: list                # tensors in the order of network.parameters(): exponential moving averages
    step: int = 0
    part: float = 0.0            # how much of the schedule is done, 0 to 1
    seconds: float = 0.0
    extra: dict = field(default_factory=dict)  # what else a checkpoint keeps: the round, its teacher


def makeState(network, weightDecay=0.0, **extra):
    return State(network, Muon(network, weightDecay), [p.detach().clone() for p in network.parameters()], extra=extra)


def averageWeights(state):
    """The moving average as a state dict."""
    return {name: value.clone() for (name, _), value in zip(state.network.named_parameters(), state.average)}


def saveCheckpoint(path, state, identity):
    content = {"identity": identity, "step": state.step, "part": state.part, "seconds": state.seconds,
               "network": state.network.state_dict(), "average": state.average,
               "optimizer": state.optimizer.state_dict(), "extra": state.extra}
    temporary = path + ".tmp"
    with open(temporary, "wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def readCheckpoint(path, identity):
    """The content of a checkpoint, or None where there is none; a run of another configuration is refused. On the CPU: what
    belongs elsewhere is copied there, and the optimizer's counters stay where reading them waits for nothing."""
    if not os.path.exists(path):
        return None
    try:
        content = torch.load(path, map_location="cpu")
    except Exception as error:  # torch raises many kinds on a damaged file
        raise RunError("%s cannot be read: %s" % (path, error)) from error
    for section, value in identity.items():
        before = content["identity"].get(section)
        if before != value:
            keys = [key for key in value if not isinstance(before, dict) or before.get(key) != value[key]] \
                if isinstance(value, dict) else []
            raise RunError("%s was made with another configuration: %s%s differs. Give [run] output another folder, or "
                           "delete this one" % (path, section, " " + ", ".join(keys) if keys else ""))
    return content


def restore(state, content):
    state.network.load_state_dict(content["network"])
    state.optimizer.load_state_dict(content["optimizer"])
    with torch.no_grad():
        for mine, kept in zip(state.average, content["average"]):
            mine.copy_(kept)
    state.step, state.part, state.seconds = content["step"], content["part"], content["seconds"]
    state.extra = content["extra"]


def learningRate(peak, warmup, step, part):
    """Linear warm-up, then half a cosine down to 1/100 of the peak."""
    return peak * min(1.0, (step + 1) / max(1, warmup)) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, part))))


class Curves:
    """A CSV of what was logged, and a PNG of its columns."""

    COLUMNS = ["step", "seconds", "loss", "learning_rate", "images_per_second", "validation"]

    def __init__(self, path, step):
        self.path, self.rows, self.drawn = path, [], time.monotonic()
        if os.path.exists(path):  # rows behind the checkpoint will be made again
            with open(path, newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        with open(path + ".tmp", "w", newline="") as file:
            writer = csv.DictWriter(file, self.COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(path + ".tmp", path)

    def add(self, **row):
        row = {name: "" if row.get(name) is None else "%.6g" % row[name] for name in self.COLUMNS}
        row["step"] = str(int(float(row["step"])))
        self.rows.append(row)
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, self.COLUMNS).writerow(row)

    def draw(self, seconds):
        """Not sooner than so many seconds after the last time."""
        if time.monotonic() < self.drawn + seconds:
            return
        self.drawn = time.monotonic()
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
        figure, axes = pyplot.subplots(1, 3, figsize=(15, 4))
        for axis, name in zip(axes, ("loss", "validation", "learning_rate")):
            points = [(int(row["step"]), float(row[name])) for row in self.rows if row[name]]
            axis.plot(*zip(*points) if points else ([], []), linewidth=1)
            axis.set_xlabel("step"), axis.set_title(name + (" (PSNR, dB)" if name == "validation" else ""))
            if name == "loss" and points:
                axis.set_yscale("log")
        figure.subplots_adjust(0.05, 0.12, 0.98, 0.92)
        temporary = self.path[:-4] + ".tmp.png"
        figure.savefig(temporary, dpi=80)
        pyplot.close(figure)
        os.replace(temporary, self.path[:-4] + ".png")


def clock(seconds):
    return "%d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)


class Stop:
    """Ctrl-C and SIGTERM end a run after the present step, with a checkpoint."""

    def __enter__(self):
        self.asked = False
        self.before = {number: signal.signal(number, self.ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def ask(self, number, frame):
        self.asked = True

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)


def fit(state, steps, lossOf, path, identity, peak, warmup, ema, logEvery, saveEvery, validate=None, validateEvery=0,
        deadline=None, finish=False, title=""):
    """Optimises until `steps`; lossOf(step, part) is (loss, images). Checkpoints go to path + ".pt", curves to ".csv" and
    ".png". At `deadline` (time.monotonic()) the run stops with a checkpoint; with `finish` the rest of the schedule is
    run through by then. Returns whether all was done."""
    curves = Curves(path + ".csv", state.step)
    parameters = list(state.network.parameters())
    if state.part >= 1 and state.step < steps:  # a finished run that is to go on
        state.part = state.step / steps
    start, firstPart, firstSeconds = time.monotonic(), state.part, state.seconds
    sinceLog, images, losses, counted = start, 0, torch.zeros((), device=parameters[0].device), 0
    imagesTotal = 0

    def save():
        saveCheckpoint(path + ".pt", state, identity)
        curves.draw(0 if state.part >= 1 else 60)

    with Stop() as stop:
        while state.step < steps and state.part < 1:
            if finish:
                passed = (time.monotonic() - start) / max(deadline - start, 1e-3)
                state.part = firstPart + (1 - firstPart) * min(1.0, passed)
            else:
                state.part = max(state.part, state.step / steps)
            for group in state.optimizer.param_groups:
                group["lr"] = learningRate(peak, warmup, state.step, state.part)
            loss, count = lossOf(state.step, state.part)
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            state.optimizer.step()
            decay = min(ema, (1 + state.step) / (10 + state.step))
            with torch.no_grad():
                torch._foreach_mul_(state.average, decay)
                torch._foreach_add_(state.average, parameters, alpha=1 - decay)
                losses += loss.detach()
            state.step += 1
            counted, images, imagesTotal = counted + 1, images + count, imagesTotal + count
            last = state.step == steps or state.part >= 1
            validated = validateEvery and validate and (state.step % validateEvery == 0 or last)
            if state.step % logEvery == 0 or last or validated:
                mean = losses.item() / counted
                if not math.isfinite(mean):
                    raise RunError("%s: the loss is %s at step %d: a smaller learning_rate helps" % (path, mean, state.step))
                now = time.monotonic()
                state.seconds = firstSeconds + now - start
                rate = images / max(now - sinceLog, 1e-9)
                score = validate(averageWeights(state)) if validated else None
                left = (now - start) / (state.part - firstPart) * (1 - state.part) if state.part > firstPart else 0
                curves.add(step=state.step, seconds=state.seconds, loss=mean,
                           learning_rate=state.optimizer.param_groups[0]["lr"], images_per_second=rate, validation=score)
                print("%sstep %d/%d  loss %.5f  %.0f images/s  %s left%s"
                      % (title, state.step, steps, mean, rate, clock(left),
                         "" if score is None else "  validation %.2f dB" % score), flush=True)
                losses.zero_()
                sinceLog, images, counted = time.monotonic(), 0, 0
            if state.step % saveEvery == 0 and not last:
                save()
            # seen after a step, so that every sitting makes one
            if stop.asked or (deadline is not None and not finish and time.monotonic() >= deadline):
                break
    state.seconds = firstSeconds + time.monotonic() - start
    if state.step == steps:
        state.part = 1.0
    save()
    if state.part < 1:
        print("%sstopped at step %d; the same command goes on from there" % (title, state.step), flush=True)
    return state.part >= 1
