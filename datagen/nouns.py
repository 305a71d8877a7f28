"""Which nouns a dataset is about.

Settings list nouns one by one or by the name of a set. The sets of VSR's splits are those nouns of their dev and test
rows that their training rows do not have: who wants to be tested on them must not be shown them.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import numpy as np

from datagen.assets import ASSETS, COLOURS, CORE
from datagen.assets.catalogue import remembered
from datagen.config import DatagenConfig
from spatial.errors import ConfigError, nearest
from spatial.exposure import SPLITS
from spatial.leakage import packaged

TRUE_COLOURS = {
    "apple": ("red", "green", "yellow"),
    "banana": ("yellow", "green"),
    "broccoli": ("green",),
    "orange": ("orange",),
}
"""Nouns that nobody recognises in other colours: an orange apple is an orange, purple broccoli are grapes."""


def paints(rng: np.random.Generator, named: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """Draw a colour for each named noun, all different and each one in which it is known, and the colours left over.

    Returns:
        ``None`` where two nouns are known by one colour only.
    """
    left: list[str] = rng.permutation(sorted(COLOURS)).tolist()
    taken = {}
    for noun in sorted(named, key=lambda noun: len(TRUE_COLOURS.get(noun, COLOURS))):
        colour = next((colour for colour in left if colour in TRUE_COLOURS.get(noun, COLOURS)), None)
        if colour is None:
            return None
        taken[noun] = colour
        left.remove(colour)
    return [taken[noun] for noun in named], left


def noun_sets() -> dict[str, tuple[str, ...]]:
    """Return the sets that settings can name: "all", "core", and "vsr-zeroshot" and its like."""
    held = {f"vsr-{split}": tuple(sorted(packaged(split).concepts)) for split in SPLITS}
    return {"all": tuple(sorted(ASSETS)), "core": CORE, **held}


def chosen_nouns(config: DatagenConfig) -> tuple[str, ...]:
    """Return the nouns of ``config.nouns`` without those of ``config.exclude_nouns``, sorted.

    Raises:
        ConfigError: a name is unknown (names the nearest), or fewer than two nouns are left.
    """
    return _chosen(tuple(config.nouns), tuple(config.exclude_nouns))


@remembered
def _chosen(wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> tuple[str, ...]:
    nouns = sorted(_named(wanted) - _named(unwanted))
    if len(nouns) < 2:
        raise ConfigError("nouns without exclude_nouns leaves fewer than two nouns; add some, or exclude fewer")
    return tuple(nouns)


def _meant(entry: str, sets: Iterable[str]) -> str:
    """Return which noun is called much like this one, or where all of them are; few letters make most words alike."""
    likely = get_close_matches(entry, list(sets), cutoff=0.8)
    hint = nearest(entry, [*ASSETS, *likely], cutoff=0.6)
    return hint or f"; 'vsre objects' shows all {len(ASSETS)} objects, and sets are {', '.join(sets)}"


def _named(entries: Sequence[str]) -> set[str]:
    sets, found = noun_sets(), set()
    for entry in entries:
        if entry not in ASSETS and entry not in sets:
            raise ConfigError(f"no object or set of nouns is called {entry!r}{_meant(entry, sets)}")
        found |= {entry} if entry in ASSETS else set(sets[entry]) & set(ASSETS)
    return found
