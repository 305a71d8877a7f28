"""The two stages between drawing and writing: paint attempts, and verify what was painted.

The same functions run in this process and in the workers of a cluster. A call is given a whole shard, so that what
looks at several pictures at once, which is the check for duplicates, sees the same ones whoever runs it.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from datagen.config import DatagenConfig, EngineSettings, VerifySettings
from datagen.engines.base import Engine, EngineKind, Order, Painting
from datagen.idle import check_engines, check_over, check_verify, check_weights
from datagen.paint.photos import LoadMasks
from datagen.paint.specs import Attempt, Painted, Turn, Verified
from datagen.verify.base import Intent, Pixels, Verdict
from datagen.verify.quality import Entry, mark_duplicates
from datagen.verify.verdicts import accepted
from spatial.boxes import bounds_of
from spatial.errors import ConfigError, nearest


class Verifier(Protocol):
    """Judges pictures (``datagen.verify.verifier.Verifier``)."""

    @property
    def provenance(self) -> dict[str, str]:
        """Hashes of the weights of its models, by name."""

    def check_nouns(self, nouns: Iterable[str]) -> None:
        """Refuse nouns that it could never find, before any work."""

    def verify(self, pictures: Sequence[Pixels], intents: Sequence[Intent]) -> list[tuple[Verdict, ...]]:
        """Return the verdicts on each picture, which do not depend on the others."""


@dataclass(frozen=True)
class Parts:
    """What a run is put together of.

    Attributes:
        engines: the registry of engines.
        load_verifier: makes the verifier; raises ConfigError or CheckpointError where a model is missing.
        load_masks: makes what finds objects in boxes of photos, from a folder or hub name; likewise.
        judges: tells what the models of the verifier are, by their folders and hub names.
        check_verifier: refuses models of the verifier as far as that shows without loading one.
    """

    engines: Mapping[str, EngineKind]
    load_verifier: Callable[[VerifySettings], Verifier]
    load_masks: LoadMasks
    judges: Callable[[VerifySettings], Mapping[str, str]] = lambda _: {}
    check_verifier: Callable[[VerifySettings], None] = lambda _: None

    def kind(self, name: str) -> EngineKind:
        """Return the entry of an engine.

        Raises:
            ConfigError: there is none; names the nearest.
        """
        if name not in self.engines:
            known = ", ".join(self.engines)
            raise ConfigError(f"no engine is called {name!r}{nearest(name, self.engines)}; known: {known}")
        return self.engines[name]


def installed() -> Parts:
    """Return the engines and the verifier that are shipped."""
    from datagen.engines.masks import load_sam
    from datagen.engines.registry import ENGINES
    from datagen.verify.models import check_models, places_of
    from datagen.verify.verifier import Verifier as Shipped

    return Parts(ENGINES, Shipped, load_sam, places_of, check_models)


def engine_names(config: DatagenConfig) -> list[str]:
    """Return the engines of a run in the order in which they take the seeds, each once."""
    return list(dict.fromkeys([config.engine.name, *config.paint.engines]))


def engine_settings(config: DatagenConfig, name: str) -> EngineSettings:
    """Return the settings of one engine of a run."""
    return replace(config.engine, name=name, model=config.paint.models.get(name, config.engine.model))


def turns_of(config: DatagenConfig, parts: Parts) -> tuple[Turn, ...]:
    """Return what sources must know of a run's engines.

    Raises:
        ConfigError: an engine is unknown, or cannot paint what it is to paint.
    """
    kinds = {name: parts.kind(name) for name in engine_names(config)}
    check_engines(config.engine, kinds)
    check_weights(config, kinds)
    check_verify(config.verify)
    turns = tuple(_turn(name, kind, config) for name, kind in kinds.items())
    check_over(config)
    if config.paint.photos.masks and not any(turn.mode == "box-inpaint" for turn in turns):
        raise ConfigError(f"paint.photos.masks does nothing with {' and '.join(kinds)}; leave it away")
    return turns


def _turn(name: str, kind: EngineKind, config: DatagenConfig) -> Turn:
    takes = kind.takes - {"prompt"} if not config.engine.without_control else frozenset()
    if config.paint.over == "photos":
        if not kind.photo:
            raise ConfigError(f"engine {name!r} takes {_listed(kind.takes)}, but no photo; set paint.over to 'scenes'")
        if kind.photo == "txt2img" and not config.paint.photos.one_sided:
            raise ConfigError(
                f"engine {name!r} paints true captions alone, so that its look would tell the answer; leave it away, "
                "or set paint.photos.one_sided true"
            )
        return Turn(name, kind.photo != "txt2img", kind.photo)
    if takes and not takes & {"depth", "edge"} and takes != {"reference"}:
        raise ConfigError(f"engine {name!r} takes {_listed(takes)}, but no geometry; set paint.over to 'photos'")
    return Turn(name, bool(takes), "")


def _listed(takes: Iterable[str]) -> str:
    return ", ".join(sorted(takes))


def load_engines(config: DatagenConfig, parts: Parts, nouns: Iterable[str]) -> dict[str, Engine]:
    """Load the engines of a run.

    Args:
        config: of the run.
        parts: the registry.
        nouns: that are to be painted.

    Raises:
        ConfigError: an engine or what it needs is missing, or there is a noun that it cannot paint.
        CheckpointError: weights are missing or wrong.
    """
    engines = {name: parts.kind(name).load(engine_settings(config, name)) for name in engine_names(config)}
    for name, engine in engines.items():
        known = getattr(engine, "vocabulary", None)  # small engines alone are bound to some nouns
        unknown = sorted(set(nouns) - known) if known is not None else []
        if unknown:
            raise ConfigError(
                f"engine {name!r} cannot paint {', '.join(unknown[:5])}{' ...' if unknown[5:] else ''}; "
                "leave the nouns out, such as by nouns: [core]"
            )
    return engines


def load_verifier(config: DatagenConfig, parts: Parts, nouns: Iterable[str]) -> Verifier:
    """Load the verifier of a run.

    Raises:
        ConfigError: a setting cannot be used, or there is a noun that it does not know.
        CheckpointError: a model is missing or wrong.
    """
    verifier = parts.load_verifier(config.verify)
    verifier.check_nouns(nouns)
    return verifier


def paint(attempts: Sequence[Attempt], engines: Mapping[str, Engine], batch_size: int) -> list[Painted]:
    """Paint attempts in batches of ``batch_size`` pictures of one engine.

    Returns:
        The attempts in order, without their orders, with pictures and the seconds that each took.
    """
    pictures: dict[str, list[tuple[Painting, float]]] = {}
    for name in dict.fromkeys(attempt.engine for attempt in attempts):
        orders = [order for attempt in attempts if attempt.engine == name for order in attempt.orders]
        pictures[name] = [
            picture
            for start in range(0, len(orders), batch_size)
            for picture in _timed(engines[name], orders[start : start + batch_size])
        ]
    waiting = {name: iter(found) for name, found in pictures.items()}
    painted = []
    for attempt in attempts:
        own = [next(waiting[attempt.engine]) for _ in attempt.orders]
        bare = replace(attempt, orders=())
        regions = tuple(None if it.region is None else bounds_of(it.region) for it in attempt.orders)
        painted.append(Painted(bare, tuple(it for it, _ in own), tuple(seconds for _, seconds in own), regions))
    return painted


def _timed(engine: Engine, orders: Sequence[Order]) -> list[tuple[Painting, float]]:
    started = time.perf_counter()
    paintings = engine.paint(orders)
    seconds = (time.perf_counter() - started) / len(orders)
    return [(painting, seconds) for painting in paintings]


def verify(painted: Sequence[Painted], verifier: Verifier) -> list[Verified]:
    """Judge every picture, and look for duplicates among groups that are right; accepted is a group of which all are.

    Duplicates are looked for among the pictures that are handed over together, which are those of a shard.
    """
    pictures = [painting.pixels for it in painted for painting in it.paintings]
    intents = [spec.intent for it in painted for spec in it.attempt.specs]
    started = time.perf_counter()
    judged = iter(verifier.verify(pictures, intents) if pictures else [])
    entries = [
        Entry(painting.pixels, next(judged), group, region)
        for group, it in enumerate(painted)
        for painting, region in zip(it.paintings, it.regions, strict=True)
    ]
    found = iter(mark_duplicates(entries))
    seconds = (time.perf_counter() - started) / max(1, len(pictures))
    verified = []
    for it in painted:
        verdicts = tuple(next(found) for _ in it.paintings)
        passed = tuple(accepted(own) for own in verdicts)
        verified.append(Verified(it, verdicts, passed, (seconds,) * len(verdicts)))
    return verified
