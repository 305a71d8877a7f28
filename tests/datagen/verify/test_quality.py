"""Blank and garish pictures are refused, renders are not, and of several pictures of one look the first is kept."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datagen.verify.quality import fingerprint, mark_duplicates, quality
from datagen.verify.verdicts import failed, passed

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


def test_renders_are_pictures_and_look_different(cases: Any) -> None:
    pictures = [case.drawn.rgb for case in cases]
    assert all(quality(it, it.shape[1], it.shape[0]).status == "passed" for it in pictures)
    marked = mark_duplicates(pictures, [GOOD] * len(pictures))
    assert all(verdicts[1].check == "duplicate" and verdicts[1].status == "passed" for verdicts in marked)


def test_the_first_of_equal_pictures_is_kept() -> None:
    one, other = noise(1), noise(2)
    verdicts = [it[1] for it in mark_duplicates([one, other, one.copy()], [GOOD] * 3)]
    assert [(it.status, it.reason) for it in verdicts] == [("passed", ""), ("passed", ""), ("failed", "same pixels")]
    assert verdicts[2].detail == "as picture 0"


def test_the_same_look_in_other_pixels_is_found(cases: Any) -> None:
    pixels = cases[0].drawn.rgb
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=70)
    again = np.asarray(Image.open(buffer))
    assert fingerprint(pixels).pixels != fingerprint(again).pixels
    verdicts = mark_duplicates([pixels, again], [GOOD] * 2)[1]
    assert [it.reason for it in verdicts if it.check == "duplicate"] == ["looks the same"]
    assert [it.status for it in mark_duplicates([pixels, again], [GOOD] * 2, near=-1)[1]] == ["passed"] * 3


def test_a_refused_picture_keeps_no_other_out() -> None:
    pixels = noise(3)
    refused = (*GOOD, failed("layout", "moved"))
    marked = mark_duplicates([pixels, pixels], [refused, GOOD])
    assert [it.status for it in marked[1]] == ["passed"] * 3
    assert next(it for it in marked[0] if it.check == "duplicate").reason == "refused already"


def test_fingerprints_do_not_depend_on_brightness(cases: Any) -> None:
    pixels = cases[0].drawn.rgb
    brighter = np.clip(pixels.astype(int) + 10, 0, 255).astype(np.uint8)
    assert fingerprint(pixels).distance(fingerprint(brighter)) <= 4
    assert replace(fingerprint(pixels), pixels="") == replace(fingerprint(pixels.copy()), pixels="")
