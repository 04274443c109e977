"""The benchmarks cannot rot: they run, on little, and their report is drawn."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import numpy as np
import peers  # finds converter/distill
import ncnn_model
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
        # As many times faster than the better of ncnn's two storages; where there is none, at half the speed that the
        # targets were set at twice the time.
        self.assertIn("| edge 128x128 | 775 | 1440 (2e-03) | 137 | 260 (5e-07) |  | 233 | 247 | 1.6e-03 | 100 "
                      "| no, 2.33 times | 6.00 | 186 | no, 1.29 times |", table)
        self.assertIn("| 26.6 |  |  |  |  | 1.77 | 1.80 | 2.1e-04 | 3.00 | yes |  | 5.94 | yes |", table)
        with open(os.path.join(self.folder, "results.json")) as file:
            targets = json.load(file)["targets"]
        self.assertEqual(len(targets), 3)
        self.assertEqual(targets[0]["times_ncnn"], 6)  # Mote as it ran in turn with ncnn
        with open(os.path.join(self.folder, "index.html")) as file:
            self.assertIn("roofline.png", file.read())

    def test_a_figure_with_too_large_an_error_is_not_met(self):
        self.assertEqual(report.verdict(50, 78, 1e-3), "yes")
        self.assertEqual(report.verdict(156, 78, 1e-3), "no, 2.00 times")
        self.assertIn("error", report.verdict(50, 78, 2.6e-3))

    def test_a_network_is_written_for_ncnn_with_every_blob_once(self):
        unet = peers.load(peers.MODELS["edge128"][0])
        path = os.path.join(self.folder, "edge")
        ncnn_model.writeUNet(unet, peers.TIMESTEP, 32, path)
        with open(path + ".param") as file:
            lines = file.read().splitlines()
        self.assertEqual(lines[0], "7767517")
        layers, blobs = map(int, lines[1].split())
        self.assertEqual(layers, len(lines) - 2)
        made, read = [], []
        for line in lines[2:]:
            words = line.split()
            inputs, outputs = int(words[2]), int(words[3])
            read += words[4:4 + inputs]
            made += words[4 + inputs:4 + inputs + outputs]
        self.assertEqual(blobs, len(made))
        self.assertEqual(sorted(made), sorted(set(made)))
        self.assertEqual(sorted(read + ["out"]), sorted(made))  # each is read once
        folded = sum(p.numel() for name, p in unet.named_parameters() if "time_emb" not in name)
        words = 4 * sum(line.startswith(("Convolution", "MultiHead")) for line in lines)
        attention = 12 * sum(line.startswith("MultiHead") for line in lines)  # four tags in all
        self.assertEqual(os.path.getsize(path + ".bin"), 4 * folded + words + attention)

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
