"""Draw some groups of a dataset so that every relation is seen about equally often."""

from collections import Counter
from collections.abc import Mapping, Sequence

from spatial.scene import digest


def draw(groups: Mapping[str, Sequence[str]], per_relation: int, limit: int, seed: int) -> list[str]:
    """Return the keys of the groups to show, in the order in which they are drawn.

    The relations take turns, so that a sample that is cut short is balanced too. A group that is about several
    relations counts for each of them. The draw depends on the keys and the seed only, not on the order of the data.

    Args:
        groups: the relations of each group; a group about none belongs to a kind of its own.
        per_relation: groups for each relation; 0 for all.
        limit: largest number of groups; 0 for no limit.
        seed: which groups are drawn.
    """
    shuffled = sorted(groups, key=lambda key: digest(f"{seed}/{key}"))
    waiting: dict[str, list[str]] = {}
    for key in reversed(shuffled):
        for relation in groups[key] or ("",):
            waiting.setdefault(relation, []).append(key)
    chosen: dict[str, None] = {}
    shown: Counter[str] = Counter()
    for turn in range(per_relation or len(groups)):
        for relation in sorted(waiting):
            keys = waiting[relation]
            while keys and shown[relation] <= turn:
                key = keys.pop()
                if key not in chosen:
                    chosen[key] = None
                    shown.update(groups[key] or ("",))
    return list(chosen)[: limit or None]
