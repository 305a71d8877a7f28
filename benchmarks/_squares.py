"""Pictures of coloured squares with statements about them, for benchmarks."""

from pathlib import Path

import numpy as np

from spatial.dataset import write_shard
from spatial.records import ImageObject, ImageRow, Record, encode_png, image_id_of

COLOURS = {"red": (220, 40, 40), "blue": (40, 60, 220), "green": (40, 180, 60), "yellow": (230, 210, 50)}


def write_data(folder: Path, images: int) -> None:
    """Write pictures of two coloured squares with 8 statements each."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(images):
        left, right, *others = (str(name) for name in rng.permutation(list(COLOURS)))
        pixels = rng.integers(90, 110, (128, 128, 3)).astype(np.uint8)
        boxes = (16, 40, 56, 88), (72, 40, 112, 88)
        for colour, (x, y, right_edge, bottom) in zip((left, right), boxes, strict=True):
            pixels[y:bottom, x:right_edge] = COLOURS[colour]
        objects = tuple(ImageObject(name, box, c) for name, box, c in zip(("cup", "book"), boxes, (left, right)))  # noqa: B905
        row = ImageRow(image_id_of(pixels), encode_png(pixels), 128, 128, "render", objects)
        said = [(f"The {left} cup is {word} the {right} book.", word == "left of") for word in ("left of", "right of")]
        said += [
            (f"The {right} book is {word} the {left} cup.", word == "right of") for word in ("left of", "right of")
        ]
        said += [(f"The cup is {colour}.", colour == left) for colour in (left, others[0])]
        said += [(f"The book is {colour}.", colour == right) for colour in (right, others[1])]
        records = [
            Record(
                row.image_id, f"g{number}", "base", "statement", "relation", caption, str(true).lower(), 0, 1, "left of"
            )
            for caption, true in said
        ]
        made.append((row, records))
    write_shard(folder, 0, [row for row, _ in made], [record for _, records in made for record in records])
