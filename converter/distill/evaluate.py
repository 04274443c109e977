"""`evaluate`: every figure of a model card, with its data, seeds and counts, and contact sheets.

Writes results.md, results.json and PNGs to the run's folder `results` (or results-NAME with --model).
"""
import json
import os

import numpy as np
import torch

from . import classifier
from .baselines import baselines
from .data import DataError, Folder, Labelled
from .degrade import KINDS, NumpyNoise
from .diffusion import recipe, sample
from .export import exported, loadExported, writeText
from .latency import latency
from .metrics import frechet, precisionRecall, psnr, ssim
from .network import multiplyAdds, parameterCount
from .sheets import sheet
from .training import restorePictures


def toBytes(x):
    """[1, 3, H, W] in [-1, 1] -> [H, W, 3] bytes, rounded as Mote rounds."""
    return ((x[0] + 1) * 127.5 + 0.5).floor().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def inTiles(size, tile, overlap):
    """Beginnings of tiles along an extent; the last one ends at its end."""
    starts = list(range(0, max(size - tile, 0), tile - overlap))
    return starts + [max(size - tile, 0)]


def tiled(network, diffusion, timesteps, condition, x, tile, overlap):
    """Tiles restored one by one, each normalised by its own statistics, blended by linear ramps over the overlaps."""
    h, w = condition.shape[2:]
    total, weights = torch.zeros_like(condition), torch.zeros_like(condition)
    ramp = torch.minimum(torch.arange(tile) + 1.0, torch.arange(tile, 0, -1.0)).clamp(max=overlap).to(condition)
    for top in inTiles(h, tile, overlap):
        for left in inTiles(w, tile, overlap):
            here = slice(top, min(top + tile, h)), slice(left, min(left + tile, w))
            part = condition[:, :, here[0], here[1]]
            m = network.sizeMultiple
            start = x[:, :, top:top + -(-part.shape[2] // m) * m, left:left + -(-part.shape[3] // m) * m]
            weight = ramp[:part.shape[2], None] * ramp[None, :part.shape[3]]
            total[:, :, here[0], here[1]] += weight * restorePictures(network, diffusion, timesteps, part, start)
            weights[:, :, here[0], here[1]] += weight
    return total / weights


def firstState(condition, multiple, seed):
    """numpy.random.default_rng(seed).standard_normal((1, 3, H, W)) of the padded size."""
    h, w = (-(-extent // multiple) * multiple for extent in condition.shape[2:])
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((1, 3, h, w))).to(condition)


def markdown(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def evaluateRestore(config, device, folder, recipes, out):
    settings = config.evaluate
    if not settings.folder:
        raise DataError("%s: [evaluate] folder: none given, here or with --test" % config.path)
    if not settings.degradations:
        raise DataError("%s: [[evaluate.degradations]] is empty" % config.path)
    network, diffusion = loadExported(folder, device)
    found = Folder(settings.folder, 16)
    pictures = found.pictures[:settings.count or None]
    runs = [("%d step%s" % (n, "s" if n > 1 else ""), recipe(n)) for n in recipes]
    rows, results, crops = [], {}, []
    for entry in settings.degradations:
        name, kind, parameters = entry.get("name", entry["kind"]), entry["kind"], entry.get("parameters", {})
        scores, shown = {}, None
        for i, picture in enumerate(pictures):
            clean = torch.from_numpy(picture).permute(2, 0, 1)[None].float().to(device)
            degraded = KINDS[kind](clean / 255, NumpyNoise(settings.seed + i), **parameters)
            made = {"degraded": toBytes(degraded * 2 - 1)}
            for method, pixels in baselines(kind, parameters, picture,
                                            degraded[0].permute(1, 2, 0).cpu().double().numpy()).items():
                made[method] = (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
            condition = degraded * 2 - 1
            x = firstState(condition, network.sizeMultiple, settings.seed + 4000 + i)
            for label, timesteps in runs:
                made[label] = toBytes(restorePictures(network, diffusion, timesteps, condition, x))
            if settings.tile:
                label, timesteps = runs[0]
                made[label + ", tiles of %d" % settings.tile] = toBytes(
                    tiled(network, diffusion, timesteps, condition, x, settings.tile, settings.overlap))
            for method, pixels in made.items():
                scores.setdefault(method, []).append((psnr(torch.from_numpy(pixels), torch.from_numpy(picture)),
                                                      ssim(pixels, picture)))
            if shown is None:
                shown = {"original": picture, **made}
        means = {method: tuple(np.mean(values, axis=0)) for method, values in scores.items()}
        rows += [[name, method, "%.2f" % p, "%.4f" % s] for method, (p, s) in means.items()]
        results[name] = {method: {"psnr": p, "ssim": s} for method, (p, s) in means.items()}
        side = min(192, *pictures[0].shape[:2])
        top, left = [(extent - side) // 2 for extent in pictures[0].shape[:2]]
        crops.append([pixels[top:top + side, left:left + side] for pixels in shown.values()])
        print(markdown(["degradation", "method", "PSNR, dB", "SSIM"], rows[-len(means):]), flush=True)
    sheet(crops, os.path.join(out, "restored.png"), list(shown), list(results))
    about = ("%d pictures of %s (%d skipped); picture i, sorted by path: degradation seed %d + i, first state seed %d + i "
             "(numpy.random.default_rng); whole pictures, RGB, 8 bits out; PSNR in dB, SSIM after Wang et al. 2004.\n"
             % (len(pictures), os.path.basename(os.path.normpath(settings.folder)), len(found.skipped), settings.seed,
                settings.seed + 4000))
    return network, results, about + "\n" + markdown(["degradation", "method", "PSNR, dB", "SSIM"], rows)


def samples(network, diffusion, timesteps, labels, seed, guidance=1.0, batch=100):
    """Pictures of the classes `labels` [N] in [-1, 1]; noise of picture i comes from numpy.random.default_rng(seed + i)."""
    none = torch.full_like(labels, network.config["num_class_embeds"] - 1)
    side, made = network.config["sample_size"], []
    for first in range(0, len(labels), batch):
        given, without = labels[first:first + batch], none[first:first + batch]
        noise = np.stack([np.random.default_rng(seed + first + i).standard_normal((3, side, side))
                          for i in range(len(given))])

        def predict(x, t, given=given, without=without):
            output = network(x, t, given)
            if guidance == 1.0:
                return output
            unconditional = network(x, t, without)
            return unconditional + guidance * (output - unconditional)

        made.append(sample(predict, diffusion, timesteps, torch.from_numpy(noise).float().to(labels.device)))
    return torch.cat(made)


def byteRows(pictures):
    return [toBytes(picture[None]) for picture in pictures]


def evaluateGenerate(config, device, models, out):
    """models: (name, folder, timesteps, guidance), the teacher first; the distances of all are taken with one classifier."""
    settings, data = config.evaluate, config.data
    real = Labelled.configured(data)
    pictures, labels = real.pictures.to(device), real.labels.to(device)
    judge = classifier.trained(os.path.join(config.run.output, "classifier.safetensors"), pictures, labels, config.run.seed,
                               settings.classifier_steps)
    with torch.no_grad():
        embedded = judge.embed(pictures.float() / 127.5 - 1).cpu()
    count = settings.count or 2000
    # classes as often as among the real pictures
    wanted = labels[torch.arange(count, device=device) * len(labels) // count]
    classes = len(real.names)
    rows, results, teacherDistance = [], {}, None
    for name, folder, timesteps, guidance in models:
        network, diffusion = loadExported(folder, device)
        made = samples(network, diffusion, timesteps, wanted, settings.seed, guidance)
        with torch.no_grad():
            features = judge.embed(made.clamp(-1, 1)).cpu()
            asked = (judge(made.clamp(-1, 1)).argmax(1) == wanted).double().mean().item()
        distance = frechet(features, embedded)
        precision, recall = precisionRecall(embedded, features)
        teacherDistance = distance if teacherDistance is None else teacherDistance
        rows.append([name, "%.3f" % distance, "%.2f" % (distance / teacherDistance), "%.3f" % precision, "%.3f" % recall,
                     "%.1f %%" % (100 * asked)])
        results[name] = {"frechet": distance, "precision": precision, "recall": recall, "classified_as_asked": asked}
        print(markdown(["model", "Fréchet", "of teacher's", "precision", "recall", "class as asked"], rows[-1:]), flush=True)
        slug = name.replace(" ", "-")
        perClass = samples(network, diffusion, timesteps, torch.arange(classes, device=device).repeat_interleave(10),
                           settings.seed, guidance)
        sheet([byteRows(perClass[10 * c:10 * c + 10]) for c in range(classes)], os.path.join(out, "samples-%s.png" % slug),
              (), real.names, 2)
        # against memorisation: each sample beside the nearest real pictures by pixels
        few = made[torch.linspace(0, count - 1, 12).long()]
        flat, all_ = few.flatten(1).cpu(), (pictures.float() / 127.5 - 1).flatten(1).cpu()
        nearest = torch.cdist(flat, all_).topk(min(4, len(all_)), dim=1, largest=False).indices
        sheet([byteRows(few[i:i + 1]) + [real.pictures[j].permute(1, 2, 0).numpy() for j in nearest[i]]
               for i in range(len(few))], os.path.join(out, "nearest-%s.png" % slug), ("made", "nearest"), (), 2)
    about = ("%d samples a model, classes as often as among the %d real pictures of %s; the noise of sample i has seed "
             "%d + i; features of a classifier of %d classes trained on the same pictures (seed %d): comparable with each other "
             "only. Precision and recall with k = 3.\n"
             % (count, len(labels), os.path.basename(os.path.normpath(data.folder)), settings.seed, classes, config.run.seed))
    header = ["model", "Fréchet distance", "of the teacher's", "precision", "recall", "classified as asked"]
    return network, results, about + "\n" + markdown(header, rows)


def evaluateRun(config, device, model=None, benches=()):
    listed = exported(config)
    restore = config.run.task == "restore"
    if restore:
        folder, recipes = (model, config.diffusion.recipes) if model else listed[0]
        suffix = "-" + os.path.basename(os.path.normpath(model)) if model else ""
    else:
        suffix = ""
    out = os.path.join(config.run.output, "results" + suffix)
    os.makedirs(out, exist_ok=True)
    if restore:
        network, results, text = evaluateRestore(config, device, folder, recipes, out)
        passes, side = recipes, 512
    else:
        teacher, settings = listed[0][0], config.evaluate
        models = [("teacher, %d steps" % settings.teacher_steps, teacher, recipe(settings.teacher_steps), settings.guidance)]
        models += [("%d steps" % steps[0], folder, recipe(steps[0]), 1.0) for folder, steps in listed[1:]]
        models += [("undistilled, %d steps" % steps[0], teacher, recipe(steps[0]), settings.guidance)
                   for _, steps in listed[1:]]
        network, results, text = evaluateGenerate(config, device, models, out)
        passes, side = [steps[0] for _, steps in listed[1:]] or [1], config.data.side
    text += "\n%s parameters, %.2f billion multiply-adds a pass at %dx%d.\n" \
            % ("{:,}".format(parameterCount(network)), multiplyAdds(network, side, side) / 1e9, side, side)
    rows = [row for n in passes for row in latency(network, benches, n, side, side)]
    if rows:
        text += "\n" + markdown(["device", "size", "passes", "predicted", "from the rate measured on"], rows)
    writeText(os.path.join(out, "results.md"), text)
    writeText(os.path.join(out, "results.json"), json.dumps(results, indent=2) + "\n")
    print(text)
