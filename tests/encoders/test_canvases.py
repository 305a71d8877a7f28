"""Pictures of every kind, size and source on their way to the canvas, and canvases as CLIP's processor makes them."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import vsre.hf  # noqa: F401
from encoders.canvas import centre_crop, crop_box, letterbox, square
from encoders.processing import VsreImageProcessor
from encoders.registry import ENCODERS
from spatial.errors import ConfigError, RecordError
from spatial.pictures import MAX_PIXELS, MEAN_COLOUR


def processor(side: int = 64, **options: Any) -> VsreImageProcessor:
    return VsreImageProcessor(size={"height": side, "width": side}, **options)


def canvas_of(image: Any, **options: Any) -> torch.Tensor:
    pixels: torch.Tensor = processor(**options)([image], return_tensors="pt")["pixel_values"]
    assert pixels.dtype == torch.uint8 and pixels.shape[:2] == (1, 3)
    return pixels[0]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "HSV", "RGBA", "I;16", "F"])
def test_every_mode_makes_a_canvas_of_the_right_colours(mode: str) -> None:
    """The left half is white and the right half is black; both survive every mode."""
    array = np.zeros((32, 64), dtype=np.uint8)
    array[:, :32] = 255
    if mode == "I;16":
        image = Image.fromarray(array.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(array.astype(np.float32) / 255)
    else:
        image = Image.fromarray(array).convert("RGB").convert(mode)
    canvas = canvas_of(image)
    assert (canvas[:, 20:44, 2:28] == 255).all() and (canvas[:, 20:44, 36:62] == 0).all()
    assert (canvas[:, :14].permute(1, 2, 0) == torch.tensor(MEAN_COLOUR, dtype=torch.uint8)).all()


def test_transparent_pixels_and_padding_are_the_same_colour() -> None:
    image = Image.new("RGBA", (64, 32), (255, 255, 255, 0))
    for colour in (MEAN_COLOUR, (5, 6, 7)):
        canvas = canvas_of(image, pad_colour=colour)
        assert (canvas.permute(1, 2, 0) == torch.tensor(colour, dtype=torch.uint8)).all()


def test_a_rotated_photo_is_turned_upright_by_path_and_as_pil(tmp_path: Path) -> None:
    upright = noise(40, 20)
    exif = Image.Exif()
    exif[0x0112] = 8
    upright.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as opened:
        assert opened.size == (20, 40)
        assert torch.equal(canvas_of(opened), canvas_of(upright))
    assert torch.equal(canvas_of(tmp_path / "photo.png"), canvas_of(upright))


@pytest.mark.parametrize("mode", ["pad", "crop"])
@pytest.mark.parametrize("size", [(1, 1), (20_000, 10), (10, 20_000), (3, 2), (64, 64)])
def test_extreme_sizes_make_a_canvas(size: tuple[int, int], mode: str) -> None:
    canvas = canvas_of(Image.new("RGB", size, (200, 30, 40)), mode=mode)
    coloured = (canvas.permute(1, 2, 0) == torch.tensor((200, 30, 40), dtype=torch.uint8)).all(-1)
    if mode == "crop":
        assert coloured.all()
    else:
        width, height = (max(1, round(64 * length / max(size))) for length in size)
        assert int(coloured.any(0).sum()) == width and int(coloured.any(1).sum()) == height
        assert int(coloured.sum()) == width * height


def test_the_middle_of_a_very_long_picture_is_cut_without_scaling_all_of_it() -> None:
    long = noise(20_000, 10)
    assert crop_box(20_000, 10, 336)[2] * 336 > MAX_PIXELS
    middle = centre_crop(long, 336)
    near = centre_crop(long.crop((9_900, 0, 10_100, 10)), 336)  # the same middle, by way of the whole scaled picture
    assert np.abs(np.asarray(middle).astype(int) - np.asarray(near)).max() <= 1


def test_every_way_of_giving_a_picture_gives_the_same_canvas(tmp_path: Path) -> None:
    image = noise(50, 30)
    image.save(tmp_path / "a.png")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    array = np.asarray(image).copy()
    tensor = torch.from_numpy(array)
    alpha = np.dstack([array, np.full(array.shape[:2], 255, dtype=np.uint8)])
    kinds: list[Any] = [
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
        array,
        np.moveaxis(array, -1, 0),
        tensor,
        tensor.permute(2, 0, 1),
        alpha,
    ]
    expected = canvas_of(image)
    for kind in kinds:
        assert torch.equal(canvas_of(kind), expected)
    whole = processor()(torch.stack([tensor, tensor]), return_tensors="pt")["pixel_values"]
    assert whole.shape[0] == 2 and torch.equal(whole[1], expected)
    grey = np.asarray(image.convert("L"))
    for one in (grey, grey[None], grey[..., None]):
        assert torch.equal(canvas_of(one), canvas_of(image.convert("L")))
    clear = np.dstack([array, np.zeros(array.shape[:2], dtype=np.uint8)])
    assert torch.equal(canvas_of(clear), canvas_of(Image.new("RGB", (50, 30), MEAN_COLOUR)))


def test_files_and_addresses_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    image = noise(300, 300)
    image.save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:5000])
    cases: list[tuple[Any, str]] = [
        (tmp_path / "cut.png", r"cut\.png cannot be decoded"),
        (Image.open(tmp_path / "cut.png"), r"cut\.png cannot be decoded"),
        (str(tmp_path / "missing.png"), r"missing\.png cannot be read"),
        ("https://example.org/a.png", "nothing is downloaded here; give the path"),
        ("data:image/png;base64,***", "is not base64"),
        ("data:image/png;base64,AAAA", "cannot be decoded"),
        (Image.new("1", (8001, 8001)), f"8001x8001 pixels, more than {MAX_PIXELS}"),
    ]
    for source, message in cases:
        with pytest.raises(RecordError, match=message) as caught:
            processor()([source])
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match="not int"):
        processor()([3])
    for array in (np.zeros((4, 4, 3)), np.zeros((4, 4, 3), dtype=np.uint16), torch.zeros(3, 4, 4)):
        with pytest.raises(ValueError, match="must be uint8"):
            processor()([array])
    with pytest.raises(ValueError, match="no pixels"):
        processor()([np.zeros((0, 4, 3), dtype=np.uint8)])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(4, 96), st.integers(0, 99))
def test_crop_gives_the_very_pixels_of_clips_processor(width: int, height: int, side: int, seed: int) -> None:
    image = noise(width, height, seed)
    theirs = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    expected = theirs([image], return_tensors="pt")["pixel_values"][0]
    mean, std = (torch.tensor(values)[:, None, None] for values in (ENCODERS["clip"].mean, ENCODERS["clip"].std))
    pixels = torch.round((expected * std + mean) * 255)
    assert torch.equal(canvas_of(image, side=side, mode="crop").float(), pixels)


def test_a_cropping_tower_sees_what_llavas_clip_sees(build: Any) -> None:
    """Canvas and input of the tower are equal in size, so nothing is resized a second time."""
    model, ours = build(("clip",))
    tower = model.model.vision_tower
    side = tower.plans["clip"].image_size
    seen: list[torch.Tensor] = []
    tower.towers["clip"].register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True
    )
    theirs = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    for size in ((90, 41), (41, 90), (32, 32), (7, 30)):
        image = noise(*size)
        tower(canvas_of(image, side=side, mode="crop")[None])
        expected = theirs([image], return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(seen.pop(), expected, atol=1e-5, rtol=0)
    assert ours.image_processor.mode == "pad"


def test_the_mode_is_saved_and_old_checkpoints_pad(tmp_path: Path) -> None:
    wide = noise(60, 30)
    processor(mode="crop").save_pretrained(tmp_path)
    loaded = AutoImageProcessor.from_pretrained(tmp_path)
    assert type(loaded) is VsreImageProcessor and loaded.mode == "crop"
    assert torch.equal(loaded(wide, return_tensors="pt")["pixel_values"][0], canvas_of(wide, mode="crop"))
    file = tmp_path / "preprocessor_config.json"
    saved = json.loads(file.read_text())
    assert saved.pop("mode") == "crop"
    file.write_text(json.dumps(saved))
    old = AutoImageProcessor.from_pretrained(tmp_path)
    assert old.mode == "pad"
    assert torch.equal(old(wide, return_tensors="pt")["pixel_values"][0], canvas_of(wide))
    assert torch.equal(old(wide, mode="crop", return_tensors="pt")["pixel_values"][0], canvas_of(wide, mode="crop"))
    for call in (lambda: processor(mode="corp"), lambda: old(wide, mode="corp")):
        with pytest.raises(ConfigError, match="did you mean 'crop'"):
            call()


@given(st.integers(1, 200), st.integers(1, 200))
def test_a_square_without_a_size_keeps_every_pixel_it_keeps(width: int, height: int) -> None:
    image = noise(width, height)
    padded, cropped = square(image), square(image, "crop")
    assert padded.size == (max(width, height),) * 2 and cropped.size == (min(width, height),) * 2
    left, top = (padded.width - width) // 2, (padded.height - height) // 2
    assert np.array_equal(np.asarray(padded)[top : top + height, left : left + width], np.asarray(image))
    left, top = (width - cropped.width) // 2, (height - cropped.height) // 2
    kept = np.asarray(image)[top : top + cropped.height, left : left + cropped.width]
    assert np.array_equal(np.asarray(cropped), kept)


def test_a_square_goes_in_front_of_any_processor() -> None:
    image = noise(90, 40)
    theirs = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    whole = theirs([square(image)], return_tensors="pt")["pixel_values"]
    expected = theirs([letterbox(image, 90)], return_tensors="pt")["pixel_values"]
    assert torch.equal(whole, expected) and not torch.equal(whole, theirs([image], return_tensors="pt")["pixel_values"])
    with pytest.raises(RecordError, match="20000x10 makes a square of more than"):
        square(Image.new("RGB", (20_000, 10)))
