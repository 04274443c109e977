"""A run's TOML file: sections, keys, types and defaults; anything else is refused by name."""
import dataclasses
import os
import tomllib
from dataclasses import dataclass, field

from .degrade import KINDS, RANGES
from .diffusion import PREDICTIONS


class ConfigError(Exception):
    pass


@dataclass
class Run:
    task: str = "restore"        # restore (a degraded picture is the condition) or generate (a class is)
    seed: int = 0
    output: str = ""             # folder of checkpoints, curves, exports and results; "" is runs/NAME beside the file
    name: str = ""               # "" is the file's name
    log_every: int = 50          # steps between rows of the CSV
    save_every: int = 1000       # steps between checkpoints


@dataclass
class Network:
    widths: list = field(default_factory=lambda: [32, 64, 96, 128])
    layers: int = 1
    groups: int = 8
    attention: bool = False      # at the lowest level and in the middle
    head_width: int = 32


@dataclass
class Diffusion:
    prediction: str = "x0"       # epsilon, x0 or v
    schedule: str = "cosine"     # linear or cosine
    zero_terminal_snr: bool = True
    noise_scale: float = 1.0     # see diffusion.py
    clip: bool = True            # sampling clips the picture to [-1, 1] at every step; distillation never does
    recipes: list = field(default_factory=lambda: [1, 2, 4])


@dataclass
class Data:
    folder: str = ""             # --data says otherwise
    holdout: int = 0             # every n-th picture is for validation only; 0: none
    max_side: int = 0            # larger pictures are reduced; 0: never
    side: int = 32               # generate: side of the pictures
    atlas: str = ""              # generate: a PNG of tiles and a TSV of labels in the folder, see data.py
    labels: str = ""
    name_column: str = ""
    classes: dict = field(default_factory=dict)  # generate: class -> patterns of name_column; tiles of no class are left out


@dataclass
class Train:
    start: str = ""              # a diffusers folder of the same network whose weights training starts from
    steps: int = 100_000
    crops: list = field(default_factory=lambda: [[0.0, 64, 16]])  # from which part of training: side, batch
    learning_rate: float = 4e-4
    warmup: int = 500
    weight_decay: float = 1e-4
    ema: float = 0.999
    timesteps: str = "recipes"   # those of the recipes, or all
    pixel: str = "l1"            # l1, l2, charbonnier
    gradient: float = 0.0        # weight of the L1 of finite differences
    frequency: float = 0.0       # weight of the L1 of the Fourier transform
    min_snr: float = 0.0         # gamma of Hang et al. 2023; 0: every timestep weighs the same
    label_dropout: float = 0.0   # generate: share of samples without a class, for guidance


@dataclass
class Validate:
    every: int = 5000            # steps; 0: never
    kind: str = "gaussian"
    parameters: dict = field(default_factory=lambda: {"sigma": 25})
    side: int = 256              # a centre crop of each held-out picture


@dataclass
class Distil:
    guidance: float = 1.0        # scale folded in before the first round; 1: none
    rounds: list = field(default_factory=lambda: [8, 4, 2, 1])  # steps of the students; the first teacher's: twice
    steps: int = 10_000          # training steps per round
    batch: int = 64
    side: int = 0                # restore: side of the crops; 0: the last of [train].crops
    learning_rate: float = 1e-4
    warmup: int = 100
    ema: float = 0.999


@dataclass
class Export:
    statistics_window: int = 0   # 0: the side of the last crops, or of the pictures
    licence: str = "Apache-2.0"
    description: str = ""


@dataclass
class Evaluate:
    folder: str = ""             # restore: test pictures; --test says otherwise
    count: int = 0               # only the first pictures; generate: how many samples; 0: all, or 2000
    degradations: list = field(default_factory=list)  # tables: name, kind, parameters
    tile: int = 0                # restore: also in tiles of this side, each with its own GroupNorm statistics
    overlap: int = 32
    teacher_steps: int = 50      # generate: the teacher whose distance the students' is compared with
    guidance: float = 1.0        # generate: the teacher's guidance; the students have it folded in
    classifier_steps: int = 1500 # generate: training of the classifier in whose features distances are taken
    seed: int = 1000             # picture i's degradation has this seed + i, its first state 4000 more


@dataclass
class Config:
    run: Run
    network: Network
    diffusion: Diffusion
    data: Data
    degrade: dict                # kind -> weight and, by parameter, bounds
    train: Train
    validate: Validate
    distil: Distil
    export: Export
    evaluate: Evaluate
    path: str = ""

    def trainedBy(self):
        """What a checkpoint must share with the configuration that resumes it: not folders, lengths, nor what only sampling asks."""
        keep = {name: dataclasses.asdict(getattr(self, name)) for name in ("network", "diffusion", "data", "train")}
        keep["degrade"], keep["seed"], keep["task"] = self.degrade, self.run.seed, self.run.task
        for section, key in (("data", "folder"), ("train", "steps"), ("train", "start"), ("diffusion", "clip")):
            del keep[section][key]
        return keep

    def distilledBy(self):
        """The same for a round of distillation, which training knows nothing of."""
        keep = {**self.trainedBy(), "distil": dataclasses.asdict(self.distil)}
        del keep["distil"]["steps"]
        return keep


SECTIONS = {"run": Run, "network": Network, "diffusion": Diffusion, "data": Data, "train": Train, "validate": Validate,
            "distil": Distil, "export": Export, "evaluate": Evaluate}
CHOICES = {("run", "task"): ("restore", "generate"), ("diffusion", "prediction"): tuple(PREDICTIONS),
           ("diffusion", "schedule"): ("linear", "cosine"), ("train", "timesteps"): ("recipes", "all"),
           ("train", "pixel"): ("l1", "l2", "charbonnier"), ("validate", "kind"): tuple(KINDS)}


def readSection(path, name, cls, table):
    known = {entry.name: entry for entry in dataclasses.fields(cls)}
    values = {}
    for key, value in table.items():
        where = "%s: [%s] %s" % (path, name, key)
        if key not in known:
            raise ConfigError("%s is not known; known are %s" % (where, ", ".join(known)))
        kind = known[key].type
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigError("%s: found %r, expected %s" % (where, value, kind.__name__))
        if kind in (int, float) and value < 0:
            raise ConfigError("%s: found %r, expected 0 or more" % (where, value))
        choices = CHOICES.get((name, key))
        if choices and value not in choices:
            raise ConfigError("%s: found %r, expected one of %s" % (where, value, ", ".join(choices)))
        values[key] = value
    return cls(**values)


def checkParameters(where, kind, parameters):
    if kind not in KINDS:
        raise ConfigError("%s: found kind %r, expected one of %s" % (where, kind, ", ".join(KINDS)))
    for key in parameters:
        if key not in RANGES[kind]:
            raise ConfigError("%s: %s is no parameter of %s; it has %s"
                              % (where, key, kind, ", ".join(RANGES[kind]) or "none"))


def checkDegrade(path, table):
    for kind, entry in table.items():
        where = "%s: [degrade.%s]" % (path, kind)
        checkParameters(where, kind, [key for key in entry if key != "weight"])
        if not entry.get("weight", 1) > 0:
            raise ConfigError("%s weight: found %r, expected more than 0" % (where, entry["weight"]))
        for key, bounds in entry.items():
            if key != "weight" and not (isinstance(bounds, list) and len(bounds) == 2 and bounds[0] <= bounds[1]):
                raise ConfigError("%s %s: found %r, expected [low, high]" % (where, key, bounds))
            if key == "factor" and not set(bounds) <= {2, 4}:
                raise ConfigError("%s factor: found %r, expected 2 and 4" % (where, bounds))
    return table


def check(config):
    path, train, network = config.path, config.train, config.network
    if any(not isinstance(width, int) or width % network.groups or width <= 0 for width in network.widths):
        raise ConfigError("%s: [network] widths: found %r, expected multiples of groups (%d)"
                          % (path, network.widths, network.groups))
    if network.attention and any(width % network.head_width for width in network.widths[-1:]):
        raise ConfigError("%s: [network] head_width: found %d, expected a divisor of the last width, %d"
                          % (path, network.head_width, network.widths[-1]))
    multiple = 2 ** (len(network.widths) - 1)
    if not train.crops or train.crops[0][0] != 0:
        raise ConfigError("%s: [train] crops: found %r, expected a first entry from part 0" % (path, train.crops))
    for entry in train.crops:
        if len(entry) != 3 or not 0 <= entry[0] <= 1 or entry[1] % multiple or entry[1] < 1 or entry[2] < 1:
            raise ConfigError("%s: [train] crops: found %r, expected [part of training, side, batch] with a side that "
                              "is a multiple of %d" % (path, entry, multiple))
    for name, steps in (("[diffusion] recipes", config.diffusion.recipes), ("[distil] rounds", config.distil.rounds)):
        if not steps or any(not isinstance(n, int) or not 1 <= n <= 500 for n in steps):
            raise ConfigError("%s: %s: found %r, expected numbers of steps from 1 to 500" % (path, name, steps))
    for before, after in zip(config.distil.rounds, config.distil.rounds[1:]):
        if before != 2 * after:
            raise ConfigError("%s: [distil] rounds: found %d after %d, expected half of it" % (path, after, before))
    if config.diffusion.prediction == "epsilon" and config.diffusion.zero_terminal_snr:
        raise ConfigError("%s: [diffusion] zero_terminal_snr: epsilon says nothing about the picture there; predict v or "
                          "x0" % path)
    if not 0 <= train.ema < 1 or not 0 <= config.distil.ema < 1:
        raise ConfigError("%s: [train] ema, [distil] ema: expected at least 0 and below 1" % path)
    for name, patterns in config.data.classes.items():
        if not isinstance(patterns, list) or not patterns or not all(isinstance(entry, str) for entry in patterns):
            raise ConfigError("%s: [data.classes] %s: found %r, expected a list of patterns" % (path, name, patterns))
    if config.data.classes and not config.data.atlas:
        raise ConfigError("%s: [data.classes]: patterns are for an atlas; a folder has a folder for each class" % path)
    if config.run.task == "restore" and not config.degrade:
        raise ConfigError("%s: [degrade.KIND] is missing: restoration needs at least one kind" % path)
    checkParameters("%s: [validate]" % path, config.validate.kind, config.validate.parameters)
    for entry in config.evaluate.degradations:
        where = "%s: [[evaluate.degradations]]" % path
        if not isinstance(entry, dict) or set(entry) - {"name", "kind", "parameters"} or "kind" not in entry:
            raise ConfigError("%s: found %r, expected name, kind and parameters" % (where, entry))
        checkParameters(where, entry["kind"], entry.get("parameters", {}))


def load(path, data=None, test=None, output=None):
    """The file with every default filled in; the arguments are those of the command line."""
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("%s: %s" % (path, error)) from error
    except OSError as error:
        raise ConfigError("%s: %s" % (path, error.strerror)) from error
    for name, table in document.items():
        if name not in SECTIONS and name != "degrade":
            raise ConfigError("%s: [%s] is not known; known are %s" % (path, name, ", ".join([*SECTIONS, "degrade"])))
        if not isinstance(table, dict):
            raise ConfigError("%s: %s: found %r, expected a section" % (path, name, table))
    parts = {name: readSection(path, name, cls, document.get(name, {})) for name, cls in SECTIONS.items()}
    config = Config(degrade=checkDegrade(path, document.get("degrade", {})), path=path, **parts)
    run = config.run
    run.name = run.name or os.path.splitext(os.path.basename(path))[0]
    run.output = output or run.output or os.path.join(os.path.dirname(os.path.abspath(path)), "runs", run.name)
    config.data.folder = data or config.data.folder
    config.evaluate.folder = test or config.evaluate.folder
    check(config)
    return config
