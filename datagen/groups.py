"""Draw one counterfactual group: two scenes that differ in one thing, verified by predicates and by pixels.

All randomness of a group comes from one counter-based generator keyed by (seed, split, group index), so a
group is the same whichever process draws it and in whatever order.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations, permutations

import numpy as np

from datagen.assets import ASSETS, COLOURS
from datagen.config import DatagenConfig
from datagen.families import Rng
from datagen.layout import collide, distractors, fitted, specify, stage, stand, suits
from datagen.recipe import Recipe
from datagen.render import Rendered, observe_rendered, render
from spatial.errors import ConfigError
from spatial.observation import Box, Observation, observe
from spatial.predicates import holds
from spatial.scene import Scene, digest

MAX_ATTEMPTS = 400
"""A recipe that has not succeeded after this many draws cannot be satisfied."""

MIN_PIXELS = 0.008
"""Every named object covers at least this share of the image (CLEVR's ``min_pixels_per_object`` at our size)."""

MIN_VISIBLE = 0.35
"""Every object shows at least this share of what it would show alone."""

HELD_OUT = 6
"""One unordered pair of nouns in this many is kept for testing."""


class UnsatisfiableError(ConfigError):
    """No attempt of a recipe produced a valid group."""


@dataclass(frozen=True)
class View:
    """A scene with its pixels and what can be seen of it."""

    scene: Scene
    rendered: Rendered
    observation: Observation


@dataclass(frozen=True)
class Statement:
    """A sentence about objects ``a`` and ``b``, true of exactly one of two views; ``truth`` is of the first."""

    relation: str
    a: int
    b: int
    truth: bool
    negative_kind: str


@dataclass(frozen=True)
class Group:
    """Two views, the statements that tell them apart, and how many draws it took."""

    group_id: str
    recipe: Recipe
    views: tuple[View, View]
    statements: tuple[Statement, ...]
    attempts: int
    coloured: bool


def is_held_out(first: str, second: str) -> bool:
    """Tell whether a pair of nouns, in either order, belongs to the test split."""
    return int(digest("|".join(sorted((first, second)))), 16) % HELD_OUT == 0


@lru_cache
def noun_pairs(needs: tuple[str, ...], split: str) -> tuple[tuple[str, str], ...]:
    """Return the ordered pairs of nouns of a split whose usual sizes and features meet a family's needs.

    Raises:
        UnsatisfiableError: there is none.
    """
    usual = {noun: specify(noun, "", 1.0) for noun in sorted(ASSETS)}
    pairs = tuple(
        (a, b)
        for a, b in permutations(usual, 2)
        if is_held_out(a, b) == (split == "test") and suits(needs, usual[a], usual[b])
    )
    if not pairs:
        raise UnsatisfiableError(f"no two nouns of split {split!r} meet {needs}; leave their relation out")
    return pairs


def draw_group(config: DatagenConfig, recipe: Recipe, index: int) -> Group:
    """Draw attempts until one passes every check.

    Raises:
        UnsatisfiableError: ``MAX_ATTEMPTS`` draws failed.
    """
    group_id = digest(f"{config.seed}/{config.split}/{index}/{recipe.relation}/{recipe.counterpart}")
    rng = np.random.Generator(np.random.Philox(key=int(group_id, 16)))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        scenes = _draw_scenes(rng, config, recipe)
        if scenes is None:
            continue
        statements = _statements(recipe, scenes)
        if not statements:
            continue
        views = [_view(scene, config) for scene in scenes]
        if all(_visible(view) for view in views):
            return Group(group_id, recipe, (views[0], views[1]), statements, attempt, bool(rng.random() < 0.6))
    raise UnsatisfiableError(
        f"no scene for {recipe.relation!r} against {recipe.counterpart!r} in {MAX_ATTEMPTS} draws;"
        " leave it out of 'relations', or allow larger images or fewer distractors"
    )


def _draw_scenes(rng: Rng, config: DatagenConfig, recipe: Recipe) -> tuple[Scene, Scene] | None:
    pairs = noun_pairs(recipe.family.needs, config.split)
    named = pairs[int(rng.integers(len(pairs)))]
    nouns = [*named, *(noun for noun in rng.permutation(sorted(ASSETS)).tolist() if noun not in named)]
    colours = rng.permutation(sorted(COLOURS)).tolist()
    a, b = (stand(rng, nouns[i], colours[i], recipe.family.lean) for i in range(2))
    if not suits(recipe.family.needs, a, b):
        return None
    first, second = recipe.family.place(rng, a, b)
    if recipe.family.change != "lower" and (collide(*first) or collide(*second)):
        return None
    empty = fitted(stage(rng, config), first, second)
    if empty is None:
        return None
    others = distractors(rng, config, empty, (first, second), nouns[2:], colours[2:])
    scenes = tuple(replace(empty, objects=(*pair, *others)) for pair in (first, second))
    return scenes[0], scenes[1]


def _view(scene: Scene, config: DatagenConfig) -> View:
    rendered = render(scene, config.supersample)
    return View(scene, rendered, observe_rendered(scene, rendered))


def _visible(view: View) -> bool:
    boxes = [seen.box for seen in observe(view.scene).objects]
    counts = np.bincount(view.rendered.ids[view.rendered.ids >= 0], minlength=len(boxes))
    if counts.min() < MIN_PIXELS * view.rendered.ids.size:
        return False
    overlapped = {
        i for pair in combinations(range(len(boxes)), 2) if _overlap(boxes[pair[0]], boxes[pair[1]]) for i in pair
    }
    for i in overlapped:
        alone = render(replace(view.scene, objects=(view.scene.objects[i],)), supersample=1).ids
        if counts[i] < MIN_VISIBLE * np.count_nonzero(alone >= 0):
            return False
    return True


def _overlap(a: Box, b: Box) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


def _statements(recipe: Recipe, scenes: tuple[Scene, Scene]) -> tuple[Statement, ...]:
    """Return the captions whose truth flips between the scenes, in balanced couples; () unless (A, B) is one."""
    first, second = (observe(scene) for scene in scenes)
    statements: list[Statement] = []
    for a, b in ((0, 1), (1, 0)):
        truths = [
            (holds(name, a, b, first), holds(name, a, b, second)) for name in (recipe.relation, recipe.counterpart)
        ]
        if truths == [(True, False), (False, True)] or truths == [(False, True), (True, False)]:
            kind = "antonym" if a == 0 else "swap"
            statements.append(Statement(recipe.relation, a, b, bool(truths[0][0]), kind))
            statements.append(Statement(recipe.counterpart, a, b, bool(truths[1][0]), kind))
        elif a == 0:
            return ()
    return tuple(statements) if statements[0].truth else ()
