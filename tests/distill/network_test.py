import json
import os
import tempfile
import unittest

import torch

from distill import safetensors_file
from distill.diffusion import Diffusion, recipe, sample
from distill.network import NetworkError, UNet, diffusersConfig, multiplyAdds, parameterCount, silu
from support import GOLDENS, SHIPPED


def loadCase(folder):
    with open(os.path.join(folder, "unet", "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    network = UNet(config)
    weights = safetensors_file.load(os.path.join(folder, "unet", "diffusion_pytorch_model.safetensors"))
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return network, config


class Network(unittest.TestCase):
    def assertClose(self, found, wanted, tolerance):
        error = (found - wanted).norm() / wanted.norm()
        self.assertLess(error.item(), tolerance)

    def testOutputsEqualThoseOfDiffusers(self):
        for name in ("ddpm-uncond-32", "ddim-vpred-cosine-32", "restore-sr-cond-64-conv"):
            network, _ = loadCase(os.path.join(GOLDENS, name))
            goldens = safetensors_file.load(os.path.join(GOLDENS, name, "goldens.safetensors"))
            with open(os.path.join(GOLDENS, name, "case.json"), encoding="utf-8") as file:
                tolerance = json.load(file)["errors"]["fwd.out"]["tol_fp32_rel_l2"]
            x = goldens["fwd.x"]
            if "cond" in goldens:
                x = torch.cat([x, goldens["cond"].expand(len(x), -1, -1, -1)], dim=1)
            for i, t in enumerate(goldens["fwd.t"]):
                with self.subTest(name, t=int(t)), torch.no_grad():
                    self.assertClose(network(x, t.expand(len(x))), goldens["fwd.out"][i], tolerance)

    def testTrajectoriesOfTheShippedModelAreTheRecordedOnes(self):
        network, _ = loadCase(SHIPPED)
        with open(os.path.join(SHIPPED, "scheduler", "scheduler_config.json"), encoding="utf-8") as file:
            diffusion = Diffusion.fromSchedulerConfig(json.load(file))
        goldens = safetensors_file.load(os.path.join(GOLDENS, "restore", "reference.safetensors"))
        for steps in (1, 2, 4):
            run = "ddim%d" % steps
            with self.subTest(run):
                states = goldens[run + ".x"]
                found = sample(lambda x, t: network(torch.cat([x, goldens["condition"]], 1), t), diffusion, recipe(steps),
                               states[0])
                self.assertClose(found, states[-1], 2e-5)

    def testConfigurationIsWrittenAsDiffusersWroteIt(self):
        network, config = loadCase(os.path.join(GOLDENS, "restore-sr-cond-64-conv"))
        self.assertEqual(diffusersConfig(network.config), config)

    def testGradientOfSiluIsThatOfPyTorch(self):
        x = torch.linspace(-20, 20, 401, dtype=torch.float64, requires_grad=True)
        found, wanted = (torch.autograd.grad(function(x).sin().sum(), x)[0] for function in (silu, torch.nn.functional.silu))
        self.assertLess((found - wanted).abs().max().item(), 1e-12)

    def testHalfPrecisionChangesAPassByLittle(self):
        network, _ = loadCase(SHIPPED)
        goldens = safetensors_file.load(os.path.join(GOLDENS, "restore", "reference.safetensors"))
        x = torch.cat([goldens["x_start"], goldens["condition"]], 1)[:, :, :64, :64]
        with torch.no_grad():
            exact = network(x, torch.tensor([999]))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                self.assertClose(network(x, torch.tensor([999])).float(), exact, 0.02)

    def testUnknownBlocksAndKeysAreRefusedByName(self):
        _, config = loadCase(SHIPPED)
        for key, value, message in (("act_fn", "gelu", "act_fn"), ("dropouts", 0, "dropouts"),
                                    ("norm_num_groups", 7, "block_out_channels"),
                                    ("down_block_types", ["SkipDownBlock2D"] * 4, "SkipDownBlock2D")):
            with self.subTest(key), self.assertRaisesRegex(NetworkError, message):
                UNet({**config, key: value})

    def testClassesShiftTheTimeEmbedding(self):
        torch.manual_seed(0)
        network = UNet({"block_out_channels": [8, 16], "layers_per_block": 1, "norm_num_groups": 8, "num_class_embeds": 3,
                        "down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2})
        x, t = torch.randn(1, 3, 8, 8), torch.tensor([5])
        outputs = [network(x, t, torch.tensor([label])) for label in range(3)]
        self.assertGreater((outputs[0] - outputs[1]).abs().max().item(), 1e-3)
        self.assertEqual(network.class_embedding.weight.shape, (3, 32))

    def testCountsOfTheShippedModelAreThoseOfItsCard(self):
        network, _ = loadCase(SHIPPED)
        self.assertEqual(parameterCount(network), 3417731)
        one = UNet({"block_out_channels": [8], "layers_per_block": 1, "norm_num_groups": 8, "add_attention": False,
                    "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"]})
        convolutions = 3 * 8 + 5 * 2 * 64 + 8 * 3 + 2 * 8 * 8 + 8 * 8  # 3x3: in, five blocks (two with 16 inputs), out
        time = 8 * 32 + 32 * 32 + 5 * 32 * 8
        shortcuts = 2 * 16 * 8
        self.assertEqual(multiplyAdds(one, 4, 4), 16 * (9 * convolutions - 9 * 64 + shortcuts) + time)


class Safetensors(unittest.TestCase):
    def testTensorsComeBackAndDamageIsNamed(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.safetensors")
            tensors = {"half": torch.randn(3, 5).half(), "whole": torch.arange(4), "empty": torch.zeros(0, 2)}
            safetensors_file.save(path, tensors)
            for name, value in safetensors_file.load(path).items():
                self.assertTrue(torch.equal(value, tensors[name]), name)
            with open(path, "rb") as file:
                data = file.read()
            with open(path, "wb") as file:
                file.write(data[:-1])
            with self.assertRaisesRegex(safetensors_file.TensorFileError, "whole|half"):
                safetensors_file.load(path)


if __name__ == "__main__":
    unittest.main()
