"""Exact patching of many cells in one climb through the layers.

What is patched at a token of a layer changes the output of that layer at this token alone: self-attention mixes tokens
before the patch, not after. So a cell costs one token of one layer, and from there on whatever the change spreads to.
Instead of a forward pass for each cell, the layers are climbed once: in each, all rows that began further down advance
together, and the rows of the cells of this layer join them. In a causal model a row holds only the tokens from its
first patched one on, and looks at the keys and values of the plain run for what precedes (``eval.interpret.packed``).

The result is that of one forward pass per cell (``eval.interpret.oracle``), up to the order of sums.

Shapes as in ``eval.interpret.stack``; R rows, of which each is a cell; N tokens of all of them; K answer tokens.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor

from eval.interpret.capture import Captured
from eval.interpret.packed import Packed, Rows
from eval.interpret.sites import Cell, Patch
from eval.interpret.stack import Given, Stack

ROWS = 1024
"""Rows that climb together, unless memory asks for fewer; results do not depend on it."""


@dataclass
class Work:
    """What a sweep costs.

    Attributes:
        layer_steps: calls of a layer in which rows advance.
        token_layers: tokens that went through a layer.
    """

    layer_steps: int = 0
    token_layers: int = 0


@dataclass(frozen=True)
class Sweep:
    """What the answers of all patched runs are.

    Attributes:
        logits_RK: of the answer tokens, for each cell.
        same: for each cell, whether the values that were to be exchanged are equal in both runs (or can no longer
            reach the answer), so that patching them changes nothing at all.
        work: what it cost.
    """

    logits_RK: Tensor
    same: tuple[bool, ...]
    work: Work = field(default_factory=Work)


def plan(cells: Sequence[Cell], rows: int = ROWS) -> list[list[int]]:
    """Deal the numbers of cells into chunks that climb together, in the order of their rows.

    That is by first layer, so that those that start in the same layer stay together; those that attend anew in it come
    first.

    Args:
        cells: what is patched.
        rows: at most so many cells in a chunk.
    """
    numbers = sorted(range(len(cells)), key=lambda number: (cells[number].first_layer, not cells[number].attends_anew))
    return [numbers[begin : begin + rows] for begin in range(0, len(numbers), rows)]


def planned_work(stack: Stack, cells: Sequence[Cell], chunks: Sequence[Sequence[int]], length: int) -> Work:
    """Return what a sweep will cost, without the plain runs and before anything is found to be equal."""
    work = Work()
    for chunk in chunks:
        own = [cells[number] for number in chunk]
        for layer in range(own[0].first_layer, stack.layers):
            advancing = [cell for cell in own if cell.first_layer < layer or _joins_early(cell, layer)]
            joining = [cell for cell in own if cell.first_layer == layer and not cell.attends_anew]
            work.layer_steps += bool(advancing)
            work.token_layers += sum(length - _first(stack, cell) for cell in advancing)
            work.token_layers += sum(_touched(cell, layer) for cell in joining)
    return work


@torch.no_grad()
def sweep(
    stack: Stack,
    base: Captured,
    source: Captured,
    cells: Sequence[Cell],
    tokens: Sequence[int],
    rows: int = ROWS,
) -> Sweep:
    """Run ``base`` with the values of ``source`` in the places of every cell, one cell at a time, exactly.

    Args:
        stack: the model.
        base: the run that is changed.
        source: the run whose values are taken over.
        cells: what is patched.
        tokens: whose logits are wanted, as the beginning of the answer.
        rows: at most so many cells climb together.

    Raises:
        ValueError: the runs have different lengths, or a cell is beyond them.
    """
    if base.length != source.length:
        raise ValueError(f"runs of {base.length} and {source.length} tokens cannot be patched into each other")
    for part in chain.from_iterable(cell.parts for cell in cells):
        beyond = min(part.positions) < 0 or max(part.positions) >= base.length
        if not 0 <= part.layer < stack.layers or beyond:
            raise ValueError(f"{part} is beyond {stack.layers} layers and {base.length} tokens")
    plain_K = stack.logits(base.entering(stack.layers)[None], tokens)[0]
    logits_RK = plain_K.repeat(len(cells), 1)
    same = _without_effect(stack, base, source, cells)
    living = [number for number, still in enumerate(same) if not still]
    work = Work()
    with stack.session():
        for chunk in plan([cells[number] for number in living], rows):
            numbers = [living[number] for number in chunk]
            climb = _Climb(stack, base, source, [cells[number] for number in numbers], work)
            logits_RK[numbers] = climb.top(tokens)
    return Sweep(logits_RK, tuple(same), work)


class _Climb:
    """Rows of one chunk on their way up."""

    def __init__(self, stack: Stack, base: Captured, source: Captured, cells: Sequence[Cell], work: Work) -> None:
        self.stack, self.base, self.source, self.cells, self.work = stack, base, source, cells, work
        states_TD = base.prompt.states_TD
        self.rows = Rows([_first(stack, cell) for cell in cells], base.length, states_TD.device)
        self.count = 0
        self.states_ND = states_TD.new_empty(0, states_TD.shape[-1])

    def top(self, tokens: Sequence[int]) -> Tensor:
        """Climb, and return the logits (R, K) of the cells in their order."""
        for layer in range(self.cells[0].first_layer, self.stack.layers):
            of_layer = [cell for cell in self.cells if cell.first_layer == layer]
            anew = sum(cell.attends_anew for cell in of_layer)
            self._join(anew, self.base.entering(layer))
            if self.count:
                self._advance(layer)
            if anew < len(of_layer):
                before = self.count
                self._join(len(of_layer) - anew, self.base.at("resid", layer))
                self._touch(layer, range(before, self.count))
        if self.stack.causal:
            ends = torch.tensor(self.rows.starts[1:], device=self.states_ND.device) - 1
            return self.stack.logits(self.states_ND[ends][:, None], tokens)
        return self.stack.logits(self.states_ND.unflatten(0, (self.count, self.base.length)), tokens)

    def _join(self, count: int, states_TD: Tensor) -> None:
        """Let the next rows begin with the states of the plain run."""
        start, end = self.rows.starts[self.count], self.rows.starts[self.count + count]
        self.states_ND = torch.cat([self.states_ND, states_TD[self.rows.place_N[start:end]]])
        self.count += count

    def _advance(self, layer: int) -> None:
        """Take all rows that have begun through a layer."""
        changes = self._changes(layer, range(self.count))
        edits = Edits(self.source, [(self.rows.index(row, place), p, n) for row, p, n, place in _single(changes)])
        cuts = [(row, cut) for row in range(self.count) for cut in self.cells[row].blocks if cut.layer == layer]
        key_TGd, value_TGd = (self.base.at(kind, layer) for kind in ("k", "v"))
        attend = Packed(self.rows, self.count, key_TGd, value_TGd, self.stack.causal, cuts)
        self.work.layer_steps += 1
        self.work.token_layers += len(self.states_ND)
        memory = self.base.prompt.memory.at(self.rows.place_N[: len(self.states_ND)])
        self.states_ND = self.stack.layer(layer, self.states_ND[None], 0, memory, attend, edits)[0]

    def _touch(self, layer: int, rows: range) -> None:
        """Put in what a layer puts out for the cells that begin in it: only tokens that they touch are computed."""
        changes = self._changes(layer, rows)
        touched = {(row, place): number for number, (row, place) in enumerate(_touched_places(changes))}
        edits = Edits(self.source, [(touched[row, place], p, n) for row, p, n, place in _single(changes)])
        self.work.token_layers += len(touched)
        places = torch.tensor([place for _, place in touched], device=self.states_ND.device)
        given = Given(self.base.at("z", layer)[places][None])
        states_1ND, memory = self.base.entering(layer)[places][None], self.base.prompt.memory.at(places)
        made_1ND = self.stack.layer(layer, states_1ND, 0, memory, given, edits)
        self.states_ND[[self.rows.index(row, place) for row, place in touched]] = made_1ND[0]

    def _changes(self, layer: int, rows: range) -> list[tuple[int, Patch]]:
        return [(row, patch) for row in rows for patch in self.cells[row].patches if patch.layer == layer]


class Edits:
    """A tap that exchanges values at some tokens for those of another run.

    Args:
        source: the other run.
        places: token (counted over all rows), patch, and which of the patch's tokens it is.
    """

    def __init__(self, source: Captured, places: Sequence[tuple[int, Patch, int]]) -> None:
        self.source = source
        self._whole: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        self._headed: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
        for token, patch, number in places:
            origin = patch.sources[number]
            self._headed[patch.kind] += [(token, head, patch.layer, origin) for head in patch.heads]
            if not patch.heads:
                self._whole[patch.kind].append((token, patch.layer, origin))

    def __call__(self, kind: str, values: Tensor) -> Tensor:
        """Return the values with those of the other run in their places."""
        if kind not in self._whole and kind not in self._headed:
            return values
        flat = values.flatten(0, 1).clone()
        if whole := self._whole.get(kind):
            token, layer, origin = zip(*whole, strict=True)
            flat[list(token)] = self._values(kind, layer, origin).to(flat.dtype)
        if headed := self._headed.get(kind):
            token, head, layer, origin = zip(*headed, strict=True)
            chosen = self._values(kind, layer, origin)
            flat[list(token), list(head)] = chosen[torch.arange(len(head)), list(head)].to(flat.dtype)
        return flat.view(values.shape)

    def _values(self, kind: str, layers: Sequence[int], origins: Sequence[int]) -> Tensor:
        (layer,) = set(layers)  # a tap is of one layer
        return self.source.at(kind, layer)[list(origins)]


def _without_effect(stack: Stack, base: Captured, source: Captured, cells: Sequence[Cell]) -> list[bool]:
    """Tell which cells cannot change the answer."""
    differs: dict[tuple[str, int], Tensor] = {}

    def changes(patch: Patch) -> bool:
        at_top = stack.causal and patch.layer == stack.layers - 1 and patch.kind not in ("k", "v")
        if at_top and base.length - 1 not in patch.positions:
            return False
        if patch.origin:
            mine, other = (run.at(patch.kind, patch.layer) for run in (base, source))
            unequal = mine[list(patch.positions)] != other[list(patch.origin)]
            return bool((unequal[:, list(patch.heads)] if patch.heads else unequal).any())
        site = (patch.kind, patch.layer)
        if site not in differs:
            differs[site] = (base.at(*site) != source.at(*site)).any(-1).cpu()
        own = differs[site][list(patch.positions)]
        return bool((own[:, list(patch.heads)] if patch.heads else own).any())

    return [not cell.blocks and not any(map(changes, cell.patches)) for cell in cells]


def _single(changes: Sequence[tuple[int, Patch]]) -> Iterator[tuple[int, Patch, int, int]]:
    """Yield row, patch, number of the token among the patch's, and its position."""
    for row, patch in changes:
        for number, place in enumerate(patch.positions):
            yield row, patch, number, place


def _touched_places(changes: Sequence[tuple[int, Patch]]) -> list[tuple[int, int]]:
    return list(dict.fromkeys((row, place) for row, _, _, place in _single(changes)))


def _touched(cell: Cell, layer: int) -> int:
    return len({place for patch in cell.patches if patch.layer == layer for place in patch.positions})


def _first(stack: Stack, cell: Cell) -> int:
    """Return the position of the first token of a cell's row."""
    return cell.first_position if stack.causal else 0


def _joins_early(cell: Cell, layer: int) -> bool:
    return cell.first_layer == layer and cell.attends_anew
