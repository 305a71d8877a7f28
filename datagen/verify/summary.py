"""What the trials of a verifier say, as numbers: a pure function of them."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from datagen.config import CalibrateConfig
from datagen.verify.calibration import Rates, distrust, lacking
from datagen.verify.faults import FAULTS
from datagen.verify.relation import CONTRADICTED, NEEDS_POSES, NOT_FOUND, UNDECIDED
from datagen.verify.trials import RIGHT, WRONG, Trial
from spatial.proportion import Proportion

READINGS = ("passed", CONTRADICTED, UNDECIDED, NEEDS_POSES, NOT_FOUND)
"""What can become of a claim in the relation check."""

FAITHFUL_GOAL, FAULT_GOAL = 0.80, 0.95
"""Shares of faithful pictures accepted, and of each hard fault rejected, that a verifier should reach."""


def summarise(trials: Sequence[Trial], config: CalibrateConfig, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``calibration.json``."""
    by_kind: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_kind[trial.kind].append(trial)
    return {
        **settings,
        "most_wrong": config.most_wrong,
        "least_images": config.least_images,
        "faithful": _faithful(by_kind[RIGHT]),
        "faults": {name: _fault(name, by_kind[name]) for name in FAULTS if by_kind[name]},
        "relations": _relations(by_kind[RIGHT], by_kind[WRONG], config),
    }


def _faithful(right: Sequence[Trial]) -> dict[str, Any]:
    """Count images; the trials of one have the same verdicts."""
    refused = list({trial.image: trial.refused for trial in right}.values())
    count = Proportion(refused.count(""), len(refused))
    return {**count.as_json("accepted", "n"), "goal": FAITHFUL_GOAL, "refused": _counted(refused)}


def _fault(name: str, trials: Sequence[Trial]) -> dict[str, Any]:
    count = Proportion(sum(not trial.accepted for trial in trials), len(trials)).as_json("rejected", "n")
    found = {**count, "meaning": FAULTS[name].meaning, "refused": _counted(it.refused for it in trials)}
    return {**found, "goal": FAULT_GOAL} if FAULTS[name].hard else found


def _relations(right: Sequence[Trial], wrong: Sequence[Trial], config: CalibrateConfig) -> dict[str, Any]:
    rows = {}
    for name in sorted({trial.relation for trial in [*right, *wrong]}):
        of_right, of_wrong = ([it for it in trials if it.relation == name] for trials in (right, wrong))
        rates = Rates(_accepted(of_right), _accepted(of_wrong))
        why = distrust(rates, config.most_wrong, config.least_images)
        rows[name] = {
            "right": {**rates.right.as_json("accepted", "n"), "relation_check": _readings(of_right)},
            "wrong": {**rates.wrong.as_json("accepted", "n"), "relation_check": _readings(of_wrong)},
            "decided": _decided([*of_right, *of_wrong]),
            "precision_at_even_odds": _even(rates),
            "trusted": not why,
            "why_not": why,
            "lacking": lacking(rates, config.most_wrong, config.least_images),
        }
    return rows


def renders_lacking(content: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return the relations that need more pictures, and how many renders of the same mixture have them.

    Relations of which too many wrong pictures are accepted, or that no picture was wrong of, are left out.
    """
    seen = {name: row["wrong"]["n"] for name, row in content["relations"].items() if row["lacking"]}
    needs = {name: content["relations"][name]["lacking"] / count for name, count in seen.items() if count}
    return sorted(needs), math.ceil(content["faithful"]["n"] * max(needs.values(), default=0))


def _accepted(trials: Sequence[Trial]) -> Proportion:
    return Proportion(sum(trial.accepted for trial in trials), len(trials))


def _readings(trials: Sequence[Trial]) -> dict[str, int]:
    counts = Counter(trial.reading for trial in trials)
    return {reading: counts[reading] for reading in READINGS if counts[reading]}


def _decided(trials: Sequence[Trial]) -> float | None:
    """Return the share of claims that the relation check decided, of those whose objects were found."""
    asked = [trial for trial in trials if trial.reading != NOT_FOUND]
    return round(sum(it.reading in ("passed", CONTRADICTED) for it in asked) / len(asked), 4) if asked else None


def _even(rates: Rates) -> float | None:
    """Return the share of right pictures among the accepted if half of all are right."""
    right, wrong = rates.right.value, rates.wrong.value
    return round(right / (right + wrong), 4) if right and wrong is not None else None


def _counted(refused: Any) -> dict[str, int]:
    return dict(Counter(reason for reason in refused if reason).most_common())
