"""The painter that comes with the code: a diffusion model of a few million weights that knows the plain world.

It is given inverse depth, edges, and every object's own phrase painted into its mask; without control, the phrases of
the prompt alone. With and without, the prompt has one phrase for each object, as in training: "a red cup ... The cup is
left of" names one cup. Words that it does not know (relations, places, light, style) say nothing to it; pictures that
they tell apart are told apart by their noise where no map does. All objects of a picture are painted at once. Its maps
are channels of its input, so ``control_strength`` means nothing to it; ``control_start`` and ``control_end`` do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datagen.config import EngineSettings
from datagen.control import labels
from datagen.engines.base import Engine, EngineKind, Order, Prompts
from datagen.engines.controlled import geometry
from datagen.engines.controls import Canvas, depth_control, edge_control, hash_of
from datagen.engines.loading import options_of, stated_licence, versions
from datagen.engines.options import device_of, dtype_of, quiet, resolved, scheduler_of
from datagen.engines.orders import seed_of
from datagen.engines.painting import DiffusionEngine, Painted, generators
from datagen.engines.weights import hashes
from spatial import shipped
from spatial.errors import ConfigError, first_line
from spatial.shipped import shipped_folder

if TYPE_CHECKING:
    from torch import Tensor

    from encoders.painter import PainterPipeline
    from encoders.painter_inputs import Words

NAME = "tiny-depth"

LICENCE = "Apache-2.0 (trained on renders of this project alone)"


@dataclass(frozen=True)
class TinyEngine(DiffusionEngine):
    """Paints orders in batches.

    Attributes:
        vocabulary: nouns that it can paint.
    """

    vocabulary: frozenset[str] = frozenset()


def load(settings: EngineSettings) -> Engine:
    """Return the engine.

    Raises:
        ConfigError: a setting cannot be used.
        CheckpointError: weights are missing, incomplete or of another model.
    """
    resolved(settings, 1, 1.0, 128)
    from encoders.painter import GUIDANCE, STEPS, load_painter

    folder = shipped_folder(settings.model or NAME)
    with quiet():
        painter = load_painter(folder, dtype_of(settings))
    settings = resolved(settings, STEPS, GUIDANCE, painter.size)
    painter.to(device_of(settings))
    painter.scheduler = scheduler_of(settings.scheduler, painter.scheduler)
    _try_out(painter.scheduler, settings)
    window = {"start": settings.control_start, "end": settings.control_end}
    provenance = {
        "engine": settings.name,
        **weights(settings),
        "licence": LICENCE if is_shipped(folder) else f"{folder.name}: {stated_licence(folder)}",
        **options_of(settings, painter.scheduler, controlled=False),
        "control": None if settings.without_control else window,
        "versions": dict(versions()),
        "pipelines": [type(painter).__name__],
        "controls": [] if settings.without_control else ["depth", "edge", "ids"],
    }
    paint = _Painter(painter, settings).paint
    return TinyEngine(paint, settings.size, settings.batch_size, provenance, frozenset(painter.words.nouns))


def weights(settings: EngineSettings) -> dict[str, Any]:
    """Return what the engine's provenance says of its weights; they are not loaded."""
    folder = shipped_folder(settings.model or NAME)
    sums = hashes(folder.glob("*/*.safetensors"), folder)
    return {"weights": {"name": folder.name, "revision": "", "sha256": sums}, "control_weights": None, "loras": []}


def is_shipped(folder: Path) -> bool:
    """Tell whether a folder is that of the shipped painter, and not one of the same name."""
    return folder.resolve() == (shipped.ASSETS / NAME).resolve()


KIND = EngineKind(
    takes=frozenset({"depth", "edge", "prompt"}),
    licence=LICENCE,
    load=load,
    default_model=NAME,
    seconds=0.01,
    settings=frozenset({"control_start", "control_end", "without_control"}),
    weights=weights,
)


@dataclass(frozen=True)
class _Painter:
    pipeline: "PainterPipeline"
    settings: EngineSettings

    def paint(self, orders: Sequence[Order], canvas: Canvas) -> list[Painted]:
        """Paint a batch, filled up to its full size: a picture's last bit depends on how many there are."""
        import torch

        told = [self._told(order, canvas) for order in orders]
        missing = self.settings.batch_size - len(orders)
        filled = [*told, *told[-1:] * missing]
        seeds = [self._seed(order) for order in orders]
        seeds += seeds[-1:] * missing
        pixels = self.pipeline(
            torch.stack([maps for maps, _, _ in filled]),
            torch.stack([prompt for _, prompt, _ in filled]),
            generators(seeds),
            self.settings.steps,
            self.settings.guidance,
            (self.settings.control_start, self.settings.control_end),
        )
        return [(Image.fromarray(picture), facts) for picture, (_, _, facts) in zip(pixels, told, strict=False)]

    def _seed(self, order: Order) -> int:
        """Return the seed of the noise.

        The pictures of a group have one seed and differ in control and words. Without control they would be the same
        picture to a painter that hears no relation, and fail as copies of each other, which no other engine's do.
        """
        return seed_of(order.seed, order.prompts.whole) if self.settings.without_control else order.seed

    def _told(self, order: Order, canvas: Canvas) -> "tuple[Tensor, Tensor, dict[str, Any]]":
        """Return maps, phrases of the prompt, and what provenance says of both."""
        import torch

        from encoders.painter_inputs import PATCH, Geometry, control_maps, map_channels, prompt_rows

        words = self.pipeline.words
        prompt = prompt_rows(phrases(words, order.prompts), len(words))
        if self.settings.without_control:
            shape = (map_channels(len(words)), canvas.height // PATCH, canvas.width // PATCH)
            return torch.zeros(shape), prompt, {"controls": {}, "noise_seed": self._seed(order)}
        passes = geometry(order, NAME)
        depth, edge = depth_control(passes, canvas), edge_control(passes, canvas)
        ids = labels(passes.ids).resize(canvas, Image.Resampling.NEAREST)
        maps = control_maps(
            Geometry(np.array(depth.convert("L")), np.array(edge.convert("L")) > 0, np.array(ids, np.int16) - 1),
            [words.object_row(phrase) for phrase in order.prompts.objects],
            len(words),
        )
        controls = {"depth": hash_of(depth), "edge": hash_of(edge), "ids": hash_of(ids)}
        return maps, prompt, {"controls": controls, "objects": list(order.prompts.objects)}


def phrases(words: "Words", prompts: Prompts) -> list[NDArray[np.float32]]:
    """Return the phrases of a prompt, a row for each object that it names.

    A noun without a colour that also stands with one is the same thing named again. What stands once in the prompt and
    is several objects ("two red cups") is as many rows.
    """
    nouns = len(words.nouns)
    found = words.rows(prompts.whole)
    bare = [not row[nouns:].any() for row in found]
    coloured = {int(row[:nouns].argmax()) for row, without in zip(found, bare, strict=True) if not without}
    objects = [row for phrase in prompts.objects for row in words.rows(phrase)]
    named = [row for row, out in zip(found, bare, strict=True) if not (out and int(row[:nouns].argmax()) in coloured)]
    return [row for row in named for _ in range(max(1, sum(np.array_equal(row, other) for other in objects)))]


def _try_out(scheduler: Any, settings: EngineSettings) -> None:
    """Walk a few pixels from noise to nothing, since not every scheduler takes a model that predicts the clean picture.

    Raises:
        ConfigError: this one does not.
    """
    import torch

    picture, clean = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    try:
        scheduler.set_timesteps(settings.steps)
        for time in scheduler.timesteps:
            picture = scheduler.step(clean, time, scheduler.scale_model_input(picture, time)).prev_sample
    except (NotImplementedError, ValueError, IndexError, RuntimeError, TypeError) as error:
        raise ConfigError(
            f"scheduler {settings.scheduler!r} does not fit {NAME} ({first_line(error)}); leave it empty"
        ) from error
    if not torch.isfinite(picture).all():
        raise ConfigError(f"scheduler {settings.scheduler!r} ends in no picture with {NAME}; leave it empty")
