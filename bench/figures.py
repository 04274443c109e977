"""What a folder of measurements says, as rows: read by report.py, which makes tables and pictures of them."""
import glob
import json
import os
import statistics

# What Mote is held against: milliseconds of ncnn (the better of fp32 and fp16 storage) through Vulkan and of PyTorch on
# the machine on which the targets were set, 2 cores with Mesa 22.3.6, what Mote may take at most there, and how many
# times faster than each that is. A core of it did 67 GFLOP/s of multiplications and additions in turn, which is what
# the driver makes of a multiply-add.
THEN_GFLOPS = 134
MODELS = [  # work, NAME of peers.NAME.json, name in mote-bench, ncnn, PyTorch, target, times ncnn, times PyTorch
    ("ddpm32 forward", "ddpm32", "ddpm32 32x32", 546, 174, 78, 7, 2.2),
    ("edge 128x128", "edge128", "edge 128x128", 775, 137, 100, 7, 1.3),
    ("edge 256x256", "edge256", "edge 256x256", 4171, 1513, 450, 9, 3.3),
    ("shipped model 512x512", "shipped512", "restore 512x512", None, None, None, None, None),
]
OPS = [  # work, name in ops.json, ncnn, target
    ("conv3x3 128->128 at 32x32", "conv3x3 128->128 at 32x32", 9.4, 1.2),
    ("conv3x3 320->320 at 64x64", "conv3x3 320->320 at 64x64", 155, 22),
    ("conv3x3 6->64 at 256x256", "conv3x3 6->64 at 256x256", 62, 7),
    ("self-attention, 1024 tokens, width 256, 4 heads", "attention 1024 tokens 256 wide 4 heads", 263, 20),
    ("the same with its projections", "attention 1024 tokens 256 wide 4 heads with projections", 263, 20),
    ("GroupNorm + SiLU, 128 channels at 128x128, alone", "GroupNorm+SiLU 128 at 128x128", 26.6, 3),
]
ERROR_LIMIT = 2.5e-3
HOST_LIMIT = 50  # microseconds of a step of edge at 128x128
NCNN_RESIDENT_THEN = {"ddpm32": 969e6, "edge128": 344e6}
CONVERSION = {"seconds": 10, "seconds_without_self_check": 3, "memory": 2.2}


def read(path):
    with open(path) as file:
        return json.load(file)


def readIf(*path):
    """What the file says, or nothing where it is not there."""
    path = os.path.join(*path)
    return read(path) if os.path.exists(path) else {}


class Run:
    """One file of mote-bench: its context, and for each benchmark the repetitions."""

    def __init__(self, path):
        data = read(path)
        self.path = path
        self.context = data["context"]
        self.benchmarks = {}
        for entry in data["benchmarks"]:
            if entry["run_type"] == "iteration" and not entry.get("error_occurred"):
                name = entry["run_name"]
                for suffix in ("/manual_time", "/real_time", "/iterations:1", "/repeats:1"):
                    name = name.replace(suffix, "")
                self.benchmarks.setdefault(name, []).append(entry)

    def ceiling(self, counter, context=None):
        """The best that was measured in this run."""
        found = [entry[counter] for entry in self.benchmarks.get("ceilings", []) if counter in entry]
        if context:
            found.append(float(self.context[context]))
        return max(found) if found else None

    @property
    def gflops(self):
        return self.ceiling("GFLOP/s", "ceiling_gflops")

    @property
    def gbytes(self):
        return self.ceiling("GB/s, copy", "ceiling_gbytes")


class Folder:
    """All of mote-bench's files in OUT."""

    def __init__(self, out):
        self.out = out
        path = os.path.join(out, "ops.json")
        self.ops = Run(path) if os.path.exists(path) else None
        self.models = [Run(path) for what in ("model", "ops")
                       for path in sorted(glob.glob(os.path.join(out, what + ".*.json")))]
        self.runs = ([self.ops] if self.ops else []) + self.models

    @property
    def gflops(self):
        return max(run.gflops for run in self.runs)

    @property
    def gbytes(self):
        return max(run.gbytes for run in self.runs)

    def entries(self, name):
        return [entry for run in self.models for entry in run.benchmarks.get(name, [])]

    def ceilings(self):
        """What floors are made of: (name, best figure, unit)."""
        def extreme(counter, which):
            found = [entry[counter] for run in self.runs for entry in run.benchmarks.get("ceilings", [])]
            return which(found) if found else None
        rows = [("multiply-adds, two operations each", self.gflops, "GFLOP/s"), ("a copy beyond caches", self.gbytes, "GB/s"),
                ("loads in a cache", extreme("GB/s, load", max), "GB/s"),
                ("stores in a cache", extreme("GB/s, store", max), "GB/s"),
                ("exponentials", extreme("Gexp/s", max), "G/s"),
                ("of the shorter of arithmetic and stores, what adds to the longer", extreme("apart", min), ""),
                ("a dispatch with its barrier", extreme("dispatch_us", min), "us")]
        return [row for row in rows if row[1] is not None]


def best(entries):
    """The repetition with the least time."""
    return min(entries, key=lambda entry: entry["real_time"])


def median(entries):
    return statistics.median(entry["real_time"] for entry in entries)


def floorOf(entries, which="floor_ms"):
    """Of the repetition with the best ceilings."""
    found = [entry[which] for entry in entries if which in entry]
    return min(found) if found else None


def opRows(run):
    """name, best entry of every op of Mote's in a file."""
    return [(key[len("op/"):], best(entries)) for key, entries in run.benchmarks.items()
            if key.startswith("op/") and "/oneDNN" not in key]


def kindOf(name):
    return name.split("/")[-1].split(" ")[0]


def oneDnnOf(run, name):
    """The faster of its algorithms, or None."""
    found = [best(run.benchmarks[key]) for key in run.benchmarks if key.startswith("op/%s/oneDNN" % name)]
    return best(found) if found else None


def ncnnOf(found):
    """Of one file of peers, in turn with Mote: each storage, the better of both, and how much faster Mote is."""
    row = {}
    for storage in ("fp32", "fp16"):
        peer = found.get("ncnn " + storage)
        if peer:
            row["ncnn_%s_ms" % storage] = peer["ms"]["min"]
            row["ncnn_%s_error" % storage] = peer["error"]
    peers = [found[name]["ms"] for name in found if name.startswith("ncnn ")]
    if peers:
        row["ncnn_ms"] = min(ms["min"] for ms in peers)
        row["mote_beside_ncnn_ms"] = found["mote"]["ms"]["min"]
        row["times_ncnn_medians"] = min(ms["median"] for ms in peers) / found["mote"]["ms"]["median"]
    return row


def verdict(found, target, error, row=None):
    """Whether a target in milliseconds is met, and if not what its floors say."""
    if target is None:
        return ""
    if error > ERROR_LIMIT:
        return "no: error above %.1e" % ERROR_LIMIT
    if found <= target:
        return "yes"
    missed = "no, %.2f times" % (found / target)
    for floor, words in (("floor_ms", "the floor is above it"), ("tile_floor_ms", "the floor with tiles is above it")):
        if row and (row.get(floor) or 0) > target:
            return missed + "; " + words
    return missed


def modelRow(folder, work, name, benched, ncnn, torch, target, timesNcnn, timesTorch):
    peers = readIf(folder.out, "peers.%s.json" % name)
    if not peers:
        return None
    mote = peers["mote"]
    row = {"work": work, "ncnn_then_ms": ncnn, "pytorch_then_ms": torch, "target_ms": target, "mote_ms": mote["ms"]["min"],
           "mote_median_ms": mote["ms"]["median"], "error": mote["error"], "pytorch_ms": peers["pytorch"]["ms"]["min"],
           "pytorch_error": peers["pytorch"]["error"], "times_ncnn_asked": timesNcnn,
           "times_pytorch": peers["pytorch"]["ms"]["min"] / mote["ms"]["min"], "times_pytorch_asked": timesTorch,
           "floor_ms": floorOf(folder.entries("pass/" + benched)),
           "tile_floor_ms": floorOf(folder.entries("pass/" + benched), "tile_floor_ms")}
    if "mote tuned" in peers:
        row["tuned_ms"], row["tuned_error"] = peers["mote tuned"]["ms"]["min"], peers["mote tuned"]["error"]
    beside = readIf(folder.out, "peers.%s.ncnn.json" % name)
    if beside:
        row.update(ncnnOf(beside))
    return row


def opRow(folder, singles, work, name, ncnn, target):
    entries = folder.ops.benchmarks.get("op/" + name) if folder.ops else None
    if not entries:
        return None
    least = best(entries)
    row = {"work": work, "ncnn_then_ms": ncnn, "target_ms": target, "mote_ms": least["real_time"],
           "mote_median_ms": median(entries), "error": least["error"], "times_ncnn_asked": ncnn / target,
           "floor_ms": floorOf(entries), "tile_floor_ms": floorOf(entries, "tile_floor_ms"), "kernel": least["label"]}
    host = oneDnnOf(folder.ops, name)
    if host:
        row.update(onednn_ms=host["real_time"], onednn_error=host["error"], onednn=host["label"])
    if name in singles:
        row.update(ncnnOf(singles[name]))
    return row


def targets(folder):
    """Rows of the table of targets. `scaled`: what the target is on this machine, as many times faster than ncnn as
    was asked; without ncnn, longer by what this machine is slower."""
    singles = readIf(folder.out, "singles.ncnn.json")
    rows = [modelRow(folder, *model) for model in MODELS] + [opRow(folder, singles, *op) for op in OPS]
    rows = [row for row in rows if row]
    for row in rows:
        target = row["target_ms"]
        beside = row.get("mote_beside_ncnn_ms", row["mote_ms"])  # in turn with ncnn, which sets the scale
        scaled = target and target * max(1, THEN_GFLOPS / folder.gflops)
        if "ncnn_ms" in row:
            row["times_ncnn"] = row["ncnn_ms"] / beside
            scaled = target and row["ncnn_ms"] / row["times_ncnn_asked"]
        row["scaled_target_ms"] = scaled
        row["met"] = verdict(row["mote_ms"], target, row["error"], row)
        row["met_scaled"] = verdict(beside, scaled, row["error"], row)
    return rows


def images(folder):
    """Of each model: load, first and next image, a pass, memory."""
    rows = []
    for work, name, benched, *_ in MODELS:
        passes = folder.entries("pass/" + benched)
        if not passes:
            continue

        def least(what, figure="real_time"):
            found = folder.entries("%s/%s" % (what, benched))
            return best(found)[figure] if found else None
        fastest, lasting = best(passes), folder.entries("sustained/" + benched)
        short = readIf(folder.out, "bench.%s.json" % name)  # what `mote bench` says of it
        row = {"work": work, "load_ms": least("load"), "first_ms": least("first image"),
               "create_ms": least("first image", "create_ms"), "next_ms": least("next image"),
               "pass_ms": fastest["real_time"], "pass_median_ms": median(passes), "pass_wall_ms": fastest["wall_ms"],
               "floor_ms": floorOf(passes), "gflops": fastest["GFLOP/s"], "percent": fastest["%arithmetic"],
               "dispatches": fastest["dispatches"], "sustained": lasting[0] if lasting else None,
               "allocated": short.get("peak_allocated_bytes"), "resident": short.get("resident_bytes"),
               "pipelines": short.get("pipelines"), "submissions": short.get("submissions"),
               "ncnn_then": NCNN_RESIDENT_THEN.get(name)}
        beside = readIf(folder.out, "peers.%s.ncnn.json" % name)
        for storage in ("fp32", "fp16"):
            row["ncnn_" + storage] = beside.get("ncnn " + storage, {}).get("resident_bytes")
        rows.append(row)
    return rows


def tuning(folder):
    """Of each model what `mote bench --tune` says: (work, seconds, shapes, timed, changed, pass by rules, tuned)."""
    rows = []
    for work, name, *_ in MODELS:
        found = readIf(folder.out, "bench.%s.json" % name)
        if found.get("tuned"):
            tuned = found["tuned"]
            rows.append((work, tuned["tune_ms"] / 1e3, tuned["shapes"], tuned["timed"], tuned["changed"],
                         found["pass_wall_ms"]["min"], tuned["pass_wall_ms"]["min"]))
    return rows


def kernels(folder):
    """Of each model what its kernels take of a pass: (model, kernel, ops, ms, floor, floor with tiles), the most above its
    floor first. An op's time is the least of its repetitions."""
    sums = {}
    for run in folder.models:
        for name, entry in opRows(run):
            own = sums.setdefault((name.split("/")[0], entry.get("label", "")), [0, 0, 0, 0])
            floors = [floorOf(run.benchmarks["op/" + name], which) or 0 for which in ("floor_ms", "tile_floor_ms")]
            for i, value in enumerate([1, entry["real_time"], *floors]):
                own[i] += entry["count"] * value
    rows = [(*key, *own) for key, own in sums.items()]
    return sorted(rows, key=lambda row: (row[0], row[4] - row[3]))


def host(folder):
    """Microseconds of a step, medians: (name, in the library, in vkQueueSubmit, submissions of a step)."""
    rows = []
    for run in folder.models:
        for key, entries in run.benchmarks.items():
            if key.startswith("host/"):
                rows.append((key[len("host/"):], *(statistics.median(entry[what] for entry in entries)
                                                   for what in ("real_time", "submit_us", "submissions"))))
    return rows


def conversion(out):
    """What was found, and at most."""
    found = readIf(out, "conversion.json")
    if not found:
        return []
    return [("seconds without the self-check", found["seconds"] - found["self_check_seconds"],
             CONVERSION["seconds_without_self_check"]),
            ("seconds", found["seconds"], CONVERSION["seconds"]),
            ("peak resident bytes over the checkpoint's", found["peak_bytes"] / found["checkpoint_bytes"],
             CONVERSION["memory"])]
