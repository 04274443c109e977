"""The benchmarks cannot rot: they run, on little, and their report is drawn."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

import figures
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
        return figures.Run(out)

    def expect_measured(self, entry, error):
        for key in ("real_time", "wall_ms", "GFLOP/s", "GB/s", "%arithmetic", "%copy", "floor_ms"):
            self.assertGreater(entry[key], 0, key)
        self.assertGreater(entry["error"], 0)
        self.assertLess(entry["error"], error)

    def test_single_shapes_are_timed_with_their_errors(self):
        run = self.run_bench("--benchmark_filter=conv3x3 128|GroupNorm")
        self.assertGreater(run.gflops, 0)
        self.assertGreater(run.gbytes, 0)
        self.expect_measured(figures.best(run.benchmarks["op/conv3x3 128->128 at 32x32"]), 2e-3)
        self.expect_measured(figures.best(run.benchmarks["op/GroupNorm+SiLU 128 at 128x128"]), 1e-3)
        for name in run.benchmarks:
            if "oneDNN" in name:
                self.assertLess(figures.best(run.benchmarks[name])["error"], 1e-5)

    def test_a_model_is_timed_op_by_op_and_whole(self):
        run = self.run_bench(os.environ["MOTE_MODEL"] + "@16x16", "--sustain", "0.01",
                             "--benchmark_filter=^(load|next|pass|sustained)|at 4x4$|at 4x4/manual")
        ops = figures.opRows(run)
        self.assertGreater(len(ops), 3)
        for _, entry in ops:
            self.expect_measured(entry, 2e-3)
        for what in ("load", "next image", "pass", "sustained"):
            self.assertEqual(len(run.benchmarks[what + "/restore 16x16"]), 1)

    def test_a_floor_counts_what_an_op_must_compute(self):
        run = self.run_bench("--benchmark_filter=^op/conv1x1 256.*32x32/manual")
        entry = figures.best(run.benchmarks["op/conv1x1 256->256 at 32x32"])
        # A multiply-add for each output and input channel of each pixel.
        self.assertAlmostEqual(entry["floor_arithmetic_ms"] * run.gflops * 1e6, 2 * 32 * 32 * 256 * 256, delta=10)

    def test_the_time_of_a_step_on_the_host_is_told_from_the_drivers(self):
        run = self.run_bench(os.environ["MOTE_MODEL"] + "@16x16", "--benchmark_filter=^host/")
        [entry] = run.benchmarks["host/restore 16x16"]
        self.assertGreaterEqual(entry["real_time"], 0)
        self.assertGreaterEqual(entry["submit_us"], 0)
        self.assertGreaterEqual(entry["submissions"], 0)  # small steps share one

    def test_a_single_shape_answers_who_has_it_run_in_turn_with_others(self):
        command = [os.environ["MOTE_BENCH"], "--serve", "conv1x1 256->256 at 32x32"]
        answers = subprocess.run(command, input="run\nerror\nrun\n", capture_output=True, text=True, check=True).stdout.split()
        times = float(answers[0]), float(answers[2])
        self.assertTrue(all(time > 0 for time in times), answers)
        self.assertTrue(1e-5 < float(answers[1]) < figures.ERROR_LIMIT, answers)
        for words, asked, message in ((command, "what\n", "found 'what', expected run or error"),
                                      ([*command[:2], "conv"], "", "found 'conv', expected one of conv3x3 128->128")):
            result = subprocess.run(words, input=asked, capture_output=True, text=True)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(message, result.stderr)

    def test_words_that_are_no_model_are_refused(self):
        for words, message in ((["model.mote"], "expected FILE.mote@WIDTHxHEIGHT"),
                               (["nothing.mote@8x8"], "nothing.mote"), (["--sustain", "long"], "usage")):
            result = subprocess.run([os.environ["MOTE_BENCH"], *words], capture_output=True, text=True)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(message, result.stderr)

    def report_recorded(self, *arguments):
        for name in os.listdir(os.path.join(HERE, "recorded")):
            shutil.copy(os.path.join(HERE, "recorded", name), self.folder)
        subprocess.run(["/usr/bin/python3", os.path.join(BENCH, "report.py"), self.folder, *arguments], check=True,
                       stdout=subprocess.DEVNULL)

    def read(self, name):
        with open(os.path.join(self.folder, name)) as file:
            return file.read()

    def test_a_recorded_run_is_reported(self):
        results = os.path.join(self.folder, "RESULTS.md")
        with open(results, "w") as file:
            file.write("before\n%s\nyesterday's\n%s\nafter\n" % (report.BEGIN, report.END))
        self.report_recorded("--into", results)
        for picture in ("targets.png", "roofline.png", "ops.png"):
            self.assertGreater(os.path.getsize(os.path.join(self.folder, picture)), 5000)
        text = self.read("results.md")
        # The target here is a seventh of the better of ncnn's two storages; where there is no ncnn, longer by what the
        # best ceiling found is below the one of then.
        self.assertIn("| edge 128x128 | 100 | 233 | 247 | 221 (2e-03) | 1.6e-03 | no, 2.33 times | 9.00 | 11.2 | 9 % | 4 % | 206 | no, 1.17 times |",
                      text)
        self.assertIn("| 3.00 | 1.77 | 1.80 |  | 2.1e-04 | yes | 0.90 | 1.12 | 30 % | 51 % | 5.66 | yes |", text)
        self.assertIn("| 240 (2e-03) | 1560 (6e-07) | 1440 (2e-03) | 775 | 6.00 (5.86) of 7.00 | 260 (5e-07) | 137 | 1.12 of 1.30 |",
                      text)
        self.assertIn("| exponentials | 2.00 G/s |", text)
        self.assertIn("| edge 128x128 | conv2d ", text)
        self.assertIn("| edge 128x128 | 4.50 | 30 | 30 | 4 | 240 | 222 |", text)
        self.assertIn("| edge 128x128 | 51.0 | 210 | 344 | 301 | 344 |", text)
        self.assertIn("| edge-steps 128x128 | 42.8 | 23.8 | 5.00 |", text)
        self.assertEqual(self.read("RESULTS.md"), "before\n%s\n%s%s\nafter\n" % (report.BEGIN, text, report.END))
        targets = json.loads(self.read("results.json"))["targets"]
        self.assertEqual(len(targets), 3)
        self.assertEqual(targets[0]["times_ncnn"], 6)  # Mote as it ran in turn with ncnn
        page = self.read("index.html")
        for part in ("targets.png", "roofline.png", "ops.png", "<td class=met>yes</td>", "Single shapes"):
            self.assertIn(part, page)

    def test_a_figure_with_too_large_an_error_is_not_met(self):
        self.assertEqual(figures.verdict(50, 78, 1e-3), "yes")
        self.assertEqual(figures.verdict(156, 78, 1e-3, {"floor_ms": 70, "tile_floor_ms": 75}), "no, 2.00 times")
        self.assertEqual(figures.verdict(156, 78, 1e-3, {"floor_ms": 70, "tile_floor_ms": 80}),
                         "no, 2.00 times; the floor with tiles is above it")
        self.assertEqual(figures.verdict(156, 78, 1e-3, {"floor_ms": 90, "tile_floor_ms": 95}),
                         "no, 2.00 times; the floor is above it")
        self.assertIn("error", figures.verdict(50, 78, 2.6e-3))

    def run_script(self, *arguments):
        return subprocess.run([os.path.join(BENCH, "run.sh"), *arguments], capture_output=True, text=True)

    def test_the_script_refuses_what_is_no_part_and_resumes(self):
        result = self.run_script(self.folder, "ops", "everything")
        self.assertEqual(result.returncode, 2)
        self.assertIn("found part 'everything'", result.stderr)
        os.makedirs(os.path.join(self.folder, "done"), exist_ok=True)
        with open(os.path.join(self.folder, "done", "ops"), "w"):
            pass
        result = self.run_script("--resume", self.folder, "ops", "report")
        self.assertIn("== ops: done before\n== report\n", result.stdout)
        self.assertEqual(result.returncode, 1)  # there is nothing to report
        self.assertIn("failed: report", result.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "done", "report")))

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
