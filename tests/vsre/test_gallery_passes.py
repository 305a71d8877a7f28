"""Passes: whatever can be drawn of a scene is shown, small and without loss, to one scale for the images of a group."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageColor

from datagen.control import CONTROLS, lines
from datagen.render import render
from spatial.dataset import DatasetFolder
from spatial.records import ImageRow, decode_mask
from spatial.scene import Scene
from vsre.gallery.passes import BACKGROUND, layers_of
from vsre.pictures import OBJECT_COLOURS, Layer


@pytest.fixture(scope="module")
def images(renders: Path) -> list[ImageRow]:
    """Two rendered images."""
    return list(DatasetFolder(renders).images.values())[:2]


def pixels(layer: Layer) -> NDArray[np.uint8]:
    """Decode a pass to RGB."""
    data = base64.b64decode(layer.source.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def coloured(labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Paint labels the plain way."""
    colours = [BACKGROUND, *map(ImageColor.getrgb, OBJECT_COLOURS)]
    return np.array([[colours[label + 1] for label in line] for line in labels], dtype=np.uint8)


def test_the_renders_own_passes_and_the_stored_masks_are_shown(images: list[ImageRow]) -> None:
    layers, notes = layers_of(images, 2)
    assert notes == []
    names = [[layer.name for layer in own] for own in layers]
    assert names == [["depth", "ids", "parts", "normals", "edges", "masks"]] * 2, (
        "rgb is the stored image itself, so it is no pass"
    )
    for image, own in zip(images, layers, strict=True):
        shown = {layer.name: pixels(layer) for layer in own}
        ids = render(Scene.from_json(image.scene), 2).ids
        assert np.array_equal(shown["ids"], coloured(ids))
        masks = np.full(ids.shape, -1)
        for index, item in enumerate(image.objects):
            masks[decode_mask(item.mask_rle, *ids.shape)] = index
        assert np.array_equal(shown["masks"], coloured(masks))


def test_depth_is_bright_where_near_and_has_one_scale_in_a_group(images: list[ImageRow]) -> None:
    layers, _ = layers_of(images, 2)
    depths = [render(Scene.from_json(image.scene), 2).depth for image in images]
    shades = [pixels(own[0])[..., 0] for own in layers]
    order = np.argsort(np.concatenate(depths), axis=None)
    assert np.all(np.diff(np.concatenate(shades).reshape(-1)[order].astype(int)) <= 0)
    finite = np.concatenate(depths)[np.isfinite(np.concatenate(depths))]
    assert layers[0][0].legend == layers[1][0].legend == f"{finite.min():.4g} is white, {finite.max():.4g} is black"


def test_a_scene_that_is_drawn_differently_now_is_shown_and_said(images: list[ImageRow]) -> None:
    layers, notes = layers_of([replace(images[0], image_id="made by another version")], 2)
    assert layers[0][0].name == "rgb"
    assert np.array_equal(pixels(layers[0][0]), render(Scene.from_json(images[0].scene), 2).rgb)
    assert len(notes) == 1 and "differs from the stored image" in notes[0]


@pytest.mark.parametrize("scene", ["{}", "no JSON", '{"objects": 3}'])
def test_a_scene_that_cannot_be_drawn_leaves_the_masks(images: list[ImageRow], scene: str) -> None:
    layers, notes = layers_of([replace(images[0], scene=scene)], 2)
    assert [layer.name for layer in layers[0]] == ["masks"]
    assert len(notes) == 1 and "cannot be drawn again" in notes[0]


def test_a_mask_of_another_size_is_said_and_left_out(images: list[ImageRow]) -> None:
    item = replace(images[0].objects[0], mask_rle="3,4")
    layers, notes = layers_of([replace(images[0], scene="", objects=(item,))], 2)
    assert [layer.name for layer in layers[0]] == ["masks"] and "A mask cannot be drawn" in notes[0]


def test_a_photo_without_scene_and_masks_has_no_pass(images: list[ImageRow]) -> None:
    bare = replace(images[0], scene="", objects=(replace(images[0].objects[0], mask_rle=""),))
    layers, notes = layers_of([images[1], bare], 2)
    assert len(layers[0]) == 6 and layers[1] == [] and notes == []


def test_a_new_pass_appears_by_itself(images: list[ImageRow], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONTROLS, "outlines", lambda passes: [lines(passes.ids >= 0)])
    layers, notes = layers_of(images[:1], 2)
    shown = {layer.name: pixels(layer) for layer in layers[0]}
    assert list(shown) == ["depth", "ids", "parts", "normals", "edges", "outlines", "masks"] and notes == []
    assert np.array_equal(shown["outlines"][..., 0] == 255, render(Scene.from_json(images[0].scene)).ids >= 0)
