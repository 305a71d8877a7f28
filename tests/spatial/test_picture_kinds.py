"""Pictures of every kind have the pixels that a screen would show, or fail in one line that names the file."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spatial.errors import RecordError
from spatial.pictures import MAX_PIXELS, MEAN_COLOUR, decode_image, read_picture, to_rgb

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", **options)
    return buffer.getvalue()


def half_transparent(mode: str) -> Image.Image:
    """Black on the left, nothing on the right."""
    image = Image.new("RGBA", (8, 4), (0, 0, 0, 255))
    image.paste((255, 255, 255, 0), (4, 0, 8, 4))
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa", "La"])
def test_what_is_transparent_shows_the_background(mode: str) -> None:
    image = half_transparent("LA" if mode == "La" else "RGBA").convert(mode)
    shown = np.asarray(to_rgb(image, "a"))
    assert (shown[:, :4] == 0).all() and (shown[:, 4:] == MEAN_COLOUR).all()
    assert (np.asarray(to_rgb(image, "a", (1, 2, 3)))[:, 4:] == (1, 2, 3)).all()


def test_half_of_the_alpha_is_half_of_the_background() -> None:
    shown = np.asarray(to_rgb(Image.new("RGBA", (2, 2), (255, 0, 0, 128)), "a", (0, 0, 100)))
    assert np.abs(shown[0, 0].astype(int) - (128, 0, 50)).max() <= 1


def test_a_transparent_palette_entry_and_colour_show_the_background() -> None:
    palette = Image.new("P", (8, 4), 0)
    palette.putpalette([10, 20, 30, 200, 210, 220])
    palette.paste(1, (4, 0, 8, 4))
    plain = np.asarray(decode_image(png(palette), "a"))
    assert (plain[:, :4] == (10, 20, 30)).all() and (plain[:, 4:] == (200, 210, 220)).all()
    shown = np.asarray(decode_image(png(palette, transparency=1), "a"))
    assert (shown[:, :4] == (10, 20, 30)).all() and (shown[:, 4:] == MEAN_COLOUR).all()
    keyed = np.asarray(decode_image(png(Image.new("RGB", (2, 2), (9, 9, 9)), transparency=(9, 9, 9)), "a"))
    assert (keyed == MEAN_COLOUR).all()


def test_an_opaque_alpha_channel_changes_nothing() -> None:
    image = Image.fromarray(PIXELS)
    assert np.array_equal(np.asarray(to_rgb(image.convert("RGBA"), "a")), PIXELS)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_integers_are_scaled_by_their_range(mode: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(2, 0)
    types = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}
    image = Image.frombytes(mode, (256, 2), ramp.astype(types[mode]).tobytes())
    shown = np.asarray(to_rgb(image, "a"))
    assert np.array_equal(shown[0, :, 0], np.arange(256)) and (shown[..., 0] == shown[..., 2]).all()


def test_a_dark_16_bit_picture_stays_dark() -> None:
    image = Image.fromarray(np.full((2, 2), 200, dtype=np.uint16))
    assert np.asarray(decode_image(png(image), "a")).max() == 1


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floats_are_scaled_by_the_smallest_range_that_holds_them(top: float) -> None:
    image = Image.fromarray(np.array([[0.0, 0.5 * top, top]], dtype=np.float32))
    assert np.asarray(to_rgb(image, "a"))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("value", [-1.0, 1e6, float("nan"), float("inf")])
def test_floats_of_no_known_range_are_refused_by_name(value: float) -> None:
    image = Image.fromarray(np.array([[0.0, value]], dtype=np.float32))
    with pytest.raises(RecordError, match=r"depth\.tif cannot be decoded \(values from"):
        to_rgb(image, "depth.tif")


def test_a_file_is_read_upright_and_once(tmp_path: Path) -> None:
    source = Image.fromarray(PIXELS)
    exif = source.getexif()
    exif[0x0112] = 6
    path = tmp_path / "photo.png"
    source.save(path, exif=exif)
    expected = np.rot90(PIXELS, -1)
    assert np.array_equal(np.asarray(read_picture(path)), expected)
    again = to_rgb(read_picture(str(path)), "a")
    assert np.array_equal(np.asarray(again), expected), "an upright picture is not turned again"


def test_files_in_trouble_are_named_in_one_line(tmp_path: Path) -> None:
    for name, content in {
        "empty.png": b"",
        "text.jpg": b"no image",
        "cut.png": png(Image.fromarray(PIXELS))[:60],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RecordError, match=f"{name} cannot be decoded") as caught:
            read_picture(tmp_path / name)
        assert "\n" not in str(caught.value)
    for name in ("missing.png", "", "a\0b"):
        with pytest.raises(RecordError, match="cannot be read"):
            read_picture(tmp_path / name)


@pytest.mark.parametrize("side", [8001, 20_000])
def test_bombs_are_refused_with_pixels_and_limit(side: int) -> None:
    """The first is below Pillow's own limit, the second above it."""
    pixel = png(Image.new("1", (1, 1)))
    header = pixel[12:16] + struct.pack(">II", side, side) + pixel[24:29]
    bomb = pixel[:12] + header + struct.pack(">I", zlib.crc32(header)) + pixel[33:]
    with pytest.raises(RecordError, match=rf"bomb\.png has .*{MAX_PIXELS}") as caught:
        decode_image(bomb, "bomb.png")
    assert f"{side}x{side}" in str(caught.value) or str(side * side) in str(caught.value)


def test_files_that_would_start_another_program_are_refused() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(RecordError, match="cannot identify"):
        decode_image(eps, "drawing.eps")
