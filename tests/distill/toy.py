"""A diffusion in two dimensions whose answers are known, and a student for it.

The data of class c is a Gaussian N(m_c, diag(s_c^2)). Its posterior mean is E[x0 | x_t] = m + alpha s^2 / (alpha^2 s^2 +
sigma^2) (x_t - alpha m), which is the perfect teacher; mixtures weigh the means of their parts. Nothing needs training but
the students.
"""
import sys

import torch
from torch import nn

from distill import loop
from distill.data import seeded
from distill.diffusion import Diffusion, recipe, sample
from distill.distilling import distillationLoss, guidedX0, halvedTarget, roundTimesteps

MEANS = torch.tensor([[1.0, 0.5], [-1.0, -0.5]])
SPREADS = torch.tensor([[0.15, 0.4], [0.4, 0.15]])


def gaussianX0(diffusion, x, t, mean, spread):
    """E[x0 | x_t] for data N(mean, diag(spread^2)); all [N, 2]."""
    alpha, sigma = diffusion.coefficients(t, x)
    return mean + alpha * spread ** 2 / (alpha ** 2 * spread ** 2 + sigma ** 2) * (x - alpha * mean)


def mixtureX0(diffusion, x, t):
    """E[x0 | x_t] for the even mixture of the two classes."""
    alpha, sigma = diffusion.coefficients(t, x)
    variance = alpha[:, None] ** 2 * SPREADS ** 2 + sigma[:, None] ** 2  # [N, 2 classes, 2]
    distance = (x[:, None] - alpha[:, None] * MEANS) ** 2 / variance
    share = torch.softmax(-0.5 * (distance + variance.log()).sum(-1), dim=1)
    return sum(share[:, c:c + 1] * gaussianX0(diffusion, x, t, MEANS[c], SPREADS[c]) for c in (0, 1))


class Student(nn.Module):
    """[N, 2], t [N], labels [N] -> [N, 2]. A row of features for each of the timesteps and classes, and a perceptron."""

    def __init__(self, timesteps, width=64):
        super().__init__()
        self.first = nn.Linear(2, width)
        self.row = nn.Embedding(2 * len(timesteps), width)
        self.register_buffer("index", torch.zeros(1000, dtype=torch.long))
        self.index[timesteps] = torch.arange(len(timesteps))
        self.rest = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2))
        nn.init.zeros_(self.row.weight)

    def forward(self, x, t, labels):
        return self.rest(self.first(x) + self.row(2 * self.index[t] + labels))


def distil(folder, diffusion, teacher, rounds, steps, seed=0, guided=None, batch=128, labelled=True):
    """teacher(x, t, labels) -> x0. Returns students' (timesteps, x0 function) for each round. With `guided`, the (labelled)
    teacher's guided x0 is learnt first at the timesteps of twice the first round. Not `labelled`: all are of class 0."""
    torch.manual_seed(seed)
    network, results = Student(recipe(2 * rounds[0])), []
    listed = ([(2 * rounds[0], guided)] if guided else []) + [(steps_, None) for steps_ in rounds]
    for number, (count, fold) in enumerate(listed):
        grid = roundTimesteps(count)

        def lossOf(step, part, grid=grid, fold=fold, teacher=teacher, number=number):
            generator = seeded(seed, 20 + number, step)
            labels = torch.randint(0, 2, (batch,), generator=generator)
            x0 = MEANS[labels] + SPREADS[labels] * torch.randn(batch, 2, generator=generator)
            labels = labels if labelled else torch.zeros_like(labels)
            t, middle, target = grid[torch.randint(0, len(grid), (batch,), generator=generator)].T
            x = diffusion.noised(x0, torch.randn(batch, 2, generator=generator), t)
            wanted = fold(x, t, labels) if fold else \
                halvedTarget(lambda x, t: teacher(x, t, labels), diffusion, x, t, middle, target)
            return distillationLoss(diffusion, network(x, t, labels), x, t, wanted), batch

        state = loop.makeState(network)
        loop.fit(state, steps, lossOf, "%s/round-%d" % (folder, number), {}, 1e-2, 20, 0.98, steps, steps)
        frozen = Student(recipe(2 * rounds[0]))
        frozen.load_state_dict(loop.averageWeights(state), strict=False)  # the index is no weight
        network.load_state_dict(frozen.state_dict())
        frozen.requires_grad_(False)

        def teacher(x, t, labels, frozen=frozen):
            return diffusion.x0From(frozen(x, t, labels), x, t)

        results.append((recipe(count), teacher))
    return results


def run(diffusion, x0, timesteps, x, labels):
    """DDIM with an x0 function."""
    return sample(lambda state, t: diffusion.outputFor(x0(state, t, labels), state, t), diffusion, timesteps, x)


def guidedTeacher(diffusion, scale):
    """The guided x0 of two exact Gaussians: conditional on the class, and unconditional of the mixture."""
    def x0(x, t, labels):
        def predict(x, t, conditional):
            found = gaussianX0(diffusion, x, t, MEANS[labels], SPREADS[labels]) if conditional else mixtureX0(diffusion, x, t)
            return diffusion.outputFor(found, x, t)
        return guidedX0(predict, diffusion, scale, x, t)
    return x0


def draw(path):
    """Left: noise's way through the mixture's ODE to its data by 64 exact steps. Then what each student makes of the same
    noise, in fewer and fewer steps; blue and red by where the exact ODE ends."""
    import tempfile
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    diffusion = Diffusion("v", "cosine", True, clip=False)
    exact = lambda x, t, labels: mixtureX0(diffusion, x, t)
    x, labels = torch.randn(2000, 2, generator=seeded(1, 1, 1)), torch.zeros(2000, dtype=torch.long)
    reference = run(diffusion, exact, recipe(64), x, labels)
    with tempfile.TemporaryDirectory() as folder:
        students = distil(folder, diffusion, exact, [8, 4, 2, 1], 3000, labelled=False)
    panels = [("noise", x), ("exact, 64 steps", reference), ("exact, 2 steps", run(diffusion, exact, recipe(2), x, labels))]
    panels += [("student, %d step%s" % (len(timesteps), "s" * (len(timesteps) > 1)),
                run(diffusion, x0, timesteps, x, labels)) for timesteps, x0 in students]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(3 * len(panels), 3), sharex=True, sharey=True)
    for axis, (title, points) in zip(axes, panels):
        axis.scatter(points[:, 0], points[:, 1], c=(reference[:, 0] > 0).int(), cmap="coolwarm", s=2)
        error = (points - reference).square().mean().sqrt().item()
        axis.set_title(title + ("" if title == "noise" else ", rms error %.3f" % error), fontsize=8)
    axes[0].set_xlim(-3, 3), axes[0].set_ylim(-3, 3)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


if __name__ == "__main__":
    draw(sys.argv[1])
