"""One vector per statement and source: what an encoder, the fusion, or the bare pixels make of it.

View ``image``: the mean over the picture's tokens. View ``pair``: the mean over the subject's box, the mean over the
object's, and their difference, end to end. Tokens are pooled batch by batch; no grid of tokens is kept.

Shapes: B statements (one image each), N_i tokens and C_i channels of source i.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from encoders.device import usable_device
from encoders.fusion import FUSIONS
from encoders.load import ADAPTER_FILE, base_of, load_model
from encoders.processing import VsreImageProcessor
from encoders.projector import Place
from encoders.tower import FusedVisionModel, resize
from eval.study.pooling import canvas_box, token_weights
from eval.study.samples import Sample
from spatial.errors import CheckpointError
from spatial.records import ImageRow, decode_image

PIXELS = "pixels"
THUMBNAIL = 16
"""Side of the thumbnail that stands for the bare pixels."""

Name = tuple[str, str]
"""A view ("pair", "image") and a source ("clip", ..., "fusion", "pixels")."""

Features = dict[Name, NDArray[np.float32]]
"""Vectors [statements, F] by view and source."""


@dataclass(frozen=True)
class Eyes:
    """What looks at a picture: towers, and the projectors that fuse them, by name; all in float32.

    Attributes:
        places: where each token of a source looks.
    """

    image_processor: VsreImageProcessor
    tower: FusedVisionModel
    projectors: Mapping[str, nn.Module]
    places: Mapping[str, Sequence[Place]]

    @torch.inference_mode()
    def tokens(self, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Return the tokens [B, N_i, C_i] of each source."""
        canvases = self.image_processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        canvases = canvases.to(self.tower.device)
        features: dict[str, Tensor] = self.tower(canvases)
        fused = {name: projector(features) for name, projector in self.projectors.items()}
        thumbnail = resize(canvases, THUMBNAIL, "bilinear").flatten(2).transpose(1, 2)
        return {PIXELS: thumbnail, **features, **fused}


def open_eyes(model: str | Path) -> Eyes:
    """Load towers and projector of a checkpoint; of an adapter, also the projector before tuning.

    Raises:
        CheckpointError: the model cannot be used, or does not see all of a picture.
    """
    device = usable_device()
    projectors: dict[str, nn.Module] = {}
    if (Path(model) / ADAPTER_FILE).is_file():
        projectors["fusion, base"] = load_model(base_of(Path(model)))[0].model.multi_modal_projector
    network, processor = load_model(model)
    if processor.image_processor.mode != "pad":
        raise CheckpointError(
            f"{model} crops pictures, and objects may lie outside of what it sees; set mode to 'pad' in its "
            "processor_config.json"
        )
    projectors["fusion, tuned" if projectors else "fusion"] = network.model.multi_modal_projector
    config, tower = network.config, network.model.vision_tower
    places: dict[str, Sequence[Place]] = {PIXELS: _cells(THUMBNAIL)}
    for name, plan in config.vision.plans().items():
        places[name] = [None] * int(plan.keep_cls) + _cells(plan.grid)
    for name in projectors:
        places[name] = FUSIONS[config.fusion].places(config)
    # In float32 a batch of any size gives the same features; the language model stays where and what it is.
    moved = {name: projector.to(device).float().eval() for name, projector in projectors.items()}
    return Eyes(processor.image_processor, tower.to(device).float().eval(), moved, places)


def _cells(grid: int) -> list[Place]:
    return [(grid, cell) for cell in range(grid * grid)]


def read_features(
    eyes: Eyes, samples: Sequence[Sample], images: Mapping[str, ImageRow], views: Sequence[str], batch_size: int
) -> Features:
    """Return the vectors of all samples.

    Raises:
        RecordError: an image is broken.
    """
    parts: dict[Name, list[NDArray[np.float32]]] = {}
    with tqdm(total=len(samples), unit="image", desc="features") as bar:
        for start in range(0, len(samples), batch_size):
            batch = samples[start : start + batch_size]
            pictures = [decode_image(images[s.record.image_id].image, s.record.image_id) for s in batch]
            for name, rows in batch_features(eyes, batch, pictures, views).items():
                parts.setdefault(name, []).append(rows)
            bar.update(len(batch))
    return {name: np.concatenate(parts[name]) for name in sorted(parts, key=lambda name: views.index(name[0]))}


def batch_features(
    eyes: Eyes, samples: Sequence[Sample], pictures: Sequence[Image.Image], views: Sequence[str]
) -> Features:
    """Return the vectors [B, F] of one batch by view and source.

    A source without places (``resampler``) has no pair.
    """
    side: int = eyes.image_processor.size["height"]
    found: Features = {}
    for source, tokens in eyes.tokens(pictures).items():
        places = eyes.places[source]
        for view in views:
            if view == "image" and source == PIXELS:
                rows = tokens.flatten(1)
            elif view == "image" or any(places):
                boxes: Callable[..., Any] = _pair if view == "pair" else _whole
                weights = [
                    [token_weights(places, canvas_box(box, *picture.size, side)) for box in boxes(sample, picture)]
                    for sample, picture in zip(samples, pictures, strict=True)
                ]
                rows = _pooled(tokens, np.array(weights))
            else:
                continue
            found[view, source] = rows.cpu().numpy()
    return found


def _whole(sample: Sample, picture: Image.Image) -> Any:
    return [(0, 0, *picture.size)]


def _pair(sample: Sample, picture: Image.Image) -> Any:
    assert sample.pair is not None, "samples are chosen with boxes where the view is 'pair'"
    return sample.pair


def _pooled(tokens: Tensor, weights: NDArray[np.float64]) -> Tensor:
    """Return the weighted means of tokens [B, N, C], and of two their difference too, end to end."""
    tokens = tokens.float()
    means = torch.as_tensor(weights, dtype=tokens.dtype, device=tokens.device) @ tokens  # [B, boxes, C]
    if means.shape[1] == 2:
        means = torch.cat([means, means[:, :1] - means[:, 1:]], dim=1)
    return means.flatten(1)
