"""Counterfactual groups: what one image says is true, the other says is false, and nothing else gives it away."""

from collections import Counter

import pytest

from datagen.config import DatagenConfig
from datagen.groups import Group, View, draw_group, is_held_out, noun_pairs
from datagen.nouns import chosen_nouns
from datagen.recipe import RECIPES, Recipe, axes, choose_recipes
from datagen.run import group_rows
from datagen.visibility import MIN_PIXELS
from spatial.errors import ConfigError
from spatial.predicates import holds
from spatial.records import Record
from spatial.scene import Scene
from spatial.vocabulary import cell, corners, facing_word

CONFIG = DatagenConfig(image_size=64, supersample=1, dense=True, seed=5)


@pytest.fixture(scope="module", params=RECIPES, ids=lambda r: f"{r.relation}-{r.counterpart}")
def group(request: pytest.FixtureRequest) -> Group:
    return draw_group(CONFIG, request.param, 0)


def test_every_statement_is_true_of_exactly_one_view(group: Group) -> None:
    first, second = group.views
    for statement in group.statements:
        truths = [holds(statement.relation, statement.a, statement.b, view.observation) for view in (first, second)]
        assert truths == [statement.truth, not statement.truth]


def test_captions_and_images_are_true_half_of_the_time(group: Group) -> None:
    _, records = group_rows(group, CONFIG, list(RECIPES))
    statements = [r for r in records if (r.task, r.topic) == ("statement", "relation")]
    for key in (lambda r: r.caption, lambda r: r.image_id, lambda r: (r.relation, r.answer)):
        assert len(set(Counter(map(key, statements)).values())) == 1
    by_caption = Counter((r.caption, r.answer) for r in statements)
    assert all(count == by_caption[caption, "true"] for (caption, _), count in by_caption.items())


def test_the_named_objects_can_be_seen(group: Group) -> None:
    for view in group.views:
        for index in (0, 1):
            assert (view.rendered.ids == index).mean() >= MIN_PIXELS


def test_views_differ_in_the_two_named_objects_only(group: Group) -> None:
    first, second = (view.scene for view in group.views)
    assert first.objects[2:] == second.objects[2:]
    assert (first.camera, first.lights, first.backdrop, first.seed) == (
        second.camera,
        second.lights,
        second.backdrop,
        second.seed,
    )
    assert [(o.name, o.colour, o.size) for o in first.objects] == [(o.name, o.colour, o.size) for o in second.objects]


def test_the_stored_scene_gives_the_image_back(group: Group) -> None:
    rows, _ = group_rows(group, CONFIG, list(RECIPES))
    for row in rows:
        scene = Scene.from_json(row.scene)
        assert scene.scene_id == row.scene_id
        assert [o.name for o in row.objects] == [o.name for o in scene.objects]


def test_a_group_does_not_depend_on_what_was_drawn_before() -> None:
    alone = draw_group(CONFIG, RECIPES[0], 7)
    draw_group(CONFIG, RECIPES[3], 8)
    again = draw_group(CONFIG, RECIPES[0], 7)
    assert [v.scene.scene_id for v in alone.views] == [v.scene.scene_id for v in again.views]
    assert all((a.rendered.rgb == b.rendered.rgb).all() for a, b in zip(alone.views, again.views, strict=True))


def test_splits_share_no_pair_of_nouns() -> None:
    for recipe in RECIPES:
        train, test = (
            set(map(frozenset, noun_pairs(recipe.family.needs, split, chosen_nouns(CONFIG))))
            for split in ("train", "test")
        )
        assert train and test and not train & test
    assert is_held_out("cup", "book") == is_held_out("book", "cup")


def test_dense_records_say_what_the_scene_says(group: Group) -> None:
    _, records = group_rows(group, CONFIG, list(RECIPES))
    for view_index, view in enumerate(group.views):
        specs = view.scene.objects
        image_id = group_rows(group, CONFIG, list(RECIPES))[0][view_index].image_id
        mine = [r for r in records if r.image_id == image_id]
        _check_presence(mine, {spec.name for spec in specs})
        colours = {spec.name: spec.colour for spec in specs}
        _check_attributes(mine, view)
        for record in (r for r in mine if (r.task, r.topic) == ("statement", "colour")):
            noun, colour = record.caption.removeprefix("The ").removesuffix(".").split(" is ")
            assert (colours[noun] == colour) == (record.answer == "true")
        captions = [r.answer for r in mine if (r.task, r.topic) == ("caption", "scene")]
        assert len(captions) == 1
        assert all(f"{spec.colour} {spec.name}" in captions[0] for spec in specs)


def _check_attributes(records: list[Record], view: View) -> None:
    """One right and one wrong statement, and the choice between them, about one thing of the picture."""
    seen = view.observation.objects
    for topic in ("cell", "heading", "colour"):
        mine = [r for r in records if r.topic == topic and r.task in ("statement", "choice")]
        if not mine:
            assert topic != "cell"
            continue
        right, wrong, choice = sorted(mine, key=lambda r: (r.task == "choice", r.answer == "false"))
        assert right.answer == "true" and wrong.answer == "false" and choice.caption == right.caption
        assert right.subject == wrong.subject == choice.subject
        words = {
            r.caption.removesuffix(".").split(" is ")[1].removeprefix("at ").removeprefix("facing ")
            for r in (right, wrong)
        }
        assert words == set(choice.options) and len(words) == 2
        spec, box = view.scene.objects[choice.subject], seen[choice.subject].box
        sides = (view.scene.width, view.scene.height)
        true = {"cell": cell(box, *sides), "heading": facing_word(spec.yaw), "colour": spec.colour}[topic]
        assert choice.answer == true
    for record in (r for r in records if r.topic == "box"):
        assert record.answer == corners(seen[record.subject].box, view.scene.width, view.scene.height)


def _check_presence(records: list[Record], nouns: set[str]) -> None:
    presence = [r for r in records if r.topic == "presence"]
    assert {r.answer for r in presence} == {"true", "false"}
    for record in presence:
        assert (record.concepts[0] in nouns) == (record.answer == "true")


def test_captions_tell_true_relations_of_the_pairs_of_the_split(group: Group) -> None:
    _, records = group_rows(group, CONFIG, list(RECIPES))
    first = [r for r in records if r.image_id == records[0].image_id and (r.task, r.topic) == ("caption", "relation")]
    assert len(first) > len(group.statements) // 2
    for record in first:
        assert not is_held_out(*record.concepts)
        relations = [name for part in record.answer.split(" and ") for name in part.split(", ")]
        assert relations[0] == record.relation and len(relations) == len(set(relations))
        for name in relations:
            assert holds(name, record.subject, record.object, group.views[0].observation)


def test_axes_keep_contrasting_relations_together() -> None:
    found = axes(RECIPES)
    assert ("left of", "right of") in found
    assert ("in front of", "behind", "beyond") in found
    names = [name for axis in found for name in axis]
    assert len(names) == len(set(names)) == len({n for r in RECIPES for n in (r.relation, r.counterpart)})


def test_unknown_relations_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'left of'"):
        choose_recipes(["left off", "right of"])


def test_a_relation_without_its_counterpart_names_one() -> None:
    with pytest.raises(ConfigError, match="right of"):
        choose_recipes(["left of"])


def test_refused_relations_say_why() -> None:
    with pytest.raises(ConfigError, match="not generated"):
        choose_recipes(["congruent", "left of", "right of"])


def test_named_relations_choose_their_recipes() -> None:
    assert choose_recipes(["left of", "right of"]) == [Recipe("left of", "right of", RECIPES[0].family)]
