import os
import tempfile
import unittest

import numpy as np
import torch
from PIL import Image

from distill.data import Crops, DataError, Folder, Labelled, order, seeded


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class Folders(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def testDamagedAndStrangePicturesAreSkippedWithCountsAndReasons(self):
        Image.fromarray(picture(40, 50)).save(self.path("good.png"))
        Image.fromarray(picture(40, 50)).convert("L").save(self.path("gray.png"))
        Image.fromarray(picture(40, 50)).convert("RGBA").save(self.path("opaque.png"))
        Image.fromarray(picture(40, 50)).save(self.path("whole.jpg"), quality=95)
        for name in ("good.png", "whole.jpg"):
            with open(self.path(name), "rb") as file:
                data = file.read()
            with open(self.path("truncated-" + name), "wb") as file:
                file.write(data[:len(data) // 2])
        with open(self.path("text.png"), "w", encoding="utf-8") as file:
            file.write("no picture")
        Image.fromarray(picture(40, 50)).convert("CMYK").save(self.path("cmyk.jpg"))
        Image.fromarray(np.full((40, 50), 40000, np.uint16)).save(self.path("gray16.png"))
        Image.fromarray(picture(1, 1)).save(self.path("one-pixel.png"))
        half = np.concatenate([picture(40, 50), np.full((40, 50, 1), 100, np.uint8)], axis=2)
        Image.fromarray(half).save(self.path("glass.png"))
        Image.new("1", (12000, 9000)).save(self.path("huge.png"))
        self.writeRgb16(self.path("rgb16.png"))
        found = Folder(self.folder, 16)
        self.assertEqual([os.path.basename(path) for path in found.paths],
                         ["good.png", "gray.png", "opaque.png", "whole.jpg"])
        reasons = {os.path.basename(path): why for path, why in found.skipped}
        self.assertEqual(reasons, {
            "truncated-good.png": "truncated, damaged or no picture",
            "truncated-whole.jpg": "truncated, damaged or no picture",
            "text.png": "truncated, damaged or no picture",
            "cmyk.jpg": "mode CMYK, not RGB or gray",
            "gray16.png": "more than 8 bits a sample",
            "rgb16.png": "more than 8 bits a sample",
            "one-pixel.png": "a side shorter than 16 pixels",
            "glass.png": "transparent",
            "huge.png": "more than 100 megapixels",
        })
        self.assertIn("4 pictures, 9 skipped", found.report())
        self.assertIn("3 skipped: truncated, damaged or no picture", found.report())

    @staticmethod
    def writeRgb16(path):
        """Pillow writes none: a PNG of 20x20 pixels by hand."""
        import struct
        import zlib

        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        rows = b"".join(b"\0" + bytes(20 * 6) for _ in range(20))
        with open(path, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20, 20, 16, 2, 0, 0, 0)) +
                       chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))

    def testAFolderWithoutUsablePicturesIsAnError(self):
        Image.fromarray(picture(4, 4)).save(self.path("small.png"))
        with self.assertRaisesRegex(DataError, "a side shorter than 16"):
            Folder(self.folder, 16)
        with self.assertRaisesRegex(DataError, "no folder"):
            Folder(self.path("nothing"), 16)

    def testLargePicturesAreReducedAndMemoryIsLimited(self):
        for i in range(3):
            Image.fromarray(picture(60, 120, i)).save(self.path("%d.png" % i))
        found = Folder(self.folder, 16, maxSide=60, maxBytes=2 * 30 * 60 * 3)
        self.assertEqual([p.shape for p in found.pictures], [(30, 60, 3)] * 2)
        self.assertIn("no memory left", found.skipped[0][1])

    def testAnAtlasGivesItsTilesWithTheirClasses(self):
        atlas = picture(16, 24)
        Image.fromarray(atlas).save(self.path("atlas.png"))
        with open(self.path("labels.tsv"), "w", encoding="utf-8") as file:
            file.write("index\trow\tcol\tclass\tname\n0\t0\t0\t0\ta\n1\t0\t2\t1\tb \"quoted\n2\t1\t1\t0\ta\n")
        found = Labelled(self.folder, 8, "atlas.png", "labels.tsv", "name")
        self.assertEqual(found.labels.tolist(), [0, 1, 0])
        self.assertEqual(found.names, ["a", 'b "quoted'])
        self.assertTrue(np.array_equal(found.pictures[2].permute(1, 2, 0).numpy(), atlas[8:16, 8:16]))

    def testClassFoldersSkipWithReasonsToo(self):
        for name in ("a", "b"):
            os.makedirs(self.path(name))
            Image.fromarray(picture(12, 8)).save(self.path(os.path.join(name, "good.png")))
        Image.fromarray(picture(8, 8)).convert("CMYK").save(self.path(os.path.join("b", "cmyk.jpg")))
        found = Labelled(self.folder, 8)
        self.assertEqual(found.labels.tolist(), [0, 1])
        self.assertIn("2 pictures in 2 classes, 1 skipped\n  1 skipped: mode CMYK, not RGB or gray (b/cmyk.jpg)",
                      found.report())

    def testPatternsChooseTheClassesOfAnAtlas(self):
        atlas = picture(8, 32)
        Image.fromarray(atlas).save(self.path("atlas.png"))
        with open(self.path("labels.tsv"), "w", encoding="utf-8") as file:
            file.write("row\tcol\tclass\ttile\n0\t0\t5\twall/a\n0\t1\t5\tbook/i-b\n0\t2\t5\tbook/c\n0\t3\t5\tdoor/d\n")
        chosen = {"book": ["book/[!i]*"], "rest": ["wall/*", "book/*"]}
        found = Labelled(self.folder, 8, "atlas.png", "labels.tsv", "tile", chosen)
        self.assertEqual(found.labels.tolist(), [1, 1, 0])
        self.assertEqual(found.names, ["book", "rest"])
        self.assertTrue(np.array_equal(found.pictures[2].permute(1, 2, 0).numpy(), atlas[:, 16:24]))
        with self.assertRaisesRegex(DataError, "no tile's tile matches .* \"scroll\""):
            Labelled(self.folder, 8, "atlas.png", "labels.tsv", "tile", {**chosen, "scroll": ["scroll/*"]})


class Sampling(unittest.TestCase):
    def testCropsAreMirroredAndTurnedPiecesOfTheirPictures(self):
        pictures = [picture(20, 33, 1), picture(41, 18, 2)]
        crops, chosen = Crops(pictures, "cpu"), torch.arange(40) % 2
        found = crops.gather(crops.places(chosen, 8, seeded(0, 0, 0)), 8).permute(0, 2, 3, 1) * 255
        variants = set()
        for crop, index in zip(found.round().byte().numpy(), chosen):
            source = pictures[index]
            matches = [(turn, mirror) for turn in range(4) for mirror in (False, True)
                       if self.isPieceOf(np.rot90(crop[:, ::-1] if mirror else crop, turn), source)]
            self.assertEqual(len(matches), 1)
            variants.add(matches[0])
        self.assertEqual(len(variants), 8)

    @staticmethod
    def isPieceOf(crop, source):
        ys, xs = np.nonzero((source[:source.shape[0] - 7, :source.shape[1] - 7] == crop[0, 0]).all(axis=2))
        return any(np.array_equal(source[y:y + 8, x:x + 8], crop) for y, x in zip(ys, xs))

    def testEveryPictureComesOnceBeforeOneComesAgain(self):
        drawn = torch.cat([order(7, 3, step, seed=5) for step in range(7)]).tolist()
        for epoch in range(3):
            self.assertEqual(sorted(drawn[7 * epoch:7 * epoch + 7]), list(range(7)))
        self.assertNotEqual(drawn[:7], drawn[7:14])
        self.assertEqual(order(7, 3, 4, seed=5).tolist(), drawn[12:15])


if __name__ == "__main__":
    unittest.main()
