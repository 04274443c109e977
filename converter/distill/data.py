"""Pictures: reading folders and atlases, crops, batches. What cannot be used is skipped, with a reason."""
import csv
import fnmatch
import os
import struct
from collections import Counter

import numpy as np
import torch
from PIL import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
MAX_PIXELS = 100_000_000


class DataError(Exception):
    pass


class Unusable(Exception):
    """One picture that is skipped; the first argument is the reason, worded so that equal reasons can be counted."""


def pngBitDepth(path):
    with open(path, "rb") as file:
        head = file.read(26)
    return head[24] if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) == 26 else None


def readPicture(path, minSide, maxSide=None):
    """An 8-bit RGB picture [H, W, 3] of at least minSide pixels a side; larger than maxSide it is reduced (Lanczos)."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Unusable("more than %d megapixels" % (MAX_PIXELS // 1_000_000))
            if min(width, height) < minSide:
                raise Unusable("a side shorter than %d pixels" % minSide)
            bits = image.tag_v2.get(258, (8,)) if hasattr(image, "tag_v2") else (8,)
            if pngBitDepth(path) == 16 or max(bits if isinstance(bits, tuple) else (bits,)) > 8 \
                    or image.mode.startswith(("I", "F")):
                raise Unusable("more than 8 bits a sample")
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                if image.getextrema()[3][0] < 255:
                    raise Unusable("transparent")
            if image.mode not in ("RGB", "RGBA", "L", "P", "1"):
                raise Unusable("mode %s, not RGB or gray" % image.mode)
            image = image.convert("RGB")
            if maxSide and max(width, height) > maxSide:
                scale = maxSide / max(width, height)
                size = max(1, round(width * scale)), max(1, round(height * scale))
                if min(size) < minSide:
                    raise Unusable("a side shorter than %d pixels" % minSide)
                image = image.resize(size, Image.LANCZOS)
            return np.array(image)
    except Unusable:
        raise
    except Image.DecompressionBombError as error:
        raise Unusable("more than %d megapixels" % (MAX_PIXELS // 1_000_000)) from error
    except (OSError, ValueError, SyntaxError, struct.error) as error:  # what Pillow raises on damaged files
        raise Unusable("truncated, damaged or no picture") from error


def pictureFiles(folder):
    if not os.path.isdir(folder):
        raise DataError("%s is no folder" % folder)
    return sorted(os.path.join(root, name) for root, _, names in os.walk(folder)
                  for name in names if name.lower().endswith(ENDINGS))


def reasons(folder, skipped):
    """A line for each reason with its count and first picture; skipped has (path, reason)."""
    lines = ""
    for reason, count in sorted(Counter(reason for _, reason in skipped).items()):
        first = next(path for path, why in skipped if why == reason)
        lines += "\n  %d skipped: %s (%s)" % (count, reason, os.path.relpath(first, folder))
    return lines


class Folder:
    """The usable pictures below a folder, sorted by path, as arrays; `skipped` has (path, reason) of the others."""

    def __init__(self, folder, minSide, maxSide=None, maxBytes=4 << 30):
        self.folder, self.paths, self.pictures, self.skipped = folder, [], [], []
        size = 0
        for path in pictureFiles(folder):
            try:
                picture = readPicture(path, minSide, maxSide)
                if size + picture.nbytes > maxBytes:
                    raise Unusable("no memory left: %d MB are in use" % (maxBytes >> 20))
            except Unusable as why:
                self.skipped.append((path, str(why)))
                continue
            size += picture.nbytes
            self.paths.append(path)
            self.pictures.append(picture)
        if not self.pictures:
            raise DataError("%s: no usable picture. %s" % (folder, self.report()))

    def report(self):
        return "%s: %d pictures, %d skipped%s" % (self.folder, len(self.pictures), len(self.skipped),
                                                  reasons(self.folder, self.skipped))


class Crops:
    """Pictures of any sizes in one flat tensor, so that a batch of crops is one gather on the device."""

    def __init__(self, pictures, device):
        sizes = [picture.shape[0] * picture.shape[1] for picture in pictures]
        self.flat = torch.from_numpy(np.concatenate([picture.reshape(-1, 3) for picture in pictures])).to(device)
        self.offsets = torch.tensor(np.cumsum([0] + sizes[:-1]))
        self.heights = torch.tensor([picture.shape[0] for picture in pictures])
        self.widths = torch.tensor([picture.shape[1] for picture in pictures])

    def places(self, chosen, side, generator):
        """Random crops of the chosen pictures [N], mirrored and turned: [N, 3] first pixel, step down, step right."""
        y, x = (((extent[chosen] - side + 1) * torch.rand(len(chosen), generator=generator, dtype=torch.float64)).long()
                for extent in (self.heights, self.widths))
        width = self.widths[chosen]
        first, down, right = self.offsets[chosen] + y * width + x, width, torch.ones_like(width)
        flips = torch.randint(0, 8, (len(chosen),), generator=generator)
        for bit, axis in ((1, 0), (2, 1)):
            flip = (flips & bit) > 0
            step = (down, right)[axis]
            first = torch.where(flip, first + (side - 1) * step, first)
            if axis == 0:
                down = torch.where(flip, -down, down)
            else:
                right = torch.where(flip, -right, right)
        turn = (flips & 4) > 0
        down, right = torch.where(turn, right, down), torch.where(turn, down, right)
        return torch.stack([first, down, right], dim=1)

    def gather(self, places, side):
        """[N, 3, side, side] in [0, 1] on the device of the pictures."""
        first, down, right = places.to(self.flat.device).T[:, :, None, None]
        steps = torch.arange(side, device=self.flat.device)
        pixels = self.flat[first + down * steps[None, :, None] + right * steps[None, None, :]]
        return pixels.permute(0, 3, 1, 2).float() / 255


def order(count, batch, step, seed):
    """The pictures of a step [batch]: permutations of all, one after another, so that the step says where we are."""
    chosen = []
    for position in range(step * batch, (step + 1) * batch):
        epoch, index = divmod(position, count)
        if not chosen or index == 0:
            permutation = torch.randperm(count, generator=seeded(seed, 0, epoch))
        chosen.append(int(permutation[index]))
    return torch.tensor(chosen)


def seeded(seed, stream, step, device="cpu"):
    """A generator that depends on the run's seed, the purpose and the step only: no state needs to be kept."""
    word = np.random.SeedSequence([seed, stream, step]).generate_state(1, np.uint64)[0]
    return torch.Generator(device=device).manual_seed(int(word >> np.uint64(1)))


class Labelled:
    """Small pictures with classes, all of one size: [N, 3, S, S] bytes, labels [N], names of the classes.

    From an atlas (a PNG of equal tiles, row by row, and a TSV with columns row, col, class and a name column), or from a
    folder with one folder of pictures per class (cut to squares, reduced by Lanczos). With `chosen`, patterns of the name
    column by class, a tile of the atlas belongs to the first class that has a pattern for its name, or is left out."""

    @staticmethod
    def configured(data):
        return Labelled(data.folder, data.side, data.atlas or None, data.labels or None, data.name_column or None,
                        data.classes or None)

    def __init__(self, source, side, atlas=None, labels=None, nameColumn=None, chosen=None):
        self.side, self.skipped = side, []
        self.source = source
        pictures, classes, names = [], [], {}
        if atlas:
            sheet = Image.open(os.path.join(source, atlas)).convert("RGB")
            with open(os.path.join(source, labels), encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
            columns = max(int(row["col"]) for row in rows) + 1
            tile = sheet.width // columns
            for row in rows:
                label, name = int(row["class"]) if not chosen else None, row[nameColumn]
                for number, (called, patterns) in enumerate((chosen or {}).items()):
                    if label is None and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
                        label, name = number, called
                if label is None:
                    continue
                left, top = int(row["col"]) * tile, int(row["row"]) * tile
                if top + tile > sheet.height:
                    raise DataError("%s: row %s is below the end of %s" % (labels, row["row"], atlas))
                piece = sheet.crop((left, top, left + tile, top + tile))
                pictures.append(np.asarray(piece if tile == side else piece.resize((side, side), Image.BOX)))
                classes.append(label)
                names[label] = name
            for number, called in enumerate(chosen or {}):
                if number not in names:
                    raise DataError("%s: no tile's %s matches the patterns of the class \"%s\"" % (labels, nameColumn, called))
        else:
            folders = sorted(entry.name for entry in os.scandir(source) if entry.is_dir())
            for label, folder in enumerate(folders):
                found = Folder(os.path.join(source, folder), side)
                self.skipped += found.skipped
                names[label] = folder
                for picture in found.pictures:
                    square = min(picture.shape[:2])
                    top, left = (picture.shape[0] - square) // 2, (picture.shape[1] - square) // 2
                    piece = Image.fromarray(picture[top:top + square, left:left + square])
                    pictures.append(np.asarray(piece.resize((side, side), Image.LANCZOS)))
                    classes.append(label)
        if not pictures:
            raise DataError("%s: no pictures" % source)
        self.pictures = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
        self.labels = torch.tensor(classes)
        self.names = [names.get(label, str(label)) for label in range(max(classes) + 1)]

    def report(self):
        return "%s: %d pictures in %d classes, %d skipped%s" % (self.source, len(self.labels), len(self.names),
                                                                len(self.skipped), reasons(self.source, self.skipped))
