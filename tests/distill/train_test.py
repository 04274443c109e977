import csv
import os
import signal
import subprocess
import tempfile
import time
import unittest

import torch

from distill import config as configuration
from distill import loop
from distill.config import ConfigError
from distill.diffusion import Diffusion
from distill.training import cropsAt, pictureLoss, timestepWeight, trainedTimesteps, trainRun
from support import GENERATE, RESTORE, SOURCE, command, runCommand, silence, writeClasses, writeConfig, writePhotos


class Folder(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.photos = os.path.join(self.folder, "photos")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def config(self, text=RESTORE, name="run.toml", **replaced):
        return writeConfig(self.path(name), text, **replaced)

    def train(self, config, output, **options):
        with silence() as text:
            done = trainRun(configuration.load(config, self.photos, output=self.path(output)), torch.device("cpu"), **options)
        return done, text.getvalue()

    def rows(self, output):
        with open(self.path(output, "train.csv"), newline="") as file:
            return list(csv.DictReader(file))


def content(path):
    return torch.load(path, map_location="cpu")


class Training(Folder):
    def setUp(self):
        super().setUp()
        writePhotos(self.photos)

    def assertSameRuns(self, one, two):
        one, two = (content(self.path(name, "train.pt")) for name in (one, two))
        self.assertEqual(one["step"], two["step"])
        for name, value in one["network"].items():
            self.assertTrue(torch.equal(value, two["network"][name]), name)
        for a, b in zip(one["average"], two["average"]):
            self.assertTrue(torch.equal(a, b))
        for number, values in one["optimizer"]["state"].items():
            for name, value in values.items():
                self.assertTrue(torch.equal(value, two["optimizer"]["state"][number][name]), name)

    def testLossFallsAndCurvesAreWritten(self):
        done, text = self.train(self.config(), "a")
        self.assertTrue(done)
        losses = [float(row["loss"]) for row in self.rows("a")]
        self.assertEqual([int(row["step"]) for row in self.rows("a")], [10, 20, 30, 40, 50, 60])
        self.assertLess(losses[-1], 0.85 * losses[0])
        scores = [float(row["validation"]) for row in self.rows("a") if row["validation"]]
        self.assertEqual(len(scores), 2)
        self.assertGreater(scores[1], scores[0])
        self.assertTrue(os.path.exists(self.path("a", "train.png")))
        self.assertRegex(text, r"step 60/60  loss 0\.\d+  \d+ images/s  0:00:00 left  validation \d+\.\d+ dB")

    def testTheSeedDecidesEverything(self):
        short = {"steps": ("steps = 60", "steps = 8"), "every": ("every = 30", "every = 0")}
        for name, seed in (("a", 3), ("b", 3), ("c", 4)):
            self.train(self.config(RESTORE, seed=("seed = 3", "seed = %d" % seed), **short), name)
        self.assertSameRuns("a", "b")
        with self.assertRaises(AssertionError):
            self.assertSameRuns("a", "c")

    def testARunKilledAndResumedEqualsOneThatWasNot(self):
        config = self.config(every=("every = 30", "every = 0"))
        self.train(config, "whole")
        arguments = command("train", config, "--data", self.photos, "--output", self.path("killed"), "--device", "cpu")
        environment = {**os.environ, "PYTHONPATH": os.path.join(SOURCE, "converter")}
        checkpoint, limit = self.path("killed", "train.pt"), time.monotonic() + 200
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=environment)
        while not os.path.exists(checkpoint) and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        step = content(checkpoint)["step"]
        self.assertIn(step, range(10, 60))
        text = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment).stdout
        self.assertIn("going on from step %d" % step, text)
        self.assertSameRuns("whole", "killed")
        self.assertEqual([row["loss"] for row in self.rows("whole")], [row["loss"] for row in self.rows("killed")])

    def testTimeIsKeptAndTheRestGoesOnLater(self):
        config = self.config(steps=("steps = 60", "steps = 100000"))
        done, text = self.train(config, "a", minutes=0.1 / 60)
        self.assertFalse(done)
        self.assertIn("the same command goes on from there", text)
        step = content(self.path("a", "train.pt"))["step"]
        done, _ = self.train(config, "a", minutes=0.1 / 60)
        self.assertGreater(content(self.path("a", "train.pt"))["step"], step)

    def testFinishRunsThroughTheScheduleInTheTimeGiven(self):
        config = self.config(steps=("steps = 60", "steps = 100000"), log=("log_every = 10", "log_every = 1"))
        done, _ = self.train(config, "a", minutes=3 / 60, finish=True)
        self.assertTrue(done)
        rates = [float(row["learning_rate"]) for row in self.rows("a")]
        self.assertLess(rates[-1], 0.1 * max(rates))

    def testAnotherConfigurationDoesNotGoOnWithTheRun(self):
        short = {"steps": ("steps = 60", "steps = 3"), "every": ("every = 30", "every = 0")}
        self.train(self.config(**short), "a")
        with self.assertRaisesRegex(loop.RunError, "network widths differs"):
            self.train(self.config(widths=("[8, 16]", "[8, 24]"), **short), "a")
        self.train(self.config(steps=("steps = 60", "steps = 5"), every=short["every"]), "a")  # longer is welcome
        self.assertEqual(content(self.path("a", "train.pt"))["step"], 5)

    def testADamagedCheckpointIsNamed(self):
        os.makedirs(self.path("a"))
        with open(self.path("a", "train.pt"), "wb") as file:
            file.write(b"damage")
        with self.assertRaisesRegex(loop.RunError, "train.pt cannot be read"):
            self.train(self.config(), "a")

    def testALossThatIsNotFiniteEndsTheRunAndKeepsTheCheckpoint(self):
        self.train(self.config(steps=("steps = 60", "steps = 10"), every=("every = 30", "every = 0")), "a")
        wild = self.config(every=("every = 30", "every = 0"))
        state = content(self.path("a", "train.pt"))
        state["network"]["conv_in.weight"][:] = float("nan")
        torch.save(state, self.path("a", "train.pt"))
        with self.assertRaisesRegex(loop.RunError, "the loss is nan at step 20"):
            self.train(wild, "a")
        self.assertEqual(content(self.path("a", "train.pt"))["step"], 10)

    def testClassesAreLearntToo(self):
        self.photos = self.path("classes")
        writeClasses(self.photos)
        done, _ = self.train(self.config(GENERATE), "g")
        losses = [float(row["loss"]) for row in self.rows("g")]
        self.assertTrue(done)
        self.assertLess(losses[-1], 0.8 * losses[0])


class Settings(Folder):
    def testMistakesInAConfigurationAreNamedWithFileAndKey(self):
        cases = [("learning_rate = 3e-3", "learningrate = 3e-3", r"\[train\] learningrate is not known"),
                 ("[network]", "[netwerk]", r"\[netwerk\] is not known"),
                 ("widths = [8, 16]", "widths = [8, 15]", "multiples of groups"),
                 ("widths = [8, 16]", "widths = 8", "found 8, expected list"),
                 ("steps = 60", "steps = -1", "found -1, expected 0 or more"),
                 ('pixel = "charbonnier"', 'pixel = "l3"', "found 'l3', expected one of l1, l2, charbonnier"),
                 ("[0.0, 16, 4]", "[0.0, 15, 4]", "multiple of 2"),
                 ("[degrade.jpeg]", "[degrade.jpg]", "found kind 'jpg'"),
                 ("[degrade.jpeg]", "[degrade.jpeg]\nsigma = [1, 2]", "sigma is no parameter of jpeg; it has quality"),
                 ("[degrade.area]", "[degrade.area]\nfactor = [2, 3]", "expected 2 and 4"),
                 ("noise_scale = 0.5", 'prediction = "epsilon"', "zero_terminal_snr: epsilon"),
                 ("[data]", "[data.classes]\na = 3\n[data]", "found 3, expected a list of patterns"),
                 ("[data]", "[data.classes]\na = [\"x*\"]\n[data]", "patterns are for an atlas"),
                 ("[evaluate]", "[distil]\nrounds = [8, 3]\n[evaluate]", "found 3 after 8, expected half"),
                 ("[run]", "[run", "run.toml")]
        for before, after, message in cases:
            with self.subTest(after), self.assertRaisesRegex(ConfigError, message):
                configuration.load(self.config(change=(before, after)))

    def testTheCommandSaysWhatIsWrongInOneLine(self):
        _, message = runCommand("train", self.config())
        self.assertRegex(message, r"^distill: .*run.toml: \[data\] folder: none given.*$")

    def testShippedConfigurationsAreRead(self):
        folder = os.path.join(os.path.dirname(configuration.__file__), "configs")
        for name in sorted(os.listdir(folder)):
            if name.endswith(".toml"):
                with self.subTest(name):
                    configuration.load(os.path.join(folder, name))

    def testCropsGrowWithTheTrainingAndTimestepsAreTheRecipes(self):
        config = configuration.load(self.config())
        self.assertEqual([cropsAt(config, part) for part in (0, 0.59, 0.6, 1)], [[16, 4], [16, 4], [24, 2], [24, 2]])
        self.assertEqual(trainedTimesteps(config), [999, 749, 499, 249])
        config.train.timesteps = "all"
        self.assertEqual(len(trainedTimesteps(config)), 1000)


class Losses(unittest.TestCase):
    def testEachTermIsWhatItIsCalled(self):
        config = configuration.Train(pixel="l2")
        found, wanted = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
        found[..., 2:] = 1  # a vertical edge
        self.assertAlmostEqual(pictureLoss(found, wanted, config).item(), 0.5)
        config.gradient = 1.0  # 4 of 12 horizontal differences
        self.assertAlmostEqual(pictureLoss(found, wanted, config).item(), 0.5 + 4 / 12, places=5)
        config.gradient, config.frequency = 0.0, 1.0
        spectrum = torch.fft.rfft2(found, norm="ortho").abs().mean().item()
        self.assertAlmostEqual(pictureLoss(found, wanted, config).item(), 0.5 + spectrum, places=5)

    def testMinSnrWeightsAreEquivalentForEveryPrediction(self):
        t, like = torch.tensor([100, 500, 900]), torch.zeros(3, 1, 1, 1)
        for prediction in ("x0", "v", "epsilon"):
            diffusion = Diffusion(prediction, "cosine", False)
            alpha, sigma = (value.flatten() for value in diffusion.coefficients(t, like))
            # an error e of x0 is an error e/sigma of v and e alpha/sigma of epsilon
            scale = {"x0": 1, "v": 1 / sigma, "epsilon": alpha / sigma}[prediction]
            weighted = timestepWeight(diffusion, t, like, 5.0) * scale ** 2
            snr = (alpha / sigma) ** 2
            self.assertTrue(torch.allclose(weighted, snr.clamp(max=5.0), rtol=1e-3), prediction)


if __name__ == "__main__":
    unittest.main()
