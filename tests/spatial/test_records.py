"""Images of any format decode to the same thing or fail by name; identifiers depend on content alone."""

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spatial.errors import RecordError
from spatial.records import MAX_PIXELS, Record, decode_image, decode_mask, encode_mask, encode_png, image_id_of

RECORD = Record("image", "group", "original", "statement", "relation", "The cup is on the bed.", "true", relation="on")


def pixels(seed: int = 0, height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def test_png_keeps_every_pixel_and_the_identifier() -> None:
    image = decode_image(encode_png(pixels()), "a.png")
    np.testing.assert_array_equal(np.asarray(image), pixels())
    assert image_id_of(np.asarray(image)) == image_id_of(pixels())
    assert encode_png(pixels()) == encode_png(pixels())


def test_the_identifier_knows_shape_and_content() -> None:
    ids = {image_id_of(pixels()), image_id_of(pixels(1)), image_id_of(pixels().reshape(32, 24, 3))}
    assert len(ids) == 3


@pytest.mark.parametrize("mode", ["RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(mode: str) -> None:
    source = Image.fromarray(pixels()).convert(mode)
    image = decode_image(encoded(source, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"), "a")
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), np.asarray(source.convert("RGB")))


def test_a_cmyk_jpeg_decodes() -> None:
    image = decode_image(encoded(Image.fromarray(pixels()).convert("CMYK"), "JPEG"), "a.jpg")
    assert (image.mode, image.size) == ("RGB", (32, 24))


def test_sixteen_bits_keep_their_brightness() -> None:
    grey = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (8, 1))
    decoded = np.asarray(decode_image(encoded(Image.fromarray(grey)), "a.png"))
    np.testing.assert_allclose(decoded[0, :, 0], grey[0] / 257.0, atol=1.0)


def test_a_photo_is_turned_upright() -> None:
    source = Image.fromarray(pixels())
    exif = source.getexif()
    exif[0x0112] = 6
    image = decode_image(encoded(source, "JPEG", exif=exif), "a.jpg")
    assert image.size == (24, 32)


@pytest.mark.parametrize(
    "data",
    [b"", b"no image", encode_png(pixels())[:200], encoded(Image.fromarray(pixels()), "JPEG")[:300]],
    ids=["empty", "text", "truncated png", "truncated jpeg"],
)
def test_broken_bytes_fail_by_name(data: bytes) -> None:
    with pytest.raises(RecordError, match=r"000000000042\.jpg"):
        decode_image(data, "000000000042.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(8001, 8001), (10_000, 10_000), (30_000, 30_000)])
def test_decompression_bombs_are_refused_unread(size: tuple[int, int]) -> None:
    assert size[0] * size[1] > MAX_PIXELS
    with pytest.raises(RecordError, match=r"bomb\.png"):
        decode_image(png_of_size(*size), "bomb.png")


def test_a_record_is_named_by_its_content() -> None:
    assert replace(RECORD).record_id == RECORD.record_id
    same = Record(
        "image", "group", "original", "statement", "relation", "The cup is on the bed.", "true", relation="on"
    )
    assert same.record_id == RECORD.record_id
    other = Record(
        "image", "group", "original", "statement", "relation", "The cup is on the bed.", "false", relation="on"
    )
    assert other.record_id != RECORD.record_id


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_run_lengths_give_the_mask_back(rows: list[list[bool]]) -> None:
    mask = np.array(rows)
    assert (decode_mask(encode_mask(mask), *mask.shape) == mask).all()


def test_run_lengths_of_another_size_are_refused() -> None:
    with pytest.raises(RecordError, match="cover 4 pixels"):
        decode_mask("1,3", 3, 3)
