"""A score on a part of VSR that the checkpoint may have seen is warned of, and marked in the results."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from datagen.assets import CORE
from eval.config import DataConfig, EvalConfig
from eval.leakage import check_leakage
from eval.run import evaluate
from spatial.exposure import Exposure
from spatial.leakage import file_name, packaged
from vsre.roots import ROOT

TEST = DataConfig(kind="vsr", images="photos")


def checkpoint_with(folder: Path, exposure: Exposure | None) -> str:
    folder.mkdir(exist_ok=True)
    facts = {"steps": 8} | ({"exposure": exposure.as_json()} if exposure else {})
    (folder / "training.json").write_text(json.dumps(facts))
    return str(folder)


@pytest.mark.parametrize(
    ("data", "parts", "inside"),
    [
        (TEST, ["zeroshot/test"], True),
        (DataConfig(kind="vsr", images="photos", split="dev"), ["zeroshot/dev"], True),
        (DataConfig(kind="vsr", images="photos", variant="random"), ["random/test"], False),
        (DataConfig(kind="vsr", images="photos", split="train"), ["zeroshot/train"], False),
    ],
)
def test_inside_the_target_nothing_is_said_and_outside_it_warns(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: DataConfig, parts: list[str], inside: bool
) -> None:
    found = check_leakage(checkpoint_with(tmp_path, Exposure(True, ("zeroshot",))), data)
    assert found and found["parts"] == parts and found["inside"] == inside
    assert bool(found["why"]) == (not inside) == bool(caplog.records)
    assert all(record.levelno == logging.WARNING and parts[0] in record.message for record in caplog.records)


def test_a_model_without_a_word_about_what_it_saw_is_marked_as_such(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for model in (str(tmp_path / "base"), checkpoint_with(tmp_path / "old", None)):
        found = check_leakage(model, TEST)
        assert found and found["inside"] is None and "does not say" in found["why"]
    assert not caplog.records


def test_the_shipped_base_says_which_held_out_nouns_its_renders_showed() -> None:
    found = check_leakage(str(ROOT / "vsre" / "assets" / "tiny-base"), TEST)
    nouns = sorted(packaged("zeroshot").concepts & {*CORE, "bowl", "handbag", "truck", "boat"})
    assert found and found["inside"] is False
    assert found["why"].endswith(f"{len(nouns)} nouns that zeroshot holds out, such as {', '.join(nouns[:3])}")


def test_annotations_beside_the_photos_are_found_as_the_evaluation_finds_them(tmp_path: Path) -> None:
    own = tmp_path / "own.dev.jsonl"
    own.write_text('{"image": "a.jpg"}\n')
    data = DataConfig(kind="vsr", images=str(tmp_path), variant="own", split="dev")
    found = check_leakage(checkpoint_with(tmp_path / "model", Exposure()), data)
    assert found and found["inside"] and found["parts"] == [f"{file_name(own)}/dev"]


def test_an_annotation_file_of_ones_own_is_known_by_its_content(tmp_path: Path) -> None:
    own = tmp_path / "own.test.jsonl"
    own.write_text('{"image": "a.jpg"}\n')
    data = DataConfig(kind="vsr", images="photos", annotations=str(tmp_path), variant="own")
    covered = check_leakage(checkpoint_with(tmp_path / "model", Exposure(True, (file_name(own),))), data)
    assert covered and covered["inside"] and covered["parts"] == [f"{file_name(own)}/test"]
    other = check_leakage(checkpoint_with(tmp_path / "model", Exposure(True, ("zeroshot",))), data)
    assert other and other["inside"] is False


def test_an_imported_folder_tells_which_part_it_is(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"vsr": {"names": ["random", "zeroshot"], "part": "test"}}))
    data = DataConfig(path=str(tmp_path))
    model = checkpoint_with(tmp_path / "model", Exposure(True, ("zeroshot",)))
    found = check_leakage(model, data)
    assert found and found["parts"] == ["random/test", "zeroshot/test"]
    assert found["why"] == "it saw photos of VSR that were guarded for zeroshot, not for random"
    assert check_leakage(model, DataConfig(path=str(tmp_path / "model"))) is None


def test_the_results_carry_it(
    checkpoint: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, data = tmp_path / "model", tmp_path / "data"
    shutil.copytree(checkpoint, model)
    shutil.copytree(dataset, data)
    checkpoint_with(model, Exposure(concepts={"zeroshot": ("book", "clock")}))

    def leakage_of(name: str) -> Any:
        config = EvalConfig(
            str(model), DataConfig(path=str(data), limit=4), str(tmp_path / name), ["question", "where"]
        )
        return json.loads((evaluate(config) / "results.json").read_text())["leakage"]

    assert leakage_of("plain") is None
    (data / "dataset.json").write_text(json.dumps({"vsr": {"names": ["zeroshot"], "part": "test"}}))
    assert leakage_of("vsr")["inside"] is False
    assert "2 nouns that zeroshot holds out" in caplog.text
