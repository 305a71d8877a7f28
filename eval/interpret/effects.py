"""What patching does to the answer of one pair: a row for every cell, in both directions.

An answer is read as the difference of two logits, that of the right answer (of the clean side) less that of the wrong
one. *Denoising* puts values of the clean run into the corrupt one, and asks what restores the answer; *noising* puts
values of the corrupt run into the clean one, and asks what breaks it (Zhang & Nanda, arXiv 2309.16042).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from eval.interpret.attribution import attribute, guessed
from eval.interpret.capture import Captured, capture, capture_after
from eval.interpret.prepare import Prepared
from eval.interpret.roles import BY_OBJECT
from eval.interpret.sites import HEADED, Cell, window
from eval.interpret.stack import Stack
from eval.interpret.staircase import ROWS, sweep

DIRECTIONS = ("denoise", "noise")

ALL_HEADS = -1
"""Stands for the number of a head where all of them, or a site without heads, are patched."""


@dataclass(frozen=True)
class Site:
    """What one row is about.

    Attributes:
        kind: of ``eval.interpret.sites.KINDS``.
        layer: the middle one of the window.
        head: number of the head, or ``ALL_HEADS``.
        role: whose tokens are patched together.
    """

    kind: str
    layer: int
    head: int
    role: str


@dataclass(frozen=True)
class Effect:
    """What patching a site did to the answer of one pair.

    Attributes:
        pair_id: of the pair.
        mode: "image" or "text".
        direction: of ``DIRECTIONS``.
        relation: that is asked about.
        family: what pairs are averaged by.
        group_id: pairs of one group are not independent.
        control: of the pair, "" if it counts.
        kind: see ``Site``.
        layer: see ``Site``.
        head: see ``Site``.
        role: see ``Site``.
        tokens: how many were patched.
        ld_clean: difference of the logits of right and wrong answer, clean run.
        ld_corrupt: of the corrupt run.
        ld_patched: of the patched one.
        same: whether the exchanged values were equal, so that the effect is zero by construction.
        guess: what attribution says of ``ld_patched`` less that of the run that is patched; NaN if it was not asked.
    """

    pair_id: str
    mode: str
    direction: str
    relation: str
    family: str
    group_id: str
    control: str
    kind: str
    layer: int
    head: int
    role: str
    tokens: int
    ld_clean: float
    ld_corrupt: float
    ld_patched: float
    same: bool
    guess: float = math.nan


def sites_of(stack: Stack, kinds: Sequence[str], roles: Sequence[str], headed_roles: Sequence[str]) -> list[Site]:
    """Return the sites of all layers: whole ones for roles, single heads for headed roles.

    Args:
        stack: the model; kinds that it does not have are left out.
        kinds: of sites; of headed ones, every head by itself.
        roles: whose tokens are patched at sites without heads.
        headed_roles: whose tokens are patched at single heads.
    """
    found = []
    for kind in kinds:
        if kind not in stack.kinds:
            continue
        count = stack.shared_heads if kind in ("k", "v") else stack.heads
        heads = range(count) if kind in HEADED else (ALL_HEADS,)
        for role in headed_roles if kind in HEADED else roles:
            found += [Site(kind, layer, head, role) for layer in range(stack.layers) for head in heads]
    return found


@dataclass(frozen=True)
class Runs:
    """The two plain runs of a pair, and the difference of the two answers' logits in each."""

    clean: Captured
    corrupt: Captured
    ld_clean: float
    ld_corrupt: float


def run_both(stack: Stack, prepared: Prepared) -> Runs:
    """Run both sides of a pair; of a text pair, what precedes the first changed word is run once."""
    clean = capture(stack, prepared.clean)
    if prepared.pair.mode == "text":
        corrupt = capture_after(stack, prepared.corrupt, clean)
    else:
        corrupt = capture(stack, prepared.corrupt)
    ends = torch.stack([run.entering(stack.layers) for run in (clean, corrupt)])
    clean_gap, corrupt_gap = gaps(stack.logits(ends, prepared.tokens))
    return Runs(clean, corrupt, clean_gap, corrupt_gap)


def gaps(logits_RK: torch.Tensor) -> list[float]:
    """Return the difference of the first two columns."""
    found: list[float] = (logits_RK[:, 0] - logits_RK[:, 1]).double().tolist()
    return found


def measure(
    stack: Stack,
    prepared: Prepared,
    runs: Runs,
    sites: Sequence[Site],
    directions: Sequence[str] = DIRECTIONS,
    width: int = 1,
    rows: int = ROWS,
    screen: bool = False,
) -> list[Effect]:
    """Return the effect of every site on the answer of a pair, in every direction.

    Args:
        stack: the model.
        prepared: the pair; sites of roles that it has not are left out.
        runs: its plain runs.
        sites: what is patched.
        directions: of ``DIRECTIONS``.
        width: of the window of layers that is patched together.
        rows: at most so many cells are computed at once.
        screen: whether to guess the effects as well (``eval.interpret.attribution``).
    """
    found = []
    for direction in directions:
        roles = prepared.roles if direction == "denoise" else prepared.clean_roles
        present = [site for site in sites if site.role in roles]
        cells = [_cell(stack, site, prepared, width, direction == "denoise") for site in present]
        base, source = (runs.corrupt, runs.clean) if direction == "denoise" else (runs.clean, runs.corrupt)
        result = sweep(stack, base, source, cells, prepared.tokens, rows)
        guesses = _guesses(stack, base, source, cells, prepared.tokens) if screen else [math.nan] * len(cells)
        plain = runs.ld_corrupt if direction == "denoise" else runs.ld_clean
        outcomes = [
            (
                plain if same else answer,
                same,
                guess,
            )  # the same values, the same answer, whatever was rounded on the way
            for answer, same, guess in zip(gaps(result.logits_RK), result.same, guesses, strict=True)
        ]
        found += list(effects_of(prepared, runs, direction, present, outcomes))
    return found


def _guesses(
    stack: Stack, base: Captured, source: Captured, cells: Sequence[Cell], tokens: tuple[int, int]
) -> list[float]:
    """Return what attribution says of each cell: the sum over its patches."""
    found = attribute(stack, base.prompt, source, tokens)
    return [sum(guessed(found, p.kind, p.layer, p.positions, p.heads) for p in cell.patches) for cell in cells]


def _cell(stack: Stack, site: Site, prepared: Prepared, width: int, denoise: bool) -> Cell:
    heads = () if site.head == ALL_HEADS else (site.head,)
    changed, other = prepared.roles, prepared.clean_roles
    if not denoise:
        changed, other = other, changed
    origin = other[site.role] if site.role in BY_OBJECT else ()
    return window(site.kind, site.layer, width, stack.layers, changed[site.role], heads, origin)


def effects_of(
    prepared: Prepared,
    runs: Runs,
    direction: str,
    sites: Sequence[Site],
    outcomes: Sequence[tuple[float, bool, float]],
) -> Iterator[Effect]:
    """Yield the rows of a pair.

    Args:
        prepared: the pair.
        runs: its plain runs.
        direction: of ``DIRECTIONS``.
        sites: what was patched.
        outcomes: of each site the answer, whether the exchanged values were equal, and the guess.
    """
    pair, roles = prepared.pair, prepared.roles if direction == "denoise" else prepared.clean_roles
    about: dict[str, Any] = {
        "pair_id": pair.pair_id,
        "mode": pair.mode,
        "direction": direction,
        "relation": pair.relation,
        "family": pair.family,
        "group_id": pair.group_id,
        "control": pair.control,
        "ld_clean": runs.ld_clean,
        "ld_corrupt": runs.ld_corrupt,
    }
    for site, (answer, equal, guess) in zip(sites, outcomes, strict=True):
        yield Effect(
            **about,
            kind=site.kind,
            layer=site.layer,
            head=site.head,
            role=site.role,
            tokens=len(roles.get(site.role, ())),
            ld_patched=answer,
            same=equal,
            guess=guess,
        )
