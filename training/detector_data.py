"""What a detector is shown: a picture of a dataset folder with the mask of every thing and the depth of every pixel.

Masks and median depths are in the table. The depth of a pixel is not, but its scene is: the floor and the wall of a
plain backdrop are planes, and a thing is taken for its upright box, moved until its median is that of the table.

Shapes: H, W picture; P = H / 2 = W / 2, the pixels of a depth map.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from encoders.detector import MASK_STEP
from spatial.dataset import DatasetFolder
from spatial.errors import RecordError
from spatial.observation import pose_of
from spatial.records import ImageObject, ImageRow, decode_image, decode_mask
from spatial.scene import ObjectSpec, Scene
from training.draws import DrawnDataset

Mask = NDArray[np.bool_]

FARTHEST = 30.0
"""Metres; what is farther is taken to be here."""

KEPT = 16_000
"""Pictures that are kept decoded, about 100 kB each at 128 pixels."""

WALL = 0.75
"""A plain wall stands this many camera distances behind the camera's target."""


@dataclass(frozen=True)
class Thing:
    """A thing that a detector should find.

    Attributes:
        noun: index of its noun.
        mask: bool (H, W), the pixels that show it.
        certain: whether to find it is right and not to find it is wrong; if not, both are let pass.
    """

    noun: int
    mask: Mask
    certain: bool = True

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Pixel box x0, y0, x1, y1 around the mask, which is not empty."""
        rows, columns = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True)
class Sight:
    """A picture and all that is in it.

    Attributes:
        pixels: uint8 (H, W, 3).
        things: in no order; their masks do not overlap.
        log_depth: float32 (P, P), log metres in every other row and column; NaN where it is not known.
        seed: of what is drawn for this picture.
    """

    pixels: NDArray[np.uint8]
    things: tuple[Thing, ...]
    log_depth: NDArray[np.float32]
    seed: int = 0

    @property
    def covered(self) -> Mask:
        """Where there is any thing, (H, W)."""
        covered = np.zeros(self.pixels.shape[:2], np.bool_)
        for thing in self.things:
            covered |= thing.mask
        return covered


def sight_of(row: ImageRow, nouns: Sequence[str]) -> Sight:
    """Return what a picture of a dataset folder shows.

    Raises:
        RecordError: an object's noun is not in ``nouns``, or it has no mask.
    """
    pixels = np.asarray(decode_image(row.image, row.image_id))
    scene = Scene.from_json(row.scene) if row.scene else None
    depth = background_depth(scene, row.width, row.height)[::MASK_STEP, ::MASK_STEP].copy()
    things = []
    for index, item in enumerate(row.objects):
        if item.name not in nouns or not item.mask_rle:
            problem = "which has no mask" if item.name in nouns else "which the detector does not know"
            raise RecordError(f"image {row.image_id} shows a {item.name}, {problem}; render data of its nouns only")
        mask = decode_mask(item.mask_rle, row.height, row.width)
        if mask.any():
            things.append(Thing(nouns.index(item.name), mask))
            shown = mask[::MASK_STEP, ::MASK_STEP]
            depth[shown] = np.nan if scene is None else object_depth(scene, scene.objects[index], item, mask)
    return Sight(pixels, tuple(things), np.log(np.clip(depth, 0.1, FARTHEST)).astype(np.float32))


def background_depth(scene: Scene | None, width: int, height: int) -> NDArray[np.float64]:
    """Return the depth of floor and wall (H, W) in metres; NaN unless the backdrop is plain."""
    if scene is None or scene.backdrop.room is not None or scene.backdrop.outdoors is not None:
        return np.full((height, width), np.nan)
    camera = scene.camera
    sine, cosine = math.sin(math.radians(camera.elevation)), math.cos(math.radians(camera.elevation))
    _, up = _rays(scene, width, height)
    wall = (camera.target[1] + WALL * camera.distance - camera.origin[1]) / (cosine + up * sine)
    fall = sine - up * cosine
    floor = np.where(fall > 1e-6, camera.origin[2] / np.maximum(fall, 1e-6), np.inf)
    return np.repeat(np.minimum(floor, wall)[:, None], width, axis=1)


def object_depth(scene: Scene, spec: ObjectSpec, item: ImageObject, mask: Mask) -> NDArray[np.float64]:
    """Return the depth in metres of a mask's every other row and column: the upright box's, with the table's median."""
    height, width = mask.shape
    rows, columns = (MASK_STEP * index for index in np.nonzero(mask[::MASK_STEP, ::MASK_STEP]))
    right, up = _rays(scene, width, height)
    sine, cosine = math.sin(math.radians(scene.camera.elevation)), math.cos(math.radians(scene.camera.elevation))
    up_P = up[rows]
    ray_P3 = np.stack([right[columns], cosine + up_P * sine, up_P * cosine - sine], axis=1)
    pose = pose_of(spec)
    frame = np.array([(*pose.side, 0.0), (-pose.heading[0], -pose.heading[1], 0.0), (0.0, 0.0, 1.0)])
    start = frame @ (np.array(scene.camera.origin) - np.array(pose.position))
    direction_P3 = ray_P3 @ frame.T
    low = np.array([-pose.size[0] / 2, -pose.size[1] / 2, 0.0]) - start
    high = np.array([pose.size[0] / 2, pose.size[1] / 2, pose.size[2]]) - start
    safe = np.where(np.abs(direction_P3) < 1e-9, 1e-9, direction_P3)
    near, far = low / safe, high / safe
    entry, leave = np.minimum(near, far).max(1), np.maximum(near, far).min(1)
    hit = (entry < leave) & (entry > 0)
    depth = np.where(hit, entry, np.nan)
    if not hit.any():
        return np.full(len(rows), item.depth)
    middle = float(np.nanmedian(depth))
    return np.where(hit, depth * (item.depth / middle), item.depth)


def _rays(scene: Scene, width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the direction to the right of every column and upwards of every row, for one metre forward."""
    scale = 0.5 * height / math.tan(math.radians(scene.camera.fov) / 2)
    columns, rows = np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64)
    return (columns + 0.5 - width / 2) / scale, (height / 2 - rows - 0.5) / scale


class Sights(DrawnDataset[Sight]):
    """The pictures of record sets, disturbed anew in every epoch.

    Args:
        folders: pooled; a picture that several hold counts once.
        nouns: what the detector knows, in its order.
        side: of the pictures in pixels.
        disturb: what befalls a picture: it, a way to get a thing of another, and a generator.
        seed: of all draws, which depend on it, the epoch and the position alone; so a resumed run sees the same.

    Raises:
        RecordError: there is no picture with an object, one of a noun that is not known, or one of another size.
    """

    def __init__(
        self,
        folders: Sequence[DatasetFolder],
        nouns: Sequence[str],
        side: int,
        disturb: "Disturb | None" = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._source = {image_id: folder.images for folder in folders for image_id in folder.images}
        self._ids = sorted(self._source)
        self._nouns, self._side, self._disturb, self._seed = list(nouns), side, disturb, seed
        self._kept: dict[int, Sight] = {}
        names = {image_id: shown for folder in folders for image_id, shown in folder.object_names().items()}
        unknown = sorted(set().union(*names.values()) - set(nouns))
        if unknown:
            raise RecordError(
                f"the data shows {', '.join(unknown[:5])}{' ...' if unknown[5:] else ''}, which the detector does not "
                f"know; render data of its nouns only: {', '.join(nouns)}"
            )
        by_noun = [[i for i, image_id in enumerate(self._ids) if noun in names[image_id]] for noun in nouns]
        self._with_noun = [(index, np.array(places)) for index, places in enumerate(by_noun) if places]
        if not self._with_noun:
            raise RecordError("the data has no objects to detect; render some with 'vsre datagen'")
        self._sight(0)

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._ids)

    def __getitem__(self, index: int) -> Sight:
        """Return a picture as the current epoch has it."""
        rng = np.random.default_rng((self._seed, self.epoch, index))
        sight = self._sight(index)
        if self._disturb is not None:
            sight = self._disturb(sight, lambda: self._donor(rng), rng)
        return replace(sight, seed=int(rng.integers(2**31)))

    def _donor(self, rng: np.random.Generator) -> Sight:
        """Return a picture with one of its things; every noun is as likely, however rare it is."""
        noun, places = self._with_noun[int(rng.integers(len(self._with_noun)))]
        sight = self._sight(int(rng.choice(places)))
        return replace(sight, things=tuple(thing for thing in sight.things if thing.noun == noun)[:1])

    def _sight(self, index: int) -> Sight:
        if index in self._kept:
            return self._kept[index]
        image_id = self._ids[index]
        row = self._source[image_id][image_id]
        if (row.width, row.height) != (self._side, self._side):
            raise RecordError(
                f"image {image_id} is {row.width}x{row.height}, the detector takes {self._side}x{self._side};"
                f" render with image_size {self._side}"
            )
        sight = sight_of(row, self._nouns)
        if len(self._kept) < KEPT:
            self._kept[index] = sight
        return sight


Disturb = Callable[[Sight, Callable[[], Sight], np.random.Generator], Sight]
