"""Files like those that benchmarks are released as, with few rows and pictures made up on the spot."""

import base64
import csv
import io
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from eval.answering import neutral_choice
from eval.config import DataConfig
from spatial.benchmarks import RELEASED
from spatial.dataset import RecordSet
from spatial.records import Record
from spatial.templates import TEMPLATES, Prompt, choose_templates, render

WHATSUP_PHRASES = {
    "whatsup-a": {"on": "on", "under": "under", "left_of": "to the left of", "right_of": "to the right of"},
    "whatsup-b": {
        "in-front_of": "in front of",
        "behind": "behind",
        "left_of": "to the left of",
        "right_of": "to the right of",
    },
}
"""What photos' names say of the relation, and what captions say."""


def picture(seed: int, width: int = 24, height: int = 16) -> bytes:
    """Return a small JPEG, wider than high; another seed gives other pixels."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format="JPEG")
    return buffer.getvalue()


def base64_picture(seed: int) -> str:
    """Return a picture as tables hold it."""
    return base64.b64encode(picture(seed)).decode()


def expect(monkeypatch: pytest.MonkeyPatch, kind: str, rows: int, asked: int | None = None) -> None:
    """Make a benchmark's release one of so many rows, without a hash."""
    known = replace(RELEASED[kind], rows=rows, asked=rows if asked is None else asked, hash="")
    monkeypatch.setitem(RELEASED, kind, known)


def whatsup(folder: Path, kind: str, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Write a complete set of four photos for every pair of objects; return the rows, the right caption first."""
    rows = []
    photos = folder / RELEASED[kind].pictures
    photos.mkdir(parents=True, exist_ok=True)
    for number, (subject, other) in enumerate(pairs):
        captions = {said: f"A {subject} {phrase} a {other}" for said, phrase in WHATSUP_PHRASES[kind].items()}
        for place, said in enumerate(captions):
            name = f"{subject.replace(' ', '-')}_{said}_{other.replace(' ', '-')}.jpeg"
            (photos / name).write_bytes(picture(4 * number + place))
            rest = [caption for other_said, caption in captions.items() if other_said != said]
            path = f"data/{RELEASED[kind].pictures}/{name}"
            rows.append({"image_path": path, "caption_options": [captions[said], *rest]})
    random.Random(0).shuffle(rows)
    write_json(folder / RELEASED[kind].file, rows)
    return rows


def numbered(folder: Path, kind: str, rows: Sequence[tuple[int, str, str]]) -> None:
    """Write captions about numbered photos, as the COCO and Visual Genome sets have them, and the photos."""
    photos = folder / RELEASED[kind].pictures
    photos.mkdir(parents=True, exist_ok=True)
    for number in {row[0] for row in rows}:
        name = f"{number:012d}.jpg" if photos.name == "val2017" else f"{number}.jpg"
        (photos / name).write_bytes(picture(number))
    write_json(folder / RELEASED[kind].file, rows)


def mme(folder: Path, questions: dict[str, str]) -> None:
    """Write photos with the lines about them, as MME's position task has them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, text) in enumerate(questions.items()):
        (folder / f"{name}.txt").write_text(text)
        (folder / f"{name}.jpg").write_bytes(picture(number))


def mmbench(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a table with tabs, as MMBench's is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {"hint": "", "C": "", "D": "", "category": "spatial_relationship", "l2-category": "x", "split": "dev"}
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, ["index", "question", "A", "B", "answer", "image", *plain], delimiter="\t")
        table.writeheader()
        table.writerows({**plain, **row} for row in rows)


def parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a Parquet file whose pictures are structs, as ``datasets`` stores them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def embedded(seed: int) -> dict[str, Any]:
    """Return a picture as a Parquet file holds it."""
    return {"bytes": picture(seed), "path": f"{seed}.jpg"}


def write_json(path: Path, content: Any) -> None:
    """Write JSON in one line, as the released files are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def config(kind: str, folder: Path, **settings: str) -> DataConfig:
    """Return the settings that read a benchmark from a folder."""
    return DataConfig(kind=kind, path=str(folder), **settings)


def prompts(record: Record, selections: Sequence[str]) -> list[tuple[str, Prompt]]:
    """Return a record in the words of every template that suits it, of these selections."""
    found = []
    for name in choose_templates(selections):
        if TEMPLATES[name].task == record.task:
            try:
                found.append((name, render(record, TEMPLATES[name], 0)))
            except ValueError:
                continue
    return found


def constant_accuracy(records: RecordSet, template: str) -> float:
    """Return the accuracy of a scorer to which all options are alike."""
    right = 0
    for record in records.records:
        prompt = render(record, TEMPLATES[template], 0)
        said = neutral_choice(prompt.options, [0.0] * len(prompt.options), prompt.text, 0)
        right += said == prompt.answer
    return right / len(records.records)
