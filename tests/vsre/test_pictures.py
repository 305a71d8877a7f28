"""Pictures in pages: the stored bytes where a browser can show them, boxes that lie on their objects."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spatial.errors import RecordError
from spatial.records import ImageObject, ImageRow, decode_image
from vsre.pictures import LARGEST_FILE, LARGEST_SIDE, data_uri, describe, draw_boxes, picture, place_labels

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def encoded(kind: str, pixels: np.ndarray = PIXELS) -> bytes:
    """Return an image file of a kind that Pillow writes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def row(data: bytes, *objects: ImageObject) -> ImageRow:
    """Return an image row of 32 x 24 pixels."""
    return ImageRow("image", data, 32, 24, "vsr", objects)


def shown(source: str) -> Image.Image:
    """Decode a data URI as a browser does, by the type that it declares."""
    head, _, content = source.partition(",")
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert head == f"data:image/{image.format.lower()};base64"  # type: ignore[union-attr]
    return image


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_what_browsers_show_is_embedded_byte_for_byte(kind: str) -> None:
    data = encoded(kind)
    source = picture(row(data)).source
    assert base64.b64decode(source.partition(",")[2]) == data
    assert shown(source).format == kind


@pytest.mark.parametrize("kind", ["TIFF", "BMP"])
def test_what_browsers_do_not_show_becomes_webp(kind: str) -> None:
    image = shown(picture(row(encoded(kind))).source)
    assert (image.format, image.size) == ("WEBP", (32, 24))


def test_a_large_photo_becomes_smaller_and_says_so() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1600, 3), dtype=np.uint8)
    data = encoded("PNG", noise)
    assert len(data) > LARGEST_FILE
    made = picture(ImageRow("large", data, 1600, 900, "vsr"))
    assert made.shrunk and (made.width, made.height) == (1600, 900)
    assert shown(made.source).size == (LARGEST_SIDE, 720)


def test_an_image_that_cannot_be_decoded_is_named() -> None:
    with pytest.raises(RecordError, match="image image cannot be decoded"):
        picture(row(encoded("PNG")[:60]))


def test_objects_are_told_in_words() -> None:
    objects = (ImageObject("cup", (0, 0, 1, 1), "red"), ImageObject("dining table", (0, 0, 1, 1)))
    assert describe(row(b"", *objects)) == "red cup, dining table"
    assert describe(row(b"")) == "image"


boxes = st.tuples(*[st.floats(-20, 60)] * 4).map(
    lambda box: (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
)


@given(st.lists(boxes, max_size=6))
def test_boxes_and_labels_stay_within_the_picture(found: list[tuple[float, float, float, float]]) -> None:
    objects = [ImageObject("potted plant", box, "purple") for box in found]
    for box, item in zip(draw_boxes(objects, 32, 24), objects, strict=True):
        assert box.left >= 0 and box.top >= 0
        assert box.left + box.width <= 100.02 and box.top + box.height <= 100.02
        assert 0 <= box.label_left <= 100 and 0 <= box.label_bottom <= 100
        if all(0 <= edge <= size for edge, size in zip(item.box_xyxy, (32, 24, 32, 24), strict=True)):
            assert box.left == pytest.approx(100 * item.box_xyxy[0] / 32, abs=0.01)
            assert box.top + box.height == pytest.approx(100 * item.box_xyxy[3] / 24, abs=0.02)


def test_labels_of_neighbours_do_not_cover_each_other() -> None:
    spots = [(0.2, 0.4, 0.5, 0.6), (0.22, 0.41, 0.52, 0.61)]
    (_, first), (_, second) = place_labels(spots, ["purple laptop", "black plant"], 1.0)
    assert abs(first - second) >= 0.07


def test_a_picture_of_another_size_keeps_its_boxes_in_place() -> None:
    item = ImageObject("cup", (8, 6, 16, 12), "red")
    doubled = replace(item, box_xyxy=(16, 12, 32, 24))
    assert draw_boxes([item], 32, 24) == draw_boxes([doubled], 64, 48)


def test_a_data_uri_gives_the_pixels_back() -> None:
    content = base64.b64decode(data_uri(encoded("PNG")).partition(",")[2])
    assert np.array_equal(np.asarray(decode_image(content, "image")), PIXELS)
