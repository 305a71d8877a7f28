"""Pictures made of pictures: mirrored, with two objects exchanged, moved, or before another background.

Each edit is a function from an image to a new one, with boxes and masks that follow: the same picture gives the same
bytes, PNG, so nothing is lost. What an edit does to the truth of a relation stands in ``FLIPPED`` and ``EXCHANGED``.
Edits refuse what a person would not believe: two objects that touch have no whole masks, and one at the edge of the
picture is cut off.

Shapes: H height, W width.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eval.interpret.fills import filled, grown
from spatial.records import ImageObject, ImageRow, decode_image, decode_mask, encode_mask, encode_png, image_id_of
from spatial.relations import RELATIONS

FLIPPED = {name: str(relation.antonym) for name, relation in RELATIONS.items() if "left" in name or "right" in name}
"""Relations that a mirror turns into another one. A mirror exchanges left and right of the viewer, and nothing else:
height, depth, contact and distance stay. An object's own left and right are left out: of most the front is not known.
"""

EXCHANGED = {name: str(RELATIONS[name].inverse) for name in ("left of", "right of", "above", "below")}
"""Relations that turn into their inverse where two objects exchange their places in the picture. A person judges depth
by size, which is kept; contact, support and containment do not survive; distance and direction need not change."""

MARGIN = 2
"""Pixels around a mask that are its soft edge: they go with the hole, and another object in them counts as touching."""

GAMMAS = (0.55, 1.0, 1.6)
"""Exponents of the three colour channels of a background, in an order that the edit chooses."""


def mirrored(row: ImageRow) -> ImageRow:
    """Return the mirror image."""
    width = row.width

    def turn(item: ImageObject) -> ImageObject:
        left, top, right, bottom = item.box_xyxy
        mask = encode_mask(_mask(row, item)[:, ::-1]) if item.mask_rle else ""
        return replace(item, box_xyxy=(width - right, top, width - left, bottom), mask_rle=mask, pose=())

    return _edited(row, np.ascontiguousarray(_pixels(row)[:, ::-1]), [turn(item) for item in row.objects], "mirrored")


def exchanged(row: ImageRow, first: int, second: int) -> ImageRow:
    """Return the picture in which two objects have changed places.

    Both are cut out by their masks, the holes are filled from the background, and each is put where the other stood
    (the middle of the lower edge of its box), as large as it was, the nearer one last. Shadows stay in the background.

    Args:
        row: with masks of the two.
        first: index into its objects.
        second: index into its objects.

    Raises:
        ValueError: a mask is not known, an object touches another one or the edge of the picture, or would leave it.
    """
    pair, pixels = (first, second), _pixels(row)
    masks = [_mask(row, row.objects[index]) for index in pair]
    others = _union(row, [index for index in range(len(row.objects)) if index not in pair])
    _check_free(masks, others)
    moves = _moves(row, first, second)
    landed = [_shifted_mask(mask, move) for mask, move in zip(masks, moves, strict=True)]
    if any((grown(mask, MARGIN) & others).any() for mask in landed) or (landed[0] & landed[1]).any():
        raise ValueError("an exchanged object would lie on another one")
    hole = grown(masks[0], MARGIN) | grown(masks[1], MARGIN)
    canvas = filled(pixels, hole, hole | grown(others, MARGIN))
    for place in sorted((0, 1), key=lambda place: -_depth(row.objects[pair[place]])):
        dx, dy = moves[place]
        canvas[landed[place]] = np.roll(pixels, (dy, dx), axis=(0, 1))[landed[place]]
    objects = list(row.objects)
    for index, mask, (dx, dy) in zip(pair, landed, moves, strict=True):
        objects[index] = _moved(row.objects[index], dx, dy, mask)
    return _edited(row, canvas, objects, f"exchanged {first} {second}")


def translated(row: ImageRow, dx: int, dy: int) -> ImageRow:
    """Return the picture moved by some pixels to the right and down; what comes in is filled from its background.

    Raises:
        ValueError: an object would leave the picture, or is not known to stay in it because there are no boxes.
    """
    if not row.objects:
        raise ValueError("no boxes are known, so an object might leave the picture")
    if not stays_inside(row, dx, dy):
        raise ValueError("an object would leave the picture")
    pixels = np.roll(_pixels(row), (dy, dx), axis=(0, 1))
    new = np.ones(pixels.shape[:2], dtype=bool)
    new[max(dy, 0) : row.height + min(dy, 0), max(dx, 0) : row.width + min(dx, 0)] = False
    taboo = np.zeros_like(new)
    objects = []
    for item in row.objects:
        mask = _shifted_mask(_mask(row, item), (dx, dy)) if item.mask_rle else None
        moved = _moved(item, dx, dy, mask)
        taboo |= grown(_box_mask(row, moved.box_xyxy) if mask is None else mask, MARGIN)
        objects.append(moved)
    return _edited(row, filled(pixels, new, new | taboo), objects, f"translated {dx} {dy}")


def recoloured(row: ImageRow, turn: int) -> ImageRow:
    """Return the picture before a background of other colours. Objects keep theirs, since sentences may name them.

    Args:
        row: with masks of all objects.
        turn: which channel gets which exponent of ``GAMMAS``.

    Raises:
        ValueError: a mask is not known.
    """
    if not row.objects:
        raise ValueError("no masks are known, so objects cannot be told from the background")
    pixels = _pixels(row)
    exponents = np.roll(GAMMAS, turn % 3)
    toned = np.rint(255 * (pixels / 255) ** exponents).astype(np.uint8)
    kept = _union(row, range(len(row.objects)))
    return _edited(row, np.where(kept[..., None], pixels, toned), list(row.objects), f"recoloured {turn % 3}")


def stays_inside(row: ImageRow, dx: int, dy: int) -> bool:
    """Tell whether all boxes stay in the picture when everything moves."""
    boxes = [item.box_xyxy for item in row.objects]
    return all(
        x0 + dx >= 0 and x1 + dx <= row.width and y0 + dy >= 0 and y1 + dy <= row.height for x0, y0, x1, y1 in boxes
    )


def _edited(row: ImageRow, pixels: NDArray[np.uint8], objects: Sequence[ImageObject], edit: str) -> ImageRow:
    """Return a row of its own: no scene describes it any more, and no verdict was passed on it."""
    told = json.dumps({"edit": edit, "of": row.image_id})
    row = replace(row, image_id=image_id_of(pixels), image=encode_png(pixels), objects=tuple(objects))
    return replace(row, scene_id="", scene="", verdicts="{}", provenance=told)


def _pixels(row: ImageRow) -> NDArray[np.uint8]:
    return np.array(decode_image(row.image, row.image_id))


def _mask(row: ImageRow, item: ImageObject) -> NDArray[np.bool_]:
    if not item.mask_rle:
        raise ValueError("the mask of an object is not known")
    return decode_mask(item.mask_rle, row.height, row.width)


def _union(row: ImageRow, indices: Sequence[int]) -> NDArray[np.bool_]:
    masks = [_mask(row, row.objects[index]) for index in indices]
    return np.logical_or.reduce(masks) if masks else np.zeros((row.height, row.width), dtype=bool)


def _check_free(masks: Sequence[NDArray[np.bool_]], others: NDArray[np.bool_]) -> None:
    for mask, against in ((masks[0], masks[1] | others), (masks[1], masks[0] | others)):
        if not mask.any():
            raise ValueError("an object cannot be seen")
        if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
            raise ValueError("an object is cut off by the edge of the picture")
        if (grown(mask, MARGIN) & against).any():
            raise ValueError("an object touches another one, so it may be hidden in part")


def _moves(row: ImageRow, first: int, second: int) -> list[tuple[int, int]]:
    """Return by how many pixels each of the two moves to the right and down, so that one stands where the other did."""
    (ax, ay), (bx, by) = (_foot(row.objects[index]) for index in (first, second))
    moves = []
    for index, dx, dy in ((first, bx - ax, by - ay), (second, ax - bx, ay - by)):
        x0, y0, x1, y1 = row.objects[index].box_xyxy
        across, down = round(dx), round(dy)
        if x0 + across < 0 or x1 + across > row.width or y0 + down < 0 or y1 + down > row.height:
            raise ValueError("an exchanged object would leave the picture")
        moves.append((across, down))
    return moves


def _foot(item: ImageObject) -> tuple[float, float]:
    left, _, right, bottom = item.box_xyxy
    return (left + right) / 2, bottom


def _depth(item: ImageObject) -> float:
    return 0.0 if np.isnan(item.depth) else item.depth


def _moved(item: ImageObject, dx: int, dy: int, mask: NDArray[np.bool_] | None) -> ImageObject:
    x0, y0, x1, y1 = item.box_xyxy
    run_lengths = "" if mask is None else encode_mask(mask)
    return replace(item, box_xyxy=(x0 + dx, y0 + dy, x1 + dx, y1 + dy), mask_rle=run_lengths, pose=())


def _shifted_mask(mask: NDArray[np.bool_], move: tuple[int, int]) -> NDArray[np.bool_]:
    """Move a mask whose object stays in the picture, so that nothing comes in at the other side."""
    return np.roll(mask, (move[1], move[0]), axis=(0, 1))


def _box_mask(row: ImageRow, box: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    mask = np.zeros((row.height, row.width), dtype=bool)
    x0, y0, x1, y1 = box
    mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
    return mask
