"""The engines by name. Adding one is one definition and one line here; ``docs/extending.md`` shows it."""

from datagen.config import EngineSettings
from datagen.engines import parity, sdxl, tiny, zimage
from datagen.engines.base import Engine, EngineKind
from datagen.idle import check_engines
from spatial.errors import ConfigError, nearest

ENGINES: dict[str, EngineKind] = {
    "sdxl-controlnet": sdxl.KIND,
    "z-image": zimage.KIND,
    "tiny-depth": tiny.KIND,
    **parity.KINDS,
}


def engine_kind(name: str) -> EngineKind:
    """Return an entry of ``ENGINES``.

    Raises:
        ConfigError: there is no such engine; names the nearest.
    """
    if name not in ENGINES:
        raise ConfigError(f"no engine is called {name!r}{nearest(name, ENGINES)}; known: {', '.join(ENGINES)}")
    return ENGINES[name]


def load_engine(settings: EngineSettings) -> Engine:
    """Return the engine that the settings name, ready to paint.

    Raises:
        ConfigError: there is no such engine, or a setting cannot be used.
        CheckpointError: its weights are missing, incomplete or of another engine.
    """
    kind = engine_kind(settings.name)
    check_engines(settings, {settings.name: kind})
    return kind.load(settings)
