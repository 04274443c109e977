import os
import tempfile
import unittest

import torch
from torch import nn

from distill import config as configuration
from distill.muon import Muon, hiddenWeights, orthogonal
from distill.task import makeNetwork
from support import RESTORE, writeConfig


class Orthogonal(unittest.TestCase):
    def testSingularValuesAreNearOneAndTheirVectorsStay(self):
        torch.manual_seed(0)
        for shape in ((8, 72), (72, 8), (16, 16)):
            with self.subTest(shape):
                u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
                values = torch.linspace(0.1, 1, min(shape))
                found = u.T @ orthogonal(u @ torch.diag(values) @ v) @ v.T
                self.assertGreater(found.diagonal().min().item(), 0.6)
                self.assertLess(found.diagonal().max().item(), 1.3)
                self.assertLess((found - torch.diag(found.diagonal())).abs().max().item(), 0.05)


class Steps(unittest.TestCase):
    def testHiddenKernelsAreToldFromTheRest(self):
        with tempfile.TemporaryDirectory() as folder:
            config = configuration.load(writeConfig(os.path.join(folder, "run.toml"), RESTORE), folder)
        network = makeNetwork(config)
        hidden = {id(weight) for weight in hiddenWeights(network)}
        names = [name for name, parameter in network.named_parameters() if id(parameter) in hidden]
        self.assertIn("down_blocks.0.resnets.0.conv1.weight", names)
        for name in names:
            self.assertNotRegex(name, "^conv_in|^conv_out|time_emb|norm|bias")

    def testIllConditionedRegressionIsSolved(self):
        torch.manual_seed(1)
        scales = torch.logspace(-1, 0, 24)
        inputs = torch.randn(256, 24) * scales
        wanted = torch.randn(16, 24) / scales
        layer = nn.Linear(24, 16)
        optimizer, first = Muon(layer), None
        for step in range(300):
            for group in optimizer.param_groups:
                group["lr"] = 0.3 * (1 - step / 300)
            loss = (layer(inputs) - inputs @ wanted.T).square().mean()
            first = first or loss.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.assertLess(loss.item(), 0.01 * first, loss.item() / first)

    def testStateOfACheckpointGoesOn(self):
        torch.manual_seed(2)
        runs = []
        for stop in (None, 3):
            torch.manual_seed(3)
            layer = nn.Linear(4, 4)
            optimizer = Muon(layer)
            for step in range(6):
                if step == stop:
                    kept = optimizer.state_dict()
                    optimizer = Muon(layer)
                    optimizer.load_state_dict(kept)
                for group in optimizer.param_groups:
                    group["lr"] = 0.01
                optimizer.zero_grad()
                layer(torch.eye(4)).square().sum().backward()
                optimizer.step()
            runs.append(layer.weight.detach().clone())
        self.assertTrue(torch.equal(*runs))


if __name__ == "__main__":
    unittest.main()
