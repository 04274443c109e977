#!/usr/bin/python3
"""Tables and pictures of a folder of measurements.

    report.py OUT [--into RESULTS.md]

Reads what is there of OUT/ops.json, OUT/model.*.json and OUT/ops.*.json (mote-bench: single shapes, models whole and op
by op), OUT/bench.*.json (mote bench), OUT/peers.*.json, OUT/singles.ncnn.json and OUT/conversion.json; writes
OUT/results.md and OUT/results.json (the table of targets), targets.png, roofline.png, ops.png and index.html, and with
--into the tables into that file, between its two lines that say so. Times of mote-bench are the device's own; a figure
is the least of its repetitions, with their median beside it.
"""
import argparse
import html
import json
import os

import figures
import pictures
from figures import best, floorOf, median

BEGIN = "<!-- bench/report.py writes from here -->"
END = "<!-- to here -->"


def number(value):
    if value is None:
        return ""
    return "%.0f" % value if value >= 100 else "%.1f" % value if value >= 10 else "%.2f" % value


def megabytes(value):
    return number(value / 1e6) if value else ""


def percent(part, whole):
    return "%.0f %%" % (100 * part / whole) if part and whole else ""


def withError(time, error):
    return "%s (%.0e)" % (number(time), error) if time is not None else ""


def table(head, rows):
    """Without the columns that are empty."""
    kept = [i for i in range(len(head)) if any(str(row[i]) for row in rows)]
    lines = ["| " + " | ".join(head[i] for i in kept) + " |", "|" + " --- |" * len(kept)]
    return "\n".join(lines + ["| " + " | ".join(str(row[i]) for i in kept) + " |" for row in rows]) + "\n"


def targetTable(rows):
    head = ["work", "target", "Mote", "median", "tuned (error)", "error", "met", "floor", "with tiles",
            "of the ceilings asked", "reached", "target here", "met here"]
    return table(head, [[row["work"], number(row["target_ms"]), number(row["mote_ms"]), number(row["mote_median_ms"]),
                         withError(row.get("tuned_ms"), row.get("tuned_error")), "%.1e" % row["error"], row["met"], number(row["floor_ms"]),
                         number(row["tile_floor_ms"]), percent(row["floor_ms"], row["target_ms"]),
                         percent(row["floor_ms"], row["mote_ms"]),
                         number(row["scaled_target_ms"]), row["met_scaled"]] for row in rows])


def peerTable(rows):
    def times(row, who):
        found, asked, medians = (row.get("times_" + who + suffix) for suffix in ("", "_asked", "_medians"))
        if found is None:
            return ""
        return number(found) + (" (%s)" % number(medians) if medians else "") + (" of %s" % number(asked) if asked else "")

    head = ["work", "Mote (error)", "ncnn fp32 (error)", "ncnn fp16 (error)", "ncnn then", "times ncnn (by medians), of asked",
            "PyTorch (error)", "PyTorch then", "times PyTorch, of asked", "oneDNN (error)"]
    return table(head, [[row["work"], withError(row.get("mote_beside_ncnn_ms", row["mote_ms"]), row["error"]),
                         withError(row.get("ncnn_fp32_ms"), row.get("ncnn_fp32_error")),
                         withError(row.get("ncnn_fp16_ms"), row.get("ncnn_fp16_error")), number(row["ncnn_then_ms"]),
                         times(row, "ncnn"), withError(row.get("pytorch_ms"), row.get("pytorch_error")),
                         number(row.get("pytorch_then_ms")), times(row, "pytorch"),
                         withError(row.get("onednn_ms"), row.get("onednn_error"))] for row in rows])


def imageTable(rows):
    head = ["model", "load", "first image", "of it the session", "next image", "pass, device", "median", "pass, host",
            "floor", "GFLOP/s", "% of multiply-add", "dispatches", "pipelines", "submissions", "sustained"]
    return table(head, [[row["work"], number(row["load_ms"]), number(row["first_ms"]), number(row["create_ms"]),
                         number(row["next_ms"]), number(row["pass_ms"]), number(row["pass_median_ms"]),
                         number(row["pass_wall_ms"]), number(row["floor_ms"]), number(row["gflops"]), "%.0f" % row["percent"],
                         "%d" % row["dispatches"], row["pipelines"] or "", row["submissions"] or "",
                         "%s at first, %s at last, slowest %s of %d images" % (
                             number(row["sustained"]["first_tenth_ms"]), number(row["sustained"]["last_tenth_ms"]),
                             number(row["sustained"]["slowest_ms"]), row["sustained"]["images"])
                         if row["sustained"] else ""] for row in rows])


def memoryTable(rows):
    rows = [row for row in rows if row["resident"]]
    head = ["model", "MB on the device", "MB resident", "ncnn fp32 resident", "ncnn fp16 resident", "ncnn then"]
    return table(head, [[row["work"], megabytes(row["allocated"]), megabytes(row["resident"]), megabytes(row["ncnn_fp32"]),
                         megabytes(row["ncnn_fp16"]), megabytes(row["ncnn_then"])] for row in rows])


def kernelTable(rows):
    whole = {}
    for model, _, _, time, _, _ in rows:
        whole[model] = whole.get(model, 0) + time
    rows = [row for row in rows if row[3] >= 0.005 * whole[row[0]]]
    return table(["model", "kernel", "ops", "ms of a pass", "floor", "with tiles", "of the ceilings reached"], [
        [model, kernel, "%d" % ops, number(time), number(floor), number(tiles), percent(floor, time)]
        for model, kernel, ops, time, floor, tiles in rows]) if rows else ""


def opTable(run):
    """Those first whose time above their floors a pass would miss most."""
    rows = []
    for name, entry in figures.opRows(run):
        floor = floorOf(run.benchmarks["op/" + name])
        above = (entry["real_time"] - (floor or 0)) * entry["count"]
        host = figures.oneDnnOf(run, name)
        rows.append((above, [
            name, "%d" % entry["count"], number(entry["real_time"]), number(median(run.benchmarks["op/" + name])),
            number(entry["wall_ms"]), number(floor), number(above), number(entry["GFLOP/s"]), number(entry["GB/s"]),
            "%.0f" % entry["%arithmetic"], "%.0f" % entry["%copy"], "%d" % entry["dispatches"], "%.1e" % entry["error"],
            withError(host and host["real_time"], host and host["error"]), entry.get("label", "")]))
    return table(["op", "in a pass", "ms, device", "median", "ms, host", "floor", "above it in a pass", "GFLOP/s", "GB/s",
                  "% of multiply-add", "% of copy", "dispatches", "error", "oneDNN ms (error)", "kernel"],
                 [row for _, row in sorted(rows, key=lambda row: -row[0])])


def sections(folder, rows):
    """(title, what to know, table) of everything but the tables of ops."""
    models = figures.images(folder)
    ceilings, host = folder.ceilings(), figures.host(folder)
    found = [
        ("Targets", "Milliseconds: the least of the runs and their median. The floor is what the least arithmetic and the "
         "least loads and stores of the work would take at the ceilings of the same run; with tiles: when operands are loaded "
         "again for each register tile. The share of the ceilings that the target asks for is the floor over the target; what is "
         "reached, the floor over Mote's time. A target here is as many times "
         "faster than ncnn as was asked; where ncnn did not run, longer by the ratio of the multiply-add ceilings, %d GFLOP/s "
         "where the targets were set." % figures.THEN_GFLOPS, targetTable(rows)),
        ("Peers", "Milliseconds, the least of alternating runs, and the relative L2 error against fp64. Mote as it ran in turn "
         "with ncnn. Then: where the targets were set.", peerTable(rows)),
        ("Ceilings", "Measured through Vulkan by mote-bench, the best of its repetitions.",
         table(["what", "found"], [[name, "%s %s" % (number(value), unit)] for name, value, unit in ceilings])
         if ceilings else ""),
        ("Kernels", "What each takes of a pass, its ops timed alone, those first that lose most above their floors; what is less "
         "than 0.5 % of a pass is left out.", kernelTable(figures.kernels(folder))),
        ("Tuning", "By mote bench --tune: the seconds that it took, the distinct shapes with a choice, those timed and those that "
         "changed, and the least milliseconds of a pass by the host's clock with the kernels of the rules and with the tuner's.",
         table(["model", "seconds", "shapes", "timed", "changed", "pass by rules", "tuned"], [
             [name, number(taken), shapes, timed, changed, number(rules), number(tuned)]
             for name, taken, shapes, timed, changed, rules, tuned in figures.tuning(folder)])
         if figures.tuning(folder) else ""),
        ("Images", "Milliseconds. The first image is everything from opening the device on, with what the driver and Mote keep "
         "on disk; making its session is nearly all the driver's, in vkCreateComputePipelines.",
         imageTable(models) if models else ""),
        ("Memory", "The process's peak resident size and what Mote allocated of it on the device, with one model.",
         memoryTable(models) if any(row["resident"] for row in models) else ""),
        ("Host", "Microseconds of a step outside of Vulkan's functions, in the median, at most %d for edge at 128x128; and in vkQueueSubmit."
         % figures.HOST_LIMIT, table(["model", "library", "vkQueueSubmit", "submissions"], [
             [name, number(library), number(submit), number(count)] for name, library, submit, count in host])
         if host else ""),
        ("Conversion", "Of ddpm32, 36 million parameters.",
         table(["conversion", "found", "at most"], [[name, "%.2f" % value, most] for name, value, most
                                                   in figures.conversion(folder.out)])
         if figures.conversion(folder.out) else ""),
    ]
    return [section for section in found if section[2]]


def cell(text):
    """Coloured where it says whether a target is met."""
    kind = " class=met" if text == "yes" else " class=missed" if text.startswith("no") else ""
    return "<td%s>%s</td>" % (kind, html.escape(text))


def toHtml(markdown):
    lines = [line.strip("|").split("|") for line in markdown.strip().split("\n")]
    head, body = lines[0], lines[2:]
    return ("<div class=wide><table><tr>" + "".join("<th>%s</th>" % html.escape(text.strip()) for text in head) + "</tr>"
            + "".join("<tr>" + "".join(cell(text.strip()) for text in row) + "</tr>" for row in body) + "</table></div>")


STYLE = """
:root{--ink:#1c2530;--soft:#5b6875;--line:#dfe5ea;--back:#f5f7f8;--good:#0b7a75;--bad:#a63d2a}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);margin:0}
header{background:var(--ink);color:#fff;padding:2.2em 0 2em}header p{color:#c3ccd5;margin:.3em 0 0}
main,header div{max-width:92em;margin:auto;padding:0 1.6em}h1{margin:0;font-size:2em}h2{margin:0 0 .3em;font-size:1.25em}
section{background:#fff;border:1px solid var(--line);border-radius:10px;padding:1.3em 1.5em;margin:1.4em 0}
section>p{color:var(--soft);margin:0 0 .9em;max-width:62em}.cards{display:flex;flex-wrap:wrap;gap:1em;margin-top:1.4em}
.card{background:#fff;border:1px solid var(--line);border-radius:10px;padding:.9em 1.2em;flex:1 1 12em}
.card b{display:block;font-size:1.7em;line-height:1.2}.card span{color:var(--soft)}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px;width:100%}
td,th{border-bottom:1px solid var(--line);padding:.35em .7em;text-align:right;white-space:nowrap}
td:first-child,th:first-child,td:last-child,th:last-child{text-align:left}th{color:var(--soft);font-weight:600}
tr:hover td{background:#f2f6f7}.met{color:var(--good);font-weight:600}.missed{color:var(--bad)}
img{width:100%;display:block}summary{cursor:pointer;font-size:1.1em;font-weight:600}details table{margin-top:1em}
"""
PICTURES = {
    "Targets": ("targets.png", "Beside its peers", "Each program's least time for the same work, on the same machine."),
    "Images": ("ops.png", "Where a pass goes", "The device's time of a forward pass by kind of op; beneath it the floors of the "
               "same ops, on the same scale."),
    "Ceilings": ("roofline.png", "Against the ceilings", "Each op by its arithmetic and traffic, the larger the more of a pass it "
                 "takes; Winograd may lie above, because operations are counted as those of a direct convolution."),
}


def cards(rows):
    met = sum(row["met"] == "yes" for row in rows if row["target_ms"])
    here = sum(row["met_scaled"] == "yes" for row in rows if row["target_ms"])
    aimed = sum(row["target_ms"] is not None for row in rows)
    times = [row["times_ncnn"] for row in rows if "times_ncnn" in row]
    above = [row["mote_ms"] / row["floor_ms"] for row in rows if row["floor_ms"]]
    found = [("%d of %d" % (met, aimed), "targets met in milliseconds"),
             ("%d of %d" % (here, aimed), "met at this machine's speed")]
    if times:
        found.append(("%.1f to %.1f" % (min(times), max(times)), "times as fast as ncnn on Vulkan"))
    if above:
        found.append(("%.1f to %.1f" % (min(above), max(above)), "times the measured floor"))
    found.append(("%.1e" % max(row["error"] for row in rows), "largest error, of %.1e" % figures.ERROR_LIMIT))
    return "<div class=cards>%s</div>" % "".join(
        "<div class=card><b>%s</b><span>%s</span></div>" % card for card in found)


def page(folder, about, rows, found):
    body = cards(rows) if rows else ""
    for title, words, markdown in found:
        body += "<section><h2>%s</h2><p>%s</p>%s</section>" % (title, html.escape(words), toHtml(markdown))
        picture, caption, about_picture = PICTURES.get(title, ("", "", ""))
        if picture and os.path.exists(os.path.join(folder.out, picture)):
            body += '<section><h2>%s</h2><p>%s</p><img src="%s" alt=""></section>' % (caption, about_picture, picture)
    for run in folder.runs:
        if figures.opRows(run):
            names = sorted({name.split("/")[0] for name, _ in figures.opRows(run)})
            title = "Single shapes" if run is folder.ops else "Ops of " + ", ".join(names)
            body += "<section><details><summary>%s</summary>%s</details></section>" % (html.escape(title), toHtml(opTable(run)))
    return ("<!DOCTYPE html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
            "<title>Mote, measured</title><style>%s</style><header><div><h1>Mote, measured</h1><p>%s</p></div></header>"
            "<main>%s</main></html>" % (STYLE, html.escape(about), body))


def writeWhole(path, text):
    """Never half."""
    with open(path + ".part", "w") as file:
        file.write(text)
    os.replace(path + ".part", path)


def insert(path, text):
    with open(path) as file:
        before, rest = file.read().split(BEGIN + "\n")
    writeWhole(path, before + BEGIN + "\n" + text + END + rest.split(END)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--into", help="a file with the lines %s and %s" % (BEGIN, END))
    options = parser.parse_args()
    folder = figures.Folder(options.out)
    if not folder.runs:
        raise SystemExit("%s: found no file of mote-bench" % options.out)
    context, rows = folder.runs[0].context, figures.targets(folder)
    about = "%s (%s) on %s%s; Mote %s" % (context["device"], context["driver"], context["processor"],
                                          ", " + context["date"][:10] if "date" in context else "", context["mote"])
    if rows:
        pictures.drawTargets(rows, os.path.join(folder.out, "targets.png"))
    pictures.drawRoofline(folder, os.path.join(folder.out, "roofline.png"))
    if any(figures.opRows(run) for run in folder.models):
        pictures.drawOps(folder, os.path.join(folder.out, "ops.png"))
    found = sections(folder, rows) if rows else []
    text = about + ".\n\n" + "\n".join("### %s\n\n%s\n\n%s" % section for section in found)
    writeWhole(os.path.join(folder.out, "results.md"), text)
    writeWhole(os.path.join(folder.out, "results.json"), json.dumps({"context": context, "targets": rows}, indent=2))
    writeWhole(os.path.join(folder.out, "index.html"), page(folder, about, rows, found))
    if options.into:
        insert(options.into, text)
    print(text)


if __name__ == "__main__":
    main()
