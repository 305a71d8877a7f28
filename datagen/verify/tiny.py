"""The detector and depth model that come with the code: the sixteen nouns of the plain world, at 128 pixels.

One network answers both. It knows its world only: asked for another noun it says so instead of finding nothing.
Pictures of another size are fitted into its square, and what it finds is put back to their size.

Shapes: H, W picture; S side of the network's square.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datagen.verify.base import Detection, Pixels
from spatial.errors import ConfigError, nearest
from spatial.observation import Box
from spatial.shipped import shipped_folder

if TYPE_CHECKING:
    from encoders.detector import TinyDetector
    from encoders.detector_decode import Found

NAME = "tiny-verifier"

BATCH = 16
"""Pictures that go through the network at once, always so many: a picture's numbers do not depend on the others."""

REMEMBERED = 256
"""Pictures whose results are kept: depth is asked for right after detections, of the same pictures."""

FILL = 128
"""Grey of the border around a picture that is not square."""


@dataclass(frozen=True)
class Fit:
    """How a picture (H, W) lies in the network's square: scaled to (height, width), from (top, left)."""

    picture_height: int
    picture_width: int
    height: int
    width: int
    top: int
    left: int

    def box(self, box: Box) -> Box:
        """Return a box of the square in the picture's pixels."""
        x, y = self.picture_width / self.width, self.picture_height / self.height
        columns = [min(max((side - self.left) * x, 0.0), float(self.picture_width)) for side in box[::2]]
        rows = [min(max((side - self.top) * y, 0.0), float(self.picture_height)) for side in box[1::2]]
        return (columns[0], rows[0], columns[1], rows[1])

    def restored(self, image_SS: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the part of a square image that shows the picture, at the picture's size (H, W)."""
        part = image_SS[self.top : self.top + self.height, self.left : self.left + self.width]
        if part.shape == (self.picture_height, self.picture_width):
            return part
        size = (self.picture_width, self.picture_height)
        return np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Look:
    """What the network says of one picture."""

    things: tuple[Detection, ...]
    depth: NDArray[np.float32]


class TinyVerifier:
    """Finds things and estimates depth with one small network (``Detector`` and ``DepthModel``).

    Args:
        network: in evaluation mode, on the device that it is to run on.
        name: under which its verdicts are reported.
    """

    def __init__(self, network: "TinyDetector", name: str = NAME) -> None:
        self.name, self._network = name, network
        self._nouns: list[str] = list(network.config.nouns or [])
        self.vocabulary: frozenset[str] | None = frozenset(self._nouns)
        self._side: int = network.config.image_size
        self._memory: OrderedDict[str, Look] = OrderedDict()

    def detect(self, pictures: Sequence[Pixels], nouns: Sequence[Sequence[str]]) -> list[list[Detection]]:
        """Return what of the nouns asked for each picture is found in it, the surest first.

        Raises:
            ConfigError: a noun is not in ``vocabulary``.
        """
        for noun in sorted({noun for asked in nouns for noun in asked}):
            if noun not in self._nouns:
                raise ConfigError(
                    f"detector {self.name} does not know {noun!r}{nearest(noun, self._nouns)}; name a published"
                    " detector such as 'owlv2', or leave the noun out"
                )
        looks = self._looks(pictures)
        return [
            [thing for thing in look.things if thing.name in asked] for look, asked in zip(looks, nouns, strict=True)
        ]

    def depth(self, pictures: Sequence[Pixels]) -> list[NDArray[np.float32]]:
        """Return (H, W) relative depth of each picture; larger is farther, the unit means nothing."""
        return [look.depth for look in self._looks(pictures)]

    def _looks(self, pictures: Sequence[Pixels]) -> list[Look]:
        keys = [_key(picture) for picture in pictures]
        known = {key: self._memory[key] for key in keys if key in self._memory}
        new = {key: picture for key, picture in zip(keys, pictures, strict=True) if key not in known}
        waiting = list(new.items())
        for start in range(0, len(waiting), BATCH):
            part = waiting[start : start + BATCH]
            known |= zip((key for key, _ in part), self._look([picture for _, picture in part]), strict=True)
        self._memory.update(known)
        while len(self._memory) > REMEMBERED:
            self._memory.popitem(last=False)
        return [known[key] for key in keys]

    def _look(self, pictures: Sequence[Pixels]) -> list[Look]:
        import torch

        from encoders.detector_decode import find

        squares = np.full((BATCH, self._side, self._side, 3), FILL, np.uint8)
        fits = [fitted(picture, square) for picture, square in zip(pictures, squares, strict=False)]
        pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous().to(self._network.device)
        found, depth_BSS = find(self._network, pixels)
        return [
            Look(tuple(self._detection(thing, fit) for thing in things), fit.restored(depth))
            for things, depth, fit in zip(found, depth_BSS, fits, strict=False)
        ]

    def _detection(self, thing: "Found", fit: Fit) -> Detection:
        mask = fit.restored(thing.mask.astype(np.float32)) >= 0.5
        return Detection(self._nouns[thing.noun], fit.box(thing.box), thing.score, mask, thing.depth)


def load_detector(path_or_name: str | Path = NAME, device: str = "auto") -> TinyVerifier:
    """Load a detector of ours.

    Args:
        path_or_name: a folder that ``vsre train`` wrote, or the name of one that is shipped.
        device: "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        CheckpointError: it is absent, of another architecture, incomplete or damaged.
        ConfigError: there is no such device here.
    """
    import torch

    from encoders.detector_load import load_detector_weights
    from encoders.device import usable_device

    network = load_detector_weights(shipped_folder(str(path_or_name)), torch.float32)
    return TinyVerifier(network.to(usable_device(device)))  # type: ignore[arg-type]


def _key(picture: Pixels) -> str:
    shape = "x".join(map(str, picture.shape))
    return f"{shape}:{hashlib.blake2b(picture.tobytes(), digest_size=16).hexdigest()}"


def fitted(picture: Pixels, square_SS3: Pixels) -> Fit:
    """Draw a picture into the middle of a square, as large as it fits, and return where."""
    side = len(square_SS3)
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    fit = (max(1, round(height * scale)), max(1, round(width * scale)))
    top, left = (side - fit[0]) // 2, (side - fit[1]) // 2
    if fit != (height, width):
        picture = np.asarray(Image.fromarray(picture).resize((fit[1], fit[0]), Image.Resampling.BILINEAR))
    square_SS3[top : top + fit[0], left : left + fit[1]] = picture
    return Fit(height, width, *fit, top, left)
