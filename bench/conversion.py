#!/usr/bin/python3
"""Seconds and memory of a conversion: the 36 million parameters of ddpm32 with random weights.

    conversion.py MOTE_CONVERT OUT [--runs 3]    writes OUT/conversion.json

MOTE_CONVERT from a Release build: others measure the compiler's options. Memory is the process's peak resident size as
the kernel counts it, over the bytes that the checkpoint has in fp32.
"""
import argparse
import json
import os
import re
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def convert(program, folder):
    """Seconds of the whole program, seconds of the self-check in it, peak bytes, checkpoint bytes."""
    log = os.path.join(folder, "log")
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.execv(program, [program, os.path.join(HERE, "models", "ddpm32"), "--random-weights", "1", "--steps", "4",
                           "-o", os.path.join(folder, "model.mote")])
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    with open(log) as file:
        text = file.read()
    if status != 0:
        raise SystemExit("%s failed: %s" % (program, text))
    selfCheck = float(re.search(r"made in ([0-9.]+) s", text).group(1))
    checkpoint = int(re.search(r"parameters, ([0-9,]+) bytes", text).group(1).replace(",", ""))
    return seconds, selfCheck, usage.ru_maxrss * 1024, checkpoint


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("out")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [convert(os.path.abspath(options.program), folder) for _ in range(options.runs)]
    seconds, selfCheck, peak, checkpoint = min(runs)
    result = {"seconds": seconds, "self_check_seconds": selfCheck, "peak_bytes": peak, "checkpoint_bytes": checkpoint,
              "runs": len(runs)}
    path = os.path.join(options.out, "conversion.json")
    with open(path + ".part", "w") as file:
        json.dump(result, file, indent=2)
    os.replace(path + ".part", path)
    print("conversion %.2f s, %.2f s without the self-check, %.2f times the checkpoint's bytes"
          % (seconds, seconds - selfCheck, peak / checkpoint))


if __name__ == "__main__":
    main()
