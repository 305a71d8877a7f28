"""Blank and garish pictures are refused, renders are not, and of several pictures of one look the first is kept."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datagen.verify.base import Verdict
from datagen.verify.quality import Entry, fingerprint, mark_duplicates, quality
from datagen.verify.verdicts import accepted, failed, passed
from spatial.boxes import bounds_of

GOOD = (passed("quality"), passed("presence"))


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((64, 64, 3), 128, np.uint8), "blank"),
        (noise() % 3, "blank"),
        ((noise() > 127).astype(np.uint8) * 255, "over-saturated"),
        (noise(), ""),
        (noise()[:, :32], "size"),
    ],
)
def test_what_is_no_picture_is_refused(pixels: Any, reason: str) -> None:
    assert quality(pixels, 64, 64).reason == reason


def entries(*pictures: np.ndarray, groups: str = "", wrong: str = "", regions: Any = ()) -> list[Entry]:
    """Return pictures that are right but for the groups in ``wrong``, each a group of its own if none are named."""
    found = []
    for index, pixels in enumerate(pictures):
        group = int(groups[index]) if groups else index
        # The last picture of a wrong group is wrong.
        last = groups.rfind(str(group)) == index if groups else True
        bad = str(group) in wrong and last
        region = regions[index] if regions else None
        found.append(Entry(pixels, (passed("quality"), failed("presence", "missing")) if bad else GOOD, group, region))
    return found


def duplicates(marked: list[tuple[Verdict, ...]]) -> list[str]:
    """Return what became of each picture: the reason for which it is a duplicate, or the verdict's status."""
    found = [next(it for it in verdicts if it.check == "duplicate") for verdicts in marked]
    return [it.reason if it.status == "failed" else it.status for it in found]


def test_renders_are_pictures_and_look_different(cases: Any) -> None:
    pictures = [case.drawn.rgb for case in cases]
    assert all(quality(it, it.shape[1], it.shape[0]).status == "passed" for it in pictures)
    assert set(duplicates(mark_duplicates(entries(*pictures)))) == {"passed"}


def test_the_first_of_equal_pictures_is_kept() -> None:
    one, other = noise(1), noise(2)
    marked = mark_duplicates(entries(one, other, one.copy()))
    assert duplicates(marked) == ["passed", "passed", "same pixels"]
    assert marked[2][1].detail == "as picture 0"


def test_the_same_look_in_other_pixels_is_found(cases: Any) -> None:
    pixels = cases[0].drawn.rgb
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=70)
    again = np.asarray(Image.open(buffer))
    assert fingerprint(pixels).pixels != fingerprint(again).pixels
    assert duplicates(mark_duplicates(entries(pixels, again))) == ["passed", "looks the same"]
    assert duplicates(mark_duplicates(entries(pixels, again), near=-1)) == ["passed", "passed"]


def test_a_picture_whose_group_is_not_kept_keeps_no_other_out() -> None:
    one, two, three = noise(1), noise(2), noise(3)
    marked = mark_duplicates(entries(one, two, one, three, groups="0011", wrong="0"))
    assert duplicates(marked) == ["skipped", "skipped", "passed", "passed"]
    assert not accepted(marked[1]) and all(accepted(it) for it in (marked[2], marked[3]))


def test_a_picture_of_a_group_that_is_a_duplicate_keeps_no_other_out() -> None:
    one, two, three, four, five = map(noise, range(1, 6))
    marked = mark_duplicates(entries(one, two, three, one, three, five, groups="001122"))
    assert duplicates(marked) == ["passed", "passed", "passed", "same pixels", "passed", "passed"]
    assert duplicates(mark_duplicates(entries(four, four, groups="00"))) == ["passed", "same pixels"]


def test_where_a_part_was_painted_only_that_part_tells_pictures_of_a_photo_apart(cases: Any) -> None:
    photo = np.asarray(Image.fromarray(cases[0].drawn.rgb).resize((256, 256)))
    region = np.zeros((256, 256), np.bool_)
    region[20:44, 30:60] = True
    bounds = bounds_of(region)
    assert bounds == (30, 20, 60, 44)
    first, second = photo.copy(), photo.copy()
    rng = np.random.default_rng(0)
    for picture in (first, second):
        picture[20:44, 30:60] = (photo[20:44, 30:60] // 2 + rng.integers(0, 60, (24, 30, 3))).astype(np.uint8)
    third = first.copy()
    third[20, 30] ^= 1
    regions = [bounds, bounds, bounds]
    assert duplicates(mark_duplicates(entries(first, second))) == ["passed", "looks the same"]
    marked = mark_duplicates(entries(first, second, third, regions=regions))
    assert duplicates(marked) == ["passed", "passed", "looks the same"]
    assert duplicates(mark_duplicates(entries(first, first.copy(), regions=regions)))[1] == "same pixels"
    elsewhere = [bounds, (200, 200, 240, 240)]
    assert duplicates(mark_duplicates(entries(first, second, regions=elsewhere))) == ["passed", "passed"]


def test_fingerprints_do_not_depend_on_brightness(cases: Any) -> None:
    pixels = cases[0].drawn.rgb
    brighter = np.clip(pixels.astype(int) + 10, 0, 255).astype(np.uint8)
    assert fingerprint(pixels).distance(fingerprint(brighter)) <= 4
    assert replace(fingerprint(pixels), pixels="") == replace(fingerprint(pixels.copy()), pixels="")
