"""Where a model can be patched, and what one patch replaces.

A *site* is a place in a layer at which something is added up or mixed:

- "q", "k", "v": queries, keys and values of self-attention, with their positions turned in. Keys and values have fewer
  heads where several share them.
- "z": what each head of self-attention has gathered, before the output projection; "attn": what all of them add.
- "cross_q", "cross_z" and "cross": the same of cross-attention, where a layer has one.
- "mlp": what the feed-forward part adds. (Before the norm of a post-norm layer: the layer's output is no MLP.)
- "resid": the output of the layer.

A *cell* is what one patched run replaces at once: usually one site at one token, but a window of layers, all tokens of
a role or many heads of several layers are one cell, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("q", "k", "v", "z", "attn", "cross_q", "cross_z", "cross", "mlp", "resid")
"""All kinds of sites, in the order in which a layer passes them."""

HEADED = ("q", "k", "v", "z", "cross_q", "cross_z")
"""Kinds that have a value per head."""

ATTENDED = ("q", "k", "v")
"""Kinds that decide what attention gathers."""


@dataclass(frozen=True)
class Patch:
    """Values of one kind of site in one layer, taken over from another run.

    Attributes:
        kind: of ``KINDS``.
        layer: counted from 0.
        positions: tokens whose value is replaced.
        heads: whose value is replaced, for a kind of ``HEADED``; empty: all.
        origin: tokens of the other run that the values are taken from; empty: the same positions.

    Raises:
        ValueError: it replaces nothing, or as many values as there are not.
    """

    kind: str
    layer: int
    positions: tuple[int, ...]
    heads: tuple[int, ...] = ()
    origin: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of site {self.kind!r}; known: {', '.join(KINDS)}")
        if not self.positions:
            raise ValueError(f"a patch of {self.kind!r} in layer {self.layer} has no position")
        if self.heads and self.kind not in HEADED:
            raise ValueError(f"{self.kind!r} has no heads; choose {' or '.join(HEADED)}")
        if self.origin and len(self.origin) != len(self.positions):
            raise ValueError(f"{len(self.positions)} positions cannot take the values of {len(self.origin)}")
        if self.origin and self.kind in ("q", "k"):
            raise ValueError(f"{self.kind!r} holds its position and has none of another; patch 'resid' or 'v' instead")

    @property
    def sources(self) -> tuple[int, ...]:
        """Tokens of the other run that the values are taken from."""
        return self.origin or self.positions


@dataclass(frozen=True)
class Block:
    """Attention that is cut off in one layer: what some tokens may not see ("attention knockout").

    Attributes:
        layer: counted from 0.
        positions: tokens that look.
        hidden: tokens that they do not see. A token always sees itself.
        heads: with which heads; empty: all.
    """

    layer: int
    positions: tuple[int, ...]
    hidden: tuple[int, ...]
    heads: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cell:
    """What one changed run changes at once.

    Attributes:
        patches: values that are replaced.
        blocks: attention that is cut off.

    Raises:
        ValueError: it changes nothing.
    """

    patches: tuple[Patch, ...] = ()
    blocks: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        if not self.patches and not self.blocks:
            raise ValueError("a cell without patch or block changes nothing; leave it out")

    @property
    def parts(self) -> tuple[Patch | Block, ...]:
        """Patches and blocks."""
        return (*self.patches, *self.blocks)

    @property
    def first_layer(self) -> int:
        """The lowest layer that it changes."""
        return min(part.layer for part in self.parts)

    @property
    def first_position(self) -> int:
        """The first token that it changes."""
        return min(position for part in self.parts for position in part.positions)

    @property
    def attends_anew(self) -> bool:
        """Whether tokens of its first layer gather something else than in the plain run."""
        patched = any(patch.kind in ATTENDED for patch in self.patches if patch.layer == self.first_layer)
        return patched or any(block.layer == self.first_layer for block in self.blocks)


def window(
    kind: str,
    centre: int,
    width: int,
    layers: int,
    positions: Sequence[int],
    heads: Sequence[int] = (),
    origin: Sequence[int] = (),
) -> Cell:
    """Return the cell that replaces a kind of site in ``width`` layers around one, as far as there are such layers.

    Raises:
        ValueError: the width is even or not positive.
    """
    reach = around(centre, width, layers)
    return Cell(tuple(Patch(kind, layer, tuple(positions), tuple(heads), tuple(origin)) for layer in reach))


def around(centre: int, width: int, layers: int) -> range:
    """Return the layers of a window, as far as there are such layers.

    Raises:
        ValueError: the width is even or not positive.
    """
    if width < 1 or width % 2 == 0:
        raise ValueError(f"a window of {width} layers has no middle; choose an odd number")
    return range(max(0, centre - width // 2), min(layers, centre + width // 2 + 1))
