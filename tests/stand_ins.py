"""An engine that makes mistakes on purpose, and a verifier that sees them: a painted run without any model."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datagen.config import DatagenConfig, EngineSettings, PaintSettings, VerifySettings
from datagen.engines.base import CONTROLLED, LOADED, EngineKind, Order, Painting
from datagen.engines.photo_orders import box_mask
from datagen.paint.stages import Parts
from datagen.verify.base import Intent, Pixels, Verdict
from spatial.errors import CheckpointError
from spatial.observation import Box
from spatial.scene import digest

FAULTS = ("", "missing", "contradicted", "unread")
"""By the number that the engine leaves in the first pixel of a picture."""


@dataclass
class Copyist:
    """Copies the render or photo, with noise and spots of the seed, and spoils some pictures.

    Attributes:
        control: makes it careful.
        pause: seconds that each picture takes.
        vocabulary: nouns that it can paint; ``None`` for any.
    """

    control: bool
    pause: float = 0.0
    vocabulary: frozenset[str] | None = None

    def paint(self, orders: Sequence[Order]) -> list[Painting]:
        return [self._paint(order) for order in orders]

    def _paint(self, order: Order) -> Painting:
        time.sleep(self.pause)
        under = order.passes.rgb if order.passes is not None else order.photo
        assert under is not None
        rng = np.random.Generator(np.random.Philox(key=int(digest(f"{order.key}/{order.seed}"), 16)))
        spots = np.random.Generator(np.random.Philox(key=order.seed)).integers(-60, 61, (8, 8, 1))
        height, width, _ = under.shape
        coarse = spots[np.arange(height) * 8 // height][:, np.arange(width) * 8 // width]
        pixels = np.clip(under + coarse + rng.integers(-20, 21, under.shape), 0, 255).astype(np.uint8)
        fault = int(rng.choice(4, p=(0.7, 0.1, 0.1, 0.1) if self.control else (0.2, 0.4, 0.4, 0.0)))
        pixels[0, 0] = fault
        region = int(order.region.sum()) if order.region is not None else 0
        return Painting(pixels, {"prompt": order.prompts.whole, "seed": order.seed, "region": region})

    @property
    def provenance(self) -> dict[str, Any]:
        return {"engine": "copyist", "weights": "none"}


class Reader:
    """Reads the fault from the first pixel; ``tuned`` says how many seconds that takes it."""

    def __init__(self, settings: VerifySettings) -> None:
        if settings.depth == "nowhere":
            raise CheckpointError("there is no depth model 'nowhere'; use 'tiny'")
        if settings.safety:
            sign_in(Path(settings.safety))
        self.pause = float(settings.tuned or 0)

    @property
    def provenance(self) -> dict[str, str]:
        return {"reader": "none"}

    def check_nouns(self, nouns: Iterable[str]) -> None:
        assert nouns

    def verify(self, pictures: Sequence[Pixels], intents: Sequence[Intent]) -> list[tuple[Verdict, ...]]:
        time.sleep(self.pause * len(pictures))
        return [verdicts_on(FAULTS[int(picture[0, 0, 0])]) for picture, _ in zip(pictures, intents, strict=True)]


def verdicts_on(fault: str) -> tuple[Verdict, ...]:
    """Return the verdicts on a picture with a fault."""
    passed = Verdict("presence", "passed", score=0.9)
    if fault == "missing":
        return (
            Verdict("presence", "failed", "missing", "cup: not found"),
            Verdict("relation", "skipped", "not found"),
        )
    if fault == "unread":
        return (passed, Verdict("relation", "skipped", "needs poses"))
    return (passed, Verdict("relation", "failed" if fault else "passed", fault))


def load_copyist(settings: EngineSettings) -> Copyist:
    """Load the engine, unless its weights are said to be elsewhere; a step takes it a millisecond."""
    if settings.model == "nowhere":
        raise CheckpointError("no weights in nowhere; fetch them")
    if settings.model:
        sign_in(Path(settings.model))
    vocabulary = frozenset({"cup", "book"}) if settings.revision == "small" else None
    return Copyist(not settings.without_control, settings.steps / 1000, vocabulary)


def sign_in(folder: Path) -> None:
    """Leave the number of this process in a folder."""
    (folder / str(os.getpid())).touch()


@dataclass(frozen=True)
class Halves:
    """Finds an object in the left half of its box; the last part of its path stands for its weights."""

    name: str

    @property
    def provenance(self) -> dict[str, Any]:
        return {"name": "halves", "revision": "", "sha256": {"model.safetensors": Path(self.name).name}}

    def __call__(self, pixels: NDArray[np.uint8], box: Box) -> NDArray[np.bool_]:
        return box_mask((box[0], box[1], (box[0] + box[2]) / 2, box[3]), pixels.shape[1], pixels.shape[0])


def load_halves(name: str) -> Halves:
    """Load what finds an object in the left half of its box."""
    if name == "nowhere":
        raise CheckpointError("no weights in nowhere; fetch them")
    return Halves(name)


GEOMETRY, PHOTO, BOX, WORDS = (
    frozenset(takes) for takes in (("depth", "prompt"), ("reference", "prompt"), ("mask", "prompt"), ("prompt",))
)
PARTS = Parts(
    {
        "copyist": EngineKind(GEOMETRY, "CC0-1.0 (test)", load_copyist, seconds=2.0, settings=LOADED | CONTROLLED),
        "second": EngineKind(GEOMETRY, "MIT", load_copyist, seconds=1.0, settings=LOADED | CONTROLLED),
        "img2img": EngineKind(PHOTO, "OpenRAIL++-M", load_copyist, seconds=3.0, photo="img2img"),
        "box-inpaint": EngineKind(BOX, "OpenRAIL++-M", load_copyist, seconds=3.0, photo="box-inpaint"),
        "txt2img": EngineKind(WORDS, "OpenRAIL++-M", load_copyist, seconds=3.0, photo="txt2img"),
    },
    Reader,
    load_halves,
)

SMALL = DatagenConfig(
    groups=12,
    groups_per_shard=3,
    image_size=48,
    supersample=1,
    workers=1,
    looks="plain",
    relations=["left of", "right of", "above", "below"],
    contrasts=["direct"],
    frames="viewer",
    nouns=["core"],
    exclude_nouns=[],
    engine=EngineSettings(name="copyist", batch_size=5),
    paint=PaintSettings(seeds_per_spec=2),
)
