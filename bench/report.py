#!/usr/bin/python3
"""Tables and pictures of a folder of measurements.

    report.py OUT

Reads what is there of OUT/ops.json, OUT/model.*.json and OUT/ops.*.json (mote-bench: single shapes, models whole and op
by op), OUT/bench.*.json (mote bench), OUT/peers.*.json, OUT/singles.ncnn.json and OUT/conversion.json; writes
OUT/results.md and OUT/results.json (the table of targets), roofline.png, ops.png and index.html. Times of mote-bench are
the device's own; a figure is the least of its repetitions, with their median beside it.
"""
import glob
import html
import json
import os
import statistics
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# What Mote is held against: milliseconds of ncnn (the better of fp32 and fp16 storage) through Vulkan and of PyTorch on
# the machine on which the targets were set, 2 cores with Mesa 22.3.6, and what Mote may take at most there. A core of it
# did 67 GFLOP/s of multiplications and additions in turn, which is what the driver makes of a multiply-add.
THEN_GFLOPS = 134
MODELS = [  # work, NAME of peers.NAME.json, ncnn, PyTorch, target
    ("ddpm32 forward", "ddpm32", 546, 174, 78),
    ("edge 128x128", "edge128", 775, 137, 100),
    ("edge 256x256", "edge256", 4171, 1513, 450),
    ("shipped model 512x512", "shipped512", None, None, None),
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
CONVERSION = {"seconds": 10, "seconds_without_self_check": 3, "memory": 2.2}


def read(path):
    with open(path) as file:
        return json.load(file)


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

    @property
    def gflops(self):
        return float(self.context["ceiling_gflops"])

    @property
    def gbytes(self):
        return float(self.context["ceiling_gbytes"])


def best(entries):
    """The repetition with the least time."""
    return min(entries, key=lambda entry: entry["real_time"])


def median(entries):
    return statistics.median(entry["real_time"] for entry in entries)


def number(value):
    if value is None:
        return ""
    return "%.0f" % value if value >= 100 else "%.1f" % value if value >= 10 else "%.2f" % value


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def verdict(found, target, error):
    if target is None:
        return ""
    if error > ERROR_LIMIT:
        return "no: error above %.1e" % ERROR_LIMIT
    return "yes" if found <= target else "no, %.2f times" % (found / target)


def targets(out, ops, gflops):
    """Rows of the table of targets, as dictionaries. `scaled`: what the target is on this machine, as many times faster
    than ncnn as it was there; without ncnn, longer by what this machine is slower."""
    rows = []
    for work, name, ncnn, torch, target in MODELS:
        path = os.path.join(out, "peers.%s.json" % name)
        if not os.path.exists(path):
            continue
        peers = read(path)
        mote = peers["mote"]["ms"]
        row = {"work": work, "ncnn_then_ms": ncnn, "pytorch_then_ms": torch, "target_ms": target,
               "mote_ms": mote["min"], "mote_median_ms": mote["median"], "error": peers["mote"]["error"],
               "pytorch_ms": peers["pytorch"]["ms"]["min"], "pytorch_error": peers["pytorch"]["error"]}
        beside = path.replace(".json", ".ncnn.json")
        if os.path.exists(beside):
            row.update(ncnnRow(read(beside)))
            row["mote_beside_ncnn_ms"] = read(beside)["mote"]["ms"]["min"]
            row["times_ncnn"] = row["ncnn_ms"] / row["mote_beside_ncnn_ms"]
        rows.append(row)
    path = os.path.join(out, "singles.ncnn.json")
    singles = read(path) if os.path.exists(path) else {}
    for work, name, ncnn, target in OPS:
        entries = ops.benchmarks.get("op/" + name) if ops else None
        if not entries:
            continue
        host = [best(ops.benchmarks[key]) for key in ops.benchmarks if key.startswith("op/%s/oneDNN" % name)]
        least = best(entries)
        row = {"work": work, "ncnn_then_ms": ncnn, "target_ms": target, "mote_ms": least["real_time"],
               "mote_median_ms": median(entries), "error": least["error"],
               "percent_of_arithmetic": least["%arithmetic"], "kernel": least["label"]}
        if host:
            fastest = best(host)
            row.update(onednn_ms=fastest["real_time"], onednn_error=fastest["error"], onednn=fastest["label"])
        if name in singles:
            row.update(ncnnRow(singles[name]))
            row["times_ncnn"] = row["ncnn_ms"] / row["mote_ms"]
        rows.append(row)
    for row in rows:
        target = row["target_ms"]
        if "ncnn_ms" in row:
            slower = row["ncnn_ms"] / row["ncnn_then_ms"] if row["ncnn_then_ms"] else None
        else:
            slower = THEN_GFLOPS / gflops
        row["scaled_target_ms"] = target and target * slower
        row["met"] = verdict(row["mote_ms"], target, row["error"])
        beside = row.get("mote_beside_ncnn_ms", row["mote_ms"])  # in turn with ncnn, which sets the scale
        row["met_scaled"] = verdict(beside, row["scaled_target_ms"], row["error"])
    return rows


def ncnnRow(found):
    """The better of fp32 and fp16 storage."""
    name = min((name for name in found if name.startswith("ncnn")), key=lambda name: found[name]["ms"]["min"])
    return {"ncnn_ms": found[name]["ms"]["min"], "ncnn_error": found[name]["error"], "ncnn": name}


def targetTable(rows):
    def peer(row, what):
        time, error = row.get(what + "_ms"), row.get(what + "_error")
        return "%s (%.0e)" % (number(time), error) if time is not None else ""

    head = ["work", "ncnn then", "ncnn here (error)", "PyTorch then", "PyTorch here (error)", "oneDNN here (error)",
            "Mote", "median", "error", "target", "met", "times ncnn", "target here", "met"]
    if not any("ncnn_ms" in row for row in rows):
        head.remove("ncnn here (error)")
        head.remove("times ncnn")
    cells = [{"work": row["work"], "ncnn then": number(row["ncnn_then_ms"]), "ncnn here (error)": peer(row, "ncnn"),
              "PyTorch then": number(row.get("pytorch_then_ms")), "PyTorch here (error)": peer(row, "pytorch"),
              "oneDNN here (error)": peer(row, "onednn"), "Mote": number(row["mote_ms"]),
              "median": number(row["mote_median_ms"]), "error": "%.1e" % row["error"],
              "target": number(row["target_ms"]), "times ncnn": number(row.get("times_ncnn")), "target here": number(row["scaled_target_ms"])}
             for row in rows]
    return table(head, [[cell[key] if key != "met" else row["met" if i < len(head) - 1 else "met_scaled"]
                         for i, key in enumerate(head)] for row, cell in zip(rows, cells)])


def imageTable(models):
    rows, sustained = [], {}
    for run in models:
        sustained.update((key, entries) for key, entries in run.benchmarks.items() if key.startswith("sustained/"))
    for run in models:
        for key, entries in run.benchmarks.items():
            name = key[len("pass/"):]
            if not key.startswith("pass/") or "next image/" + name not in run.benchmarks:
                continue

            def least(what):
                found = run.benchmarks.get("%s/%s" % (what, name))
                return best(found)["real_time"] if found else None
            folder, file = os.path.split(run.path)
            short = os.path.join(folder, file.replace("model.", "bench."))  # what `mote bench` says of it
            memory = read(short) if os.path.exists(short) else {}
            fastest, lasting = best(entries), sustained.get("sustained/" + name)
            rows.append([name, number(least("load")), number(least("first image")), number(least("next image")),
                         number(fastest["real_time"]), number(median(entries)), number(fastest["wall_ms"]),
                         number(fastest["GFLOP/s"]), "%.0f" % fastest["%arithmetic"],
                         "%d" % fastest["dispatches"], number(memory["peak_allocated_bytes"] / 1e6 if memory else None),
                         number(memory["resident_bytes"] / 1e6 if memory else None),
                         "%s to %s in %d images" % (number(lasting[0]["first_tenth_ms"]),
                                                    number(lasting[0]["last_tenth_ms"]), lasting[0]["images"])
                         if lasting else ""])
    return table(["model", "load", "first image", "next image", "pass, device", "median", "pass, host", "GFLOP/s",
                  "% of multiply-add", "dispatches", "device MB", "resident MB", "sustained"], rows) if rows else ""


def conversionTable(out):
    path = os.path.join(out, "conversion.json")
    if not os.path.exists(path):
        return ""
    found = read(path)
    without, memory = found["seconds"] - found["self_check_seconds"], found["peak_bytes"] / found["checkpoint_bytes"]
    return table(["conversion of ddpm32, 36 million parameters", "found", "at most"],
                 [["seconds without the self-check", "%.2f" % without, CONVERSION["seconds_without_self_check"]],
                  ["seconds", "%.2f" % found["seconds"], CONVERSION["seconds"]],
                  ["peak resident bytes over the checkpoint's", "%.2f" % memory, CONVERSION["memory"]]])


def opRows(run):
    """name, best entry of every op of Mote's in a file."""
    return [(key[len("op/"):], best(entries)) for key, entries in run.benchmarks.items()
            if key.startswith("op/") and "/oneDNN" not in key]


def kindOf(name):
    return name.split("/")[-1].split(" ")[0]


def drawRoofline(runs, path):
    figure, axes = plt.subplots(figsize=(10, 6.5))
    gflops, gbytes = max(run.gflops for run in runs), max(run.gbytes for run in runs)
    kinds = {}
    for run in runs:
        for name, entry in opRows(run):
            if entry["GB/s"] > 0 and entry["GFLOP/s"] > 0:
                kinds.setdefault(kindOf(name), []).append((entry["GFLOP/s"] / entry["GB/s"], entry["GFLOP/s"]))
    left, right = 0.05, 2000.0
    knee = gflops / gbytes
    axes.plot([left, knee, right], [left * gbytes, gflops, gflops], color="black", linewidth=1.5)
    axes.annotate("copy %.1f GB/s" % gbytes, (left * 1.3, left * 1.3 * gbytes * 1.25), rotation=38, fontsize=9)
    axes.annotate("multiply-add %.0f GFLOP/s" % gflops, (right / 30, gflops * 1.1), fontsize=9)
    for kind, points in sorted(kinds.items()):
        axes.scatter(*zip(*points), s=28, alpha=0.75, label=kind)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    axes.set_xlabel("operations for each byte that must move (counted as direct convolution)")
    axes.set_ylabel("GFLOP/s")
    axes.set_title("Each op against the ceilings of the same run; Winograd may lie above")
    axes.grid(True, which="major", linewidth=0.3)
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def drawOps(models, path):
    """A bar for each model, cut into kinds of op; the time of a kind is each op's, as often as a pass has it."""
    bars, kinds = [], []
    for run in models:
        sums = {}
        for name, entry in opRows(run):
            model, kind = name.split("/")[0], kindOf(name)
            sums.setdefault(model, {}).setdefault(kind, 0)
            sums[model][kind] += entry["real_time"] * entry["count"]
            if kind not in kinds:
                kinds.append(kind)
        bars += list(sums.items())
    figure, axes = plt.subplots(figsize=(10, 1.4 + 0.8 * len(bars)))
    colours = {kind: plt.get_cmap("tab10")(i % 10) for i, kind in enumerate(sorted(kinds))}
    for row, (model, sums) in enumerate(bars):
        total, left = sum(sums.values()), 0
        for kind in sorted(sums, key=sums.get, reverse=True):
            share = sums[kind] / total
            axes.barh(row, share, left=left, color=colours[kind], edgecolor="white")
            if share > 0.06:
                axes.text(left + share / 2, row, "%s\n%.1f ms" % (kind, sums[kind]), ha="center", va="center",
                          fontsize=7)
            left += share
        axes.text(1.01, row, "%.0f ms" % total, va="center", fontsize=9)
    axes.set_yticks(range(len(bars)), [model for model, _ in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.set_xticks([])
    axes.legend([plt.Rectangle((0, 0), 1, 1, color=colours[kind]) for kind in sorted(kinds)], sorted(kinds), fontsize=7,
                ncol=len(kinds), loc="upper center", bbox_to_anchor=(0.5, 0), frameon=False)
    axes.set_title("Where the device's time of a forward pass goes")
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def opTable(run):
    rows = []
    for name, entry in sorted(opRows(run), key=lambda row: -row[1]["real_time"] * row[1]["count"]):
        host = [best(run.benchmarks[key]) for key in run.benchmarks if key.startswith("op/%s/oneDNN" % name)]
        fastest = best(host) if host else None
        rows.append([name, "%d" % entry["count"], number(entry["real_time"]), number(entry["wall_ms"]),
                     number(entry["GFLOP/s"]), number(entry["GB/s"]), "%.0f" % entry["%arithmetic"],
                     "%.0f" % entry["%copy"], "%d" % entry["dispatches"], "%.1e" % entry["error"],
                     "%s (%.0e)" % (number(fastest["real_time"]), fastest["error"]) if fastest else "",
                     entry.get("label", "")])
    return table(["op", "in a pass", "ms, device", "ms, host", "GFLOP/s", "GB/s", "% of multiply-add", "% of copy",
                  "dispatches", "error", "oneDNN ms (error)", "kernel"], rows)


def toHtml(markdown):
    """The tables above are all the Markdown there is."""
    out, inTable = [], False
    for line in markdown.split("\n"):
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if set(cells) == {"---"}:
                continue
            tag = "td" if inTable else "th"
            out.append(("" if inTable else "<table>")
                       + "<tr>" + "".join("<%s>%s</%s>" % (tag, html.escape(cell), tag) for cell in cells) + "</tr>")
            inTable = True
            continue
        if inTable:
            out.append("</table>")
            inTable = False
        if line.startswith("#"):
            out.append("<h2>%s</h2>" % html.escape(line.lstrip("# ")))
        elif line:
            out.append("<p>%s</p>" % html.escape(line))
    return "\n".join(out)


STYLE = ("body{font:14px sans-serif;margin:2em;max-width:80em}table{border-collapse:collapse;margin:1em 0}"
         "td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left}th{background:#eee}img{max-width:100%}")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    out = sys.argv[1]
    ops = Run(os.path.join(out, "ops.json")) if os.path.exists(os.path.join(out, "ops.json")) else None
    models = [Run(path) for what in ("model", "ops") for path in sorted(glob.glob(os.path.join(out, what + ".*.json")))]
    runs = ([ops] if ops else []) + models
    if not runs:
        raise SystemExit("%s: found no file of mote-bench" % out)
    context = runs[0].context
    rows = targets(out, ops, runs[0].gflops)
    text = ("%s (%s), ceilings %s GFLOP/s of multiply-adds and %s GB/s of a copy. Milliseconds; then: on the "
            "machine on which the targets were set, where the first ceiling was about %d GFLOP/s; a target here "
            "is as many times faster than ncnn as it was there, or, where ncnn did not run, longer by the ratio of the "
            "two ceilings.\n\n") % (
        context["device"], context["driver"], number(runs[0].gflops), number(runs[0].gbytes), THEN_GFLOPS)
    text += "\n".join(part for part in (targetTable(rows), imageTable(models), conversionTable(out)) if part)
    with open(os.path.join(out, "results.md"), "w") as file:
        file.write(text)
    with open(os.path.join(out, "results.json"), "w") as file:
        json.dump({"context": context, "targets": rows}, file, indent=2)
    drawRoofline(runs, os.path.join(out, "roofline.png"))
    if any(opRows(run) for run in models):
        drawOps(models, os.path.join(out, "ops.png"))
    page = text + "".join("\n## Ops of %s\n\n%s" % (
        ", ".join(sorted({name.split("/")[0] for name, _ in opRows(run)})) if run is not ops else "single shapes",
        opTable(run)) for run in runs if opRows(run))
    pictures = "".join('<img src="%s" alt="">' % name for name in ("roofline.png", "ops.png")
                       if os.path.exists(os.path.join(out, name)))
    with open(os.path.join(out, "index.html"), "w") as file:
        file.write("<!DOCTYPE html><meta charset=utf-8><title>Mote, measured</title><style>%s</style><h1>Mote, "
                   "measured</h1>%s%s" % (STYLE, toHtml(page.split("\n## Ops")[0]) + pictures,
                                          toHtml("\n## Ops" + page.split("\n## Ops", 1)[1])
                                          if "\n## Ops" in page else ""))
    print(text)


if __name__ == "__main__":
    main()
