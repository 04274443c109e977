"""python3 -m distill train|distil|export|evaluate CONFIG.toml"""
import argparse
import sys

from . import config as configuration
from .data import DataError
from .loop import RunError
from .network import NetworkError
from .safetensors_file import TensorFileError


def main(words=None):
    parser = argparse.ArgumentParser(prog="distill", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, text):
        sub = commands.add_parser(name, help=text)
        sub.add_argument("config", metavar="CONFIG.toml")
        sub.add_argument("--data", metavar="DIR", help="training pictures, instead of [data] folder")
        sub.add_argument("--output", metavar="DIR", help="instead of [run] output")
        sub.add_argument("--device", help="cpu or cuda; cuda if there is one")
        return sub

    def benchOption(sub):
        sub.add_argument("--bench", metavar="FILE", action="append", default=[],
                         help="output of `mote bench --json`: predict this network's time on that device; may be repeated")

    for name, text in (("train", "train the network, or go on training it"),
                       ("distil", "distil the trained network round by round, or go on")):
        sub = command(name, text)
        sub.add_argument("--minutes", type=float, help="stop after this time, with a checkpoint to go on from")
        sub.add_argument("--finish", action="store_true",
                         help="with --minutes: run through the rest of the learning rate schedule in this time")
        if name == "train":
            benchOption(sub)
    command("export", "write diffusers folders")
    sub = command("evaluate", "measure, and write tables and contact sheets")
    sub.add_argument("--test", metavar="DIR", help="test pictures, instead of [evaluate] folder")
    sub.add_argument("--model", metavar="DIR", help="a diffusers folder, instead of this run's export")
    benchOption(sub)
    arguments = parser.parse_args(words)
    try:
        config = configuration.load(arguments.config, arguments.data, getattr(arguments, "test", None), arguments.output)
        if getattr(arguments, "finish", False) and arguments.minutes is None:
            parser.error("--finish needs --minutes")
        if arguments.command == "train":
            from .training import pickDevice, trainRun
            trainRun(config, pickDevice(arguments.device), arguments.minutes, arguments.finish,
                     arguments.bench)
        elif arguments.command == "distil":
            from .distilling import distilRun
            from .training import pickDevice
            distilRun(config, pickDevice(arguments.device), arguments.minutes, arguments.finish)
        elif arguments.command == "export":
            from .export import exportRun
            exportRun(config)
        else:
            from .evaluate import evaluateRun
            from .training import pickDevice
            evaluateRun(config, pickDevice(arguments.device), arguments.model, arguments.bench)
    except (configuration.ConfigError, DataError, NetworkError, RunError, TensorFileError) as error:
        sys.exit("distill: %s" % error)


if __name__ == "__main__":
    main()
