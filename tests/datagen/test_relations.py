"""Every relation that a picture decides can be generated, and what holds by convention only if it is asked for."""

from collections import Counter

import numpy as np
import pytest

from datagen.assets import ASSETS
from datagen.config import DatagenConfig
from datagen.groups import REASONS, Group, draw_group, noun_pairs
from datagen.layout import specify
from datagen.needs import suits
from datagen.nouns import chosen_nouns
from datagen.recipe import AMBIGUOUS_RECIPES, ARRANGED_RECIPES, MECHANISM_RECIPES, RECIPES, Recipe, choose_recipes
from datagen.render import render
from datagen.run import group_rows
from datagen.visibility import breadth, outlines
from spatial.errors import ConfigError
from spatial.predicates import holds
from spatial.predicates_ambiguous import AMBIGUOUS
from spatial.relations import RELATIONS
from spatial.scene import ObjectSpec, Scene

CONFIG = DatagenConfig(image_size=64, supersample=1, dense=True, seed=5, split="test", exclude_nouns=[])
NOUNS = chosen_nouns(CONFIG)
EXACT = (*RECIPES, *ARRANGED_RECIPES, *MECHANISM_RECIPES)
ADDED = (*ARRANGED_RECIPES, *AMBIGUOUS_RECIPES)


@pytest.fixture(scope="module", params=ADDED, ids=lambda r: f"{r.relation}-{r.counterpart}")
def group(request: pytest.FixtureRequest) -> Group:
    return draw_group(CONFIG, request.param, 1)


def _related(recipes: tuple[Recipe, ...]) -> set[str]:
    return {name for recipe in recipes for name in (recipe.relation, recipe.counterpart)}


def test_every_decided_relation_has_a_recipe_and_every_convention_too() -> None:
    assert _related(EXACT) == {name for name, relation in RELATIONS.items() if relation.render_class in "EFM"}
    assert set(AMBIGUOUS) <= _related(AMBIGUOUS_RECIPES) <= set(AMBIGUOUS) | _related(EXACT)
    assert all(recipe.ambiguous == (recipe in AMBIGUOUS_RECIPES) for recipe in (*EXACT, *AMBIGUOUS_RECIPES))


def test_both_splits_have_at_least_eight_pairs_of_nouns_and_share_none() -> None:
    for recipe in (*EXACT, *AMBIGUOUS_RECIPES):
        train, test = (
            set(map(frozenset, noun_pairs(recipe.family.needs, split, NOUNS))) for split in ("train", "test")
        )
        assert len(train) >= 8 and len(test) >= 8 and not train & test, recipe


def test_every_statement_is_true_of_exactly_one_view(group: Group) -> None:
    for statement in group.statements:
        truths = [holds(statement.relation, statement.a, statement.b, view.observation) for view in group.views]
        assert truths == [statement.truth, not statement.truth]


def test_captions_and_images_are_true_half_of_the_time(group: Group) -> None:
    _, records = group_rows(group, CONFIG, [group.recipe])
    statements = [r for r in records if (r.task, r.topic) == ("statement", "relation")]
    for key in (lambda r: r.caption, lambda r: r.image_id, lambda r: (r.relation, r.answer)):
        assert len(set(Counter(map(key, statements)).values())) == 1


def test_only_what_holds_by_convention_is_of_low_confidence(group: Group) -> None:
    _, records = group_rows(group, CONFIG, list(EXACT))
    about = [r for r in records if r.topic == "relation" and {r.subject, r.object} == {0, 1} and r.task != "caption"]
    assert {r.confidence for r in about} == {"low" if group.recipe.ambiguous else "high"}
    captions = [r for r in records if (r.task, r.topic, r.confidence) == ("caption", "relation", "high")]
    told = {name for r in captions for part in r.answer.split(" and ") for name in part.split(", ")}
    assert not told & set(AMBIGUOUS)


def test_one_object_changes_and_the_rest_stays(group: Group) -> None:
    first, second = (view.scene for view in group.views)
    assert first.objects[1:] == second.objects[1:]
    assert first.objects[0].size == second.objects[0].size
    assert len({spec.name for spec in first.objects}) == len(first.objects)


def test_failed_draws_give_their_reasons(group: Group) -> None:
    assert set(group.rejected) <= set(REASONS)
    assert group.attempts == len(group.rejected) + 1


def test_conventions_are_drawn_only_when_asked_for() -> None:
    exact = [*RECIPES, *ARRANGED_RECIPES, *MECHANISM_RECIPES]
    assert choose_recipes(["all"]) == exact
    assert choose_recipes(["all", "ambiguous"]) == [*exact, *AMBIGUOUS_RECIPES]
    assert not [r for r in choose_recipes(sorted(_related(EXACT))) if r.ambiguous]
    assert [r.relation for r in choose_recipes(["into", "out of"])] == ["into"]
    assert choose_recipes(["all", "left of", "right of"]) == exact


@pytest.mark.parametrize("name", ["down", "congruent", "consists of"])
def test_refused_relations_say_why(name: str) -> None:
    with pytest.raises(ConfigError, match=r"not generated: .{20}"):
        choose_recipes([name, "left of", "right of"])


def test_a_relation_is_missing_its_counterpart_even_beside_a_set() -> None:
    with pytest.raises(ConfigError, match=r"'into' has no counterpart .*'out of'"):
        choose_recipes(["all", "into"])


def test_outlines_are_the_ids_of_the_picture() -> None:
    group = draw_group(CONFIG, RECIPES[0], 3)
    for view in group.views:
        np.testing.assert_array_equal(outlines(view.scene), render(view.scene, 1).ids)
    assert (outlines(Scene(())) == -1).all()


def test_breadth_tells_what_is_seen_well_when_small() -> None:
    """A box of equal sides covers what its shadow does; a bat and a bicycle cover much less."""
    assert breadth("baseball bat") < 0.08 < breadth("bicycle") < 0.13
    assert breadth("microwave") > 0.4
    assert all(0.04 < breadth(noun) < 0.6 for noun in ASSETS)


def test_needs_know_what_moves_what_has_a_face_and_what_lies_along() -> None:
    def having(need: str, nouns: tuple[str, ...]) -> list[str]:
        first, second = (lambda noun: specify(noun, "red", 1.0)), specify("dining table", "red", 1.0)
        specs: list[tuple[ObjectSpec, ObjectSpec]] = [(first(noun), second) for noun in nouns]
        return [a.name for a, b in specs if suits((need,), a, b)]

    assert having("a moves", ("dog", "car", "person", "chair", "tv")) == ["dog", "car", "person"]
    assert having("a alive", ("dog", "car", "person")) == ["dog", "person"]
    assert having("a face", ("dog", "bus", "boat", "tv")) == ["dog", "tv"]
    assert having("a long", ("knife", "book", "giraffe", "horse")) == ["knife", "horse"]
    assert having("a rests on b", ("cup", "cat", "elephant", "train")) == ["cup", "cat"]
    assert having("a bar", ("knife", "surfboard", "bus", "cat")) == ["knife", "surfboard"]
