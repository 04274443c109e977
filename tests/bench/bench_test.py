"""The benchmarks cannot rot: they run, on little, and their report is drawn."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import numpy as np
import peers
import report
import torch
from library import Session

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.dirname(os.path.abspath(report.__file__))


class Bench(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def run_bench(self, *arguments):
        out = os.path.join(self.folder, "out.json")
        subprocess.run([os.environ["MOTE_BENCH"], "--benchmark_min_time=0", "--benchmark_out=" + out,
                        "--benchmark_out_format=json", *arguments], check=True, stdout=subprocess.DEVNULL)
        return report.Run(out)

    def expect_measured(self, entry, error):
        for key in ("real_time", "wall_ms", "GFLOP/s", "GB/s", "%arithmetic", "%copy"):
            self.assertGreater(entry[key], 0, key)
        self.assertGreater(entry["error"], 0)
        self.assertLess(entry["error"], error)

    def test_single_shapes_are_timed_with_their_errors(self):
        run = self.run_bench("--benchmark_filter=conv3x3 128|GroupNorm")
        self.assertGreater(run.gflops, 0)
        self.assertGreater(run.gbytes, 0)
        self.expect_measured(report.best(run.benchmarks["op/conv3x3 128->128 at 32x32"]), 2e-3)
        self.expect_measured(report.best(run.benchmarks["op/GroupNorm+SiLU 128 at 128x128"]), 1e-3)
        for name in run.benchmarks:
            if "oneDNN" in name:
                self.assertLess(report.best(run.benchmarks[name])["error"], 1e-5)

    def test_a_model_is_timed_op_by_op_and_whole(self):
        run = self.run_bench(os.environ["MOTE_MODEL"] + "@16x16", "--sustain", "0.01",
                             "--benchmark_filter=^(load|next|pass|sustained)|at 4x4$|at 4x4/manual")
        ops = report.opRows(run)
        self.assertGreater(len(ops), 3)
        for _, entry in ops:
            self.expect_measured(entry, 2e-3)
        for what in ("load", "next image", "pass", "sustained"):
            self.assertEqual(len(run.benchmarks[what + "/denoise-edge 16x16"]), 1)

    def test_words_that_are_no_model_are_refused(self):
        for words, message in ((["model.mote"], "expected FILE.mote@WIDTHxHEIGHT"),
                               (["nothing.mote@8x8"], "nothing.mote"), (["--sustain", "long"], "usage")):
            result = subprocess.run([os.environ["MOTE_BENCH"], *words], capture_output=True, text=True)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(message, result.stderr)

    def test_a_recorded_run_is_reported(self):
        for name in os.listdir(os.path.join(HERE, "recorded")):
            shutil.copy(os.path.join(HERE, "recorded", name), self.folder)
        subprocess.run(["/usr/bin/python3", os.path.join(BENCH, "report.py"), self.folder], check=True,
                       stdout=subprocess.DEVNULL)
        for picture in ("roofline.png", "ops.png"):
            self.assertGreater(os.path.getsize(os.path.join(self.folder, picture)), 5000)
        with open(os.path.join(self.folder, "results.md")) as file:
            table = file.read()
        self.assertIn("| edge 128x128 | 775 | 137 | 260 (5e-07) |  | 233 | 247 | 100 | no, 2.3 times | 1.6e-03 |", table)
        self.assertIn("| 26.6 |  |  |  | 1.77 | 1.80 | 3.00 | yes | 2.1e-04 |", table)
        with open(os.path.join(self.folder, "results.json")) as file:
            self.assertEqual(len(json.load(file)["targets"]), 3)
        with open(os.path.join(self.folder, "index.html")) as file:
            self.assertIn("roofline.png", file.read())

    def test_a_figure_with_too_large_an_error_is_not_met(self):
        self.assertEqual(report.verdict(50, 78, 1e-3), "yes")
        self.assertEqual(report.verdict(156, 78, 1e-3), "no, 2.0 times")
        self.assertIn("error", report.verdict(50, 78, 2.6e-3))

    def test_pytorch_and_mote_compute_the_same_network(self):
        torch.set_num_threads(1)
        model = os.path.join(self.folder, "edge.mote")
        folder = peers.MODELS["edge128"][0]
        subprocess.run([os.environ["MOTE_CONVERT"], folder, "--random-weights", str(peers.SEED), "--timesteps",
                        str(peers.TIMESTEP), "-o", model], check=True, stdout=subprocess.DEVNULL)
        unet = peers.load(folder)
        x, condition = peers.inputs(unet, 16)
        exact = unet.double()(peers.together(x, condition).double(), torch.tensor([peers.TIMESTEP])).numpy()
        session = Session(os.environ["MOTE_LIBRARY"], model, x.numpy(), condition.numpy())
        self.addCleanup(session.close)
        self.assertGreater(session.run(), 0)
        found = session.evaluate()
        self.assertTrue(np.isfinite(found).all())
        self.assertLess(peers.relative(found, exact), 2.5e-3)


if __name__ == "__main__":
    unittest.main()
