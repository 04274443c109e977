"""A small classifier, trained on the generator's own pictures, whose features Fréchet distances are taken in.

Distances in it mean something between models measured with the same classifier, and nothing beside published FIDs.
"""
import os

import torch
import torch.nn.functional as F
from torch import nn

from . import safetensors_file
from .data import seeded

STREAM, BATCH, FEATURES = 50, 64, 64


class Classifier(nn.Module):
    def __init__(self, classes):
        super().__init__()
        widths = [3, 32, 48, 64]
        self.convolutions = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:])])
        self.norms = nn.ModuleList([nn.GroupNorm(8, width) for width in widths[1:]])
        self.features = nn.Linear(widths[-1] * 4, FEATURES)
        self.head = nn.Linear(FEATURES, classes)

    def embed(self, x):
        """[N, 3, S, S] in [-1, 1] -> [N, FEATURES]"""
        for convolution, norm in zip(self.convolutions, self.norms):
            x = F.max_pool2d(F.relu(norm(convolution(x))), 2)
        return self.features(F.adaptive_avg_pool2d(x, 2).flatten(1))

    def forward(self, x):
        return self.head(F.relu(self.embed(x)))


def trained(path, pictures, labels, seed, steps):
    """The classifier kept at `path`, or a new one: every tenth picture is left out; prints its accuracy on those."""
    classes = int(labels.max()) + 1
    torch.manual_seed(seed)
    network = Classifier(classes).to(pictures.device)
    if os.path.exists(path):
        network.load_state_dict(safetensors_file.load(path))
        return network.eval()
    x, held = pictures.float() / 127.5 - 1, torch.arange(len(labels), device=labels.device) % 10 == 9
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    index = (~held).nonzero()[:, 0]
    for step in range(steps):
        generator = seeded(seed, STREAM, step)
        chosen = index[torch.randint(0, len(index), (BATCH,), generator=generator).to(index.device)]
        shift = torch.randint(-2, 3, (2,), generator=generator).tolist()
        noise = 0.1 * torch.randn(BATCH, *x.shape[1:], generator=generator).to(x.device)
        loss = F.cross_entropy(network(torch.roll(x[chosen], shift, (2, 3)) + noise), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        right = (network(x[held]).argmax(1) == labels[held]).double().mean().item() if held.any() else float("nan")
    print("classifier: %.1f %% of %d held-out pictures right" % (100 * right, int(held.sum())), flush=True)
    safetensors_file.save(path, network.state_dict())
    return network.eval()
