import io
import math
import unittest

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from distill import degrade
from distill.data import seeded


def texture(n=1, side=32, seed=0):
    return torch.rand(n, 3, side, side, generator=seeded(seed, 9, 9))


def noise(step=0):
    return degrade.TorchNoise(seeded(1, 2, step))


class Degradations(unittest.TestCase):
    def testEveryKindIsRepeatedBySeedAndKeepsTheShape(self):
        x = texture(3)
        for kind in degrade.KINDS:
            parameters = degrade.drawParameters(kind, {}, 3, seeded(0, 1, 2))
            one, two = (degrade.KINDS[kind](x, noise(), **parameters) for _ in range(2))
            self.assertEqual(one.shape, x.shape, kind)
            self.assertTrue(torch.equal(one, two), kind)
            self.assertTrue(torch.isfinite(one).all(), kind)
            if kind != "clean":
                self.assertGreater((one - x).abs().max().item(), 1e-3, kind)

    def testParametersStayWithinTheirBounds(self):
        for kind, ranges in degrade.RANGES.items():
            for name, value in degrade.drawParameters(kind, {}, 500, seeded(0, 3, 4)).items():
                low, high = ranges[name]
                self.assertTrue(low <= value.min() and value.max() <= high, (kind, name))
        quality = degrade.drawParameters("jpeg", {"quality": [30, 31]}, 100, seeded(0, 1, 1))["quality"]
        self.assertEqual(sorted(set(quality.tolist())), [30, 31])

    def testGaussianNoiseHasEachPicturesStrength(self):
        x = torch.full((2, 3, 128, 128), 0.5)
        spread = (degrade.gaussian(x, noise(), torch.tensor([10.0, 40.0])) - x).flatten(1).std(dim=1) * 255
        self.assertAlmostEqual(spread[0].item(), 10, delta=0.2)
        self.assertAlmostEqual(spread[1].item(), 40, delta=0.8)

    def testShotNoiseHasTheVarianceOfItsPhotons(self):
        x = torch.full((1, 3, 128, 128), 0.4)
        y = degrade.poisson(x, noise(), 100)
        self.assertAlmostEqual(y.mean().item(), 0.4, delta=2e-3)
        self.assertAlmostEqual(y.var().item(), 0.4 / 100, delta=2e-4)

    def testJpegIsPillowsOwn(self):
        x = texture(2)
        found = degrade.jpeg(x, None, torch.tensor([20.0, 80.0]))
        for i, quality in enumerate((20, 80)):
            file = io.BytesIO()
            pixels = (x[i] * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(file, "JPEG", quality=quality)
            wanted = np.asarray(Image.open(file)).astype(np.float32) / 255
            self.assertLess(np.abs(found[i].permute(1, 2, 0).numpy() - wanted).max(), 1e-6)

    def testRoundBlurEqualsScipys(self):
        x = texture(1, 40)
        found = degrade.blur(x, None, torch.tensor([1.3]), torch.tensor([1.0]), torch.tensor([0.7]))[0].numpy()
        wanted = gaussian_filter(x[0].double().numpy(), (0, 1.3, 1.3), mode="mirror", truncate=4 / 1.3)
        self.assertLess(np.abs(found - wanted).max(), 1e-5)

    def testTurnedBlurIsNarrowAcross(self):
        x = torch.zeros(1, 3, 33, 33)
        x[:, :, 16, 16] = 1
        y = degrade.blur(x, None, torch.tensor([3.0]), torch.tensor([0.3]), torch.tensor([math.pi / 2]))[0, 0]
        self.assertAlmostEqual(y.sum().item(), 1, places=5)
        self.assertGreater(y[20, 16].item(), 10 * y[16, 20].item())

    def testBicubicEqualsPillows(self):
        for factor in (2, 4):
            x = texture(1, 32, seed=factor)
            found = degrade.bicubic(x, None, factor)[0]
            for channel in range(3):
                plane = Image.fromarray(x[0, channel].numpy(), mode="F")
                small = plane.resize((32 // factor, 32 // factor), Image.BICUBIC)
                wanted = np.asarray(small.resize((32, 32), Image.BICUBIC))
                self.assertLess(np.abs(found[channel].numpy() - wanted).max(), 1e-5)

    def testAreaAveragesBeforeItEnlarges(self):
        x = texture(2, 32)
        found = degrade.area(x, None, torch.tensor([2, 4]))
        for i, factor in enumerate((2, 4)):
            small = x[i:i + 1].reshape(1, 3, 32 // factor, factor, 32 // factor, factor).mean(dim=(3, 5))
            self.assertLess((found[i:i + 1] - degrade.resized(small, 32, 32)).abs().max().item(), 1e-5)

    def testOddSidesAreKept(self):
        x = texture(1, 32)[:, :, :31, :29]
        self.assertEqual(degrade.bicubic(x, None, 4).shape, x.shape)

    def testCameraWithoutNoiseOrBlurIsAJpeg(self):
        x = texture(1)
        seen = degrade.camera(x, degrade.NumpyNoise(0), 0.05, 1e7, 0, 95)
        self.assertLess((seen - degrade.jpeg(x, None, 95)).abs().mean().item(), 5e-3)

    def testEvaluationsNoiseIsNumpysInItsOrder(self):
        x = torch.zeros(1, 3, 4, 5)
        found = degrade.gaussian(x, degrade.NumpyNoise(1000), 25)[0].permute(1, 2, 0).numpy() * 255
        wanted = np.random.default_rng(1000).standard_normal((4, 5, 3)) * 25
        self.assertLess(np.abs(found - wanted).max(), 1e-4)


if __name__ == "__main__":
    unittest.main()
