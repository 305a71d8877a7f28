"""What every image engine is given and what it returns.

Shapes: H, W picture; O objects of the scene.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from datagen.config import EngineSettings
from datagen.passes import Passes

CONTROLS = ("depth", "edge", "mask", "reference", "prompt")
"""What an engine can be steered by. "mask": it repaints a region and leaves the rest. "reference": it starts from a
picture, a render or a photo. Every engine takes a prompt."""

COMMON = frozenset({"name", "model", "scheduler", "steps", "guidance", "size", "batch_size", "dtype", "device"})
"""Settings that every engine takes."""

LOADED = frozenset({"revision", "loras", "offload"})
"""Further ones that ``datagen.engines.loading.load_kit`` takes."""

CONTROLLED = frozenset({"control", "control_strength", "control_start", "control_end", "without_control"})
"""Further ones of engines with a control network. ``without_control`` leaves the others without a meaning, and lets
them stand, so that a run can be compared with the same without control."""


@dataclass(frozen=True)
class Prompts:
    """What is painted, in words.

    Attributes:
        whole: of the whole picture, relation included.
        objects: a phrase per object, in the order of the scene's objects; the relation is never in it.
        negative: what must not be there; "" where nothing is said.
        style: medium, place and light as ``whole`` says them, to be said again where an object is painted on its own;
            the relation is never in it.
    """

    whole: str
    objects: tuple[str, ...]
    negative: str = ""
    style: str = ""


@dataclass(frozen=True)
class Order:
    """One picture to paint.

    Attributes:
        key: names it in provenance: a scene's identifier, or a photo's name.
        seed: of the picture's own CPU generator. All pictures of a group have one seed.
        prompts: in words.
        passes: the geometry that it must have; ``None`` where a photo is repainted.
        photo: uint8 (H, W, 3), a picture to repaint; ``None`` where a scene is painted.
        region: bool (H, W), the part of the photo to repaint; ``None`` for all of it.
    """

    key: str
    seed: int
    prompts: Prompts
    passes: Passes | None = None
    photo: NDArray[np.uint8] | None = None
    region: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Painting:
    """A painted picture.

    Attributes:
        pixels: uint8 (H, W, 3), of the size of the order's passes or photo.
        provenance: of this picture, ready for JSON: prompts, seed, hashes of its controls. What is the same of all
            pictures of an engine is in ``Engine.provenance``.
    """

    pixels: NDArray[np.uint8]
    provenance: dict[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """Paints pictures in batches."""

    def paint(self, orders: Sequence[Order]) -> list[Painting]:
        """Return a painting for every order, in order. A batch of n gives what n batches of one give."""

    @property
    def provenance(self) -> dict[str, Any]:
        """What all pictures share, ready for JSON: engine, weights with revision and hash, LoRAs, scheduler, steps,
        guidance, control strengths, dtype, library versions, licence."""


@dataclass(frozen=True)
class EngineKind:
    """An entry of ``datagen.engines.registry.ENGINES``.

    Attributes:
        takes: of ``CONTROLS``.
        licence: of its weights and of what they paint, as its publisher states it.
        load: makes it; raises ConfigError or CheckpointError, before any work, where weights are missing or wrong.
        default_model: folder or hub name of the weights if the settings name none.
        default_control: likewise of the control network; "" where it has none.
        seconds: planning estimate of one picture on one H100 at the default size and steps; not measured.
        settings: of ``EngineSettings`` that it takes beside ``COMMON``; all others are refused.
        photo: of ``datagen.engines.photo_orders.MODES``: how it repaints a photo; "" if it cannot.
        weights: what ``Engine.provenance`` will say of its weights, without loading them; raises as ``load`` does.
            ``None`` where that is not known before.
    """

    takes: frozenset[str]
    licence: str
    load: Callable[[EngineSettings], Engine]
    default_model: str = ""
    seconds: float = 0.0
    default_control: str = ""
    settings: frozenset[str] = LOADED
    photo: str = ""
    weights: Callable[[EngineSettings], Mapping[str, Any]] | None = None
