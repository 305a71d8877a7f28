"""Groups about cavities, holes, several instances, connectors and parts, and the meshes that only they need."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from datagen.assets import (
    ASSETS,
    COLOURS,
    part_box,
    primitives,
    unit_mesh,
)
from datagen.assets.asset import Cavity
from datagen.assets.cord import RADII, cord, lay
from datagen.assets.cut import comes_off, cut
from datagen.assets.tools import arch, hoop
from datagen.config import DatagenConfig
from datagen.families import turned
from datagen.families_mechanism import contained
from datagen.groups import Group, draw_group, noun_pairs
from datagen.layout import specify
from datagen.nouns import chosen_nouns
from datagen.recipe import ARRANGED_RECIPES, MECHANISM_RECIPES, RECIPES, Recipe, choose_recipes
from datagen.render import render
from datagen.run import group_rows
from datagen.staging import stage
from datagen.surface import hull, reach_along, section
from datagen.visibility import MIN_CORD_PIXELS, MIN_PIXELS, clearly_seen
from spatial.errors import ConfigError
from spatial.observation import observe
from spatial.predicates import holds, holds_of_all
from spatial.scene import Camera, ObjectSpec, Scene

CONFIG = DatagenConfig(image_size=64, supersample=1, dense=True, seed=5)
WAVE = ((-0.5, 0.0, 0.03), (-0.2, 0.1, 0.03), (0.1, -0.1, 0.3), (0.5, 0.0, 0.03))


def closed(mesh: primitives.Mesh) -> bool:
    """The area vectors of a closed surface add up to nothing."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
    return bool(np.abs(np.cross(b - a, c - a).sum(0)).max() < 1e-9)


@pytest.fixture(
    scope="module", params=range(len(MECHANISM_RECIPES)), ids=lambda i: f"{i}-{MECHANISM_RECIPES[i].relation}"
)
def group(request: pytest.FixtureRequest) -> Group:
    return draw_group(CONFIG, MECHANISM_RECIPES[request.param], request.param)


def test_every_statement_is_true_of_exactly_one_view(group: Group) -> None:
    for statement in group.statements:
        truths = [holds_of_all(statement.relation, statement.a, statement.b, view.observation) for view in group.views]
        assert truths == [statement.truth, not statement.truth]


def test_captions_and_images_are_true_half_of_the_time(group: Group) -> None:
    _, records = group_rows(group, CONFIG, list(MECHANISM_RECIPES))
    statements = [r for r in records if (r.task, r.topic) == ("statement", "relation")]
    for key in (lambda r: r.caption, lambda r: r.image_id, lambda r: (r.relation, r.answer)):
        assert len(set(Counter(map(key, statements)).values())) == 1


def test_one_thing_changes(group: Group) -> None:
    first, second = (view.scene for view in group.views)
    assert replace(first, objects=()) == replace(second, objects=())
    one, two = ([(o.name, o.colour, o.mesh) for o in scene.objects] for scene in (first, second))
    assert one == two
    moved = {a.name for a, b in zip(first.objects, second.objects, strict=True) if a != b}
    assert len(moved) == (2 if "strap" in moved else 1)


def test_the_stored_scene_gives_the_image_back(group: Group) -> None:
    rows, _ = group_rows(group, CONFIG, list(MECHANISM_RECIPES))
    for row, view in zip(rows, group.views, strict=True):
        scene = Scene.from_json(row.scene)
        assert scene.scene_id == row.scene_id
        assert (render(scene, CONFIG.supersample).rgb == view.rendered.rgb).all()


def test_what_is_named_can_be_seen(group: Group) -> None:
    for view in group.views:
        for index, spec in enumerate(view.scene.objects):
            least = MIN_CORD_PIXELS if spec.path else MIN_PIXELS
            assert (view.rendered.ids == index).mean() >= least
        alone = render(replace(view.scene, objects=view.scene.objects[:1]), 1).ids == 0
        assert (view.rendered.ids == 0).sum() >= 0.25 * alone.sum()


def test_captions_count_what_they_name(group: Group) -> None:
    _, records = group_rows(group, CONFIG, list(MECHANISM_RECIPES))
    counts = Counter(spec.name for spec in group.views[0].scene.objects)
    for record in (r for r in records if r.task == "statement" and r.topic == "relation"):
        several = [counts[noun] for noun in record.concepts]
        assert (" are " in record.caption) == (several[0] > 1 or record.concepts[0] in ("skis", "scissors"))
        assert ("the two " in record.caption) == (several[1] == 2)


def test_dense_records_name_single_things_and_no_colour_of_a_part(group: Group) -> None:
    _, records = group_rows(group, CONFIG, list(MECHANISM_RECIPES))
    specs = group.views[0].scene.objects
    counts = Counter(spec.name for spec in specs)
    parts = {spec.name for spec in specs if "/" in spec.mesh}
    assert all(counts[r.concepts[0]] == 1 for r in records if r.task == "locate" or r.topic == "colour")
    words = re.compile(rf"\b(?:{'|'.join(COLOURS)}) (?:{'|'.join(parts)})\b")
    painted = [
        r.caption
        for r in records
        if parts and (words.search(r.caption) or (r.topic == "colour" and r.concepts[0] in parts))
    ]
    assert not painted


def test_both_splits_have_pairs_and_share_none() -> None:
    nouns = chosen_nouns(replace(CONFIG, exclude_nouns=[]))
    for recipe in MECHANISM_RECIPES:
        train, test = (
            set(map(frozenset, noun_pairs(recipe.family.needs, split, nouns))) for split in ("train", "test")
        )
        assert train and test and not train & test, recipe


def test_a_group_does_not_depend_on_what_was_drawn_before() -> None:
    alone = draw_group(CONFIG, MECHANISM_RECIPES[15], 7)
    draw_group(CONFIG, MECHANISM_RECIPES[0], 8)
    again = draw_group(CONFIG, MECHANISM_RECIPES[15], 7)
    assert [v.scene.scene_id for v in alone.views] == [v.scene.scene_id for v in again.views]


@pytest.mark.parametrize("noun", ["bowl", "cup", "sink", "truck", "boat", "handbag", "oven"])
def test_what_is_placed_in_a_cavity_is_inside_and_then_beside_it(noun: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size and shape of the thing; the oven stands for cavities that open to the front."""
    if noun == "oven":
        front = replace(ASSETS[noun], cavity=Cavity((-0.4, -0.45, 0.2), (0.4, 0.4, 0.8), "front"))
        monkeypatch.setitem(ASSETS, noun, front)
    rng = np.random.default_rng(5)
    for other in ("apple", "dog", "fork", "book"):
        placed = contained(0.8)(rng, specify(other, "red", 1.0), turned(specify(noun, "blue", 1.0), 33.0))
        assert placed
        inner, outer = (observe(Scene(placement)) for placement in placed)
        expected = {"in": 1, "within": 1, "inside": 1, "enclosed by": 1, "outside": 0, "beside": 0}
        for name, truth in expected.items():
            assert [holds(name, 0, 1, seen) for seen in (inner, outer)] == [bool(truth), not truth], (name, other)
        assert [holds("contains", 1, 0, seen) for seen in (inner, outer)] == [True, False]


def test_mechanism_recipes_are_chosen_with_all_others_or_by_name() -> None:
    assert set(choose_recipes(["all"])) == {*RECIPES, *ARRANGED_RECIPES, *MECHANISM_RECIPES}
    assert [(r.relation, r.counterpart) for r in choose_recipes(["in", "outside"])] == [("in", "outside")]
    assert all(isinstance(r, Recipe) for r in choose_recipes(["part of", "detached from"]))


@pytest.mark.parametrize("key", ["cup/handle", "suitcase/handle", "toilet/lid"])
def test_a_part_and_the_rest_make_the_whole(key: str) -> None:
    whole, part = key.split("/")
    piece, rest = cut(ASSETS[whole].builder(), part)
    assert len(piece.faces) + len(rest.faces) == len(ASSETS[whole].builder().faces)
    assert closed(piece) and closed(rest)
    low, high = (np.array(corner) for corner in part_box(key))
    assert (low >= np.array([-0.5, -0.5, 0.0]) - 1e-9).all() and (high <= np.array([0.5, 0.5, 1.0]) + 1e-9).all()
    assert len(unit_mesh(f"{whole} without {part}").slots) == len(rest.faces)
    assert len(unit_mesh(key).slots) == len(piece.faces)


@pytest.mark.parametrize("key", ["cup/wing", "cup without wing"])
def test_a_part_that_is_not_there_is_said_to_be_missing(key: str) -> None:
    with pytest.raises(ConfigError, match="a cup has no part 'wing'"):
        unit_mesh(key)


@pytest.mark.parametrize(
    ("noun", "part", "expected"), [("cup", "handle", True), ("chair", "leg", False), ("tv", "stand", False)]
)
def test_only_what_comes_off_whole_and_leaves_a_thing_standing_is_taken(noun: str, part: str, expected: bool) -> None:
    assert comes_off(ASSETS[noun].builder(), part) == expected


def test_a_part_in_its_place_is_drawn_where_it_belongs() -> None:
    """A cup without its handle, with the handle put back, looks like the cup."""
    size, camera = (0.6, 0.45, 0.5), Camera((0, 0, 0.25), 1.6, 25)
    (x0, y0, z0), (x1, y1, z1) = part_box("cup/handle")
    extent = ((x1 - x0) * size[0], (y1 - y0) * size[1], (z1 - z0) * size[2])
    seat = ((x0 + x1) / 2 * size[0], (y0 + y1) / 2 * size[1], z0 * size[2])
    handle = ObjectSpec("handle", "red", seat, extent, mesh="cup/handle")
    rest = ObjectSpec("cup", "red", (0, 0, 0), size, mesh="cup without handle")
    whole = ObjectSpec("cup", "red", (0, 0, 0), size)
    apart, together = (render(Scene(objects, camera)).ids >= 0 for objects in ((rest, handle), (whole,)))
    assert (apart != together).mean() < 0.002


@pytest.mark.parametrize("name", RADII)
def test_connectors_are_closed_and_as_large_as_declared(name: str) -> None:
    assert closed(cord(name, WAVE))
    spec = lay(name, "red", WAVE, (0, 1))
    corners = stage(Scene((spec,))).corners
    np.testing.assert_allclose(corners.max((0, 2)) - corners.min((0, 2)), spec.size, atol=1e-3)
    ends = [np.array(spec.position) + np.array(spec.path[k]) for k in (0, -1)]
    np.testing.assert_allclose(ends, [WAVE[0], WAVE[-1]], atol=1e-3)


def test_a_connector_whose_end_is_hidden_is_not_clearly_seen() -> None:
    camera = Camera((0, 0, 0.2), 2.4, 25)
    cable = lay("rope", "red", WAVE, ())
    screen = ObjectSpec("suitcase", "blue", (0.1, -0.5, 0.0), (0.3, 0.2, 0.7))
    for objects, expected in (((cable,), True), ((cable, screen), False)):
        scene = Scene(objects, camera)
        assert clearly_seen(scene, render(scene, 1).ids, 0.1) == expected


def test_tools_are_closed() -> None:
    assert closed(arch()) and closed(hoop())


def test_a_section_of_a_box_is_its_outline() -> None:
    box = primitives.box((1.0, 1.0, 1.0))
    assert box.faces.shape == (12, 3)
    spec = ObjectSpec("microwave", "red", (1.0, 2.0, 0.0), (0.8, 0.6, 0.5))
    outline = section(spec, 0.25)
    assert reach_along(outline, (1.0, 2.0), (1.0, 0.0)) == pytest.approx(0.4, abs=0.02)
    assert reach_along(outline, (1.0, 3.0), (1.0, 0.0)) is None
    corners = hull(np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0.5, 0.5)], float))
    assert corners == [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
