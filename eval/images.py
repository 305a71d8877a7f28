"""The image side of a question: which image is shown, and its projected tokens, computed once per image.

Image modes: ``image`` is the record's own; ``image_blind`` is a canvas of the mean colour, which tells what the words
alone give away; ``shuffled`` is an image of another group, which tells whether the right image matters.

How a model sees a picture is its family's to say (``eval.families``); what most of them do is ``image_tokens``.

Shapes: N tokens of a picture, which may be more in one than in another; D width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from encoders.canvas import square
from spatial.errors import ConfigError, RecordError, UserError, first_line
from spatial.records import ImageRow, Record, decode_image
from spatial.scene import digest

BLIND = "(mean colour)"
BLANK = "(blank) "
"""Before the key of an image in whose place a canvas of the mean colour is shown, as large as the image."""

NOISED = "(noised) "
"""Before the key of an image that is shown drowned in noise."""

IMAGE_MODES = ("image", "image_blind", "shuffled")


@dataclass(frozen=True)
class Placed:
    """Image tokens whose positions have three parts, and do not count on from one token to the next.

    Attributes:
        tokens_ND: as the language model takes them.
        places_3N: positions less that of the first token.
    """

    tokens_ND: Tensor
    places_3N: Tensor

    def __len__(self) -> int:
        return len(self.tokens_ND)


Picture = Tensor | Placed
"""A picture as the language model sees it: image tokens (N, D), or ``Placed`` ones."""


def tokens_of(picture: Picture) -> Tensor:
    """Return the image tokens (N, D) of a picture, wherever they stand."""
    return picture.tokens_ND if isinstance(picture, Placed) else picture


See = Callable[[Any, Any, Sequence[Image.Image]], Sequence[Picture]]
"""From model, image processor and RGB pictures to what the language model sees of each."""


def image_tokens(model: Any, image_processor: Any, pictures: Sequence[Image.Image]) -> Sequence[Tensor]:
    """See pictures through ``get_image_features``, as a LLaVA does."""
    inputs = processed(model, image_processor, pictures)
    return list(model.get_image_features(**inputs, return_dict=True).pooler_output)


def processed(model: Any, image_processor: Any, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """Return all that the image processor makes of pictures, where the model is and in its number format.

    Raises:
        RecordError: it refuses one of them, as some do with pictures of a few pixels or much longer than wide.
    """
    try:
        made = image_processor(images=list(pictures), return_tensors="pt")
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # processors of other families say in many ways that a picture is none for them
        reason = first_line(error)
        raise RecordError(
            f"the image processor refuses it ({reason}); leave it out, or ask with canvas 'pad'"
        ) from error
    of_floats = {"device": model.device, "dtype": model.dtype}
    return {name: x.to(**of_floats) if x.is_floating_point() else x.to(model.device) for name, x in made.items()}


def padded_first(see: See) -> See:
    """Return a way to see pictures that pads them to a square in the mean colour first, as the LLaVA of its authors."""

    def padded(model: Any, image_processor: Any, pictures: Sequence[Image.Image]) -> Sequence[Picture]:
        colour = mean_colour(image_processor)
        return see(model, image_processor, [square(picture, "pad", colour=colour) for picture in pictures])

    return padded


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
    return {"image": image, "blind": BLANK + image, "noised": NOISED + image}[kind]


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
    """Pictures by image key, as the language model sees them.

    Only the images of the latest call are kept: questions about an image come together, so that is enough to compute
    each image once, and memory does not grow.

    Args:
        model: that sees them.
        processor: with ``image_processor``.
        images: encoded images by ``image_id``.
        see: how the model sees pictures.
    """

    def __init__(self, model: Any, processor: Any, images: Mapping[str, ImageRow], see: See = image_tokens) -> None:
        self.model = model
        self.image_processor = processor.image_processor
        self.images = images
        self.see = see
        self._kept: dict[str, Picture | RecordError] = {}

    @torch.no_grad()  # not inference mode: what ZeRO-3 gathers in it could not be trained on afterwards
    def get(self, keys: Sequence[str]) -> dict[str, Picture | RecordError]:
        """Return what is seen of each image, or why it cannot be shown."""
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
            kept |= self._seen(pixels)
        self._kept = kept
        return kept

    def _seen(self, pixels: Mapping[str, Image.Image]) -> dict[str, Picture | RecordError]:
        """Return what is seen of pictures; one that cannot be seen does not take the others with it."""
        try:
            return dict(zip(pixels, self.see(self.model, self.image_processor, list(pixels.values())), strict=True))
        except RecordError as error:
            if len(pixels) == 1:
                return dict.fromkeys(pixels, error)
        alone = [self._seen({key: picture}) for key, picture in pixels.items()]
        return {key: seen for found in alone for key, seen in found.items()}

    def _decode(self, key: str) -> Image.Image:
        if key == BLIND:
            return Image.new("RGB", (64, 64), mean_colour(self.image_processor))
        if key.startswith(BLANK):
            return Image.new("RGB", self._decode(key.removeprefix(BLANK)).size, mean_colour(self.image_processor))
        if key.startswith(NOISED):
            clear = self._decode(key.removeprefix(NOISED))
            return Image.fromarray(noised(np.asarray(clear.convert("RGB")), key))
        if key not in self.images:
            raise RecordError(f"image {key} is not in the dataset; make the dataset again")
        return decode_image(self.images[key].image, key)


def mean_colour(image_processor: Any) -> tuple[int, ...]:
    """Return the colour that the processor pads with, else the mean it subtracts, rounded down as LLaVA's authors do.

    A canvas of it carries nothing.
    """
    colour = getattr(image_processor, "pad_colour", None)
    return tuple(colour) if colour else tuple(int(255 * channel) for channel in image_processor.image_mean)
