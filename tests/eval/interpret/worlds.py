"""Groups of records about two coloured squares, pictures of such squares, and looks of heads with known functions."""

from dataclasses import replace

import numpy as np

from eval.interpret.functions import Look
from spatial.dataset import RecordSet
from spatial.records import ImageObject, ImageRow, Record, encode_mask, encode_png, image_id_of
from spatial.scene import digest
from spatial.sentences import sentence

SIDES, HEIGHTS, SUPPORT = ("left of", "right of"), ("above", "below"), ("on", "off")
NAMES = (("cup", "book"), ("dog", "chair"), ("bowl", "vase"), ("tv", "bench"), ("cat", "bed"))
SIZE = 40


def picture(
    places: tuple[tuple[int, int], ...],
    sizes: tuple[tuple[int, int], ...],
    seed: int = 0,
    names: tuple[str, ...] = ("cup", "book"),
    side: int = SIZE,
) -> ImageRow:
    """Return squares of plain colours before a noisy background.

    Args:
        places: of the top left corners: column and row.
        sizes: width and height.
        seed: of the background.
        names: of the objects.
        side: of the picture, in pixels.
    """
    pixels = np.random.default_rng(seed).integers(90, 110, (side, side, 3), dtype=np.uint8)
    objects = []
    for number, ((x, y), (width, height), name) in enumerate(zip(places, sizes, names, strict=True)):
        mask = np.zeros((side, side), dtype=bool)
        mask[y : y + height, x : x + width] = True
        pixels[mask] = (200, 30, 40) if number == 0 else (30, 60 + 40 * number, 200)
        box = (float(x), float(y), float(x + width), float(y + height))
        objects.append(ImageObject(name, box, mask_rle=encode_mask(mask), depth=3.0 + number / 10))
    return ImageRow(image_id_of(pixels), encode_png(pixels), side, side, "render", tuple(objects))


def group(number: int, relations: tuple[str, str], swapped: bool = True) -> tuple[list[ImageRow], list[Record]]:
    """Return two pictures, and the statements and choices about them.

    Args:
        number: of the group.
        relations: of the first thing to the second, in the first and the second picture.
        swapped: whether the two are also named in the other order, with the relation that says the same.
    """
    names, group_id = NAMES[number % len(NAMES)], digest(f"{number}/{relations}")
    places = ((4, 16), (26, 16)) if relations != HEIGHTS else ((15, 3), (15, 25))
    rows = [
        picture(where, ((8, 8), (9, 7)), number * 10 + HASHES[relations], names) for where in (places, places[::-1])
    ]
    orders = ((0, 1), (1, 0)) if swapped else ((0, 1),)
    records = []
    for picture_number, row in enumerate(rows):
        for subject, other in orders:
            true = relations[picture_number ^ subject]
            shared = {
                "image_id": row.image_id,
                "group_id": group_id,
                "role_in_group": ("original", "swap")[picture_number],
                "topic": "relation",
                "subject": subject,
                "object": other,
                "frame": "viewer" if relations == SIDES else "",
            }
            for relation in relations:
                caption = sentence(names[subject], relation, names[other])
                kind = "" if relation == true else "antonym" if subject == 0 else "swap"
                answer = "true" if relation == true else "false"
                told = {"caption": caption, "relation": relation, **shared}
                records.append(Record(task="statement", answer=answer, negative_kind=kind, **told))
                if relation == true:
                    records.append(Record(task="choice", answer=true, options=tuple(sorted(relations)), **told))
    return rows, records


HASHES = {SIDES: 1, HEIGHTS: 2, SUPPORT: 3}


def world(groups: int = 4, contrasts: tuple[tuple[str, str], ...] = (SIDES, HEIGHTS, SUPPORT)) -> RecordSet:
    """Return so many groups of each contrast."""
    images: dict[str, ImageRow] = {}
    records: list[Record] = []
    for number in range(groups):
        for relations in contrasts:
            rows, some = group(number, relations, swapped=relations != SUPPORT)
            images |= {row.image_id: row for row in rows}
            records += some
    return RecordSet(records, images)


LOOK = Look("p", "g", "f", 0, 0, 0.5, 0.5, 1.0, 0.0, 0.1, 0.0, -0.1, 0.0)


def labelled_looks(pairs: int = 60) -> list[Look]:
    """Return the looks of four heads of a layer, which detect, suppress, read out, and suppress outliers."""
    rng = np.random.default_rng(0)
    rows = []
    for pair in range(pairs):
        for head in range(4):
            sign, other, down = rng.choice([-1.0, 1.0], 3)
            own = replace(LOOK, pair_id=f"p{pair}", group_id=f"g{pair}", head=head)
            own = replace(own, auroc=(0.8, 0.2, 0.5, 0.5)[head] + 0.05 * rng.standard_normal())
            own = replace(own, across=0.1 * sign, across_corrupt=-0.1 * sign if head == 2 else 0.1 * other)
            own = replace(own, down=0.1, down_corrupt=0.1 * down)
            rows.append(replace(own, outliers=(-1.0 if head == 3 else 0.0) + 0.01 * rng.standard_normal()))
    return rows
