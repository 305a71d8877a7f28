"""Which contrast each group shows: exact shares at any length, the same whoever draws which group.

Every contrast gets a share of the groups, and its turns come at even distances, so that also a shard or a killed
run has about the right counts. Contrasts with equal shares take turns.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from datagen.config import DatagenConfig
from datagen.contrasts import KINDS, derived
from datagen.groups import UnsatisfiableError, pairs_of
from datagen.recipe import NEGATIONS, SETS, Recipe, choose_recipes
from spatial.errors import ConfigError, nearest
from spatial.relations import RELATIONS

Floats = NDArray[np.float64]

ROUNDS = 100
"""Rounds of fitting, after which shares no longer change visibly."""

WEIGHTS = ("contrasts", "relations", "vsr")


def recipes_of(config: DatagenConfig) -> list[Recipe]:
    """Return all contrasts that a dataset shows.

    Contrasts that were not named, because they are derived or "all" are asked for, are left out where no two nouns
    can show them.

    Raises:
        ConfigError: a relation or a kind of contrast is unknown, a named relation has no nouns, or nothing is left.
    """
    for kind in config.contrasts:
        if kind not in KINDS:
            raise ConfigError(f"unknown kind of contrast {kind!r}{nearest(kind, KINDS)}; known: {', '.join(KINDS)}")
    direct = choose_recipes(config.relations)
    for recipe in choose_recipes([name for name in config.relations if name not in SETS]):
        pairs_of(recipe, config)
    chosen = [*(direct if "direct" in config.contrasts else ()), *derived(direct, config.contrasts)]
    chosen = [recipe for recipe in chosen if can_show(recipe, config)]
    if not chosen:
        raise ConfigError(f"contrasts {config.contrasts} leave nothing to draw; add 'direct'")
    return chosen


def can_show(recipe: Recipe, config: DatagenConfig) -> bool:
    """Tell whether the settings leave nouns that can show a contrast."""
    try:
        pairs = pairs_of(recipe, config)
    except UnsatisfiableError:
        return False
    return not recipe.three or len({a for a, _ in pairs}) < len(pairs)


def turns(recipes: Sequence[Recipe], config: DatagenConfig) -> NDArray[np.int64]:
    """Return (groups,) the index of the contrast that each group shows.

    Raises:
        ConfigError: ``weights`` names an unknown relation, or gives every contrast none.
    """
    return spread(shares(recipes, config), config.groups)


def shares(recipes: Sequence[Recipe], config: DatagenConfig) -> Floats:
    """Return (contrasts,) the share of the groups that each contrast gets; they sum to 1 but for rounding.

    Of all shares that give the relations their counts, those nearest to even use of the contrasts (in the sense of
    relative entropy) are found by iterative proportional fitting. A relation that only serves to deny another, or to be
    mistaken for it, is not counted: "around" needs something to be told from, and "left of" is not taught by that.
    """
    share = np.full(len(recipes), 1 / len(recipes))
    if config.weights == "contrasts":
        return share
    about = [_about(recipe) for recipe in recipes]
    names = sorted({name for pair in about for name in pair})
    wanted = _wanted(config.weights, names)
    counted = np.array([[(name in pair) + (pair == (name, name)) for name in names] for pair in about], float)
    share = np.where((counted * wanted).sum(1) > 0, share, 0.0)
    if not share.any():
        raise ConfigError("weights give every contrast none; give the relation of some contrast more than 0")
    for _ in range(ROUNDS):
        used = (share[:, None] * counted).sum(0)
        change = np.divide(wanted * used.sum(), used, out=np.ones(len(names)), where=used > 0)
        share *= np.exp((counted * np.log(np.maximum(change, 1e-9))).sum(1) / counted.sum(1))
        share /= share.sum()
    # Processors differ in the last digits of logarithms; all machines of one run must come to the same turns.
    return np.round(share, 9)


def _about(recipe: Recipe) -> tuple[str, ...]:
    """Return the relations that a contrast counts for: both of two opposites, a derived one twice for its only one."""
    if recipe.relation == recipe.counterpart:
        return (recipe.relation, recipe.relation)
    other = RELATIONS[recipe.counterpart]
    if recipe.relation in (other.antonym, other.inverse) and other.name not in NEGATIONS:
        return (recipe.relation, recipe.counterpart)
    return (recipe.relation,)


def spread(share: Floats, count: int) -> NDArray[np.int64]:
    """Return (count,) indices, each as often as its share says within 1, at even distances."""
    due = [(np.arange(int(np.ceil(part * count)) + 1) + 0.5) / part for part in share if part > 0]
    which = [np.full(len(times), index) for index, times in zip(np.flatnonzero(share > 0), due, strict=True)]
    order = np.argsort(np.concatenate(due), kind="stable")[:count]
    return np.concatenate(which)[order]


def _wanted(weights: str | Mapping[str, float], names: Sequence[str]) -> Floats:
    if isinstance(weights, str):
        if weights not in WEIGHTS:
            raise ConfigError(f"unknown weights {weights!r}{nearest(weights, WEIGHTS)}; or give relations with numbers")
        weights = {name: float(RELATIONS[name].vsr_rows) if weights == "vsr" else 1.0 for name in names}
    for name in weights:
        if name not in RELATIONS:
            raise ConfigError(f"weights: unknown relation {name!r}{nearest(name, RELATIONS)}")
    wanted = np.array([weights.get(name, 0.0) for name in names])
    if not np.isfinite(wanted).all() or (wanted < 0).any() or wanted.sum() <= 0:
        raise ConfigError("weights must be numbers from 0 up, and some relation that is drawn needs more than 0")
    return np.asarray(wanted / wanted.sum())
