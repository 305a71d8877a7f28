"""The shipped detector finds what is in fresh renders, and answers the same whatever else is asked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.assets import CORE
from datagen.config import DatagenConfig
from datagen.groups import View, draw_group
from datagen.render import observe_rendered, render
from datagen.schedule import recipes_of
from datagen.verify.base import Detection, Pixels
from datagen.verify.tiny import BATCH, TinyVerifier, fitted, load_detector
from encoders.detector import DetectorConfig, TinyDetector
from spatial.errors import CheckpointError, ConfigError
from spatial.observation import Box, Seen
from spatial.shipped import ASSETS, shipped_folder

SHIPPED = pytest.mark.skipif(not (ASSETS / "tiny-verifier").is_dir(), reason="tiny-verifier is not shipped here")
RELATIONS = ["left of", "right of", "in front of", "behind", "above", "below", "on", "off", "near", "far from"]


def verifier(side: int = 32) -> TinyVerifier:
    """Return a detector with random weights that finds something in every picture."""
    torch.manual_seed(0)
    sizes = {"image_size": side, "widths": [8, 8, 12, 16], "blocks": 1, "neck": 16}
    network = TinyDetector(DetectorConfig(nouns=["book", "cup", "dog"], **sizes)).eval()
    torch.nn.init.normal_(network.heat_head[-1].weight, std=0.5)
    torch.nn.init.zeros_(network.heat_head[-1].bias)
    return TinyVerifier(network)


def noise(seed: int, height: int = 32, width: int = 32) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def same(one: Detection, other: Detection) -> bool:
    assert one.mask is not None and other.mask is not None
    plain = (one.name, one.box, one.score, one.depth) == (other.name, other.box, other.score, other.depth)
    return plain and np.array_equal(one.mask, other.mask)


def test_a_picture_is_judged_alike_alone_and_among_others() -> None:
    pictures = [noise(seed) for seed in range(BATCH + 3)]
    asked = [["book", "cup", "dog"]] * len(pictures)
    together, depths = verifier(), verifier().depth(pictures)
    found = together.detect(pictures, asked)
    assert any(found)
    for index in (0, 5, BATCH, BATCH + 2):
        alone = verifier()
        (single,) = alone.detect([pictures[index]], asked[:1])
        assert len(single) == len(found[index]) and all(map(same, single, found[index]))
        assert np.array_equal(alone.depth([pictures[index]])[0], depths[index])
    again = together.detect(pictures[::-1], asked)[::-1]
    assert all(all(map(same, a, b)) for a, b in zip(found, again, strict=True))


def test_only_what_is_asked_for_is_answered_the_surest_first() -> None:
    detector, picture = verifier(), noise(3)
    everything, cups, nothing = detector.detect([picture] * 3, [["book", "cup", "dog"], ["cup"], []])
    assert [it.score for it in everything] == sorted((it.score for it in everything), reverse=True)
    assert [it for it in everything if it.name == "cup"] == cups and nothing == []
    assert all(it.mask.shape == (32, 32) and it.mask.dtype == bool and it.depth > 0 for it in everything)
    with pytest.raises(ConfigError, match="detector tiny-verifier does not know 'cap'; did you mean 'cup'"):
        detector.detect([picture], [["cap"]])


@pytest.mark.parametrize(("height", "width"), [(48, 96), (64, 64), (20, 10)])
def test_pictures_of_other_sizes_are_fitted_in_and_put_back(height: int, width: int) -> None:
    detector, picture = verifier(), noise(4, height, width)
    (found,) = detector.detect([picture], [["book", "cup", "dog"]])
    assert detector.depth([picture])[0].shape == (height, width)
    for it in found:
        x0, y0, x1, y1 = it.box
        assert 0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height
        assert it.mask is not None and it.mask.shape == (height, width)


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 200), st.integers(8, 200))
def test_the_whole_picture_is_the_whole_picture(height: int, width: int) -> None:
    square = np.zeros((64, 64, 3), np.uint8)
    fit = fitted(np.full((height, width, 3), 255, np.uint8), square)
    shown = square.any(axis=-1)
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    assert max(len(rows), len(columns)) == 64 and shown.sum() == len(rows) * len(columns)
    inner: Box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    assert fit.box(inner) == pytest.approx((0, 0, width, height))
    assert fit.restored(shown.astype(np.float32)).shape == (height, width)


def test_a_name_that_is_neither_here_nor_shipped_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist; train one with"):
        load_detector("tiny-verifyer")
    with pytest.raises(CheckpointError, match="does not exist"):
        load_detector(tmp_path / "none")
    assert shipped_folder(str(tmp_path)) == tmp_path
    assert shipped_folder("tiny-base") == ASSETS / "tiny-base"


@pytest.fixture(scope="module")
def views() -> list[View]:
    """Sixty fresh renders of nouns that no picture of the training data names together."""
    config = DatagenConfig(
        split="test",
        seed=90210,
        relations=RELATIONS,
        contrasts=["direct"],
        frames="viewer",
        nouns=["core"],
        exclude_nouns=[],
        looks="plain",
    )
    recipes = recipes_of(config)
    groups = [draw_group(config, recipes[index % len(recipes)], index) for index in range(30)]
    return [view for group in groups for view in group.views]


@pytest.fixture(scope="module")
def shipped() -> TinyVerifier:
    return load_detector("tiny-verifier", "cpu")


def overlap(one: Box, other: Box) -> float:
    wide = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return wide * high / (areas - wide * high)


def best(seen: Seen, found: list[Detection]) -> Detection | None:
    fits = [it for it in found if it.name == seen.name and overlap(it.box, seen.box) > 0.5]
    return max(fits, key=lambda it: overlap(it.box, seen.box), default=None)


@SHIPPED
def test_the_shipped_detector_finds_the_things_of_fresh_renders(views: list[View], shipped: TinyVerifier) -> None:
    asked = [sorted(CORE)] * len(views)
    detections = shipped.detect([view.rendered.rgb for view in views], asked)
    hits, things, right, pairs, reported = 0, 0, 0, 0, 0
    for view, found in zip(views, detections, strict=True):
        sure = [it for it in found if it.score >= 0.3]
        places = [best(seen, sure) for seen in view.observation.objects]
        things, hits, reported = things + len(places), hits + sum(map(bool, places)), reported + len(sure)
        one, other = places[:2]
        a, b = (seen.depth for seen in view.observation.objects[:2])
        if one and other and a and b and abs(np.log(a[1] / b[1])) > 0.1:
            assert one.depth and other.depth
            pairs, right = pairs + 1, right + ((one.depth > other.depth) == (a[1] > b[1]))
    assert hits >= 0.9 * things
    assert hits >= 0.9 * reported
    assert pairs > 10 and right >= 0.9 * pairs


@SHIPPED
def test_two_of_a_noun_are_reported_twice(views: list[View], shipped: TinyVerifier) -> None:
    twins = both = 0
    for view in views[::2]:
        first, second = view.scene.objects[:2]
        twin = replace(first, colour=second.colour, position=second.position, yaw=second.yaw)
        scene = replace(view.scene, objects=(first, twin))
        drawn = render(scene)
        seen = observe_rendered(scene, drawn).objects
        if (
            all(it.mask is not None and it.mask.mean() > 0.008 for it in seen)
            and overlap(seen[0].box, seen[1].box) < 0.3
        ):
            (found,) = shipped.detect([drawn.rgb], [[first.name]])
            sure = [it for it in found if it.score >= 0.3]
            twins, both = twins + 1, both + (len(sure) == 2 and all(best(it, sure) for it in seen))
    assert twins > 15 and both >= 0.8 * twins


@SHIPPED
def test_an_empty_room_has_nothing_in_it(views: list[View], shipped: TinyVerifier) -> None:
    rooms = [render(replace(view.scene, objects=())).rgb for view in views[::2]]
    plain = np.full((128, 128, 3), 90, np.uint8)
    for found in shipped.detect([*rooms, plain], [sorted(CORE)] * (len(rooms) + 1)):
        assert [it for it in found if it.score >= 0.3] == []
