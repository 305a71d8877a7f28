"""The rows on disk: an image with its objects, and a record, which is one statement about one image.

Records carry no wording of the instruction: ``spatial.templates.render`` puts a record into words when
training and evaluation read it. Identifiers are hashes of content, so the same data has the same names
wherever and in whatever order it was made.
"""

import io
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spatial.errors import RecordError
from spatial.pictures import MAX_PIXELS as MAX_PIXELS
from spatial.pictures import decode_image as decode_image
from spatial.scene import digest

TASKS = ("statement", "choice", "locate", "name", "count", "caption")
"""statement: answer "true"/"false". choice: answer is one of ``options``. locate: answer is a grid cell, or the two
cells of a box's corners.
name: answer is the phrase of the object in a cell. count: answer is a number word. caption: answer is text."""

TOPICS = ("relation", "presence", "colour", "count", "cell", "box", "heading", "scene", "place", "question")
"""What a record is about; only "relation" records name a relation of ``spatial.relations``. place: on which side of the
picture one thing is. question: whatever a benchmark asks in its own words, which then stand in ``caption``."""


@dataclass(frozen=True)
class ImageObject:
    """An object of an image: noun, colour word ("" if unknown), pixel box, and what else the source knows.

    Attributes:
        mask_rle: uncompressed COCO run lengths (column-major, starting with zeros) as "12,3,9", or "".
        depth: median distance along the view axis; NaN where unknown.
        pose: x, y, z, width, depth, height, yaw; empty where unknown.
    """

    name: str
    box_xyxy: tuple[float, float, float, float]
    colour: str = ""
    mask_rle: str = ""
    depth: float = float("nan")
    pose: tuple[float, ...] = ()


@dataclass(frozen=True)
class ImageRow:
    """One image of a dataset folder. ``scene`` is the canonical scene JSON, "" for photos."""

    image_id: str
    image: bytes
    width: int
    height: int
    source: str
    objects: tuple[ImageObject, ...] = ()
    scene_id: str = ""
    scene: str = ""
    licence: str = ""
    provenance: str = "{}"
    verdicts: str = "{}"


@dataclass(frozen=True)
class Record:
    """One statement about one image (see the module docstring, ``TASKS`` and ``TOPICS``).

    Attributes:
        subject: index into the image's objects, or -1.
        object: index into the image's objects, or -1.
        frame: "viewer", "intrinsic", "both", or "" where no frame is involved.
        caption: a full sentence with capital and full stop, true or false of the image as ``answer`` says for a
            statement, and true for every other task; of the topic "question", the question.
        options: answer alternatives of a choice, in neutral order; empty otherwise.
        negative_kind: how a false statement was made ("antonym", "swap", "absent", ...), or "".
        concepts: the nouns that the record is about, for hold-outs.
    """

    image_id: str
    group_id: str
    role_in_group: str
    task: str
    topic: str
    caption: str
    answer: str
    subject: int = -1
    object: int = -1
    relation: str = ""
    frame: str = ""
    confidence: str = "high"
    options: tuple[str, ...] = ()
    negative_kind: str = ""
    concepts: tuple[str, ...] = ()
    split: str = ""
    record_id: str = field(default="")

    def __post_init__(self) -> None:
        if not self.record_id:
            content = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "record_id"}
            object.__setattr__(self, "record_id", digest(json.dumps(content, sort_keys=True)))


def image_id_of(pixels: np.ndarray) -> str:
    """Return the hash of decoded RGB pixels (height, width, 3) uint8; it does not depend on the file format."""
    height, width, _ = pixels.shape
    return digest(f"{width}x{height}:".encode() + np.ascontiguousarray(pixels, dtype=np.uint8).tobytes())


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode RGB pixels (height, width, 3) uint8 as PNG; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def encode_mask(mask: NDArray[np.bool_]) -> str:
    """Encode a mask (height, width) as uncompressed COCO run lengths: column-major, starting with zeros."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], edges, [flat.size]])
    return ",".join(map(str, [*([0] if flat[0] else []), *np.diff(starts).tolist()]))


def decode_mask(run_lengths: str, height: int, width: int) -> NDArray[np.bool_]:
    """Return the mask (height, width) of uncompressed COCO run lengths; an empty string is an empty mask.

    Raises:
        RecordError: the lengths are no numbers, or do not fill the image.
    """
    try:
        lengths = [int(length) for length in run_lengths.split(",")] if run_lengths else [height * width]
    except ValueError as error:
        raise RecordError(f"mask run lengths are damaged ({error}); make the data again") from error
    if min(lengths) < 0 or sum(lengths) != height * width:
        raise RecordError(
            f"mask run lengths cover {sum(lengths)} pixels of a {width}x{height} image; make the data again"
        )
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width, order="F")


def row_dict(row: ImageRow | Record) -> dict[str, Any]:
    """Return a row as plain lists and dicts, as the Parquet writer takes it."""
    plain: dict[str, Any] = json_ready(asdict(row))
    return plain


def json_ready(value: Any) -> Any:
    """Return ``value`` with tuples as lists, all the way down."""
    if isinstance(value, dict):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    return value
