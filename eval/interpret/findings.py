"""What a run found, in numbers: effects, heads, functions, agreement and controls, ready for ``results.json``."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from eval.config import InterpretConfig
from eval.interpret.attribution import agreement
from eval.interpret.confirm import Loss, confirmations
from eval.interpret.effects import Effect
from eval.interpret.functions import Look, functions
from eval.interpret.heads import HeadName, expected_by_chance, halves, of_heads, random_heads, select
from eval.interpret.knockout import Knockout, compare
from eval.interpret.summary import GAP, Mean, means, of_tier, tier_counts


@dataclass(frozen=True)
class Choice:
    """Heads that half of the pairs selected.

    Attributes:
        chosen: the heads; where the rules select none, the three of the largest effect.
        by_rule: whether the rules selected them.
        others: sets of random heads.
        held_out: the pairs of the other half.
    """

    chosen: list[HeadName]
    by_rule: bool
    others: list[list[HeadName]]
    held_out: set[str]


def choose_heads(config: InterpretConfig, effects: Sequence[Effect]) -> Choice | None:
    """Return the heads that half of the pairs of a mode select; ``None`` if no pair counts."""
    rows = _of_heads(config, of_tier(effects, config.tier))
    groups = {row.pair_id: row.group_id or row.pair_id for row in rows}
    if len(set(groups.values())) < 2:
        return None
    first, second = halves(groups, config.seed)
    heads = select([row for row in rows if row.pair_id in first], config.bootstrap, config.seed)
    chosen = [head.name for head in heads if head.selected]
    names = chosen or [head.name for head in heads[:3]]
    names = names[: len(heads) // 2]  # as many must be left to compare with
    if not names:
        return None
    others = random_heads(names, [head.name for head in heads], config.knockouts, config.seed)
    return Choice(names, bool(chosen), others, second)


def strong_looks(config: InterpretConfig, effects: Sequence[Effect], looks: Sequence[Look]) -> list[Look]:
    """Return the looks at pairs that count."""
    strong = {row.pair_id for row in of_tier(effects, config.tier)}
    return [row for row in looks if row.pair_id in strong]


def findings(
    config: InterpretConfig,
    effects: Sequence[Effect],
    looks: Sequence[Look],
    knocked: Sequence[Knockout],
    losses: Sequence[Loss],
) -> dict[str, Any]:
    """Return all findings of a run."""
    found: dict[str, Any] = {"gap": GAP, "tier": config.tier, "modes": {}, "controls": _controls(effects)}
    for mode in config.modes:
        own = [row for row in effects if row.mode == mode]
        counted = of_tier(own, config.tier)
        found["modes"][mode] = {
            "tiers": tier_counts(own),
            "directions": {
                direction: [_mean(mean) for mean in _means(config, counted, direction)]
                for direction in config.directions
            },
            "screen": {direction: _screen(counted, direction) for direction in config.directions},
            "heads": _heads(config, counted),
            "exchanged": _exchanged(config, own, knocked),
        }
    found["functions"] = _functions(config, strong_looks(config, effects, looks), losses)
    return found


def _functions(config: InterpretConfig, looks: Sequence[Look], losses: Sequence[Loss]) -> list[dict[str, Any]]:
    """Return what every head does, and of the labels that were tried whether they are confirmed."""
    tried = confirmations(losses, config.bootstrap, config.seed)
    rows = []
    for one in functions(looks):
        found = tried.get((one.function, one.layer, one.head))
        rows.append(asdict(one) | {"confirmation": asdict(found) if found else None})
    return rows


def _means(config: InterpretConfig, effects: Sequence[Effect], direction: str) -> list[Mean]:
    return means([row for row in effects if row.direction == direction], config.bootstrap, config.seed)


def _mean(mean: Mean) -> dict[str, Any]:
    return asdict(mean.site) | {name: value for name, value in asdict(mean).items() if name != "site"}


def _heads(config: InterpretConfig, effects: Sequence[Effect]) -> dict[str, Any]:
    """Return all heads of a mode."""
    rows = _of_heads(config, effects)
    if not rows:
        return {"role": "", "all": [], "by_chance": 0.0}
    heads = select(rows, config.bootstrap, config.seed)
    listed = [asdict(head) | {"mean": _mean(head.mean)} for head in heads]
    return {"role": rows[0].role, "all": listed, "by_chance": expected_by_chance(rows, seed=config.seed)}


def _of_heads(config: InterpretConfig, effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects among which heads are selected: at the first role, in the first direction."""
    return of_heads(effects, config.head_roles[0], config.directions[0]) if config.head_roles else []


def _screen(effects: Sequence[Effect], direction: str) -> dict[str, Any] | None:
    """Return how guesses agree with exact effects, over the means of sites, by kind and in all."""
    rows = [row for row in effects if row.direction == direction and not np.isnan(row.guess)]
    if not rows:
        return None
    exact: dict[Any, list[float]] = defaultdict(list)
    guess: dict[Any, list[float]] = defaultdict(list)
    for row in rows:
        base = row.ld_corrupt if direction == "denoise" else row.ld_clean
        site = (row.kind, row.layer, row.head, row.role)
        exact[site].append(row.ld_patched - base)
        guess[site].append(row.guess)
    found = {}
    for kind in ("all", *dict.fromkeys(site[0] for site in exact)):
        sites = [site for site in exact if kind in ("all", site[0])]
        if len(sites) > 1:
            guesses, values = (torch.tensor([float(np.mean(side[site])) for site in sites]) for side in (guess, exact))
            found[kind] = asdict(agreement(guesses, values))
    return found


def _exchanged(
    config: InterpretConfig, effects: Sequence[Effect], knocked: Sequence[Knockout]
) -> dict[str, Any] | None:
    """Return what exchanging the selected heads did on the pairs that did not select them."""
    choice = choose_heads(config, effects) if config.knockouts else None
    if choice is None:
        return None
    own = {row.pair_id for row in effects}
    rows = [row for row in knocked if row.pair_id in own]
    both = {name: compare(rows, name, config.bootstrap, config.seed) for name in ("denoise", "noise")}
    return {
        "heads": [list(name) for name in choice.chosen],
        "selected_by_rule": choice.by_rule,
        **{name: asdict(found) if found else None for name, found in both.items()},
    }


def _controls(effects: Sequence[Effect]) -> dict[str, Any]:
    """Return for each kind of control whether its pairs behaved as they must."""
    by_pair = {row.pair_id: row for row in effects if row.control}
    kinds = Counter(row.control for row in by_pair.values())
    found: dict[str, Any] = {}
    for kind, count in kinds.items():
        rows = [row for row in by_pair.values() if row.control == kind]
        found[kind] = {"pairs": count, "keep_the_answer": float(np.mean([row.ld_corrupt > 0 for row in rows]))}
        right = [row for row in rows if row.ld_clean > 0]
        if right:
            found[kind]["keep_it_where_clean_is_right"] = float(np.mean([row.ld_corrupt > 0 for row in right]))
        if kind == "identity":
            own = [row for row in effects if row.control == kind]
            found[kind]["largest_effect"] = max(abs(row.ld_patched - row.ld_clean) for row in own)
            found[kind]["all_equal"] = all(row.same for row in own)
    return found
