"""Exact patching of many cells in one climb through the layers.

What is patched at a token of a layer changes the output of that layer at this token alone: self-attention mixes tokens
before the patch, not after. So a cell costs one token of one layer, and from there on whatever the change spreads to.
Instead of a forward pass for each cell, the layers are climbed once: in each, all rows that began further down advance
together, and the rows of the cells of this layer join them. In a causal model rows hold only the tokens from the first
patched one on, and look at the keys and values of the plain run for what precedes.

The result is that of one forward pass per cell (``eval.interpret.oracle``), up to the order of sums.

Shapes as in ``eval.interpret.stack``; R rows, of which each is a cell; K answer tokens.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor

from eval.interpret.capture import Captured
from eval.interpret.sites import Cell, Patch
from eval.interpret.stack import Given, Stack, Suffix

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
class Chunk:
    """Cells that climb together.

    Attributes:
        cells: their numbers, in the order of their rows: by first layer, those that attend anew in it first.
        start: position of the first token of the rows.
    """

    cells: tuple[int, ...]
    start: int


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


def plan(stack: Stack, cells: Sequence[Cell], length: int, rows: int = ROWS, start: int | None = None) -> list[Chunk]:
    """Deal cells into chunks: those that start in the same layer stay together, as do those with long rows.

    Args:
        stack: the model.
        cells: what is patched.
        length: tokens of the prompt.
        rows: at most so many cells in a chunk.
        start: position of the first token after the picture, before which rows are long; they go by themselves.
    """
    long: dict[bool, list[int]] = defaultdict(list)
    for number, cell in enumerate(cells):
        long[start is not None and cell.first_position < start].append(number)
    chunks = []
    for numbers in long.values():
        numbers.sort(key=lambda number: (cells[number].first_layer, not cells[number].attends_anew))
        for begin in range(0, len(numbers), rows):
            part = tuple(numbers[begin : begin + rows])
            first = min(cells[number].first_position for number in part) if stack.causal else 0
            chunks.append(Chunk(part, first))
    return chunks


def planned_work(stack: Stack, cells: Sequence[Cell], chunks: Sequence[Chunk], length: int) -> Work:
    """Return what a sweep will cost, without the plain runs and before anything is found to be equal."""
    work = Work()
    for chunk in chunks:
        own = [cells[number] for number in chunk.cells]
        for layer in range(own[0].first_layer, stack.layers):
            advancing = sum(cell.first_layer < layer or _joins_early(cell, layer) for cell in own)
            joining = [cell for cell in own if cell.first_layer == layer and not cell.attends_anew]
            work.layer_steps += bool(advancing)
            work.token_layers += advancing * (length - chunk.start) + sum(_touched(cell, layer) for cell in joining)
    return work


@torch.no_grad()
def sweep(
    stack: Stack,
    base: Captured,
    source: Captured,
    cells: Sequence[Cell],
    tokens: Sequence[int],
    rows: int = ROWS,
    start: int | None = None,
) -> Sweep:
    """Run ``base`` with the values of ``source`` in the places of every cell, one cell at a time, exactly.

    Args:
        stack: the model.
        base: the run that is changed.
        source: the run whose values are taken over.
        cells: what is patched.
        tokens: whose logits are wanted, as the beginning of the answer.
        rows: at most so many cells climb together.
        start: see ``plan``.

    Raises:
        ValueError: the runs have different lengths, or a cell is beyond them.
    """
    if base.length != source.length:
        raise ValueError(f"runs of {base.length} and {source.length} tokens cannot be patched into each other")
    for part in chain.from_iterable(cell.parts for cell in cells):
        if not 0 <= part.layer < stack.layers or not all(0 <= place < base.length for place in part.positions):
            raise ValueError(f"{part} is beyond {stack.layers} layers and {base.length} tokens")
    plain_K = stack.logits(base.entering(stack.layers)[None], tokens)[0]
    logits_RK = plain_K.repeat(len(cells), 1)
    same = _without_effect(stack, base, source, cells)
    living = [number for number, still in enumerate(same) if not still]
    work = Work()
    with stack.session():
        for chunk in plan(stack, [cells[number] for number in living], base.length, rows, start):
            numbers = [living[number] for number in chunk.cells]
            climb = _Climb(stack, base, source, [cells[number] for number in numbers], chunk.start, work)
            logits_RK[numbers] = climb.top(tokens)
    return Sweep(logits_RK, tuple(same), work)


class _Climb:
    """Rows of one chunk on their way up."""

    def __init__(
        self, stack: Stack, base: Captured, source: Captured, cells: Sequence[Cell], start: int, work: Work
    ) -> None:
        self.stack, self.base, self.source, self.cells, self.start, self.work = stack, base, source, cells, start, work
        self.states_RSD = base.prompt.states_TD.new_empty(0, base.length - start, base.prompt.states_TD.shape[-1])

    def top(self, tokens: Sequence[int]) -> Tensor:
        """Climb, and return the logits (R, K) of the cells in their order."""
        for layer in range(self.cells[0].first_layer, self.stack.layers):
            of_layer = [cell for cell in self.cells if cell.first_layer == layer]
            anew = sum(cell.attends_anew for cell in of_layer)
            early = self.base.entering(layer)[self.start :].expand(anew, -1, -1)
            self.states_RSD = torch.cat([self.states_RSD, early])
            if len(self.states_RSD):
                self._advance(layer)
            patched = [cell for cell in of_layer if not cell.attends_anew]
            if patched:
                self.states_RSD = torch.cat([self.states_RSD, self._joining(layer, patched)])
        return self.stack.logits(self.states_RSD, tokens)

    def _advance(self, layer: int) -> None:
        cells = self.cells[: len(self.states_RSD)]
        changes = [(row, patch) for row, cell in enumerate(cells) for patch in cell.patches if patch.layer == layer]
        width = self.base.length - self.start
        edits = Edits(self.source, [(row * width + place - self.start, p, n) for row, p, n, place in _single(changes)])
        key_GPd, value_GPd = (self.base.at(kind, layer)[: self.start].transpose(0, 1) for kind in ("k", "v"))
        attend = Suffix(key_GPd, value_GPd, self.stack.causal, self._hidden(layer, cells))
        self.work.layer_steps += 1
        self.work.token_layers += len(cells) * width
        memory = self.base.prompt.memory
        self.states_RSD = self.stack.layer(layer, self.states_RSD, self.start, memory, attend, edits)

    def _joining(self, layer: int, cells: Sequence[Cell]) -> Tensor:
        """Return the output of a layer of the cells that begin in it: only the tokens that they touch are computed."""
        output_RSD = self.base.at("resid", layer)[self.start :].expand(len(cells), -1, -1).clone()
        changes = [(row, patch) for row, cell in enumerate(cells) for patch in cell.patches if patch.layer == layer]
        touched = {(row, place): number for number, (row, place) in enumerate(_touched_places(changes))}
        edits = Edits(self.source, [(touched[row, place], p, n) for row, p, n, place in _single(changes)])
        rows, places = (torch.tensor(column, device=output_RSD.device) for column in zip(*touched, strict=True))
        self.work.token_layers += len(touched)
        states_N1D = self.base.entering(layer)[places][:, None]
        z_N1Hd = self.base.at("z", layer)[places][:, None]
        made = self.stack.layer(layer, states_N1D, 0, self.base.prompt.memory, Given(z_N1Hd), edits)
        output_RSD[rows, places - self.start] = made[:, 0]
        return output_RSD

    def _hidden(self, layer: int, cells: Sequence[Cell]) -> Tensor | None:
        blocks = [(row, block) for row, cell in enumerate(cells) for block in cell.blocks if block.layer == layer]
        if not blocks:
            return None
        length = self.base.length
        shape = (len(cells), self.stack.heads, length - self.start, length)
        hidden_RHSK = torch.zeros(shape, dtype=torch.bool, device=self.states_RSD.device)
        for row, block in blocks:
            heads = block.heads or range(self.stack.heads)
            looking = torch.tensor([place - self.start for place in block.positions])
            index = torch.tensor(list(heads))[:, None, None], looking[None, :, None], torch.tensor(block.hidden)
            hidden_RHSK[row][index] = True
        own = torch.arange(self.start, length, device=hidden_RHSK.device)
        hidden_RHSK[:, :, own - self.start, own] = False
        return hidden_RHSK


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


def _joins_early(cell: Cell, layer: int) -> bool:
    return cell.first_layer == layer and cell.attends_anew
