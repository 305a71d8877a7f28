"""With ``copies``, LLaVA's format says every record in several templates, and gives every record back once."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datagen.config import ExportConfig, ImportConfig
from datagen.export.run import export, import_folder
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import RecordError
from spatial.records import ImageObject, ImageRow, Record, encode_png, image_id_of
from spatial.stream import Samples
from spatial.templates import TEMPLATES, choose_templates

ASKED = [name for name in choose_templates(["train"]) if TEMPLATES[name].task == "statement"]
UNBOXED = [name for name in ASKED if not TEMPLATES[name].needs_objects]


def run(dataset: Path, out: Path, **settings: Any) -> Path:
    return export(ExportConfig(str(dataset), "llava", str(out), **settings))


def talks(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "train.json").read_text())
    return found


def said(folder: Path) -> Counter[tuple[str, str]]:
    """Return how often each record is said in each template."""
    pairs: Counter[tuple[str, str]] = Counter()
    for talk in talks(folder):
        kept = talk["vsre"]
        pairs.update(zip([row["record_id"] for row in kept["records"]], kept["templates"], strict=True))
    return pairs


@pytest.fixture
def statements(tmp_path: Path) -> Path:
    """Return a dataset of two images with a true and a false statement each; only the first image has boxes."""
    cup, bed = ImageObject("cup", (0.0, 0.0, 2.0, 2.0)), ImageObject("bed", (1.0, 1.0, 4.0, 4.0))
    images, records = [], []
    for seed, objects in enumerate([(cup, bed), ()]):
        pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        images.append(ImageRow(image_id_of(pixels), encode_png(pixels), 5, 4, "render", objects))
        for caption, answer in (("The cup is on the bed.", "true"), ("The cup is under the bed.", "false")):
            relation = caption.split()[3]
            places = (0, 1) if objects else (-1, -1)
            row = (images[-1].image_id, caption, "original", "statement", "relation", caption, answer, *places)
            records.append(Record(*row, relation, concepts=("cup", "bed"), split="train"))
    write_shard(tmp_path / "data", 0, images, records)
    return tmp_path / "data"


def test_every_copy_is_a_conversation_in_a_template_of_its_own(statements: Path, tmp_path: Path) -> None:
    out = run(statements, tmp_path / "out", templates=["train"], copies=30)
    assert len(talks(out)) == 4 * 30 == len({talk["id"] for talk in talks(out)})
    assert set(said(out).values()) == {1}
    assert set(Counter(record for record, _ in said(out)).values()) == {30}
    assert {template for _, template in said(out)} <= set(ASKED)
    words = Counter((talk["image"], talk["conversations"][0]["value"]) for talk in talks(out))
    assert set(words.values()) == {1}
    held = json.loads((out / "vsre.json").read_text())
    assert (held["records"], held["conversations"], held["repeats"]) == (4, 120, 0)


def test_templates_come_again_only_when_all_that_suit_have_come(statements: Path, tmp_path: Path) -> None:
    out = run(statements, tmp_path / "out", templates=["train"], copies=69)
    assert (len(ASKED), len(UNBOXED)) == (69, 51)
    first, second = (sample.records for sample in Samples(statements))
    found = said(out)
    for record in first:
        assert [found[record.record_id, name] for name in ASKED] == [1] * 69
    for record in second:
        times = Counter(found[record.record_id, name] for name in UNBOXED)
        assert times == {1: 51 - 18, 2: 18}
    assert json.loads((out / "vsre.json").read_text())["repeats"] == 2 * 18


def test_repeated_letters_stand_in_another_order(statements: Path, tmp_path: Path) -> None:
    out = run(statements, tmp_path / "out", templates=["letters-state"], copies=12)
    by_record: dict[str, set[str]] = {}
    for talk in talks(out):
        by_record.setdefault(talk["vsre"]["records"][0]["record_id"], set()).add(talk["conversations"][1]["value"])
    assert list(by_record.values()) == [{"A", "B"}] * 4


def test_more_copies_begin_with_those_that_fewer_have(rendered: Path, tmp_path: Path) -> None:
    one, three = (run(rendered, tmp_path / str(copies), copies=copies) for copies in (1, 3))
    first = [talk for talk in talks(three) if "-" not in talk["id"]]
    assert first == talks(one) and len(talks(three)) == 3 * len(first)
    again = run(rendered, tmp_path / "again", copies=3)
    assert (again / "train.json").read_bytes() == (three / "train.json").read_bytes()
    other = run(rendered, tmp_path / "other", copies=3, seed=1)
    assert (other / "train.json").read_bytes() != (three / "train.json").read_bytes()


@pytest.mark.parametrize("turns", [0, 1, 5])
def test_copies_come_back_as_one_record(rendered: Path, tmp_path: Path, turns: int) -> None:
    out = run(rendered, tmp_path / "out", copies=3, turns=turns, templates=["train"])
    per_image = [len(sample.records) for sample in Samples(rendered)]
    assert len(talks(out)) == 3 * sum(-(-count // (turns or count)) for count in per_image)
    back, ours = DatasetFolder(import_folder(ImportConfig(str(out), str(tmp_path / "back")))), DatasetFolder(rendered)
    assert back.content_hash() == ours.content_hash()
    assert len(back.records) == sum(per_image) == len({(row.image_id, row.record_id) for row in back.records})
    assert (back.path / "README.md").read_bytes() == (rendered / "README.md").read_bytes()


def test_any_conversation_gives_its_record_back_and_a_changed_one_is_refused(statements: Path, tmp_path: Path) -> None:
    out = run(statements, tmp_path / "out", copies=3)
    kept = [talk for talk in talks(out) if talk["id"].endswith("-2")]
    assert len(kept) == 4
    (out / "train.json").write_text(json.dumps(kept))
    back = import_folder(ImportConfig(str(out), str(tmp_path / "back")))
    assert DatasetFolder(back).records == DatasetFolder(statements).records
    changed = run(statements, tmp_path / "changed", copies=3)
    rows = talks(changed)
    rows[0]["vsre"]["records"][0]["answer"] = "false"
    (changed / "train.json").write_text(json.dumps(rows))
    with pytest.raises(RecordError, match="was changed in one of its rows"):
        import_folder(ImportConfig(str(changed), str(tmp_path / "refused")))
    assert not (tmp_path / "refused").exists()
