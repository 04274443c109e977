import math
import unittest

import torch

from distill.diffusion import Diffusion, recipe, sample


class Schedules(unittest.TestCase):
    def testTrailingTimestepsAreThoseOfDiffusers(self):
        self.assertEqual(recipe(1), [999])
        self.assertEqual(recipe(2), [999, 499])
        self.assertEqual(recipe(4), [999, 749, 499, 249])
        self.assertEqual(recipe(3), [999, 666, 332])

    def testStudentsTimestepsAreEverySecondOfTheirTeachers(self):
        for steps in (1, 2, 4, 8, 16, 32):
            self.assertEqual(recipe(steps), recipe(2 * steps)[::2])

    def testSchedulesHaveTheirPublishedValues(self):
        linear = Diffusion("x0", "linear", False).alphasCumprod
        self.assertAlmostEqual(linear[0].item(), 1 - 1e-4, places=12)
        self.assertAlmostEqual(linear[-1].item(), 4.0358e-5, places=9)
        cosine = Diffusion("x0", "cosine", False).alphasCumprod
        start = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
        self.assertAlmostEqual(cosine[499].item(), math.cos(0.508 / 1.008 * math.pi / 2) ** 2 / start, places=12)

    def testZeroTerminalSnrEndsInPureNoiseAndKeepsTheFirstStep(self):
        for schedule in ("linear", "cosine"):
            plain, rescaled = (Diffusion("v", schedule, zero).alphasCumprod for zero in (False, True))
            self.assertEqual(rescaled[-1].item(), 0)
            self.assertAlmostEqual(rescaled[0].item(), plain[0].item(), places=12)

    def testNoiseScaleMultipliesTheRatioOfNoiseToPicture(self):
        plain, scaled = Diffusion("x0", "cosine", True), Diffusion("x0", "cosine", True, 0.25)
        for t in (10, 499, 900):
            like = torch.zeros(1)
            ratios = [sigma / alpha for alpha, sigma in (d.coefficients(torch.tensor([t]), like) for d in (plain, scaled))]
            self.assertAlmostEqual((ratios[1] / ratios[0]).item(), 0.25, places=4)
        self.assertEqual(scaled.alphasCumprod[-1].item(), 0)

    def testSchedulerConfigurationsComeBackAsTheSameSchedule(self):
        for arguments in (("v", "cosine", True), ("x0", "linear", False), ("x0", "cosine", True, 0.33), ("v", "cosine", True, 1.0, False)):
            diffusion = Diffusion(*arguments)
            back = Diffusion.fromSchedulerConfig(diffusion.schedulerConfig())
            self.assertEqual((back.prediction, back.clip), (diffusion.prediction, diffusion.clip))
            self.assertLess((back.alphasCumprod - diffusion.alphasCumprod).abs().max().item(), 1e-12)

    def testEpsilonAtZeroTerminalSnrIsRefused(self):
        with self.assertRaises(ValueError):
            Diffusion("epsilon", "linear", True)


class Predictions(unittest.TestCase):
    def testOutputsAndPicturesAreInverses(self):
        torch.manual_seed(0)
        x0, noise = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)
        t = torch.tensor([1, 300, 700, 998])
        for prediction in ("epsilon", "x0", "v"):
            diffusion = Diffusion(prediction, "linear", False)
            x = diffusion.noised(x0, noise, t)
            output = diffusion.outputFor(x0, x, t)
            self.assertLess((diffusion.x0From(output, x, t) - x0).abs().max().item(), 1e-4)
            alpha, sigma = diffusion.coefficients(t, x)
            known = {"epsilon": noise, "x0": x0, "v": alpha * noise - sigma * x0}[prediction]
            self.assertLess((output - known).abs().max().item(), 2e-3 if prediction == "epsilon" else 1e-4)

    def testStepsWithTheTruePictureStayOnItsPath(self):
        torch.manual_seed(0)
        diffusion = Diffusion("v", "cosine", True)
        x0, noise = torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2)
        t, target = torch.tensor([999, 700]), torch.tensor([499, -1])
        found = diffusion.ddim(diffusion.noised(x0, noise, t), x0, t, target)
        self.assertLess((found - diffusion.noised(x0, noise, target)).abs().max().item(), 1e-5)

    def testAPictureBeyondTheRangeIsReachedInManyStepsUnlessItIsClipped(self):
        """What clips keeps the noise as predicted, so that what is cut off comes back as brightness that adds up."""
        x0, x = torch.full((1, 1, 1, 1), -1.2), torch.randn(1, 1, 1, 1, generator=torch.Generator().manual_seed(0))
        ends = {}
        for clip in (False, True):
            diffusion = Diffusion("v", "cosine", True, clip=clip)
            ends[clip] = sample(lambda x, t: diffusion.outputFor(x0, x, t), diffusion, recipe(50), x).item()
        self.assertAlmostEqual(ends[False], -1.2, delta=1e-3)
        self.assertGreaterEqual(ends[True], -1.0)


if __name__ == "__main__":
    unittest.main()
