"""Teach a small diffusion model to paint a scene's geometry: from noise to the render that had this geometry.

Control maps and words are left out now and then, so that one network can be asked with and without either. The loss
is on the clean picture, weighed as if the network predicted velocity (arXiv 2202.00512); what covers the objects
counts more, as most of a picture is floor.

Shapes: see ``encoders.painter_inputs``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle
from torch.utils.data import Dataset
from transformers import set_seed

from encoders.painter import PainterPipeline, build_painter, load_painter, predict
from encoders.painter_inputs import PATCH, Geometry, Words, control_maps, prompt_rows, to_grid, without_words
from spatial.dataset import RecordSet
from spatial.errors import ConfigError, RecordError
from spatial.records import ImageRow, decode_image
from training.config import TrainConfig

NO_MAPS, NO_WORDS = 0.15, 0.08
"""How often a picture is painted without geometry, or without any word."""

NO_COLOUR, NOT_NAMED = 0.1, 0.15
"""How often an object's colour is not told, and how often the prompt passes over an object."""

OBJECT_WEIGHT = 3.0
"""Weight of the pixels that show an object, where the maps say which they are."""

LEAST_NOISE = 0.25
"""Share of noise below which the weight of a picture does not grow further."""

PASSES = ("inverse_depth", "edges", "ids")
Example = tuple[ImageRow, Geometry]


class PaintedScenes(Dataset[Example]):
    """The images of record sets, with the control maps that ``vsre passes`` drew of them.

    Args:
        sets: of the data.
        folder: what ``vsre passes`` wrote.
        size: width and height that images must have, in pixels.

    Raises:
        RecordError: an image has no control maps, or another size.
    """

    def __init__(self, sets: Sequence[RecordSet], folder: Path, size: int) -> None:
        self._source = {image_id: item.images for item in sets for image_id in item.images}
        self._ids, self._folder, self._size = sorted(self._source), folder, size
        for name in PASSES:
            drawn = {path.stem for path in (folder / name).glob("*.png")}
            lacking = [image_id for image_id in self._ids if image_id not in drawn]
            if lacking:
                raise RecordError(
                    f"{folder / name} lacks {len(lacking)} of {len(self._ids)} images; draw them with"
                    f" 'vsre passes DATA --passes {','.join(PASSES)} --out {folder}'"
                )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._ids)

    def __getitem__(self, index: int) -> Example:
        """Return an image row and its geometry."""
        image_id = self._ids[index]
        row = self._source[image_id][image_id]
        near, edges, labels = (self._map(name, image_id) for name in PASSES)
        return row, Geometry(near, edges > 0, labels.astype(np.int16) - 1)

    def _map(self, name: str, image_id: str) -> Any:
        path = self._folder / name / f"{image_id}.png"
        try:
            pixels = np.asarray(Image.open(path))
        except OSError as error:
            raise RecordError(f"{path} cannot be read ({error}); delete it and run 'vsre passes' again") from error
        if pixels.shape != (self._size, self._size):
            raise RecordError(f"{path} is {pixels.shape[1]}x{pixels.shape[0]}; the painter needs {self._size} pixels")
        return pixels


class PainterCollator:
    """Turn images and geometry into what ``PainterTask`` takes.

    Args:
        words: that the painter knows.
    """

    def __init__(self, words: Words) -> None:
        self.words = words

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Return ``pictures`` (B, D, S, S), ``maps`` (B, C, S, S), ``prompts`` (B, T, V), ``weights`` (B, D, S, S)."""
        maps, prompts, weights, pictures = [], [], [], []
        for row, geometry in examples:
            rows = [self.words.row(item.name, "" if _chance(NO_COLOUR) else item.colour) for item in row.objects]
            drawn = control_maps(geometry, rows, len(self.words))
            prompt = prompt_rows(self._named(rows), len(self.words))
            weight = 1 + (OBJECT_WEIGHT - 1) * torch.from_numpy((geometry.ids >= 0).astype(np.float32))
            if _chance(NO_WORDS):
                drawn, prompt = without_words(drawn), torch.zeros_like(prompt)
            if _chance(NO_MAPS):
                drawn, weight = torch.zeros_like(drawn), torch.ones_like(weight)
            maps.append(drawn)
            prompts.append(prompt)
            weights.append(pixel_unshuffle(weight.expand(3, -1, -1), PATCH))
            pictures.append(to_grid(np.array(decode_image(row.image, row.image_id))))
        return {
            "pictures": torch.stack(pictures),
            "maps": torch.stack(maps),
            "prompts": torch.stack(prompts),
            "weights": torch.stack(weights),
        }

    def _named(self, rows: list[Any]) -> list[Any]:
        """Return the phrases of the prompt, in any order."""
        order = torch.randperm(len(rows)).tolist()
        return [rows[index] for index in order if not _chance(NOT_NAMED)]


class PainterTask(nn.Module):
    """A painter's network with its loss; ``product`` is the pipeline that is saved in the end."""

    def __init__(self, painter: PainterPipeline) -> None:
        super().__init__()
        self._product = [painter]
        self.unet = painter.unet.train()
        self.kept: Tensor
        self.register_buffer("kept", painter.scheduler.alphas_cumprod.clone(), persistent=False)

    @property
    def product(self) -> PainterPipeline:
        """The pipeline whose network learns."""
        return self._product[0]

    def forward(self, pictures: Tensor, maps: Tensor, prompts: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Return the weighed mean squared error of the clean pictures that the network sees in noisy ones.

        Args:
            pictures: as ``PainterCollator`` makes them, like the rest.
            maps: or zeros.
            prompts: or zeros.
            weights: of pixels.
        """
        time = torch.randint(0, len(self.kept), (len(pictures),), device=pictures.device)
        kept = self.kept[time][:, None, None, None]
        noisy = kept.sqrt() * pictures + (1 - kept).sqrt() * torch.randn_like(pictures)
        error = (predict(self.unet, noisy, maps, prompts, time).float() - pictures).square()
        per_picture = (error * weights).mean(dim=(1, 2, 3)) / weights.mean(dim=(1, 2, 3))
        return {"loss": (per_picture / (1 - kept).clamp(min=LEAST_NOISE).flatten()).mean()}


def painter_parts(config: TrainConfig, sets: Sequence[RecordSet]) -> tuple[PainterTask, PaintedScenes, PainterCollator]:
    """Return what is trained, on what, and how a batch is made of it.

    Raises:
        ConfigError: no control maps are named.
        CheckpointError: ``model`` is not a painter.
        RecordError: the data and its control maps do not fit.
    """
    if not config.controls:
        raise ConfigError("stage 'painter' needs control maps; name the folder that 'vsre passes' wrote in 'controls'")
    painter = load_painter(config.model) if config.model else build_painter(seed=config.seed)
    set_seed(config.seed)
    scenes = PaintedScenes(sets, Path(config.controls), painter.size)
    return PainterTask(painter), scenes, PainterCollator(painter.words)


def _chance(share: float) -> bool:
    return bool(torch.rand(()) < share)
