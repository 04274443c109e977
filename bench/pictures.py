"""The pictures of report.py."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from figures import kindOf, opRows  # noqa: E402

INK, GRID = "#1c2530", "#d7dde4"
COLOURS = {"Mote": "#0b7a75", "ncnn": "#c8553d", "PyTorch": "#e0a030", "oneDNN": "#8a6fb0", "floor": "#9aa7b4"}
plt.rcParams.update({"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": GRID,
                     "xtick.color": INK, "ytick.color": INK, "axes.axisbelow": True, "svg.fonttype": "none"})


def bare(axes, *sides):
    for side in sides:
        axes.spines[side].set_visible(False)


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def number(value):
    return "%.0f" % value if value >= 100 else "%.1f" % value if value >= 10 else "%.2f" % value


def drawTargets(rows, path):
    """Of each work a bar for each program, on a logarithmic scale, with its target and its floor."""
    bars = []  # per row: [(label, milliseconds)]
    for row in rows:
        found = [("ncnn", row.get("ncnn_ms")), ("PyTorch", row.get("pytorch_ms")), ("oneDNN", row.get("onednn_ms")),
                 ("Mote", row["mote_ms"])]
        bars.append([(label, value) for label, value in found if value])
    height = sum(len(found) + 0.9 for found in bars)
    figure, axes = plt.subplots(figsize=(11, 0.9 + 0.27 * height))
    y, ticks, used = 0, [], []
    for row, found in zip(rows, bars):
        top = y
        for label, value in found:
            axes.barh(y, value, height=0.86, color=COLOURS[label], label=None if label in used else label)
            used.append(label)
            axes.text(value * 1.04, y, number(value), va="center", fontsize=8)
            y += 1
        ticks.append(((top + y - 1) / 2, row["work"]))
        mine = y - 1
        if row.get("floor_ms"):
            axes.plot([row["floor_ms"]] * 2, [mine - 0.43, mine + 0.43], color="white", linewidth=2.2,
                      label=None if "floor" in used else "floor of Mote's work (white)")
            used.append("floor")
        if row.get("target_ms"):
            axes.plot([row["target_ms"]] * 2, [mine - 0.55, mine + 0.55], color=INK, linewidth=1.6, linestyle=(0, (2, 1)),
                      label=None if "target" in used else "target")
            used.append("target")
        y += 0.9
    axes.set_xscale("log")
    axes.set_yticks([tick for tick, _ in ticks], [text for _, text in ticks])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.grid(True, axis="x", which="major", color=GRID, linewidth=0.6)
    axes.set_xlabel("milliseconds, least of alternating runs, logarithmic; ncnn: the better storage")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncol=6, frameon=False, facecolor="#e8ecf0")
    bare(axes, "top", "right", "left")
    save(figure, path)


def drawRoofline(folder, path):
    figure, axes = plt.subplots(figsize=(11, 6.2))
    gflops, gbytes = folder.gflops, folder.gbytes
    kinds = {}
    for run in folder.runs:
        for name, entry in opRows(run):
            if entry["GB/s"] > 0 and entry["GFLOP/s"] > 0:
                kinds.setdefault(kindOf(name), []).append((entry["GFLOP/s"] / entry["GB/s"], entry["GFLOP/s"],
                                                           entry["real_time"] * entry["count"]))
    left, right = 0.05, 3000.0
    knee = gflops / gbytes
    axes.plot([left, knee, right], [left * gbytes, gflops, gflops], color=INK, linewidth=1.8)
    axes.annotate("copy %.1f GB/s" % gbytes, (left * 1.3, left * 1.3 * gbytes * 1.35), rotation=33, fontsize=9)
    axes.annotate("multiply-add %.0f GFLOP/s" % gflops, (left * 1.3, gflops * 1.12), fontsize=9)
    for i, (kind, points) in enumerate(sorted(kinds.items())):
        x, y, cost = zip(*points)
        axes.scatter(x, y, s=[18 + 260 * (each / max(max(p[2] for p in q) for q in kinds.values())) for each in cost],
                     alpha=0.6, label=kind, color=plt.get_cmap("tab10")(i % 10), edgecolor="white", linewidth=0.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    axes.set_xlabel("operations for each byte that must move (counted as direct convolution)")
    axes.set_ylabel("GFLOP/s")
    axes.grid(True, which="major", color=GRID, linewidth=0.6)
    legend = axes.legend(fontsize=8, loc="lower right", frameon=False)
    for handle in legend.legendHandles:
        handle.set_sizes([40])
    bare(axes, "top", "right")
    save(figure, path)


def drawOps(folder, path):
    """Of each model a bar cut into kinds of op, the time of a kind being each op's as often as a pass has it, and
    beneath it the same of their floors."""
    sums, kinds = {}, set()
    for run in folder.models:
        for name, entry in opRows(run):
            model, kind = name.split("/")[0], kindOf(name)
            kinds.add(kind)
            own = sums.setdefault(model, {}).setdefault(kind, [0, 0])
            own[0] += entry["real_time"] * entry["count"]
            own[1] += entry.get("floor_ms", 0) * entry["count"]
    kinds = sorted(kinds)
    figure, axes = plt.subplots(figsize=(11, 1.3 + 0.95 * len(sums)))
    colours = {kind: plt.get_cmap("tab10")(i % 10) for i, kind in enumerate(kinds)}
    for row, (model, own) in enumerate(sums.items()):
        total = sum(found for found, _ in own.values())
        for which, y, height, alpha in ((0, row - 0.14, 0.5, 1), (1, row + 0.27, 0.24, 0.45)):
            left = 0
            for kind in sorted(own, key=lambda kind: -own[kind][0]):
                share = own[kind][which] / total
                axes.barh(y, share, height=height, left=left, color=colours[kind], edgecolor="white", alpha=alpha)
                if which == 0 and share > 0.06:
                    axes.text(left + share / 2, y, "%s\n%.1f ms" % (kind, own[kind][0]), ha="center", va="center",
                              fontsize=7.5, color="white")
                left += share
            floor = sum(least for _, least in own.values())
            if which == 0 or floor > 0:
                axes.text(left + 0.008, y, "%s ms" % number(total) if which == 0 else "floor %s" % number(floor),
                          va="center", fontsize=9 if which == 0 else 7.5)
    axes.set_yticks(range(len(sums)), list(sums))
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.set_xticks([])
    axes.legend([plt.Rectangle((0, 0), 1, 1, color=colours[kind]) for kind in kinds], kinds, fontsize=8, ncol=len(kinds),
                loc="upper center", bbox_to_anchor=(0.5, 0), frameon=False)
    bare(axes, "top", "right", "left", "bottom")
    save(figure, path)
