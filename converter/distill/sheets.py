"""Contact sheets: rows of equal pictures with a line of text above each column or row."""
import numpy as np
from PIL import Image, ImageDraw

TEXT = 14


def sheet(rows, path, columnTitles=(), rowTitles=(), scale=1):
    """rows of [H, W, 3] byte arrays, all of one size."""
    height, width = rows[0][0].shape[:2]
    height, width = height * scale, width * scale
    left = 8 + max([6 * len(title) for title in rowTitles], default=-8)
    top = TEXT if columnTitles else 0
    image = Image.new("RGB", (left + (width + 2) * max(map(len, rows)), top + (height + 2) * len(rows)), "white")
    draw = ImageDraw.Draw(image)
    for i, title in enumerate(columnTitles):
        draw.text((left + (width + 2) * i, 1), title, fill="black")
    for j, row in enumerate(rows):
        if rowTitles:
            draw.text((2, top + (height + 2) * j + height // 2 - 6), rowTitles[j], fill="black")
        for i, picture in enumerate(row):
            tile = Image.fromarray(np.ascontiguousarray(picture))
            image.paste(tile.resize((width, height), Image.NEAREST), (left + (width + 2) * i, top + (height + 2) * j))
    image.save(path)
