"""Groups of records about two coloured squares, as our datasets have them, and pictures of such squares."""

import numpy as np

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
