"""From pictures and text to model inputs.

One geometry for every encoder: the picture is scaled to fit a square canvas, its aspect kept, and centred on the mean
colour. Nothing is cropped, so no object of a relation disappears, and a place in the picture is the same relative place
in every encoder's grid. The canvas stays uint8; the tower resizes and normalises per encoder on its device.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import PILImageResampling
from transformers.processing_utils import ImagesKwargs, MultiModalData, ProcessorMixin

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'user: ' if loop.first else ' user: ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{% endif %}"
    "{% else %}{{ ' assistant:' }}{% generation %}"
    "{% if message['content'] is string %}{{ ' ' + message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ ' ' + part['text'] }}{% endfor %}"
    "{% endif %}{{ eos_token }}{% endgeneration %}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' assistant:' }}{% endif %}"
)
"""``user: <image>{text} assistant:`` and then ``{answer}`` with a leading space and the end token."""

MEAN_COLOUR = (122, 116, 104)
"""CLIP's mean colour, which LLaVA pads with too."""


class VsreImageKwargs(ImagesKwargs, total=False):  # type: ignore[call-arg, misc]
    """Settings of the image processor beside those of every image processor."""

    pad_colour: tuple[int, int, int] | list[int]


class VsreImageProcessor(PilBackend):
    """Pictures to letterboxed uint8 canvases ``pixel_values`` [B, 3, S, S] (PIL only; torchvision is not needed)."""

    valid_kwargs = VsreImageKwargs
    model_input_names: ClassVar[list[str]] = ["pixel_values"]
    size: ClassVar[dict[str, int]] = {"height": 128, "width": 128}
    resample = PILImageResampling.BICUBIC
    do_convert_rgb = True
    pad_colour = MEAN_COLOUR

    def process_image(self, image: Any, **kwargs: Any) -> np.ndarray:
        """Letterbox one picture (PIL, numpy or torch, uint8) to [3, S, S].

        Raises:
            ValueError: an array that is not uint8, whose range would have to be guessed.
        """
        if not isinstance(image, Image.Image):
            if str(image.dtype).removeprefix("torch.") != "uint8":
                raise ValueError(f"image arrays must be uint8, not {image.dtype}")
            channels_first = super().process_image(image, do_convert_rgb=True, **_layout(kwargs))
            image = Image.fromarray(np.moveaxis(np.asarray(channels_first, dtype=np.uint8), 0, -1))
        colour: tuple[int, ...] = tuple(kwargs["pad_colour"])
        canvas = letterbox(image.convert("RGB"), kwargs["size"]["height"], colour, kwargs["resample"])
        return np.moveaxis(np.asarray(canvas), -1, 0)

    def _preprocess(self, images: list[np.ndarray], return_tensors: Any = None, **kwargs: Any) -> BatchFeature:
        return BatchFeature(data={"pixel_values": np.stack(images)}, tensor_type=return_tensors)


def _layout(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"input_data_format": kwargs.get("input_data_format")}


def letterbox(
    image: Image.Image, side: int, colour: tuple[int, ...] = MEAN_COLOUR, resample: int = Image.Resampling.BICUBIC
) -> Image.Image:
    """Fit an RGB image into a square of ``side`` pixels, aspect kept, centred, the rest filled with ``colour``."""
    left, top, width, height = letterbox_box(image.width, image.height, side)
    if (width, height) != image.size:
        image = image.resize((width, height), resample=Image.Resampling(resample))
    if (width, height) == (side, side):
        return image
    canvas = Image.new("RGB", (side, side), colour)
    canvas.paste(image, (left, top))
    return canvas


def letterbox_box(width: int, height: int, side: int) -> tuple[int, int, int, int]:
    """Return left, top, width, height (pixels) of a picture's place on the canvas."""
    scale = side / max(width, height)
    inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
    return (side - inner_width) // 2, (side - inner_height) // 2, inner_width, inner_height


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
