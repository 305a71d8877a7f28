"""Pictures of a red and a blue square, which stand in one of three ways, and statements about them."""

from typing import Any

import numpy as np

from spatial.records import ImageObject, ImageRow, Record, encode_png, image_id_of

RELATIONS = ("left of", "right of", "above")
PLACES = {"left of": ((4, 20, 16, 32), (40, 20, 52, 32)), "above": ((22, 2, 34, 14), (22, 26, 34, 38))}
PLACES["right of"] = PLACES["left of"][::-1]


def scene(relation: str, seed: int) -> ImageRow:
    """A red and a blue square that stand so, on noise."""
    pixels = np.random.default_rng(seed).integers(0, 60, (40, 56, 3), dtype=np.uint8)
    boxes = PLACES[relation]
    for channel, (x0, y0, x1, y1) in zip((0, 2), boxes, strict=True):
        pixels[y0:y1, x0:x1, channel] = 220
    objects = tuple(ImageObject(name, box) for name, box in zip(("cup", "book"), boxes, strict=True))
    return ImageRow(image_id_of(pixels), encode_png(pixels), 56, 40, "test", objects)


def statement(image: ImageRow, group: str, relation: str, **changes: Any) -> Record:
    """A true statement about a picture of two squares, unless it is changed."""
    about: dict[str, Any] = {"task": "statement", "topic": "relation", "answer": "true", "subject": 0, "object": 1}
    caption = f"The cup is {relation} the book."
    return Record(image.image_id, group, relation, **(about | {"caption": caption, "relation": relation} | changes))


def groups_of_two(count: int) -> tuple[list[ImageRow], list[Record]]:
    """Groups of two pictures, with a true and a false statement about each."""
    images, records = [], []
    for group in range(count):
        for twin in range(2):
            relation = RELATIONS[(group + twin) % 3]
            image = scene(relation, 2 * group + twin)
            images.append(image)
            records.append(statement(image, f"group {group}", relation))
            records.append(statement(image, f"group {group}", RELATIONS[(group + twin + 1) % 3], answer="false"))
    return images, records
