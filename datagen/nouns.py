"""Which nouns a dataset is about.

Settings list nouns one by one or by the name of a set. The sets of VSR's splits are those nouns of their dev and test
rows that their training rows do not have: who wants to be tested on them must not be shown them.
"""

from collections.abc import Sequence

from datagen.assets import ASSETS, CORE
from datagen.assets.catalogue import remembered
from datagen.config import DatagenConfig
from spatial.errors import ConfigError, nearest
from spatial.exposure import SPLITS
from spatial.leakage import packaged


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


def _named(entries: Sequence[str]) -> set[str]:
    sets, found = noun_sets(), set()
    for entry in entries:
        if entry not in ASSETS and entry not in sets:
            raise ConfigError(f"no object or set of nouns is called {entry!r}{nearest(entry, [*sets, *ASSETS])}")
        found |= {entry} if entry in ASSETS else set(sets[entry]) & set(ASSETS)
    return found
