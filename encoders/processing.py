"""From pictures and text to model inputs.

One geometry for every encoder: the picture becomes one square canvas (``encoders.canvas``), so a place in the picture
is the same relative place in every encoder's grid. The canvas stays uint8; the tower resizes and normalises per encoder
on its device.
"""

import base64
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import (
    ChannelDimension,
    PILImageResampling,
    infer_channel_dimension_format,
    is_valid_image,
    make_flat_list_of_images,
)
from transformers.processing_utils import ImagesKwargs, MultiModalData, ProcessorMixin

from encoders.canvas import check_mode, square
from spatial.errors import ConfigError, RecordError
from spatial.pictures import MEAN_COLOUR, decode_image, read_picture, to_rgb

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'user: ' if loop.first else ' user: ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{% endif %}"
    "{% elif message['role'] != 'assistant' %}"
    "{{ raise_exception('roles are user and assistant, not ' + message['role']) }}"
    "{% else %}{{ ' assistant:' }}{% generation %}"
    "{% if message['content'] is string %}{{ ' ' + message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ ' ' + part['text'] }}{% endfor %}"
    "{% endif %}{{ eos_token }}{% endgeneration %}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' assistant:' }}{% endif %}"
)
"""``user: <image>{text} assistant:`` and then ``{answer}`` with a leading space and the end token."""


class VsreImageKwargs(ImagesKwargs, total=False):  # type: ignore[call-arg, misc]
    """Settings of the image processor beside those of every image processor."""

    pad_colour: tuple[int, int, int] | list[int]
    mode: str


class VsreImageProcessor(PilBackend):
    """Pictures to square uint8 canvases ``pixel_values`` [B, 3, S, S] (PIL only; torchvision is not needed).

    ``mode`` is a name of ``encoders.canvas.CANVAS_MODES``. Checkpoints from before there was a choice have "pad".
    """

    valid_kwargs = VsreImageKwargs
    model_input_names: ClassVar[list[str]] = ["pixel_values"]
    size: ClassVar[dict[str, int]] = {"height": 128, "width": 128}
    resample = PILImageResampling.BICUBIC
    do_convert_rgb = True
    pad_colour = MEAN_COLOUR
    mode = "pad"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_mode(self.mode)

    def fetch_images(self, image_url_or_urls: Any) -> Any:
        """Read what is given as a path or ``data:`` URI; pictures and arrays pass as they are, lists keep their shape.

        Raises:
            RecordError: a file that cannot be used, or an address: nothing is downloaded here, because its size could
                not be bounded and a run would depend on the network.
            TypeError: something else.
        """
        if isinstance(image_url_or_urls, list | tuple):
            return [self.fetch_images(image) for image in image_url_or_urls]
        if isinstance(image_url_or_urls, str | Path):
            return _read(image_url_or_urls)
        if is_valid_image(image_url_or_urls):
            flat = getattr(image_url_or_urls, "ndim", 0) == 2  # grey, which Transformers would not take in a list
            return _from_array(image_url_or_urls, None) if flat else image_url_or_urls
        raise TypeError(f"an image must be a path, a PIL image or an array, not {type(image_url_or_urls).__name__}")

    def process_image(self, image: Any, **kwargs: Any) -> np.ndarray:
        """Make one picture (PIL, numpy or torch, uint8) a canvas [3, S, S].

        Raises:
            ConfigError: an unknown mode.
            RecordError: a PIL image that cannot be decoded, or is too large.
            ValueError: an array that is not uint8, whose range would have to be guessed, or has another shape.
        """
        if not isinstance(image, Image.Image):
            image = _from_array(image, kwargs.get("input_data_format"))
        colour: tuple[int, ...] = tuple(kwargs["pad_colour"])
        side = _side(kwargs["size"])
        rgb = to_rgb(image, getattr(image, "filename", "") or "(without a name)", colour)
        canvas = square(rgb, kwargs["mode"], side, colour, kwargs["resample"])
        return np.moveaxis(np.asarray(canvas), -1, 0)

    def _preprocess(self, images: list[np.ndarray], return_tensors: Any = None, **kwargs: Any) -> BatchFeature:
        return BatchFeature(data={"pixel_values": np.stack(images)}, tensor_type=return_tensors)


def _side(size: Any) -> int:
    """Return the side of the canvas in pixels."""
    sides = dict(size) if isinstance(size, Mapping) else vars(size)
    height, width = sides.get("height"), sides.get("width")
    if not height or height != width:
        raise ConfigError(f"the canvas is a square: size must have equal height and width, not {sides}")
    return int(height)


def _read(source: str | Path) -> Image.Image:
    text = str(source)
    if text.startswith("data:image/"):
        try:
            return decode_image(base64.b64decode(text.partition(",")[2], validate=True), text[:30] + "...")
        except ValueError as error:
            raise RecordError(f"image {text[:30]}... is not base64 ({error}); encode it again") from error
    if isinstance(source, str) and "://" in text:
        raise RecordError(f"image {text} is an address, and nothing is downloaded here; give the path of a file")
    return read_picture(source)


def _from_array(array: Any, channels: Any) -> Image.Image:
    """Return uint8 pixels [H, W], [H, W, C] or [C, H, W] with 1, 3 or 4 channels (grey, RGB, RGBA) as a picture."""
    if str(array.dtype).removeprefix("torch.") != "uint8":
        raise ValueError(f"image arrays must be uint8, not {array.dtype}")
    pixels = np.asarray(array.cpu() if isinstance(array, torch.Tensor) else array)
    if 0 in pixels.shape:
        raise ValueError(f"an image array of shape {list(pixels.shape)} has no pixels")
    if pixels.ndim == 3:
        layout = channels or infer_channel_dimension_format(pixels, num_channels=(1, 3, 4))
        pixels = np.moveaxis(pixels, 0, -1) if layout == ChannelDimension.FIRST else pixels
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    return Image.fromarray(np.ascontiguousarray(pixels))


class VsreProcessor(ProcessorMixin):
    """Image processor and tokenizer; each ``<image>`` becomes as many tokens as the model has visual tokens."""

    def __init__(
        self,
        image_processor: VsreImageProcessor,
        tokenizer: Any,
        chat_template: str | None = CHAT_TEMPLATE,
        num_image_tokens: int = 256,
    ) -> None:
        self.image_token = "<image>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.num_image_tokens = num_image_tokens
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    def prepare_inputs_layout(self, images: Any = None, text: Any = None, **kwargs: Any) -> Any:
        """Read pictures and put texts into a list; rows without any picture (``[[], []]``) are as good as none."""
        images, text, videos, audio = super().prepare_inputs_layout(images=images, text=text, **kwargs)
        if isinstance(images, list) and not any(not isinstance(row, list) or row for row in images):
            images = None
        return images, text, videos, audio

    def validate_inputs(self, images: Any = None, text: Any = None, **kwargs: Any) -> None:
        """Compare the pictures with the ``<image>`` of every text.

        Raises:
            ValueError: a row has more or fewer pictures than ``<image>``; the row (from 0) and both numbers are named.
        """
        if isinstance(text, list) and all(isinstance(row, str) for row in text):
            wanted = [row.count(self.image_token) for row in text]
            for row, (asked, given) in enumerate(zip(wanted, _images_per_row(images, wanted), strict=True)):
                if asked != given:
                    raise ValueError(f"row {row} has {asked} {self.image_token} in its text but {given} images")
        super().validate_inputs(images=images, text=text, **kwargs)

    def _check_special_mm_tokens(self, text: list[str], text_inputs: Any, modalities: list[str]) -> None:
        """Refuse rows that truncation has robbed of image tokens; the model could not put the picture in."""
        try:
            super()._check_special_mm_tokens(text, text_inputs, modalities)
        except ValueError as error:
            kept = [list(ids).count(self.image_token_id) for ids in text_inputs["input_ids"]]
            wanted = [sample.count(self.image_token) for sample in text]
            raise ValueError(
                f"truncation leaves {kept} of {wanted} image tokens in the rows; "
                "leave out truncation and max_length, or shorten the texts"
            ) from error

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **kwargs: Any) -> str:
        """Return the placeholders of one image; their number depends only on the encoders and the fusion."""
        return self.image_token * self.num_image_tokens

    def _get_num_multimodal_tokens(self, image_sizes: list[list[int]] | None = None, **kwargs: Any) -> MultiModalData:
        """Return the placeholders per image, as serving tools ask for before they see any pixels."""
        if image_sizes is None:
            return MultiModalData()
        images = len(image_sizes)
        return MultiModalData(num_image_tokens=[self.num_image_tokens] * images, num_image_patches=[1] * images)

    def blank_canvas(self, images: int = 1) -> torch.Tensor:
        """Return ``images`` canvases [B, 3, S, S] of the pad colour: what a model sees when it sees nothing."""
        side = self.image_processor.size["height"]
        colour = torch.tensor(self.image_processor.pad_colour, dtype=torch.uint8)
        return colour[None, :, None, None].expand(images, 3, side, side).contiguous()


def _images_per_row(images: Any, wanted: Sequence[int]) -> list[int]:
    """Return how many images each row has; a flat list is dealt out in order, what is left belongs to the last row."""
    if images is None:
        return [0] * len(wanted)
    if isinstance(images, list) and images and all(isinstance(row, list) for row in images):
        if len(images) != len(wanted):
            raise ValueError(f"{len(images)} rows of images are given for {len(wanted)} texts")
        return [len(row) for row in images]
    total = len(make_flat_list_of_images(images))
    ends = [*(min(end, total) for end in accumulate(wanted[:-1])), total]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
