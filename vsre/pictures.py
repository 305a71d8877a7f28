"""Pictures in pages: an image as a data URI, with what it shows in words and its objects as boxes to draw over it."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from spatial.boxes import meet
from spatial.records import ImageObject, ImageRow, decode_image

OBJECT_COLOURS = ("#56b4e9", "#e69f00", "#2fc28f", "#f0e442", "#d279b0", "#ff7f50", "#9db7ff", "#c0d860")
"""By index of the object, in boxes and in maps alike; the colour-blind can tell them apart (after Okabe and Ito)."""

SIGNATURES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif"}
"""How the files begin that browsers show; WebP is told by its RIFF header."""

LARGEST_SIDE = 1280
LARGEST_FILE = 500_000
"""A stored file of more bytes is shown as WebP, with at most ``LARGEST_SIDE`` pixels a side."""

SMALL = 200
"""Pictures of at most this width are shown at twice their size."""

LABEL_HEIGHT, LETTER_WIDTH = 0.07, 0.036
"""Of a label, as a share of the width of a picture as small pages show it."""

Spot = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture's width and height."""


@dataclass(frozen=True)
class Box:
    """An object of a picture; lengths in percent of the picture's width and height.

    Attributes:
        index: of the object in its image.
        label: colour and noun.
        colour: CSS colour of the frame.
        label_left, label_bottom: where the label begins.
    """

    index: int
    label: str
    colour: str
    left: float
    top: float
    width: float
    height: float
    label_left: float
    label_bottom: float


@dataclass(frozen=True)
class Layer:
    """A pass of the picture (depth, object ids, ...) as a data URI, with the meaning of its shades."""

    name: str
    source: str
    legend: str = ""


@dataclass(frozen=True)
class Picture:
    """What the template ``_picture.html.j2`` draws.

    Attributes:
        source: data URI.
        alt: what the picture shows, in words.
        width, height: in pixels of the stored image.
        shrunk: whether ``source`` has fewer pixels than the stored image.
    """

    source: str
    alt: str
    width: int
    height: int
    boxes: list[Box]
    layers: list[Layer]
    shrunk: bool = False

    @property
    def zoom(self) -> int:
        """How many times its own size the picture is shown where there is room."""
        return 2 if self.width <= SMALL else 1


def picture(row: ImageRow, alt: str = "", layers: Sequence[Layer] = (), side: int = LARGEST_SIDE) -> Picture:
    """Return an image ready for a page; files that browsers do not show, and large ones, become WebP.

    Args:
        row: the image.
        alt: what it shows; "" takes its objects.
        layers: its passes.
        side: largest width and height in pixels of what is made smaller; files may have as many bytes as that allows.

    Raises:
        RecordError: the image cannot be decoded.
    """
    data, shrunk = _shown_bytes(row, side)
    boxes = draw_boxes(row.objects, row.width, row.height)
    return Picture(data_uri(data), alt or describe(row), row.width, row.height, boxes, list(layers), shrunk)


def data_uri(image: bytes) -> str:
    """Return an image file as the source of an ``<img>``."""
    return f"data:image/{_format(image) or 'png'};base64,{base64.b64encode(image).decode()}"


def png_uri(image: Image.Image) -> str:
    """Return a picture as a small PNG, and as the source of an ``<img>``."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return data_uri(buffer.getvalue())


def describe(row: ImageRow) -> str:
    """Return the objects of an image in words: "green bus, yellow book"; "image" where none is known."""
    return ", ".join(_label(item) for item in row.objects) or "image"


def draw_boxes(objects: Sequence[ImageObject], width: int, height: int) -> list[Box]:
    """Return the boxes of objects in an image of ``width`` x ``height`` pixels, their labels kept apart."""
    spots = [_share(item.box_xyxy, width, height) for item in objects]
    labels = [_label(item) for item in objects]
    places = place_labels(spots, labels, width / height)
    return [
        Box(
            index,
            label,
            OBJECT_COLOURS[index % len(OBJECT_COLOURS)],
            *(round(100 * part, 2) for part in (left, top, right - left, bottom - top, *place)),
        )
        for index, ((left, top, right, bottom), label, place) in enumerate(zip(spots, labels, places, strict=True))
    ]


def place_labels(spots: Sequence[Spot], labels: Sequence[str], aspect: float) -> list[tuple[float, float]]:
    """Return where each label starts (left, bottom): above its box, below it or in it, the first place that is free.

    Args:
        spots: the boxes.
        labels: their texts.
        aspect: width over height of the picture.
    """
    tall = LABEL_HEIGHT * aspect
    taken: list[Spot] = []
    for (left, top, _, bottom), label in zip(spots, labels, strict=True):
        wide = min(LETTER_WIDTH * len(label), 1.0)
        start = max(0.0, min(left, 1 - wide))
        places = [(start, end - tall, start + wide, end) for end in (top, bottom + tall, top + tall, bottom)]
        inside = [place for place in places if place[1] >= 0 and place[3] <= 1] or places[-1:]
        free = [place for place in inside if not any(meet(place, other) for other in taken)]
        taken.append((free or inside)[0])
    return [(place[0], place[3]) for place in taken]


def upright(row: ImageRow, side: int = LARGEST_SIDE) -> Image.Image:
    """Decode an image; one of more than ``side`` pixels a side is made smaller.

    Raises:
        RecordError: the image cannot be decoded.
    """
    image = decode_image(row.image, row.image_id)
    image.thumbnail((side, side))
    return image


def _shown_bytes(row: ImageRow, side: int) -> tuple[bytes, bool]:
    """Return the bytes to show, and whether they have fewer pixels than the stored ones."""
    image = upright(row, side)
    if _format(row.image) and len(row.image) <= LARGEST_FILE * (side / LARGEST_SIDE) ** 2:
        return row.image, False
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=90)
    return buffer.getvalue(), image.width < row.width


def _format(image: bytes) -> str:
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "webp"
    return next((name for start, name in SIGNATURES.items() if image.startswith(start)), "")


def _label(item: ImageObject) -> str:
    return f"{item.colour} {item.name}".strip()


def _share(box: tuple[float, float, float, float], width: int, height: int) -> Spot:
    """Return a pixel box as shares of the picture, cut at its edges."""
    left, right = (min(max(box[i] / width, 0.0), 1.0) for i in (0, 2))
    top, bottom = (min(max(box[i] / height, 0.0), 1.0) for i in (1, 3))
    return left, top, right, bottom
