"""Two runs over the same questions: which is better, by how much, and could that be luck?"""

from typing import Any

from eval.metrics import Rows, matched
from eval.scorers import format_shift
from eval.statistics import mcnemar, paired_difference


def compare(first: Rows, second: Rows) -> dict[str, Any]:
    """Return how the second of two runs does on the questions that both answered.

    The keys are "n", "gained" and "lost" (right only in the second, and only in the first), "p_value" (exact McNemar),
    "difference" and "ci95" of the accuracies (clustered by image), "detectable" (the least difference that so many
    questions would show in four of five times), and "format_shift".
    """
    both = list(matched(first, second))
    before, after = [a.correct for a, _ in both], [b.correct for _, b in both]
    found = {"n": len(both), **vars(mcnemar(before, after)), "format_shift": format_shift(both)}
    clusters = [row.image_id for row, _ in both]
    if len(set(clusters)) < 2:
        return found | {"difference": None, "ci95": None, "detectable": None}
    difference = paired_difference(before, after, clusters)
    return found | {
        "difference": difference.mean,
        "ci95": list(difference.ci95),
        "detectable": difference.detectable,
    }
