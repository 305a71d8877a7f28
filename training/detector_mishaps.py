"""What an image generator gets wrong, done to renders: things that are missing, garbled, doubled or half hidden.

A thing that is painted over by the background, replaced by a smudge of its colours, or cut into shuffled tiles is no
thing any more, and the detector must not find it. A cut-out of another picture is a thing, wherever it is put; so
there may be two of one noun, which renders never show. What is mostly hidden is left undecided.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from encoders.detector import MASK_STEP
from training.detector_data import Mask, Sight, Thing

Rng = np.random.Generator
Pixels = NDArray[np.uint8]

SPOIL, ADD, HIDE, SOFTEN = 0.4, 0.35, 0.15, 0.25
"""How often a picture has a thing spoiled, another added, one partly hidden, or the things left without detail."""

MOSTLY, HARDLY = 0.7, 0.08
"""A thing of which less than the first share is left is undecided; of less than the second, hardly anything is."""

TELLING = 25
"""Shuffled tiles spoil a thing if they change its box by this much on average, of 255; a plain one looks the same."""

RIM = 2
"""Pixels around a mask that still have something of the thing."""


def disturb(sight: Sight, donor: Callable[[], Sight], rng: Rng) -> Sight:
    """Return the picture after some mishaps; ``donor`` gives another picture to cut things out of."""
    if rng.random() < 0.5:
        sight = flipped(sight)
    if sight.things and rng.random() < SPOIL:
        spoil = SPOILS[int(rng.integers(len(SPOILS)))]
        sight = spoil(sight, int(rng.integers(len(sight.things))), donor, rng)
    if rng.random() < ADD:
        for _ in range(int(rng.integers(1, 3))):
            giver = sight if sight.things and rng.random() < 0.4 else donor()
            sight = _added(sight, giver, rng)
    if sight.things and rng.random() < HIDE:
        sight = _partly_hidden(sight, rng)
    return softened(sight, rng) if rng.random() < SOFTEN else sight


def flipped(sight: Sight) -> Sight:
    """Return the mirror image."""
    things = tuple(replace(thing, mask=thing.mask[:, ::-1]) for thing in sight.things)
    return replace(sight, pixels=sight.pixels[:, ::-1], things=things, log_depth=sight.log_depth[:, ::-1])


def removed(sight: Sight, index: int, donor: Callable[[], Sight], rng: Rng) -> Sight:
    """Return the picture with the background where a thing was; its shadow stays."""
    hole = widened(sight.things[index].mask)
    pixels = sight.pixels.copy()
    pixels[hole] = _background(sight, hole, rng)[hole]
    return _without(sight, index, pixels, hole)


def smudged(sight: Sight, index: int, donor: Callable[[], Sight], rng: Rng) -> Sight:
    """Return the picture with a smudge of a thing's colours in its place."""
    thing = sight.things[index]
    colours = sight.pixels[thing.mask]
    sight = removed(sight, index, donor, rng)
    height, width = thing.mask.shape
    x0, y0, x1, y1 = thing.box
    blob = _blob(height, width, ((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0, y1 - y0), rng) & ~sight.covered
    pixels = sight.pixels.copy()
    pixels[blob] = _marbled(height, width, colours, rng)[blob]
    return _unknown(replace(sight, pixels=pixels), blob)


def shuffled(sight: Sight, index: int, donor: Callable[[], Sight], rng: Rng) -> Sight:
    """Return the picture with the tiles of a thing's box in another order."""
    thing = sight.things[index]
    x0, y0, x1, y1 = thing.box
    tile = max(3, min(x1 - x0, y1 - y0) // int(rng.integers(3, 6)))
    columns, rows = (x1 - x0) // tile, (y1 - y0) // tile
    if columns * rows < 6:
        return smudged(sight, index, donor, rng)
    patch = sight.pixels[y0 : y0 + rows * tile, x0 : x0 + columns * tile]
    tiles = patch.reshape(rows, tile, columns, tile, 3).swapaxes(1, 2).reshape(-1, tile, tile, 3)
    tiles = tiles[rng.permutation(len(tiles))]
    mixed = tiles.reshape(rows, columns, tile, tile, 3).swapaxes(1, 2).reshape(patch.shape)
    if np.abs(mixed.astype(np.int16) - patch).mean() < TELLING:
        return smudged(sight, index, donor, rng)
    place = np.zeros(thing.mask.shape, bool)
    place[y0 : y0 + rows * tile, x0 : x0 + columns * tile] = True
    others = np.logical_or.reduce([np.zeros_like(place), *(o.mask for i, o in enumerate(sight.things) if i != index)])
    sight = removed(sight, index, donor, rng)
    pixels = sight.pixels.copy()
    pixels[y0 : y0 + rows * tile, x0 : x0 + columns * tile] = mixed
    pixels[others] = sight.pixels[others]
    return _unknown(replace(sight, pixels=pixels), place & ~others)


def exchanged(sight: Sight, index: int, donor: Callable[[], Sight], rng: Rng) -> Sight:
    """Return the picture with another thing in a thing's place."""
    x0, y0, x1, y1 = sight.things[index].box
    sight, giver = removed(sight, index, donor, rng), donor()
    if not giver.things:
        return sight
    thing = giver.things[int(rng.integers(len(giver.things)))]
    gx0, gy0, gx1, gy1 = thing.box
    scale = float(np.sqrt((x1 - x0) * (y1 - y0) / ((gx1 - gx0) * (gy1 - gy0))))
    return _pasted(sight, giver, thing, ((x0 + x1) / 2, (y0 + y1) / 2), float(np.clip(scale, 0.4, 2.0)), rng)


def softened(sight: Sight, rng: Rng) -> Sight:
    """Return the picture with the detail within each thing blurred away; outlines stay, and so does what it is."""
    pixels = sight.pixels.copy()
    for thing in sight.things:
        x0, y0, x1, y1 = thing.box
        inside = thing.mask[y0:y1, x0:x1]
        crop = sight.pixels[y0:y1, x0:x1] * inside[..., None]
        radius = float(rng.uniform(0.5, 0.06 * np.sqrt((x1 - x0) * (y1 - y0)) + 0.6))
        colour = np.asarray(Image.fromarray(crop).filter(ImageFilter.GaussianBlur(radius)), np.float32)
        weight = Image.fromarray(inside.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(radius))
        flat = colour * (255 / np.maximum(np.asarray(weight, np.float32), 1))[..., None]
        pixels[y0:y1, x0:x1][inside] = np.clip(flat, 0, 255)[inside].astype(np.uint8)
    return replace(sight, pixels=pixels)


SPOILS = (removed, smudged, shuffled, exchanged)


def widened(mask: Mask, by: int = RIM) -> Mask:
    """Return a mask and the pixels within ``by`` rows and columns of it."""
    wide: Mask = ndimage.maximum_filter(mask, size=2 * by + 1, mode="constant")
    return wide


def _added(sight: Sight, giver: Sight, rng: Rng) -> Sight:
    if not giver.things:
        return sight
    thing = giver.things[int(rng.integers(len(giver.things)))]
    height, width = thing.mask.shape
    middle = (float(rng.uniform(0.08, 0.92) * width), float(rng.uniform(0.12, 0.92) * height))
    return _pasted(sight, giver, thing, middle, float(np.exp(rng.uniform(-0.4, 0.4))), rng)


def _pasted(sight: Sight, giver: Sight, thing: Thing, middle: tuple[float, float], scale: float, rng: Rng) -> Sight:
    """Put a cut-out of ``giver`` over the picture, with its middle where it is told."""
    x0, y0, x1, y1 = thing.box
    size = (max(4, round((x1 - x0) * scale)), max(4, round((y1 - y0) * scale)))
    crop = Image.fromarray(np.ascontiguousarray(giver.pixels[y0:y1, x0:x1])).resize(size, Image.Resampling.BILINEAR)
    shape = Image.fromarray(np.ascontiguousarray(thing.mask[y0:y1, x0:x1])).convert("L")
    cover = np.asarray(shape.resize(size, Image.Resampling.BILINEAR)) > 127
    cut = np.asarray(crop)
    if rng.random() < 0.5:
        cover, cut = cover[:, ::-1], cut[:, ::-1]
    height, width = thing.mask.shape
    left, top = round(middle[0] - size[0] / 2), round(middle[1] - size[1] / 2)
    x, y = max(left, 0), max(top, 0)
    part = np.s_[y - top : min(height - top, size[1]), x - left : min(width - left, size[0])]
    cover, cut = cover[part], cut[part]
    mask = np.zeros((height, width), bool)
    mask[y : y + cover.shape[0], x : x + cover.shape[1]] = cover
    if mask.sum() < 0.004 * mask.size:
        return sight
    pixels = sight.pixels.copy()
    pixels[mask] = cut[cover]
    whole = mask.sum() >= MOSTLY * thing.mask.sum() * scale**2
    hidden = _hidden(sight, mask)
    things = (*hidden.things, Thing(thing.noun, mask, thing.certain and bool(whole)))
    return _unknown(replace(hidden, pixels=pixels, things=things), mask)


def _partly_hidden(sight: Sight, rng: Rng) -> Sight:
    """Let the background cover one side of a thing."""
    thing = sight.things[int(rng.integers(len(sight.things)))]
    x0, y0, x1, y1 = thing.box
    share, side = rng.uniform(0.1, 0.8), int(rng.integers(4))
    hole = np.zeros(thing.mask.shape, bool)
    wide, high = round(share * (x1 - x0)), round(share * (y1 - y0))
    part = (np.s_[y0:y1, x0 : x0 + wide], np.s_[y0:y1, x1 - wide : x1], np.s_[y0 : y0 + high, x0:x1])
    hole[(*part, np.s_[y1 - high : y1, x0:x1])[side]] = True
    hole = widened(thing.mask & hole, 1) & (hole | ~sight.covered)
    pixels = sight.pixels.copy()
    pixels[hole] = _background(sight, hole, rng)[hole]
    return _unknown(replace(_hidden(sight, hole), pixels=pixels), hole)


def _hidden(sight: Sight, cover: Mask) -> Sight:
    """Return the picture's things as they are seen beside what covers them."""
    things = []
    for thing in sight.things:
        left = thing.mask & ~cover
        share = left.sum() / thing.mask.sum()
        if share > HARDLY:
            things.append(Thing(thing.noun, left, thing.certain and bool(share >= MOSTLY)))
        elif left.any():
            things.append(Thing(thing.noun, thing.mask, False))
    return replace(sight, things=tuple(things))


def _without(sight: Sight, index: int, pixels: Pixels, hole: Mask) -> Sight:
    others = tuple(thing for i, thing in enumerate(sight.things) if i != index)
    kept = replace(sight, things=others)
    covered = kept.covered  # the rim of a removed thing may lie on its neighbour
    pixels[covered] = sight.pixels[covered]
    return _unknown(replace(kept, pixels=pixels), hole & ~covered)


def _unknown(sight: Sight, where: Mask) -> Sight:
    log_depth = np.where(where[::MASK_STEP, ::MASK_STEP], np.float32(np.nan), sight.log_depth)
    return replace(sight, log_depth=log_depth)


def _background(sight: Sight, hole: Mask, rng: Rng) -> Pixels:
    """Return pixels to fill a hole with: the same rows of the same picture, from where nothing stands."""
    width = hole.shape[1]
    covered = widened(sight.covered)
    sources = [np.roll(np.arange(width), int(shift)) for shift in rng.integers(12, width - 12, 6)]
    sources += [np.arange(width)[::-1]]
    source = min(sources, key=lambda columns: int((covered[:, columns] & hole).sum()))
    filled = sight.pixels[:, source].copy()
    bad = covered[:, source] & hole
    if bad.any():
        free = ~covered
        count = free.sum(1, keepdims=True)
        rows = (sight.pixels * free[..., None]).sum(1) / np.maximum(count, 1)
        rows = np.where(count > 0, rows, sight.pixels.mean((0, 1)))
        filled[bad] = rows[np.nonzero(bad)[0]].astype(np.uint8)
    return filled


def _blob(height: int, width: int, middle: tuple[float, float], size: tuple[int, int], rng: Rng) -> Mask:
    """Return a random round or square-cornered shape of about a size."""
    power, wobble = rng.uniform(1.6, 5.0), rng.uniform(0.75, 1.1, 2)
    x = np.abs(np.arange(width) - middle[0]) / max(size[0] / 2 * wobble[0], 2)
    y = np.abs(np.arange(height) - middle[1]) / max(size[1] / 2 * wobble[1], 2)
    ragged = rng.uniform(0, 0.35) * (_smooth(height, width, int(rng.integers(6, 20)), rng) - 0.5)
    shape: Mask = x[None] ** power + y[:, None] ** power < 1 + ragged
    return shape


def _marbled(height: int, width: int, colours: Pixels, rng: Rng) -> Pixels:
    """Return a texture (H, W, 3) that flows between some colours."""
    picked = colours[rng.integers(0, len(colours), 3)].astype(np.float32)
    weight = np.stack([_smooth(height, width, int(rng.integers(3, 24)), rng) for _ in range(3)], axis=-1) ** 3 + 1e-3
    weight /= weight.sum(-1, keepdims=True)
    texture = weight @ picked + rng.normal(0, rng.uniform(0, 14), (height, width, 1))
    return np.clip(texture, 0, 255).astype(np.uint8)


def _smooth(height: int, width: int, cells: int, rng: Rng) -> NDArray[np.float32]:
    """Return noise between 0 and 1 (H, W) that changes over a ``cells``-th of the picture."""
    coarse = Image.fromarray(rng.random((cells + 1, cells + 1), dtype=np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
