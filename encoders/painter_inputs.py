"""What the small painter is told: maps of a scene's geometry, its objects' phrases painted into them, and its prompt.

A phrase ("a red cup") is a row with a one for its noun and a one for its colour: the first layers of the network are
the word embeddings. Painted into an object's mask, it says what goes where (a regional prompt); the phrases of the
whole prompt are given besides, in no place. Both can be left out: without maps the network paints from the prompt
alone, without words it fills the geometry with anything.

Shapes: H, W picture; B pictures; O objects; V words, nouns first; T phrases of a prompt; S = H / PATCH = W / PATCH;
C channels of the maps.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, pixel_shuffle, pixel_unshuffle

from spatial.errors import ConfigError
from spatial.vocabulary import COLOURS, plural, split_words

PATCH = 4
"""The network works on a grid this much coarser than the picture; a cell holds the pixels of its square as channels."""

WORD_STEP = 2
"""Phrases are painted in squares of so many pixels, shared out where objects meet."""

MOST_PHRASES = 8
"""Phrases of a prompt; those beyond are left out. Always so many rows, so that no picture depends on its batch."""


@dataclass(frozen=True)
class Geometry:
    """The control maps of one picture, as ``vsre passes`` writes them.

    Attributes:
        near: uint8 (H, W), inverse depth from the farthest (0) to the nearest (255).
        edges: bool (H, W).
        ids: (H, W), index of the object seen, -1 where there is none.
    """

    near: NDArray[np.uint8]
    edges: NDArray[np.bool_]
    ids: NDArray[np.integer]


class Words:
    """The nouns and colours that a painter knows.

    Args:
        nouns: known nouns, of one or several words.
        colours: colour words.
    """

    def __init__(self, nouns: Sequence[str], colours: Sequence[str] = COLOURS) -> None:
        self.nouns, self.colours = tuple(nouns), tuple(colours)
        self._singular = {form: noun for noun in self.nouns for form in (plural(noun), noun)}
        forms = "|".join(map(re.escape, sorted(self._singular, key=len, reverse=True)))
        self._phrase = re.compile(rf"\b(?:(?P<colour>{'|'.join(map(re.escape, self.colours))}) )?(?P<noun>{forms})\b")

    def __len__(self) -> int:
        """Return V."""
        return len(self.nouns) + len(self.colours)

    def row(self, noun: str, colour: str = "") -> NDArray[np.float32]:
        """Return a phrase as (V,); without a colour the object may have any.

        Raises:
            ConfigError: a word is unknown.
        """
        for word, known in ((noun, self.nouns), (colour, (*self.colours, ""))):
            if word not in known:
                raise ConfigError(f"the painter does not know {word!r}; it knows {', '.join(filter(None, known))}")
        row = np.zeros(len(self), np.float32)
        row[self.nouns.index(noun)] = 1
        if colour:
            row[len(self.nouns) + self.colours.index(colour)] = 1
        return row

    def rows(self, text: str) -> list[NDArray[np.float32]]:
        """Return the phrases found in a text, each once: a noun with the colour right before it, if there is one.

        All other words say nothing, so two things of one name and colour in a text are one.
        """
        found = self._phrase.finditer(" ".join(split_words(text)))
        phrases = dict.fromkeys((self._singular[match["noun"]], match["colour"] or "") for match in found)
        return [self.row(*phrase) for phrase in phrases]

    def object_row(self, phrase: str) -> NDArray[np.float32]:
        """Return the phrase of one object as (V,).

        Raises:
            ConfigError: it names no noun that is known.
        """
        rows = self.rows(phrase)
        if not rows:
            raise ConfigError(f"the painter knows no noun in {phrase!r}; it knows {', '.join(self.nouns)}")
        return rows[0]


def prompt_rows(rows: Sequence[NDArray[np.float32]], words: int) -> Tensor:
    """Return phrases as (T, V), zeros where there are no more."""
    prompt = np.zeros((MOST_PHRASES, words), np.float32)
    for place, row in enumerate(rows[:MOST_PHRASES]):
        prompt[place] = row
    return torch.from_numpy(prompt)


def map_channels(words: int) -> int:
    """Return C for V words."""
    return PATCH**2 * 2 + (PATCH // WORD_STEP) ** 2 * words


def control_maps(geometry: Geometry, rows: Sequence[NDArray[np.float32]], words: int) -> Tensor:
    """Return the maps (C, S, S) of a picture whose objects have the phrases ``rows``: shape first, then words."""
    shape = torch.from_numpy(np.stack([geometry.near / np.float32(255), geometry.edges.astype(np.float32)]))
    painted = torch.from_numpy(_painted(geometry.ids, rows, words))
    return torch.cat([pixel_unshuffle(shape, PATCH), pixel_unshuffle(painted, PATCH // WORD_STEP)])


def without_words(maps: Tensor) -> Tensor:
    """Return maps (..., C, S, S) of shape alone."""
    bare = maps.clone()
    bare[..., PATCH**2 * 2 :, :, :] = 0
    return bare


def _painted(ids: NDArray[np.integer], rows: Sequence[NDArray[np.float32]], words: int) -> NDArray[np.float32]:
    """Return phrases painted into the masks, (V, H / WORD_STEP, W / WORD_STEP)."""
    height, width = ids.shape
    if not rows:
        return np.zeros((words, height // WORD_STEP, width // WORD_STEP), np.float32)
    masks = torch.from_numpy((ids == np.arange(len(rows))[:, None, None]).astype(np.float32))
    return torch.einsum("ohw,ov->vhw", avg_pool2d(masks, WORD_STEP), torch.from_numpy(np.stack(rows))).numpy()


def to_grid(pixels: NDArray[np.uint8]) -> Tensor:
    """Return pictures uint8 (..., H, W, 3) as numbers from -1 to 1, (..., 3 PATCH^2, S, S)."""
    numbers = torch.from_numpy(pixels).movedim(-1, -3).float() / 127.5 - 1
    return pixel_unshuffle(numbers, PATCH)


def to_pixels(grid: Tensor) -> NDArray[np.uint8]:
    """Return what ``to_grid`` was given."""
    numbers = (pixel_shuffle(grid.float(), PATCH) + 1) * 127.5
    pixels: NDArray[np.uint8] = numbers.round().clamp(0, 255).byte().movedim(-3, -1).contiguous().numpy()
    return pixels
