"""What is said of universality: conditions with their pairs, heads and places that all of them select, and sentences.

The reckoning is in ``eval.interpret.universal`` and ``eval.interpret.families``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from eval.interpret.effects import ALL_HEADS, Effect
from eval.interpret.families import compare_families
from eval.interpret.heads import of_heads
from eval.interpret.naming import Row, head_name, place_name
from eval.interpret.summary import LEAST_PAIRS
from eval.interpret.universal import Chosen, choose_in_each, conditions_of, universality

PLACES = ("attn", "cross", "mlp")
"""Kinds of sites without heads that add something to the answer; the output of a layer holds all that came before."""

ALPHA = 0.05
"""A p-value from which on down chance is not believed."""


def everywhere(
    sets: Mapping[str, Sequence[Effect]], role: str, direction: str, resamples: int = 1000, seed: int = 0
) -> tuple[dict[str, Any], list[Chosen]]:
    """Return what every family, mode and set of data has in common, and how each site came out in each of them.

    Args:
        sets: effects on pairs that count, by the name of the data.
        role: at whose tokens heads were patched.
        direction: of the effects.
        resamples: of the intervals.
        seed: of the intervals and of families that are dealt by lot.
    """
    own = {name: [row for row in rows if row.direction == direction] for name, rows in sets.items()}
    heads, few = conditions_of({name: of_heads(rows, role, direction) for name, rows in own.items()})
    kinds = {name: [row for row in rows if row.kind in PLACES and row.head == ALL_HEADS] for name, rows in own.items()}
    places, few_of_places = conditions_of(kinds)
    if heads:  # pairs that lack the heads' role may be conditions of places; what is told is of the same ones
        places = {condition: effects for condition, effects in places.items() if condition in heads}
    rows = [choose_in_each(conditions, resamples, seed) for conditions in (heads, places)]
    found: dict[str, Any] = {
        "least_pairs": LEAST_PAIRS,
        "conditions": [
            asdict(condition) | {"pairs": _pairs(effects)} for condition, effects in (heads or places).items()
        ],
        "left_out": [asdict(condition) | {"pairs": pairs} for condition, pairs in (few or few_of_places).items()],
    }
    for name, chosen in zip(("heads", "places"), rows, strict=True):
        known = universality(chosen)
        found[name] = asdict(known) if known else None
    families = compare_families(heads, seed=seed)
    found["families"] = asdict(families) if families else None
    return found, [*rows[0], *rows[1]]


def _pairs(effects: Sequence[Effect]) -> int:
    return len({row.pair_id for row in effects})


def condition_name(condition: Row, several: bool) -> str:
    """Return what a condition is called; with its data, where there are several sets."""
    names = [condition["family"] or "all", condition["mode"]]
    return ", ".join([condition["data"], *names] if several else names)


def several_sets(found: Mapping[str, Any]) -> bool:
    """Tell whether conditions are of several sets of data."""
    return len({condition["data"] for condition in (*found["conditions"], *found["left_out"])}) > 1


def in_words(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was found as sentences, whichever way it falls."""
    several = several_sets(found)
    conditions, few = (
        ", ".join(f"{condition_name(condition, several)} ({condition['pairs']})" for condition in found[name])
        for name in ("conditions", "left_out")
    )
    yield f"Conditions with {found['least_pairs']} pairs or more: {conditions or 'none'}." + (
        f" Left out: {few}." if few else ""
    )
    for name in ("heads", "places"):
        if found[name]:
            yield _shared(found[name], name, len(found["conditions"]))
        elif name == "heads":
            yield "Whether heads are universal cannot be told of fewer than two conditions."
    if found["families"]:
        yield _families(found["families"])


def _shared(found: Mapping[str, Any], name: str, conditions: int) -> str:
    """Say which sites all conditions select."""
    call = {"heads": lambda site: f"head {head_name(site)}", "places": place_name}[name]
    chance = f"by chance all would share {found['expected']:.2g}, p {found['p_value']:.2g}"
    universal = [call(one["site"]) for one in found["sites"] if one["universal"]]
    if universal:
        return f"Universal {name}: {', '.join(universal)}; each of the {conditions} conditions selects them ({chance})."
    everywhere = [call(one["site"]) for one in found["sites"] if one["conditions"] == conditions]
    if everywhere:
        named = ", ".join(everywhere)
        return (
            f"No {name} are universal: all {conditions} conditions select {named}, but chance may do that ({chance})."
        )
    first = found["sites"][0]
    if not first["conditions"]:
        return f"No {name} are universal: no condition selects any."
    widest = [one for one in found["sites"] if one["conditions"] == first["conditions"]]
    named = ", ".join(f"{call(one['site'])} (q {one['q_value']:.2g})" for one in widest[:3])
    more = f" and {len(widest) - 3} more" if len(widest) > 3 else ""
    return (
        f"No {name} are universal: none is selected in all {conditions} conditions; the most, {first['conditions']}, "
        f"select {named}{more}."
    )


def _families(found: Mapping[str, Any]) -> str:
    """Say whether families differ in the heads that matter."""
    low, high = found["dealt_95"]
    figures = (
        f"Kendall {found['agreement']:.2f}; parts of the pairs dealt by lot {found['dealt']:.2f}, {low:.2f} to "
        f"{high:.2f}, p {found['p_value']:.2g}"
    )
    if found["p_value"] < ALPHA:
        return f"Families differ in the heads that matter: they rank them less alike than chance has it ({figures})."
    return f"Families rank heads about as alike as any parts of the pairs do ({figures})."
