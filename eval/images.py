"""The image side of a question: which image is shown, and its projected tokens, computed once per image.

Image modes: ``image`` is the record's own; ``image_blind`` is a canvas of the mean colour, which tells what the words
alone give away; ``shuffled`` is an image of another group, which tells whether the right image matters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from spatial.errors import ConfigError, RecordError
from spatial.records import ImageRow, Record, decode_image
from spatial.scene import digest

BLIND = "(mean colour)"
NOISED = "(noised) "
"""Before the key of an image that is shown drowned in noise."""

IMAGE_MODES = ("image", "image_blind", "shuffled")


def shuffled_images(records: Sequence[Record], seed: int) -> dict[str, str]:
    """Return for each image an image that no group of the first one has.

    Images are put in a random circle, and each takes the next one of other groups.

    Raises:
        ConfigError: some image has no such partner, because there are too few groups.
    """
    groups: dict[str, set[str]] = {}
    for record in records:
        groups.setdefault(record.image_id, set()).add(record.group_id)
    names = sorted(groups)
    circle = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    partner = {}
    for place, name in enumerate(circle):
        others = (circle[(place + step) % len(circle)] for step in range(1, len(circle)))
        found = next((other for other in others if not groups[other] & groups[name]), None)
        if found is None:
            raise ConfigError("image mode 'shuffled' needs images of two groups; raise data.limit or drop the mode")
        partner[name] = found
    return partner


def shown_image(record: Record, mode: str, partners: Mapping[str, str]) -> str:
    """Return the key of the image that is shown with a record in an image mode."""
    return {"image": record.image_id, "image_blind": BLIND, "shuffled": partners.get(record.image_id, "")}[mode]


def contrast_key(image: str, kind: str) -> str:
    """Return the key of what is shown beside an image: "image" itself, "blind", or "noised"."""
    return {"image": image, "blind": BLIND, "noised": NOISED + image}[kind]


def noised(pixels: NDArray[np.uint8], seed: str) -> NDArray[np.uint8]:
    """Return an image (height, width, 3) at step 500 of the 1,000 of VCD's diffusion (arXiv 2311.16922, eq. 1).

    The schedule is that of the released code, a sigmoid from 1e-5 to 5e-3; pixels count from -1 to 1, and the result is
    cut there. The same seed gives the same noise.
    """
    betas = 1 / (1 + np.exp(-np.linspace(-6, 6, 1000))) * (0.5e-2 - 1e-5) + 1e-5
    kept = float(np.prod(1 - betas[:501]))
    noise = np.random.default_rng(int(digest(seed)[:16], 16)).standard_normal(pixels.shape)
    mixed = np.sqrt(kept) * (pixels / 127.5 - 1) + np.sqrt(1 - kept) * noise
    return np.rint((mixed.clip(-1, 1) + 1) * 127.5).astype(np.uint8)


class ImageFeatures:
    """Projected image tokens by image key.

    Only the images of the latest call are kept: questions come sorted by image, so that is enough to compute each
    image once, and memory does not grow.

    Args:
        model: with ``get_image_features``, as ``LlavaForConditionalGeneration`` has.
        processor: with ``image_processor``.
        images: encoded images by ``image_id``.
    """

    def __init__(self, model: Any, processor: Any, images: Mapping[str, ImageRow]) -> None:
        self.model = model
        self.image_processor = processor.image_processor
        self.images = images
        self._kept: dict[str, Tensor | RecordError] = {}

    @torch.no_grad()  # not inference mode: what ZeRO-3 gathers in it could not be trained on afterwards
    def get(self, keys: Sequence[str]) -> dict[str, Tensor | RecordError]:
        """Return the tokens (N, D) of each image, or why it cannot be shown."""
        wanted = dict.fromkeys(keys)
        kept = {key: self._kept[key] for key in wanted if key in self._kept}
        pixels: dict[str, Image.Image] = {}
        for key in wanted:
            if key not in kept:
                try:
                    pixels[key] = self._decode(key)
                except RecordError as error:
                    kept[key] = error
        if pixels:
            kept |= dict(zip(pixels, self._tokens(list(pixels.values())), strict=True))
        self._kept = kept
        return kept

    def _decode(self, key: str) -> Image.Image:
        if key == BLIND:
            return Image.new("RGB", (64, 64), _mean_colour(self.image_processor))
        if key.startswith(NOISED):
            clear = self._decode(key.removeprefix(NOISED))
            return Image.fromarray(noised(np.asarray(clear.convert("RGB")), key))
        if key not in self.images:
            raise RecordError(f"image {key} is not in the dataset; make the dataset again")
        return decode_image(self.images[key].image, key)

    def _tokens(self, pixels: list[Image.Image]) -> Sequence[Tensor]:
        values = self.image_processor(images=pixels, return_tensors="pt")["pixel_values"].to(self.model.device)
        if values.is_floating_point():
            values = values.to(self.model.dtype)
        tokens = self.model.get_image_features(pixel_values=values, return_dict=True)
        return list(tokens.pooler_output)


def _mean_colour(image_processor: Any) -> tuple[int, ...]:
    """The colour that the processor pads with, else the mean it subtracts, so that a blind canvas carries nothing."""
    colour = getattr(image_processor, "pad_colour", None)
    return tuple(colour) if colour else tuple(round(255 * channel) for channel in image_processor.image_mean)
