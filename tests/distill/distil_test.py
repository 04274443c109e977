import json
import os
import subprocess
import tempfile
import unittest

import numpy as np
import torch

from distill import config as configuration
from distill import safetensors_file
from distill.distilling import (Round, distilRun, distillationLoss, drawWeights, guidedX0, halvedTarget,
                                roundTimesteps)
from distill.diffusion import Diffusion, recipe
from distill.evaluate import tiled
from distill.export import loadExported
from distill.metrics import frechet, precisionRecall, psnr, ssim
from distill.training import trainRun
from distill.data import seeded
from support import GENERATE, RESTORE, SHIPPED, runCommand, silence, writeClasses, writeConfig, writePhotos
import toy


def rms(a, b):
    return (a - b).square().mean().sqrt().item()


class Toy(unittest.TestCase):
    def setUp(self):
        self.diffusion = Diffusion("v", "cosine", True, clip=False)
        generator = seeded(7, 7, 7)
        self.x = torch.randn(400, 2, generator=generator)
        self.labels = torch.randint(0, 2, (400,), generator=generator)

    def exact(self, x, t, labels):
        return toy.gaussianX0(self.diffusion, x, t, toy.MEANS[labels], toy.SPREADS[labels])

    def distil(self, teacher, rounds, steps, **options):
        with tempfile.TemporaryDirectory() as folder, silence():
            return toy.distil(folder, self.diffusion, teacher, rounds, steps, **options)

    def testTheTargetIsWhereTheTeachersTwoStepsArrive(self):
        for steps in (1, 2, 4):
            for t, middle, target in roundTimesteps(steps):
                t, middle, target = (value.expand(400) for value in (t, middle, target))
                x = self.diffusion.noised(toy.MEANS[self.labels], self.x, t)
                teacher = lambda x, t: self.exact(x, t, self.labels)
                wanted = halvedTarget(teacher, self.diffusion, x, t, middle, target)
                there = self.diffusion.ddim(x, teacher(x, t), t, middle)
                there = self.diffusion.ddim(there, teacher(there, middle), middle, target)
                self.assertLess(rms(self.diffusion.ddim(x, wanted, t, target), there), 1e-4)

    def testStudentsTimestepsAreTheirRecipesAndTeachersTakeTwoStepsEach(self):
        self.assertEqual(roundTimesteps(4).tolist(), [[999, 874, 749], [749, 624, 499], [499, 374, 249], [249, 124, -1]])
        for steps in (1, 2, 4, 8):
            self.assertEqual(roundTimesteps(steps)[:, 0].tolist(), recipe(steps))

    def testTheStepFromNoiseIsTrainedMostAndGuidanceEverywhereAlike(self):
        guided = drawWeights(Round("guided-4", 4, True))
        self.assertEqual(guided.tolist(), [0.25] * 4)
        for steps in (1, 2, 8):
            often = drawWeights(Round("%d" % steps, steps, False))
            self.assertAlmostEqual(often.sum().item(), 1)
            self.assertEqual(often.tolist(), sorted(often.tolist(), reverse=True))
            self.assertGreaterEqual(often[0].item(), 0.5)
            self.assertGreaterEqual(often[-1].item(), 0.25 / steps)

    def testAStudentThatAgreesHasNoLossInEitherPrediction(self):
        for prediction in ("v", "x0"):
            diffusion = Diffusion(prediction, "cosine", True)
            t = torch.tensor([999, 500, 20])
            target, x = torch.randn(3, 2), torch.randn(3, 2)
            output = diffusion.outputFor(target, x, t)
            self.assertLess(distillationLoss(diffusion, output, x, t, target).item(), 1e-4)
            snr, (alpha, sigma) = diffusion.snr(t, x), diffusion.coefficients(t, x)
            off = diffusion.outputFor(target + 0.1, x, t)  # an error of 0.1 in x0 weighs max(SNR, 1)
            self.assertAlmostEqual(distillationLoss(diffusion, off, x, t, target).item(),
                                   (0.01 * snr.clamp(min=1)).mean().item(), delta=0.02 * snr.max().item())

    def testOneStepReachesWhereEightStepsOfThePerfectTeacherArrive(self):
        """The posterior mean, all that one step of the teacher knows, is the middle of the class; eight steps arrive near
        mean + spread * noise, the exact end of a Gaussian's ODE."""
        end = toy.MEANS[self.labels] + toy.SPREADS[self.labels] * self.x
        answer = toy.run(self.diffusion, self.exact, recipe(8), self.x, self.labels)
        self.assertLess(rms(answer, end), 0.1)
        untaught = rms(toy.run(self.diffusion, self.exact, recipe(1), self.x, self.labels), answer)
        self.assertGreater(untaught, 0.2)
        for timesteps, student in self.distil(self.exact, [4, 2, 1], 300):
            error = rms(toy.run(self.diffusion, student, timesteps, self.x, self.labels), answer)
            self.assertLess(error, 0.06, "%d steps" % len(timesteps))

    def testGuidanceIsFoldedIntoOnePass(self):
        guided = toy.guidedTeacher(self.diffusion, 2.0)
        wanted = toy.run(self.diffusion, guided, recipe(4), self.x, self.labels)
        plain = rms(toy.run(self.diffusion, self.exact, recipe(4), self.x, self.labels), wanted)
        self.assertGreater(plain, 0.12)
        for timesteps, student in self.distil(None, [2, 1], 400, guided=guided):
            error = rms(toy.run(self.diffusion, student, timesteps, self.x, self.labels), wanted)
            self.assertLess(error, 0.6 * plain, "%d steps" % len(timesteps))

    def testGuidanceOfOneIsTheConditionalPredictionAndZeroTheOther(self):
        t = torch.full((400,), 500)
        predict = lambda x, t, conditional: torch.full_like(x, 3.0 if conditional else 1.0)
        for scale, output in ((1.0, 3.0), (0.0, 1.0), (2.5, 6.0)):
            found = guidedX0(predict, self.diffusion, scale, self.x, t)
            self.assertLess(rms(found, self.diffusion.x0From(torch.full_like(self.x, output), self.x, t)), 1e-5)


class Metrics(unittest.TestCase):
    def testPsnrAndSsimOfKnownPairs(self):
        a = torch.full((8, 8), 100.0)
        self.assertAlmostEqual(psnr(a, a + 10), 10 * np.log10(255 ** 2 / 100), places=6)
        picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        self.assertAlmostEqual(ssim(picture, picture), 1.0, places=6)
        self.assertLess(ssim(255 - picture, picture), 0)

    def testFrechetDistanceOfGaussiansIsTheFormulas(self):
        generator = seeded(0, 0, 1)
        a, b = (torch.randn(60000, 2, generator=generator) for _ in range(2))
        spread = torch.tensor([2.0, 0.5])
        self.assertAlmostEqual(frechet(a, b), 0, delta=5e-3)
        self.assertAlmostEqual(frechet(a, b * spread + 3), 18 + 1 + 0.25, delta=0.2)

    def testPrecisionAndRecallSeeMissingAndFalseModes(self):
        generator = seeded(0, 0, 2)
        one, other = torch.randn(200, 4, generator=generator), torch.randn(200, 4, generator=generator) + 50
        half, both = one + 0.01, torch.cat([one, other])
        precision, recall = precisionRecall(both, half)
        self.assertGreater(precision, 0.95)
        self.assertAlmostEqual(recall, 0.5, delta=0.02)
        precision, recall = precisionRecall(one, both + 0.01)
        self.assertAlmostEqual(precision, 0.5, delta=0.02)
        self.assertGreater(recall, 0.95)


class WholeRuns(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def convert(self, folder, steps):
        """mote-convert takes the export, where the build has it."""
        program = os.environ.get("MOTE_CONVERT")
        if program:
            done = subprocess.run([program, folder, "-o", self.path("model.mote"), "--steps", steps], capture_output=True,
                                  text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
        return bool(program)

    def testARestorationModelIsTrainedExportedConvertedAndMeasured(self):
        writePhotos(self.path("photos"))
        config = writeConfig(self.path("run.toml"), RESTORE)
        where = ["--data", self.path("photos"), "--output", self.path("run")]
        bench = self.path("bench.json")
        with open(bench, "w", encoding="utf-8") as file:
            json.dump({"device": "a board", "model": "m", "width": 64, "height": 64, "operations": 2e9,
                       "next_image_ms": {"median": 10.0}}, file)
        text, _ = runCommand("train", config, *where, "--device", "cpu", "--bench", bench)
        self.assertRegex(text, r"a board, 256x256, 4 passes: about \d+ ms, from the rate of m, 64x64")
        text, _ = runCommand("export", config, *where)
        self.assertIn("--steps 1,2,4", text)
        self.convert(self.path("run", "export"), "1,2,4")
        network, diffusion = loadExported(self.path("run", "export"), torch.device("cpu"))
        checkpoint = torch.load(self.path("run", "train.pt"))
        for (name, value), average in zip(network.named_parameters(), checkpoint["average"]):
            self.assertTrue(torch.equal(value, average.half().float()), name)
        arguments = ["evaluate", config, *where, "--test", self.path("photos"), "--device", "cpu", "--bench", bench]
        text, _ = runCommand(*arguments)
        with open(self.path("run", "results", "results.json"), encoding="utf-8") as file:
            first = file.read()
        results = json.loads(first)
        self.assertEqual(list(results), ["noise 25", "bicubic"])
        self.assertEqual(list(results["noise 25"]), ["degraded", "non-local means", "bilateral", "1 step", "2 steps",
                                                     "4 steps", "1 step, tiles of 16"])
        self.assertAlmostEqual(results["noise 25"]["degraded"]["psnr"], 20.6, delta=0.7)
        self.assertGreater(results["bicubic"]["Lanczos"]["psnr"], 15)
        self.assertIn("2 pictures of photos (0 skipped)", text)
        self.assertIn("| a board | 512x512 | 4 |", text)
        self.assertTrue(os.path.exists(self.path("run", "results", "restored.png")))
        runCommand(*arguments)
        with open(self.path("run", "results", "results.json"), encoding="utf-8") as file:
            self.assertEqual(file.read(), first)

    def testAGeneratorIsTrainedDistilledAndMeasured(self):
        writeClasses(self.path("classes"))
        config = writeConfig(self.path("run.toml"), GENERATE)
        where = ["--data", self.path("classes"), "--output", self.path("run")]
        _, message = runCommand("distil", config, *where)
        self.assertIn("train first", message)
        runCommand("train", config, *where, "--device", "cpu")
        runCommand("distil", config, *where, "--device", "cpu")
        self.assertEqual(sorted(name for name in os.listdir(self.path("run")) if name.startswith("student")),
                         ["student-1.safetensors", "student-2.safetensors", "student-guided-4.safetensors"])
        text, _ = runCommand("export", config, *where)
        self.assertIn("-o run-2.mote --steps 2 --name run-2", text)
        self.assertEqual(text.count("--null-class none"), 2)  # the students', not the teacher's
        network, diffusion = loadExported(self.path("run", "export-2"), torch.device("cpu"))
        self.assertEqual(network.config["num_class_embeds"], 3)
        self.convert(self.path("run", "export-2"), "2")
        weights = safetensors_file.load(self.path("run", "student-2.safetensors"))
        for name, value in network.named_parameters():
            self.assertTrue(torch.equal(value, weights[name].half().float()), name)
        text, _ = runCommand("evaluate", config, *where, "--device", "cpu")
        with open(self.path("run", "results", "results.json"), encoding="utf-8") as file:
            results = json.load(file)
        self.assertEqual(list(results), ["teacher, 4 steps", "2 steps", "1 steps", "undistilled, 2 steps",
                                         "undistilled, 1 steps"])
        for values in results.values():
            self.assertTrue(np.isfinite(list(values.values())).all())
        self.assertIn("40 samples a model", text)
        for name in ("samples-2-steps.png", "nearest-2-steps.png"):
            self.assertTrue(os.path.exists(self.path("run", "results", name)), name)

    def testADistillationInManySittingsEqualsOneThatWasNotStopped(self):
        writeClasses(self.path("classes"))
        path = writeConfig(self.path("run.toml"), GENERATE, steps=("rounds = [2, 1]\nsteps = 20", "rounds = [2, 1]\nsteps = 3"),
                           train=("steps = 60", "steps = 2"))
        device = torch.device("cpu")
        for name in ("whole", "sittings"):
            with silence():
                trainRun(configuration.load(path, self.path("classes"), output=self.path(name)), device)
        whole, sittings = (configuration.load(path, self.path("classes"), output=self.path(name))
                           for name in ("whole", "sittings"))
        with silence() as text:
            self.assertTrue(distilRun(whole, device))
            stopped = 0
            while not distilRun(sittings, device, minutes=0):  # a step each
                stopped += 1
                self.assertLess(stopped, 9)
        self.assertEqual(stopped, 6)
        self.assertIn("round guided-4: going on from step 2", text.getvalue())
        for name in ("student-guided-4", "student-2", "student-1"):
            one, two = (safetensors_file.load(self.path(run, name + ".safetensors")) for run in ("whole", "sittings"))
            for key, value in one.items():
                self.assertTrue(torch.equal(value, two[key]), (name, key))

    def testRoundsShareTheMinutesThatDistillationIsToFinishIn(self):
        writeClasses(self.path("classes"))
        config = configuration.load(writeConfig(self.path("run.toml"), GENERATE, steps=("rounds = [2, 1]\nsteps = 20",
                                                                                        "rounds = [2, 1]\nsteps = 200000"),
                                                train=("steps = 60", "steps = 2")),
                                    self.path("classes"), output=self.path("run"))
        device = torch.device("cpu")
        with silence():
            trainRun(config, device)
            self.assertTrue(distilRun(config, device, minutes=1 / 60, finish=True))
        self.assertTrue(os.path.exists(self.path("run", "student-1.safetensors")))

    def testThePublishedFiguresOfTheShippedModelComeOutAgain(self):
        """Its card: 1 step leaves about 30 dB of photos at sigma 25; here a part full of texture of one photo of the tests."""
        from distill.data import readPicture
        from distill.degrade import NumpyNoise, gaussian
        from distill.training import restorePictures
        from support import SOURCE
        network, diffusion = loadExported(SHIPPED, torch.device("cpu"))
        picture = torch.from_numpy(readPicture(os.path.join(SOURCE, "tests", "photos", "flowers.png"), 16)[150:246, 200:300])
        clean = picture.permute(2, 0, 1)[None].float()
        noisy = gaussian(clean / 255, NumpyNoise(1000), 25)
        x = NumpyNoise(5000).normal(torch.zeros(1, 3, 96, 104))
        restored = restorePictures(network, diffusion, recipe(1), noisy * 2 - 1, x)
        gain = psnr((restored + 1) * 127.5, clean) - psnr(noisy * 255, clean)
        self.assertGreater(gain, 7)
        parts = tiled(network, diffusion, recipe(1), noisy * 2 - 1, x, 64, 32)
        self.assertGreater(psnr((parts + 1) * 127.5, clean) - psnr(noisy * 255, clean), gain - 0.2)


if __name__ == "__main__":
    unittest.main()
