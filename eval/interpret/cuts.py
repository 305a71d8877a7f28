"""Between which tokens the answer travels: attention of one role to another is cut off, and the answer measured.

In the clean run, in a window of layers, tokens of one role no longer see those of another ("attention knockout", Geva
et al., arXiv 2304.14767; between parts of a picture and words, Zhang et al., arXiv 2411.18620). What the answer loses
went that way at this height, and was not to be had elsewhere.
"""

import math

from eval.interpret.effects import ALL_HEADS, Effect, Runs, Site, effects_of, gaps
from eval.interpret.prepare import Prepared
from eval.interpret.roles import IMAGE_PARTS, NAMED
from eval.interpret.sites import Block, Cell, around
from eval.interpret.stack import Stack
from eval.interpret.staircase import ROWS, sweep

KIND = "cut"
"""Stands in the column of kinds; the role is "who < whom": who no longer sees whom."""

LOOKING = (*NAMED, "last")
SEEN = (*IMAGE_PARTS[:3], *NAMED, "options", "template")


def cut(stack: Stack, prepared: Prepared, runs: Runs, width: int = 1, rows: int = ROWS) -> list[Effect]:
    """Return what the answer of the clean run loses when one role no longer sees another, in every layer.

    Args:
        stack: the model.
        prepared: the pair.
        runs: its plain runs.
        width: of the window of layers.
        rows: at most so many cells are computed at once.
    """
    sites, cells = [], []
    for looking in LOOKING:
        for seen in SEEN:
            places, hidden = prepared.clean_roles.get(looking, ()), prepared.clean_roles.get(seen, ())
            if looking == seen or not places or not hidden or (stack.causal and min(hidden) > max(places)):
                continue
            for layer in range(stack.layers):
                reach = around(layer, width, stack.layers)
                sites.append(Site(KIND, layer, ALL_HEADS, f"{looking} < {seen}"))
                cells.append(Cell(blocks=tuple(Block(at, places, hidden) for at in reach)))
    if not cells:
        return []
    result = sweep(stack, runs.clean, runs.clean, cells, prepared.tokens, rows)
    outcomes = [(answer, False, math.nan) for answer in gaps(result.logits_RK)]
    return list(effects_of(prepared, runs, "noise", sites, outcomes))
