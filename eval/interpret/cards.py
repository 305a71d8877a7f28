"""One picture for each head that matters: its effect, what it does, and where it looks on some pairs.

Attention is that of the head itself, from the token at which it was patched, in the two plain runs of a pair. It is
drawn on one scale for a whole picture, so that panels can be compared. Where a head looks does not say that it matters;
the figures above the pictures do.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from eval.attend.maps import draw_boxes, draw_key
from eval.drawing import save_picture
from eval.interpret.capture import Captured
from eval.interpret.cross import CrossStack
from eval.interpret.effects import run_both
from eval.interpret.functions import on_image
from eval.interpret.held_out import Measured
from eval.interpret.naming import DIRECTION, Row, head_name
from eval.interpret.opened import Opened
from eval.interpret.pairs import Pair, Side
from eval.interpret.prepare import Prepared
from eval.interpret.summary import of_tier
from eval.interpret.views import Map, View, view
from eval.turns import in_turn
from spatial.errors import RecordError
from spatial.proportion import percent
from spatial.scene import digest

MOST = 6
"""Heads that get a picture."""

UNSELECTED = 3
"""Heads that get one where the rule selects none."""

EXAMPLES = 3
"""Pairs in each picture."""

LOOKED = LinearSegmentedColormap.from_list("looked", [(0.8, 0.0, 0.1, 0.0), (0.8, 0.0, 0.1, 0.85)])
"""The more attention, the less of the picture shows through."""

WIDTH = 108
"""Characters of a question in one line."""

VALUES = {
    "detection": "ranks the subject's cells at AUROC {:.2f}",
    "suppression": "ranks the subject's cells at AUROC {:.2f}",
    "spatial read-out": "turns with the picture in {:.0%} of pairs",
    "outlier suppression": "{:+.1f} s.d. of its layer's heads at outlier tokens",
}


@dataclass(frozen=True)
class Card:
    """A head that gets a picture.

    Attributes:
        kind: "z" or "cross_z".
        layer: counted from 0.
        head: its number.
        role: at whose token it was patched.
        mode: of the pairs that it was chosen by.
        by_rule: whether the rule selected it.
    """

    kind: str
    layer: int
    head: int
    role: str
    mode: str
    by_rule: bool


@dataclass(frozen=True)
class Example:
    """A pair on a card: its question, and of each side what is said of it and the picture."""

    question: str
    sides: list[tuple[str, View]]


def choose_cards(found: Mapping[str, Any]) -> list[Card]:
    """Return the selected heads of all modes, the largest effects first; if there are none, the largest effects."""
    heads = [(mode, own["heads"]["role"], one) for mode, own in found["modes"].items() for one in own["heads"]["all"]]
    selected = [each for each in heads if each[2]["selected"]]
    ranked = sorted(selected or heads, key=lambda each: -abs(each[2]["mean"]["share"]))
    cards: dict[str, Card] = {}
    for mode, role, one in ranked:
        card = Card(one["kind"], one["layer"], one["head"], role, mode, bool(selected))
        cards.setdefault(head_name(one), card)
    return list(cards.values())[: MOST if selected else UNSELECTED]


def draw_cards(run: Measured, found: Mapping[str, Any]) -> list[Path]:
    """Draw a picture for each chosen head of a run by its findings, and return them; those of an earlier run go."""
    config, opened = run.config, run.opened
    for old in run.out.glob("head-*.png"):
        old.unlink()
    cards = choose_cards(found)
    counted = of_tier(run.effects, config.tier)
    shown: dict[Card, list[Example]] = defaultdict(list)
    for mode in dict.fromkeys(card.mode for card in cards):
        own = [card for card in cards if card.mode == mode]
        names = {row.pair_id for row in counted if (row.mode, row.role) == (mode, own[0].role)}
        for pair in _choose_examples(opened, [pair for pair in run.pairs if pair.pair_id in names], config.seed):
            for card, example in zip(own, _examples(opened, pair, own), strict=True):
                shown[card].append(example)
    made = []
    for card in cards:
        lines = [*_effects(card, found, DIRECTION[config.directions[0]]), *_functions(card, found["functions"])]
        title = f"Head {head_name(vars(card))}, at the token of role '{card.role}': where it looks from there"
        if not card.by_rule:
            lines.insert(0, "The rule selects no head; this is one of the largest effects.")
        made.append(_draw(title, lines, shown[card], run.out / f"head-{head_name(vars(card))}.png"))
    return made


def _choose_examples(opened: Opened, pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """Return some pairs of as many relations as there are, those whose boxes are known first."""

    def order(pair: Pair) -> tuple[bool, str]:
        boxes = [opened.boxes(pair, side.image_id) for side in pair.sides]
        return not all(len(own) == 2 for own in boxes), digest(f"{seed}/{pair.pair_id}")

    return in_turn(sorted(pairs, key=order), lambda pair: pair.relation)[:EXAMPLES]


def _examples(opened: Opened, pair: Pair, cards: Sequence[Card]) -> list[Example]:
    """Return what each head looks at in the two runs of a pair."""
    prepared, _ = opened.prepare(pair)
    runs = run_both(opened.stack, prepared)
    seen = opened.features.get([pair.clean.image_id, pair.corrupt.image_id])
    sides = ((pair.clean, runs.clean, runs.ld_clean), (pair.corrupt, runs.corrupt, runs.ld_corrupt))
    found = []
    for card in cards:
        shown = []
        for side, run, gap in sides:
            picture = seen[side.image_id]
            assert not isinstance(picture, RecordError)  # it was run before
            weights_N = _weights(opened, card, run, prepared)
            part = view(opened, pair, side.image_id, picture, weights_N)
            shown.append((_said(pair, side, gap, weights_N), part))
        found.append(Example(_question(pair), shown))
    return found


def _question(pair: Pair) -> str:
    """Return what is asked; both wordings where they differ."""
    clean, corrupt = (" ".join(side.prompt.text.split()) for side in pair.sides)
    both = [clean] if clean == corrupt else [f"clean: {clean}", f"corrupt: {corrupt}"]
    return "\n".join(fill(text, WIDTH) for text in both)


def _weights(opened: Opened, card: Card, run: Captured, prepared: Prepared) -> Map | None:
    """Return the attention of a head to image tokens; ``None`` for one that sees words only."""
    if card.kind == "z" and isinstance(opened.stack, CrossStack):
        return None
    looks_HN = on_image(opened.stack, run, card.layer, prepared.roles[card.role][-1], prepared)
    return looks_HN[card.head]


def _said(pair: Pair, side: Side, gap: float, weights_N: Map | None) -> str:
    """Return what is said of one side: the right answer, that of the model, and what share of attention it gets."""
    options = side.prompt.options
    right = f", right: {side.prompt.answer}" if not options or side.prompt.answer in options else ""
    first, second = pair.answers if gap > 0 else pair.answers[::-1]
    share = (
        "it sees words only"
        if weights_N is None
        else f"{percent(weights_N.sum())} % of its attention is on the picture"
    )
    name = "clean" if side is pair.clean else "corrupt"
    return f"{name}{right}; model: {first} over {second} by {abs(gap):.1f}\n{share}"


def _draw(title: str, lines: Sequence[str], examples: Sequence[Example], path: Path) -> Path:
    heights = [0.55 + 0.17 * len(lines), *[3.6] * len(examples), 0.7]
    figure = Figure(figsize=(7.4, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    parts[0].text(0.02, 1 - 0.12 / heights[0], title, fontsize=11, fontweight="bold", va="top")
    parts[0].text(0.02, 1 - 0.42 / heights[0], "\n".join(lines), fontsize=8, va="top", linespacing=1.4)
    maps = [own.attention for each in examples for _, own in each.sides if own.attention is not None]
    highest = max((float(own.max()) for own in maps), default=0.0)
    drawn: Any = None
    for part, example in zip(parts[1:-1], examples, strict=True):
        part.suptitle(example.question, fontsize=8.5)
        panels = part.subplots(1, 2)
        for axes, (said, shown) in zip(panels, example.sides, strict=True):
            axes.set_title(said, fontsize=8)
            drawn = _panel(axes, shown, highest) or drawn
        if example is examples[0] and example.sides[0][1].boxes:
            draw_key(panels[0])
    if drawn is not None:
        place = parts[-1].add_axes((0.25, 0.72, 0.5, 0.2))
        bar = figure.colorbar(drawn, cax=place, orientation="horizontal")
        bar.set_label("share of the head's attention that a cell of the picture gets; one scale for all", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return save_picture(figure, path, 110)


def _panel(axes: Axes, shown: View, highest: float) -> Any:
    """Draw a picture in grey, and attention over it."""
    axes.imshow(shown.picture.convert("L"), cmap="gray", vmin=0, vmax=255, extent=(0, 1, 1, 0))
    drawn = None
    if shown.attention is not None:
        drawn = axes.imshow(
            shown.attention, cmap=LOOKED, vmin=0, vmax=highest, extent=(0, 1, 1, 0), interpolation="nearest"
        )
    draw_boxes(axes, shown.boxes)
    axes.set_aspect(shown.picture.height / shown.picture.width)
    return drawn


def _effects(card: Card, found: Mapping[str, Any], done: str) -> Iterator[str]:
    """Yield what patching the head did, in each mode."""
    for mode, own in found["modes"].items():
        for one in own["heads"]["all"]:
            if (one["kind"], one["layer"], one["head"]) == (card.kind, card.layer, card.head):
                mean = one["mean"]
                low, high = mean["ci95"]
                yield (
                    f"{mode} pairs ({mean['pairs']}): {percent(mean['share'])} % of the answer {done} "
                    f"(95 %: {percent(low)} to {percent(high)}), median {percent(mean['median'])} %, "
                    f"z {one['z_score']:.1f}, q {one['q_value']:.3f}{', selected' if one['selected'] else ''}"
                )


def _functions(card: Card, rows: Sequence[Row]) -> Iterator[str]:
    """Yield what the head does with the picture; detection and suppression are two readings of one figure."""
    own = {
        row["function"]: row for row in rows if (card.kind, card.layer, card.head) == ("z", row["layer"], row["head"])
    }
    own.pop("detection" if "suppression" in own and own["suppression"]["labelled"] else "suppression", None)
    known = [row for row in own.values() if np.isfinite(row["value"])]
    if known:
        yield "from the word for the subject:"
    else:
        yield "what it does with the picture was not measured"
    for row in known:
        label = "labelled" if row["labelled"] else "no label"
        yield f"    {row['function']}: {VALUES[row['function']].format(row['value'])}, p {row['p_value']:.1e}: {label}"
        if row["labelled"]:
            yield "        " + _tried(row)


def _tried(row: Row) -> str:
    one = row["confirmation"]
    if one is None:
        return "not tried on other pairs"
    low, high = one["ci95"]
    return (
        f"without what it looks at, {one['pairs']} other pairs lose {percent(one['lost'])} % of the answer "
        f"({percent(low)} to {percent(high)}), by random heads {percent(one['random'])} %: "
        f"{'confirmed' if one['confirmed'] else 'not confirmed'}"
    )
