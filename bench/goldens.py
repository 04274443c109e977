#!/usr/bin/env python3
"""Errors against tolerances: what the tests measure on the goldens, as Markdown (nothing but Python's library).

usage: goldens.py BUILD_DIR [FILE.json ...]
Runs the test programs of BUILD_DIR that compare with tests/goldens and prints what they recorded: networks in the
fp32 reference interpreter and on the Vulkan device, schedulers as tables in double and as rows of the sampler's
kernel. FILE.json: reports that the programs have written before (--gtest_output=json:FILE) in place of running them.
Exit status 1 where a test failed.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

GOLDENS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests", "goldens")

# Program and the tests of it that record.
PROGRAMS = {
    "convert_goldens_test": "Goldens.Folded*:Goldens.ShippedModel*",
    "convert_schedule_test": "SchedulerGoldens.*",
    "pipeline_goldens_test": "*",
    "kernels_golden_rows_test": "*",
}


def run(build):
    reports = []
    with tempfile.TemporaryDirectory() as folder:
        for program, tests in PROGRAMS.items():
            report = os.path.join(folder, program + ".json")
            subprocess.run([os.path.join(build, "tests", program), "--gtest_filter=" + tests,
                            "--gtest_output=json:" + report], stdout=subprocess.DEVNULL)
            reports.append(read(report))
    return reports


def read(path):
    with open(path) as file:
        return json.load(file)


def recorded(reports):
    """key "executor.case.what" -> numbers, and whether all tests passed."""
    found, passed = {}, True
    for report in reports:
        for suite in report["testsuites"]:
            for test in suite["testsuite"]:
                passed = passed and "failures" not in test
                for key, value in test.items():
                    if "." in key:
                        found[key] = json.loads(value)
    return found, passed


def networks(found):
    """(case, what) -> executor -> [rel_l2, tolerance, max/rms, tolerance]"""
    rows = {}
    for key, value in found.items():
        executor, *rest = key.split(".", 2)
        if executor in ("reference", "vulkan"):
            rows.setdefault(tuple(rest), {})[executor] = value
    return rows


def tensor(case, name):
    """Whole or floating numbers of a tensor of the case's goldens."""
    with open(os.path.join(GOLDENS, case, "goldens.safetensors"), "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        start = file.tell()
        begin, end = header[name]["data_offsets"]
        file.seek(start + begin)
        kind = {"I64": "q", "I32": "i", "F32": "f", "F64": "d"}[header[name]["dtype"]]
        return [value for value, in struct.iter_unpack("<" + kind, file.read(end - begin))]


def described(case, what):
    """"fwd.48x80.out" as "48x80, forward at t = 1, 500", "ddim2.x" as "ddim2: DDIM, 2 steps"."""
    path = os.path.join(GOLDENS, case, "case.json")
    if what.startswith("fwd."):
        size = what[len("fwd."):-len("out")]
        times = ", ".join("%g" % t for t in tensor(case, "fwd.t"))
        return (size.replace(".", ", ") if size else "") + "forward at t = " + times
    if not what.endswith(".x") or not os.path.exists(path):
        return what.removesuffix(".x")
    name = what.removesuffix(".x")
    run = read(path)["runs"][name]
    eta = run["step_args"].get("eta")
    return "%s: %s, %d step%s%s" % (name, run["scheduler"].removesuffix("Scheduler"), run["steps"],
                                    "" if run["steps"] == 1 else "s", ", eta %g" % eta if eta else "")


def cells(error):
    """Relative L2 error, its tolerance, and the worse of it and the largest error as fractions."""
    if error is None:
        return ["", "", ""]
    l2, l2_tolerance, largest, largest_tolerance = error
    # JSON has no infinity: no tolerance, or nothing finite to compare.
    fraction = max(l2 / l2_tolerance, largest / largest_tolerance if largest_tolerance else 0)
    return ["%.1e" % l2, "%.1e" % l2_tolerance, "%.3f" % fraction]


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def main():
    found, passed = recorded([read(path) for path in sys.argv[2:]] or run(sys.argv[1]))
    rows = [[case, described(case, what),
             *cells(errors.get("reference")), *cells(errors.get("vulkan"))]
            for (case, what), errors in sorted(networks(found).items())]
    table(["case", "what", "reference", "fp32 tolerance", "fraction", "Vulkan", "fp16 tolerance", "fraction"], rows)

    schedulers = sorted(key.split(".", 1)[1] for key in found if key.startswith("exact."))
    rows = []
    for scheduler in schedulers:
        runs, exact = found["exact." + scheduler]
        table_rows, kernel = found["kernel." + scheduler]
        rows.append([scheduler, str(runs), "%.1e" % (1e-8 * exact), "%.3f" % exact,
                     "%.3f" % found["published." + scheduler][1], str(table_rows), "%.3f" % kernel])
    table(["scheduler", "runs", "error in double", "of 1e-8", "published, fraction", "rows", "kernel row, fraction"],
          rows)
    if not passed:
        sys.exit("a test failed")


if __name__ == "__main__":
    main()
