"""Teach a small diffusion model to paint a scene's geometry: from noise to the render that had this geometry.

Control maps and words are left out now and then, so that one network can be asked with and without either. The loss
is on the clean picture, weighed as if the network predicted velocity (arXiv 2202.00512); what covers the objects
counts more, as most of a picture is floor.

Shapes: see ``encoders.painter_inputs``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle
from transformers import set_seed

from encoders.painter import PainterPipeline, build_painter, load_painter, predict
from encoders.painter_inputs import PATCH, Geometry, Words, control_maps, prompt_rows, to_grid, without_words
from spatial.dataset import DatasetFolder, finished_shards
from spatial.errors import ConfigError, RecordError
from spatial.records import ImageRow, decode_image
from training.config import TrainConfig
from training.draws import DrawnDataset

NO_MAPS, NO_WORDS = 0.2, 0.06
"""How often a picture is painted without geometry, or without any word."""

NO_COLOUR, NOT_NAMED = 0.1, 0.15
"""How often an object's colour is not told, and how often the prompt passes over an object."""

OBJECT_WEIGHT = 3.0
"""Weight of the pixels that show an object, where the maps say which they are."""

LEAST_NOISE = 0.25
"""Share of noise below which the weight of a picture does not grow further."""

PASSES = ("inverse_depth", "edges", "ids")


@dataclass(frozen=True)
class Example:
    """An image, its control maps, and the seed of what is left out of them this time."""

    row: ImageRow
    geometry: Geometry
    seed: tuple[int, ...] = (0,)


class PaintedScenes(DrawnDataset[Example]):
    """The images of dataset folders, with the control maps that ``vsre passes`` drew of them.

    Args:
        folders: pooled; a picture that several hold counts once.
        folder: what ``vsre passes`` wrote.
        words: that the painter knows.
        size: width and height that images must have, in pixels.
        seed: of what is left out; it is drawn anew in every epoch.

    Raises:
        RecordError: an image has no control maps, another size, or an object whose noun or colour the painter does not
            know.
    """

    def __init__(self, folders: Sequence[DatasetFolder], folder: Path, words: Words, size: int, seed: int = 0) -> None:
        super().__init__()
        check_words(folders, words)
        self._source = {image_id: item.images for item in folders for image_id in item.images}
        self._ids, self._folder, self._size = sorted(self._source), folder, size
        self._seed = seed
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
        """Return an image with its geometry."""
        image_id = self._ids[index]
        row = self._source[image_id][image_id]
        near, edges, labels = (self._map(name, image_id) for name in PASSES)
        geometry = Geometry(near, edges > 0, labels.astype(np.int16) - 1)
        return Example(row, geometry, (self._seed, self.epoch, index))

    def _map(self, name: str, image_id: str) -> Any:
        path = self._folder / name / f"{image_id}.png"
        try:
            pixels = np.asarray(Image.open(path))
        except OSError as error:
            raise RecordError(f"{path} cannot be read ({error}); delete it and run 'vsre passes' again") from error
        if pixels.shape != (self._size, self._size):
            raise RecordError(f"{path} is {pixels.shape[1]}x{pixels.shape[0]}; the painter needs {self._size} pixels")
        return pixels


def check_words(folders: Sequence[DatasetFolder], words: Words) -> None:
    """Check that a painter knows every noun and colour of the data; no picture is decoded.

    Raises:
        RecordError: it does not.
    """
    shards = ((each, shard) for each in folders for shard in finished_shards(each.path))
    rows = (objects for each, shard in shards for objects in each.read_column(shard, "images", "objects"))
    shown = [item for objects in rows for item in objects]
    for key, known in (("name", words.nouns), ("colour", ("", *words.colours))):
        unknown = sorted({item[key] for item in shown} - set(known))
        if unknown:
            raise RecordError(
                f"the data has things of {key} {', '.join(unknown[:5])}{' ...' if unknown[5:] else ''}, which the "
                f"painter does not know; render data of its own alone: {', '.join(filter(None, known))}"
            )


class PainterCollator:
    """Turn images and geometry into what ``PainterTask`` takes.

    Args:
        words: that the painter knows.
    """

    def __init__(self, words: Words) -> None:
        self.words = words

    def __call__(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Return ``pictures`` (B, D, S, S), ``maps`` (B, C, S, S), ``prompts`` (B, T, V), ``weights`` (B, D, S, S)."""
        told = [self._told(example) for example in examples]
        images = [np.array(decode_image(example.row.image, example.row.image_id)) for example in examples]
        maps, prompts, weights = (torch.stack(parts) for parts in zip(*told, strict=True))
        return {"pictures": to_grid(np.stack(images)), "maps": maps, "prompts": prompts, "weights": weights}

    def _told(self, example: Example) -> tuple[Tensor, Tensor, Tensor]:
        """Return maps (C, S, S), prompt (T, V) and weights of pixels (D, S, S) of one picture."""
        rng, objects = np.random.default_rng(example.seed), example.row.objects
        rows = [self.words.row(item.name, "" if rng.random() < NO_COLOUR else item.colour) for item in objects]
        named = [rows[index] for index in rng.permutation(len(rows)) if rng.random() >= NOT_NAMED]
        maps, prompt = control_maps(example.geometry, rows, len(self.words)), prompt_rows(named, len(self.words))
        weights = 1 + (OBJECT_WEIGHT - 1) * torch.from_numpy((example.geometry.ids >= 0).astype(np.float32))
        if rng.random() < NO_WORDS:
            maps, prompt = without_words(maps), torch.zeros_like(prompt)
        if rng.random() < NO_MAPS:  # where objects are is then not told, and must not be told by the weights
            maps, weights = torch.zeros_like(maps), torch.ones_like(weights)
        return maps, prompt, pixel_unshuffle(weights.expand(3, -1, -1), PATCH)


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


def painter_parts(
    config: TrainConfig, folders: Sequence[DatasetFolder]
) -> tuple[PainterTask, PaintedScenes, PainterCollator]:
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
    scenes = PaintedScenes(folders, Path(config.controls), painter.words, painter.size, config.seed)
    return PainterTask(painter), scenes, PainterCollator(painter.words)
