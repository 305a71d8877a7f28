"""Derived contrasts, frames that agree or are said, nouns and schedules: each keeps the balance of a group."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.assets import CORE
from datagen.claims import couples
from datagen.config import DatagenConfig
from datagen.contrasts import KINDS, derived
from datagen.groups import Group, draw_group
from datagen.nouns import chosen_nouns
from datagen.recipe import MECHANISM_RECIPES, RECIPES, Recipe, axes, choose_recipes
from datagen.run import group_rows
from datagen.schedule import recipes_of, shares, spread, turns
from datagen.statements import check_balance
from spatial.errors import ConfigError
from spatial.leakage import packaged
from spatial.predicates import frame_of, holds, own_reading
from spatial.relations import RELATIONS

CONFIG = DatagenConfig(image_size=96, supersample=1, seed=5, exclude_nouns=[], frame_conflict=0.0)
DERIVED = derived([*RECIPES, *MECHANISM_RECIPES], KINDS)


def _name(recipe: Recipe) -> str:
    return f"{recipe.kind}-{recipe.relation}-{recipe.counterpart}"


@pytest.fixture(scope="module", params=DERIVED, ids=_name)
def group(request: pytest.FixtureRequest) -> Group:
    return draw_group(CONFIG, request.param, 0)


def _statements(group: Group, config: DatagenConfig = CONFIG) -> list:
    _, records = group_rows(group, config, [group.recipe])
    return [record for record in records if record.task == "statement"]


def test_every_kind_of_contrast_is_derived() -> None:
    assert {recipe.kind for recipe in DERIVED} == set(KINDS) - {"direct"}
    assert len({_name(recipe) for recipe in DERIVED}) == len(DERIVED)


def test_captions_and_images_are_true_half_of_the_time(group: Group) -> None:
    statements = _statements(group)
    assert statements
    for key in ("caption", "image_id"):
        true = Counter(getattr(r, key) for r in statements if r.answer == "true")
        false = Counter(getattr(r, key) for r in statements if r.answer == "false")
        assert true == false


def test_false_statements_are_of_their_contrasts_kind(group: Group) -> None:
    kinds = {record.negative_kind for record in _statements(group) if record.answer == "false"}
    assert kinds == {group.recipe.kind}


@pytest.mark.parametrize("recipe", [recipe for recipe in DERIVED if recipe.three], ids=_name)
def test_a_distractor_is_there_in_both_pictures_and_the_sentences_differ_in_one_noun_only(recipe: Recipe) -> None:
    group = draw_group(CONFIG, recipe, 1)
    one, two = group.statements
    assert (one.relation, one.a) == (two.relation, two.a)
    assert {one.b, two.b} == {1, 2}
    for view in group.views:
        assert all((view.rendered.ids == index).any() for index in (0, 1, 2))


def test_one_thing_changes(group: Group) -> None:
    first, second = (view.scene for view in group.views)
    assert [(o.name, o.colour, o.size) for o in first.objects] == [(o.name, o.colour, o.size) for o in second.objects]
    assert (first.camera, first.lights, first.backdrop) == (second.camera, second.lights, second.backdrop)
    if group.recipe.kind in ("confusable", "distractor") and group.recipe.family.change in ("move", "move over"):
        assert first.objects[1:] == second.objects[1:]


def test_an_uneven_group_is_refused(group: Group) -> None:
    statements = _statements(group)
    check_balance(statements)
    with pytest.raises(RuntimeError, match="not balanced"):
        check_balance(statements[1:])


def test_a_choice_is_only_between_relations(group: Group) -> None:
    _, records = group_rows(group, CONFIG, [group.recipe])
    choices = [record for record in records if record.task == "choice"]
    assert bool(choices) == (group.recipe.relation != group.recipe.counterpart)


SIDED = [recipe for recipe in RECIPES if recipe.relation in ("left of", "in front of", "at the left side of")]


@pytest.mark.parametrize("recipe", SIDED, ids=_name)
def test_where_frames_agree_no_front_says_otherwise(recipe: Recipe) -> None:
    for index in range(4):
        group = draw_group(CONFIG, recipe, index)
        for statement in group.statements:
            for view in group.views:
                front = view.scene.objects[statement.b].has_front
                frame = frame_of(statement.relation, statement.a, statement.b, view.observation)
                assert frame == ("both" if front else "viewer")


@pytest.mark.parametrize("recipe", [r for r in SIDED if r.counterpart != "beyond"], ids=_name)
def test_where_frames_conflict_both_are_said(recipe: Recipe) -> None:
    config = DatagenConfig(**{**vars(CONFIG), "frame_conflict": 0.5})
    group = draw_group(config, recipe, 1)
    for statement in group.statements:
        decide = holds if statement.frame == "viewer" else own_reading
        truths = [decide(statement.relation, statement.a, statement.b, view.observation) for view in group.views]
        assert truths == [statement.truth, not statement.truth]
    noun = group.views[0].scene.objects[1].name
    endings = Counter(
        (record.caption.partition(" from ")[2], record.frame, record.answer) for record in _statements(group, config)
    )
    said = [("the viewer's perspective.", "viewer"), (f"the {noun}'s perspective.", "intrinsic")]
    assert endings == {(*end, answer): 2 for end in said for answer in ("true", "false")}


def test_the_share_of_conflicts_is_as_asked() -> None:
    config = DatagenConfig(**{**vars(CONFIG), "frame_conflict": 0.3, "image_size": 48})
    groups = [draw_group(config, RECIPES[0], index) for index in range(60)]
    assert 8 <= sum(group.statements[0].negative_kind == "frame" for group in groups) <= 28
    assert 8 <= sum(s.said and s.negative_kind != "frame" for s in (group.statements[0] for group in groups)) <= 28


def test_dense_captions_tell_no_left_or_right_that_a_front_denies() -> None:
    config = DatagenConfig(**{**vars(CONFIG), "dense": True})
    for index in range(3):
        group = draw_group(config, RECIPES[index], index)
        rows, records = group_rows(group, config, list(RECIPES))
        views = dict(zip([row.image_id for row in rows], group.views, strict=True))
        for record in records:
            if record.task == "caption" and record.topic == "relation" and record.object >= 0:
                told = {name for name in RELATIONS if name in record.answer.replace(" and ", ", ").split(", ")}
                view = views[record.image_id]
                if view.scene.objects[record.object].has_front:
                    frames = {frame_of(name, record.subject, record.object, view.observation) for name in told}
                    assert "viewer" not in frames


def test_excluded_nouns_are_never_shown() -> None:
    held = set(packaged("zeroshot").concepts)
    config = DatagenConfig(image_size=48, supersample=1, dense=True)
    assert not held & set(chosen_nouns(config))
    for index in range(6):
        group = draw_group(config, RECIPES[index], index)
        _, records = group_rows(group, config, list(RECIPES))
        words = {noun for record in records for noun in record.concepts}
        words |= {spec.name for view in group.views for spec in view.scene.objects}
        assert not held & words


def test_nouns_are_named_singly_or_by_set() -> None:
    assert set(chosen_nouns(DatagenConfig(nouns=["core"], exclude_nouns=[]))) == set(CORE)
    assert chosen_nouns(DatagenConfig(nouns=["cup", "sheep"], exclude_nouns=[])) == ("cup", "sheep")
    with pytest.raises(ConfigError, match=r"called 'shep'.*sheep"):
        chosen_nouns(DatagenConfig(nouns=["shep"]))
    with pytest.raises(ConfigError, match="fewer than two"):
        chosen_nouns(DatagenConfig(nouns=["cup", "sheep"], exclude_nouns=["cup"]))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(any), st.integers(1, 500))
def test_a_schedule_gives_each_its_share_within_one_and_a_prefix_of_it_about_its_share(
    parts: list[int], count: int
) -> None:
    share = np.array(parts) / sum(parts)
    order = spread(share, count)
    assert len(order) == count
    for length in {count, count // 2}:
        counts = np.bincount(order[:length], minlength=len(share))
        assert (np.abs(counts - share * length) <= len(share) / 2 + 1).all()
    assert not np.bincount(order, minlength=len(share))[share == 0].any()


def test_equal_shares_take_turns() -> None:
    assert spread(np.full(3, 1 / 3), 7).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_weights_by_relation_give_each_relation_its_share() -> None:
    config = DatagenConfig(weights={"touching": 3.0, "left of": 1.0, "right of": 1.0}, contrasts=["direct"])
    recipes = [recipe for recipe in choose_recipes(["all"]) if recipe.relation in ("touching", "left of")]
    found = dict(zip([recipe.relation for recipe in recipes], shares(recipes, config), strict=False))
    assert found["touching"] > found["left of"]
    everything = recipes_of(DatagenConfig(weights="vsr", exclude_nouns=[]))
    order = turns(everything, DatagenConfig(weights="vsr", groups=4000))
    counts = Counter(everything[k].relation for k in order)
    assert counts["touching"] > counts["near"] > counts["through"]
    assert np.corrcoef([counts[name] for name in counts], [RELATIONS[name].vsr_rows for name in counts])[0, 1] > 0.8


def test_weights_by_relation_use_every_contrast_and_every_kind_of_false_statement() -> None:
    config = DatagenConfig(weights="relations", groups=4000, exclude_nouns=[])
    recipes = recipes_of(config)
    assert set(turns(recipes, config).tolist()) == set(range(len(recipes)))
    made = Counter(claim.kind for k in turns(recipes, config) for couple in couples(recipes[k]) for claim in couple)
    shares_of = {kind: count / made.total() for kind, count in made.items()}
    assert set(shares_of) == {"antonym", "swap", "confusable", "distractor"}
    assert min(shares_of.values()) > 0.05


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contrasts": ["distracter"]}, "unknown kind of contrast 'distracter'.*distractor"),
        ({"weights": "vrs"}, "unknown weights 'vrs'.*vsr"),
        ({"weights": {"lft of": 1.0}}, "unknown relation 'lft of'.*left of"),
        ({"weights": {"left of": -1.0}}, "must be numbers from 0 up"),
    ],
)
def test_mistakes_are_named(settings: dict, message: str) -> None:
    config = DatagenConfig(**settings)
    with pytest.raises(ConfigError, match=message):
        turns(recipes_of(config), config)


def test_relations_that_exclude_each_other_are_told_once() -> None:
    together = axes([*RECIPES, *MECHANISM_RECIPES, *DERIVED])
    by_name = {name: axis for axis in together for name in axis}
    assert by_name["left of"] == by_name["right of"] and "in front of" not in by_name["left of"]
    assert Counter(name for axis in together for name in axis).most_common(1)[0][1] == 1
