"""`export`: diffusers folders with fp16 weights: the trained network, and each student of at most 8 steps."""
import json
import os

import torch

from . import network, safetensors_file
from .distilling import rounds, studentPath, teacherWeights
from .loop import RunError
from .task import makeNetwork
from .training import makeDiffusion


def classesOf(weights):
    table = weights.get("class_embedding.weight")
    return 0 if table is None else len(table) - 1


def writeText(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        file.write(content)
    os.replace(path + ".tmp", path)


def exportWeights(config, weights, folder):
    """A checkpoint in diffusers layout."""
    net = makeNetwork(config, classesOf(weights))
    net.load_state_dict(weights)
    largest = max(value.abs().max().item() for value in weights.values())
    if not largest < 65504:
        raise RunError("%s: a weight of %g does not fit into fp16" % (folder, largest))
    os.makedirs(os.path.join(folder, "unet"), exist_ok=True)
    safetensors_file.save(os.path.join(folder, "unet", "diffusion_pytorch_model.safetensors"),
                          {name: value.to(torch.float16) for name, value in weights.items()})
    pipeline = {"_class_name": "DDIMPipeline", "_diffusers_version": "0.29.2",
                "scheduler": ["diffusers", "DDIMScheduler"], "unet": ["diffusers", "UNet2DModel"]}
    for name, content in (("model_index.json", pipeline),
                          ("unet/config.json", network.diffusersConfig(net.config)),
                          ("scheduler/scheduler_config.json", makeDiffusion(config).schedulerConfig())):
        writeText(os.path.join(folder, name), json.dumps(content, indent=2, sort_keys=True) + "\n")


def exported(config):
    """(folder, steps of its recipes) of everything that this run has to export, the trained network first."""
    listed = [(os.path.join(config.run.output, "export"), config.diffusion.recipes)]
    listed += [(os.path.join(config.run.output, "export-%s" % one.name), [one.steps]) for one in rounds(config)
               if not one.guided and one.steps <= 8 and os.path.exists(studentPath(config, one.name))]
    return listed


def window(config):
    restore = config.run.task == "restore"
    return config.export.statistics_window or (config.train.crops[-1][1] if restore else config.data.side)


def exportRun(config):
    for folder, steps in exported(config):
        student = os.path.basename(folder)[len("export-"):]
        weights = safetensors_file.load(studentPath(config, student)) if student else teacherWeights(config)
        exportWeights(config, weights, folder)
        name = "%s-%s" % (config.run.name, student) if student else config.run.name
        # a student's one pass is the guided one: its recipes need no second pass without a class
        print("%s\n  mote-convert %s -o %s.mote --steps %s --name %s --licence %s --task %s --statistics-window %d%s%s"
              % (folder, folder, name, ",".join(map(str, steps)), name, config.export.licence, config.run.task,
                 window(config), " --null-class none" if student and classesOf(weights) else "",
                 " --description %s" % json.dumps(config.export.description) if config.export.description else ""))


def loadExported(folder, device):
    """Network and noise schedule of a diffusers folder."""
    from .diffusion import Diffusion
    try:
        with open(os.path.join(folder, "unet", "config.json"), encoding="utf-8") as file:
            net = network.UNet(json.load(file))
        with open(os.path.join(folder, "scheduler", "scheduler_config.json"), encoding="utf-8") as file:
            diffusion = Diffusion.fromSchedulerConfig(json.load(file))
        weights = safetensors_file.load(os.path.join(folder, "unet", "diffusion_pytorch_model.safetensors"))
        net.load_state_dict({name: value.float() for name, value in weights.items()})
    except (OSError, ValueError, RuntimeError) as error:
        raise RunError("%s: %s" % (folder, error)) from error
    return net.to(device).eval(), diffusion
