"""Settings that would do nothing are refused, so that nobody takes them to have done something.

A setting counts as given if it is not its default. What each engine takes stands in its ``EngineKind``; what the
drawing of scenes takes and the repainting of photos does not stands here.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from datagen.config import DatagenConfig, EngineSettings, VerifySettings
from datagen.engines.base import COMMON, EngineKind
from spatial.errors import ConfigError, nearest

PAINTING = ("engine", "verify", "paint", "scale")
"""Parts of the settings that are read where something is painted alone."""

OF_SCENES = (
    *("split", "relations", "contrasts", "weights", "frames", "frame_conflict", "nouns", "exclude_nouns"),
    *("image_size", "supersample", "looks", "distractors", "assets"),
)
"""Settings of scenes. Photos have their own size, and their rows of the training part what is said of them."""

EACH = ("without_control", "loras")
"""Settings that every engine of a run must take: they change what its pictures are, or are meant for its weights."""


def given(settings: Any) -> list[str]:
    """Return the names of the settings of a dataclass that are not its defaults."""
    own = type(settings)()
    return [entry.name for entry in fields(settings) if getattr(settings, entry.name) != getattr(own, entry.name)]


def check_unpainted(config: DatagenConfig) -> None:
    """Refuse settings of painting where nothing is painted.

    Raises:
        ConfigError: there is one.
    """
    if config.engine.name:
        return
    for part in PAINTING:
        for name in given(getattr(config, part)):
            raise ConfigError(f"{part}.{name} does nothing without engine.name; name an engine, or leave it away")


def check_verify(settings: VerifySettings) -> None:
    """Refuse settings of the verifier that are read beside others alone.

    Those of ``scale`` are not refused where ``scale.by`` is "here": a configuration for a cluster runs on one machine
    with ``--scale.by here``, and none of them changes a picture.

    Raises:
        ConfigError: there is one.
    """
    if settings.tuned and not settings.judges:
        raise ConfigError("verify.tuned does nothing without verify.judges; name a judge, or leave it away")
    if settings.calibration and "unread" in given(settings):
        raise ConfigError(
            "verify.unread does nothing with verify.calibration, which tells what is trusted; leave one of them away"
        )


def check_over(config: DatagenConfig) -> None:
    """Refuse settings of scenes where photos are repainted, and of photos where scenes are painted.

    Raises:
        ConfigError: there is one.
    """
    over = config.paint.over
    idle = (
        [name for name in OF_SCENES if name in given(config)]
        if over == "photos"
        else [f"paint.photos.{name}" for name in given(config.paint.photos)]
    )
    if idle:
        raise ConfigError(f"{', '.join(idle)}: does nothing with paint.over {over!r}; leave it away")


def check_engines(settings: EngineSettings, kinds: Mapping[str, EngineKind]) -> None:
    """Refuse settings that engines do not take.

    Args:
        settings: that they share.
        kinds: all engines of a run by name. One of them must take a setting, and all must take one of ``EACH``.

    Raises:
        ConfigError: there is such a setting.
    """
    for name in given(settings):
        deaf = [engine for engine, kind in kinds.items() if name not in COMMON | kind.settings]
        if len(deaf) == len(kinds) or (deaf and name in EACH):
            raise ConfigError(f"engine.{name} does nothing with {' and '.join(deaf)}; leave it away")
    if "strength" in given(settings) and not settings.per_object:
        repaints = [name for name, kind in kinds.items() if "reference" in kind.takes and "strength" in kind.settings]
        if not repaints:
            raise ConfigError(
                f"engine.strength is of repainting, and {' and '.join(kinds)} repaints single objects alone; "
                "set engine.per_object true, or leave it away"
            )


def check_weights(config: DatagenConfig, kinds: Mapping[str, EngineKind]) -> None:
    """Refuse weights that are named for several engines at once, or for none.

    Raises:
        ConfigError: there are some.
    """
    for name in config.paint.models:
        if name not in kinds:
            raise ConfigError(
                f"paint.models names weights of {name!r}{nearest(name, kinds)}, which does not paint here; "
                f"engines: {', '.join(kinds)}"
            )
    if len(kinds) == 1:
        if config.paint.models:
            raise ConfigError("paint.models is for several engines, and there is one; name its weights by engine.model")
        return
    for setting in ("model", "revision"):
        if getattr(config.engine, setting):
            raise ConfigError(
                f"engine.{setting} cannot be that of {' and '.join(kinds)} at once; name the weights of each, "
                f"OWNER/NAME@REVISION if need be: paint.models: {{{', '.join(f'{name}: DIR' for name in kinds)}}}"
            )
    steered = [name for name, kind in kinds.items() if "control" in kind.settings]
    if config.engine.control and len(steered) > 1:
        raise ConfigError(
            f"engine.control cannot be that of {' and '.join(steered)} at once; leave it away for the engines' own, "
            "or give each a run of its own"
        )
