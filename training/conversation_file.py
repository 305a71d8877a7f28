"""A file of conversations as LLaVA has them: read once, checked whole, and held as one Arrow table.

    [{"id": "a", "image": "coco/train2017/000000000009.jpg",
      "conversations": [{"from": "human", "value": "<image>\\nWhat is it?"}, {"from": "gpt", "value": "A cup."}, ...]}]

or one such object a line (.jsonl). The table is one block of memory, which loader workers share after a fork, where
Python's strings would be copied one by one as their reference counts change.

What LLaVA's own reader mends is mended here alike (``preprocess_multimodal`` and ``preprocess_v1`` of its
``llava/train/train.py``): ``<image>`` may stand anywhere in a question, and the picture comes first all the same; a
turn of the assistant before the first question is left out. What it passes over in silence is refused, or counted.
"""

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from encoders.chat import IMAGE
from spatial.errors import RecordError
from spatial.exposure import Exposure, exposure_of_names
from spatial.json_files import read_items, read_lines

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

SUFFIXES = (".json", ".jsonl")
"""How the name of a file of conversations ends; other entries of ``data`` are dataset folders."""

_HUMAN, _ASSISTANT = "human", "gpt"
_ROWS_AT_ONCE = 10_000
_log = logging.getLogger(__name__)


class Fault(Exception):
    """Why a row cannot be trained on, and how to mend it."""


@dataclass(frozen=True)
class Row:
    """A conversation.

    Attributes:
        name: its "id", or "row N" counted from 1 where it has none.
        image: path below the folder of pictures; "" for a row of text alone.
        talk: question, answer, question, answer, ... without ``<image>``.
    """

    name: str
    image: str
    talk: tuple[str, ...]


class ConversationFile:
    """A file of conversations, opened for training.

    Args:
        path: the file.
        images: folder of the pictures that its rows name; "": the file's own folder.

    Raises:
        RecordError: the file or the folder does not exist.
    """

    def __init__(self, path: str | Path, images: str | Path = "") -> None:
        self.path = Path(path)
        self.images = Path(images) if images else self.path.parent
        if not self.path.is_file():
            raise RecordError(f"conversations {self.path} do not exist; correct 'data'")
        if not self.images.is_dir():
            raise RecordError(f"the folder {self.images} of {self.path}'s pictures does not exist; correct 'images'")

    def content_hash(self) -> str:
        """Return the hash of the file's bytes; the pictures are known by their names only."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

    @cached_property
    def table(self) -> "pyarrow.Table":
        """All rows: name, image, talk.

        Raises:
            RecordError: the file is damaged, empty, or rows of it cannot be used; tells how many, and the first.
        """
        import pyarrow as pa

        text = pa.large_string()
        schema = pa.schema({"name": text, "image": text, "talk": pa.large_list(text)})
        batches = [pa.RecordBatch.from_pylist(rows, schema=schema) for rows in self._batches()]
        if not batches:
            raise RecordError(f"{self.path} has no conversations; correct 'data'")
        return pa.Table.from_batches(batches).combine_chunks()

    def __len__(self) -> int:
        """Return the number of conversations."""
        rows: int = self.table.num_rows
        return rows

    def row(self, index: int) -> Row:
        """Return one conversation."""
        found = self.table.slice(index, 1).to_pylist()[0]
        return Row(found["name"], found["image"], tuple(found["talk"]))

    def image_names(self) -> list[str]:
        """Return the picture of every row, "" where there is none."""
        names: list[str] = self.table.column("image").to_pylist()
        return names

    def turns(self) -> "NDArray[np.int64]":
        """Return how many answers every row has."""
        import pyarrow.compute as pc

        lengths: NDArray[np.int64] = pc.list_value_length(self.table.column("talk")).to_numpy()
        return lengths // 2

    def text_bytes(self) -> "NDArray[np.int64]":
        """Return how many bytes of text every row has, in UTF-8."""
        import pyarrow.compute as pc

        sizes = pc.binary_length(pc.list_flatten(self.table.column("talk"))).to_numpy()
        return np.add.reduceat(sizes, np.cumsum([0, *2 * self.turns()[:-1]]))

    def exposure(self) -> Exposure:
        """Return what training on it exposes a model to, as far as the pictures' names tell, and warn where they do."""
        seen, counts = exposure_of_names({name for name in self.image_names() if name})
        if any(counts.values()):
            shown = ", ".join(
                f"{count} photos that VSR's {split} dev or test part holds out"
                for split, count in counts.items()
                if count and split != "unknown"
            )
            unknown = f"{counts['unknown']} pictures whose names do not tell whether they are photos of VSR"
            parts = [part for part in (shown, unknown if counts["unknown"] else "") if part]
            _log.warning("%s shows %s; see docs/leakage.md", self.path, " and ".join(parts))
        return seen

    def require_images(self) -> None:
        """Check that every picture that a row names is a file.

        Raises:
            RecordError: some are not; tells how many, and the first.
        """
        names = dict.fromkeys(name for name in self.image_names() if name)
        folders: dict[Path, set[str]] = {}
        missing = []
        for name in names:
            place = self.images / name
            if place.parent not in folders:
                folders[place.parent] = _listing(place.parent)
            if place.name not in folders[place.parent]:
                missing.append(name)
        if missing:
            raise RecordError(
                f"{len(missing)} of {len(names)} pictures of {self.path} are missing in {self.images}, first"
                f" {missing[0]}; copy them there, or set 'images' to the folder that has them"
            )

    def _batches(self) -> Iterator[list[dict[str, Any]]]:
        """Yield good rows, many at a time; raise for bad ones at the end, when all have been counted."""
        faults: list[str] = []
        left_out: Counter[str] = Counter()
        rows: list[dict[str, Any]] = []
        read = read_lines(self.path) if self.path.suffix == ".jsonl" else read_items(self.path)
        number = 0
        for number, item in enumerate(read, 1):
            name = str(item.get("id", f"row {number}")) if isinstance(item, Mapping) else f"row {number}"
            try:
                row = parse_row(item, name, left_out)
            except Fault as fault:
                faults.append(f"{name!r} {fault}")
                continue
            rows.append({"name": row.name, "image": row.image, "talk": row.talk})
            if len(rows) == _ROWS_AT_ONCE:
                yield rows
                rows = []
        if faults:
            raise RecordError(f"{len(faults)} of {number} rows of {self.path} cannot be used; the first, {faults[0]}")
        if left_out:
            counts = ", ".join(f"{count} turns {what}" for what, count in left_out.items())
            _log.warning("%s: %s are left out, as LLaVA does", self.path, counts)
        if rows:
            yield rows


def parse_row(item: Any, name: str, left_out: Counter[str]) -> Row:
    """Return a row as it is trained on.

    Args:
        item: of the file.
        name: of the row, to be known by.
        left_out: counts turns that are left out, by reason.

    Raises:
        Fault: it cannot be trained on.
    """
    if not isinstance(item, Mapping) or not isinstance(item.get("conversations"), list):
        raise Fault("has no list 'conversations'; give it one")
    image = _image(item.get("image"))
    talk = _talk(item["conversations"], left_out)
    for place, text in enumerate(talk):
        if IMAGE not in text:
            continue
        if place % 2:
            raise Fault(f"has {IMAGE} in an answer, where no picture can be; write it in another way")
        if not image:
            raise Fault(f"has {IMAGE} but no 'image'; name its picture, or remove {IMAGE}")
    talk = [text.replace(IMAGE, "").strip() for text in talk]
    for place, text in enumerate(talk):
        if place % 2 and not text:
            raise Fault(f"has an empty answer in turn {place // 2 + 1}; write one, or remove the row")
    return Row(name, image, tuple(talk))


def _talk(turns: Sequence[Any], left_out: Counter[str]) -> list[str]:
    """Return questions and answers in turn."""
    for turn in turns:
        if not isinstance(turn, Mapping) or not isinstance(turn.get("value"), str):
            raise Fault("has a turn without a text as 'value'; give it one")
        if turn.get("from") not in (_HUMAN, _ASSISTANT):
            raise Fault(f"has a turn from {turn.get('from')!r}; only {_HUMAN!r} and {_ASSISTANT!r} take turns")
    speakers = [turn["from"] for turn in turns]
    start, end = 0, len(turns)
    if speakers[:1] == [_ASSISTANT]:
        start = 1
        left_out["of the assistant before a question"] += 1
    if speakers[start:] and speakers[-1] == _HUMAN:
        end -= 1
        left_out["that nobody answers"] += 1
    expected = [(_HUMAN, _ASSISTANT)[place % 2] for place in range(end - start)]
    if not expected or speakers[start:end] != expected:
        raise Fault(f"does not go from {_HUMAN!r} to {_ASSISTANT!r} in turns; join or remove turns")
    return [turn["value"] for turn in turns[start:end]]


def _image(image: Any) -> str:
    """Return a picture's path below the folder of pictures, "" where there is none."""
    if isinstance(image, list):
        if len(image) > 1:
            raise Fault(f"has {len(image)} pictures; one can be trained on: split it or remove it")
        image = image[0] if image else None
    if image is None or image == "":
        return ""
    if not isinstance(image, str):
        raise Fault(f"names its picture by {json.dumps(image)[:40]}; give a path")
    place = PurePosixPath(image)
    if place.is_absolute() or ".." in place.parts or "\0" in image:
        raise Fault(f"names the picture {image!r}, which is not below 'images'; give a path from there, without '..'")
    return str(place)


def _listing(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()
