"""What half of the pairs found, tried on the other half: selected heads are exchanged, labelled heads cut off."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eval.config import InterpretConfig
from eval.interpret.confirm import Loss, choose_trials, confirm
from eval.interpret.effects import Effect, Runs, run_both
from eval.interpret.findings import choose_heads, strong_looks
from eval.interpret.functions import Look
from eval.interpret.knockout import Knockout, knock_out
from eval.interpret.opened import Opened
from eval.interpret.pairs import Pair
from eval.interpret.prepare import Prepared
from eval.interpret.stack import Stack
from eval.interpret.table import Parts, Row


@dataclass(frozen=True)
class Measured:
    """A run whose pairs are measured.

    Attributes:
        config: of the run.
        opened: the model.
        out: output folder.
        settings: all that decides the numbers of a pair beside the pair itself.
        pairs: that could be run.
        effects: on them.
        looks: at them.
    """

    config: InterpretConfig
    opened: Opened
    out: Path
    settings: dict[str, Any]
    pairs: Sequence[Pair]
    effects: Sequence[Effect]
    looks: Sequence[Look]


def exchange_heads(run: Measured) -> list[Knockout]:
    """Exchange the heads that half of the pairs of each mode selected, and random ones, on the other half."""
    rows: list[Knockout] = []
    for mode in run.config.modes if run.config.knockouts else []:
        choice = choose_heads(run.config, [row for row in run.effects if row.mode == mode])
        if choice is None:
            continue
        found = {"mode": mode, "heads": choice.chosen, "others": choice.others}
        parts = Parts(run.out, Knockout, run.settings | found)
        exchange = partial(knock_out, role=run.config.head_roles[0], chosen=choice.chosen, others=choice.others)
        rows += _each(run, choice.held_out, parts, exchange, f"exchange heads, {mode}")
    return rows


def cut_off_heads(run: Measured) -> list[Loss]:
    """Cut off the heads that half of the pairs label, and random ones, on the other half."""
    looks = strong_looks(run.config, run.effects, run.looks)
    trials, others = choose_trials(looks, run.config.knockouts, run.config.seed)
    if not trials:
        return []
    parts = Parts(run.out, Loss, run.settings | {"trials": [asdict(trial) for trial in trials]})
    ask = partial(confirm, trials=trials, width=run.config.window, rows=run.config.rows)
    return _each(run, others, parts, ask, "cut off labelled heads")


def _each(
    run: Measured,
    names: set[str],
    parts: Parts[Row],
    measured: Callable[[Stack, Prepared, Runs], list[Row]],
    doing: str,
) -> list[Row]:
    """Measure some pairs once more, as far as they are not done, and return the rows of all."""
    pairs = [pair for pair in run.pairs if pair.pair_id in names]
    for pair in tqdm(pairs, unit="pair", desc=doing):
        if not parts.has(pair.content):
            prepared, _ = run.opened.prepare(pair)
            stack = run.opened.stack
            parts.add(pair.content, measured(stack, prepared, run_both(stack, prepared)))
    return parts.read(pair.content for pair in pairs)
