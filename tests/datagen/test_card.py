"""The card counts what is there, in the form that the hub reads, and names the commands that make the data again."""

import json
import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.card import write_card
from datagen.card_checks import leakage
from datagen.config import DatagenConfig, ExportConfig
from datagen.export.run import export
from datagen.recipe import choose_recipes
from datagen.run import content_settings, generate
from datagen.tally import Draws, Tally
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import RecordError
from spatial.exposure import Exposure
from spatial.leakage import packaged
from spatial.records import ImageRow, Record
from spatial.relations import RELATIONS
from spatial.stream import Sample
from vsre.cli import main
from vsre.settings import parse


def header(text: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return content


def table(text: str, heading: str, place: int = 0) -> list[list[str]]:
    """Return the rows of a table below a heading, by default of the first."""
    parts = text.split(f"## {heading}\n\n")[1].split("\n## ")[0].split("\n\n")
    lines = [part.splitlines() for part in parts if part.startswith("|")][place]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def copy(source: Path, folder: Path, images: Sequence[ImageRow], records: Sequence[Record]) -> str:
    """Write rows as a dataset of its own, with the settings of ``source``, and return its card."""
    write_shard(folder, 0, images, records)
    settings = json.loads((source / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(settings | {"shards": 1}))
    return write_card(folder).read_text()


def test_every_count_is_that_of_the_data(rendered: Path) -> None:
    text, data = (rendered / "README.md").read_text(), DatasetFolder(rendered)
    records = {row.record_id: row for row in data.records}.values()
    kinds = Counter((row.task, row.topic, row.split) for row in records)
    assert table(text, "Records") == [[*kind, f"{count:,}"] for kind, count in sorted(kinds.items())]
    statements = [row for row in records if (row.task, row.topic) == ("statement", "relation")]
    truths = Counter((row.relation, row.frame, row.answer) for row in statements)
    for relation, frame, true, false, share in table(text, "Relation statements"):
        assert (int(true), int(false)) == (truths[relation, frame, "true"], truths[relation, frame, "false"])
        assert share == "50.0%"
    made = Counter((row.topic, row.negative_kind) for row in records if row.answer == "false")
    assert [row[:3] for row in table(text, "False statements")] == [
        [topic, kind, str(count)] for (topic, kind), count in sorted(made.items())
    ]
    assert f"{len(data.images)} images (12 `render`) in 6 groups" in text
    assert data.content_hash() in text


def test_draws_are_accepted_groups_over_attempts(rendered: Path, tmp_path: Path) -> None:
    data = DatasetFolder(rendered)
    groups = list(dict.fromkeys(row.group_id for row in data.records))
    number = {row.image_id: groups.index(row.group_id) for row in data.records}
    images = []
    for row in data.images.values():
        made = json.loads(row.provenance) | {"attempts": 1 + number[row.image_id] % 2}
        if number[row.image_id] == 0:
            made |= {"relation": "on", "counterpart": "left of", "contrast": "confusable", "attempts": 6}
        if number[row.image_id] == 1:
            made |= {"counterpart": "left of", "contrast": "distractor"}
        images.append(replace(row, provenance=json.dumps(made)))
    text = copy(rendered, tmp_path, images, data.records)
    assert table(text, "Draws") == [
        ["left of", "left of, on, right of", "6", "14", "42.9%"],
        ["on", "left of", "1", "6", "16.7%"],
        ["right of", "left of", "4", "6", "66.7%"],
    ]
    assert table(text, "Draws", 1) == [
        ["confusable", "1", "6", "16.7%"],
        ["direct", "4", "6", "66.7%"],
        ["distractor", "1", "2", "50.0%"],
    ]


def test_a_group_that_was_painted_several_times_was_drawn_once(rendered: Path) -> None:
    def drawn(paintings: int) -> dict[tuple[str, str, str], Draws]:
        tally, data = Tally(), DatasetFolder(rendered)
        samples = (
            Sample(
                replace(image, image_id=f"{image.image_id}/{number}"), (replace(record, group_id=f"{group}/{number}"),)
            )
            for group in dict.fromkeys(record.group_id for record in data.records)
            for number in range(paintings)
            for record in data.records
            if record.group_id == group
            for image in [data.images[record.image_id]]
        )
        for _ in tally.watch(samples):
            pass
        return tally.draws

    assert sum(found.groups for found in drawn(1).values()) == 6
    assert drawn(3) == drawn(1)


def test_kinds_of_contrast_are_those_that_were_drawn(tmp_path: Path) -> None:
    config = DatagenConfig(str(tmp_path), groups=6, relations=["left of", "right of"], image_size=64, workers=1)
    text = (generate(config) / "README.md").read_text()
    assert [row[:2] for row in table(text, "Draws", 1)] == [["direct", "2"], ["distractor", "4"]]
    assert [row[:2] for row in table(text, "Draws")] == [
        ["left of", "left of, right of"],
        ["right of", "left of, right of"],
    ]
    assert {row[1] for row in table(text, "False statements")} >= {"antonym", "distractor"}


def test_the_card_depends_on_the_data_alone(rendered: Path, tmp_path: Path) -> None:
    data = DatasetFolder(rendered)
    text = copy(rendered, tmp_path / "other name", list(data.images.values())[::-1], data.records[::-1])
    assert text == (rendered / "README.md").read_text()


def test_a_missing_record_shows_in_the_balance(rendered: Path, tmp_path: Path) -> None:
    data = DatasetFolder(rendered)
    records = list(data.records)
    first = next(r for r in records if (r.task, r.topic, r.answer) == ("statement", "relation", "false"))
    records.remove(first)
    whole = (rendered / "README.md").read_text()
    text = copy(rendered, tmp_path, list(data.images.values()), records)
    assert "words alone decide nothing" in whole and "12 of 12 images" in whole and "50.0% of 48 are true" in whole
    assert "but for 1 caption." in text and "11 of 12 images" in text and "51.1% of 47 are true" in text


@pytest.mark.slow
def test_the_header_leads_datasets_to_the_files(rendered: Path) -> None:
    from datasets import load_dataset

    rows = load_dataset(str(rendered), "images", split="train", streaming=True)
    assert {row["image_id"] for row in rows} == set(DatasetFolder(rendered).images)


def test_the_header_is_what_the_hub_reads(rendered: Path) -> None:
    from huggingface_hub import DatasetCard

    text = (rendered / "README.md").read_text()
    assert DatasetCard(text).data.license == header(text)["license"] == "cc0-1.0"
    assert header(text)["size_categories"] == ["n<1K"]
    assert "visual-question-answering" in header(text)["task_categories"]
    for config in header(text)["configs"]:
        assert all(list(rendered.glob(file["path"])) for file in config["data_files"])


def test_an_image_of_another_licence_makes_the_licence_other(rendered: Path, tmp_path: Path) -> None:
    data = DatasetFolder(rendered)
    first, *others = data.images.values()
    images = [replace(first, licence="COCO photo", provenance="{}", source="vsr"), *others]
    text = copy(rendered, tmp_path, images, data.records)
    assert header(text)["license"] == "other"
    assert ["COCO photo", "1"] in table(text, "Images")
    assert "(11 `render`, 1 `vsr`)" in text


@pytest.mark.parametrize(("to", "pattern"), [("vsr", "train.jsonl"), ("datasets", "train/*.arrow"), ("coco", "")])
def test_an_export_has_the_card_with_its_own_files(rendered: Path, tmp_path: Path, to: str, pattern: str) -> None:
    out = export(ExportConfig(str(rendered), to, str(tmp_path / "out")))
    text = (out / "README.md").read_text()
    configs = header(text).get("configs", [])
    files = [file for config in configs for file in config["data_files"]]
    assert files == ([{"split": "train", "path": pattern}] if pattern else [])
    assert all(list(out.glob(file["path"])) for file in files)
    assert table(text, "Records") == table((rendered / "README.md").read_text(), "Records")


def test_the_commands_of_the_card_have_the_settings_that_made_the_data(rendered: Path, tmp_path: Path) -> None:
    config = ExportConfig(
        str(rendered), "llava", str(tmp_path / "out"), seed=3, templates=["question", "clause"], turns=2
    )
    text = (export(config) / "README.md").read_text()
    made, exported = (shlex.split(line)[1:] for line in text.splitlines() if line.startswith("vsre "))
    settings = parse("datagen", made[1:])
    assert settings.out == "DATASET"
    assert content_settings(settings) == json.loads((rendered / "dataset.json").read_text())
    places = {"dataset": str(rendered), "out": str(tmp_path / "out")}
    assert asdict(parse("export", exported[1:])) | places == asdict(config)


def test_the_figures_of_an_audit_are_shown(rendered: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(rendered, tmp_path / "data")
    assert "Bias probes" not in write_card(folder).read_text()
    assert main(["audit", str(folder), "--out", str(folder / "audit"), "--model", "", "--bootstrap", "20"]) == 0
    assert main(["card", str(folder)]) == 0
    text = (folder / "README.md").read_text()
    found = json.loads((folder / "audit" / "audit.json").read_text())
    shown = {row[0]: row for row in table(text, "Bias probes")}
    for name, probe in found["probes"].items():
        assert shown[name][1] == str(probe["n"]) and shown[name][3] == f"{probe['accuracy']:.1%}"
        assert shown[name][5] == probe["verdict"]
    assert f"`vsre audit` says: **{found['verdict']}**" in text
    assert all(f"| {rule['rule']} | {rule['checked']:,} | 0 |" in text for rule in found["balances"])
    out = export(ExportConfig(str(folder), "vsr", str(tmp_path / "out")))
    assert table((out / "README.md").read_text(), "Bias probes") == table(text, "Bias probes")


def test_an_audit_of_other_data_is_left_out_and_a_damaged_one_is_named(
    rendered: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(rendered, tmp_path / "data")
    path = folder / "audit" / "audit.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"data": {"content_hash": "of other data"}}))
    assert write_card(folder).read_text() == (rendered / "README.md").read_text()
    assert "is about other data" in caplog.text
    path.write_text(json.dumps({"data": {"content_hash": DatasetFolder(folder).content_hash()}, "probes": {}}))
    with pytest.raises(RecordError, match=r"is no audit of a dataset .*'balances'.* run 'vsre audit"):
        write_card(folder)


def test_what_leakage_rules_left_is_shown(rendered: Path, tmp_path: Path) -> None:
    data = DatasetFolder(rendered)
    rules = [
        {"rule": "as released", "by_split": {"random": 7680, "zeroshot": 3489}, "distinct": 8751, "photos": 5000},
        {"rule": "without held-out photos", "by_split": {"random": 12, "zeroshot": 3}, "distinct": 13, "photos": 9},
    ]
    guard = {"guard": {"covers": ["zeroshot.dev", "zeroshot.test"], "left": rules}}
    write_shard(tmp_path, 0, data.images.values(), data.records)
    (tmp_path / "dataset.json").write_text(json.dumps(guard))
    text = write_card(tmp_path).read_text()
    assert "Guarded for `zeroshot.dev`, `zeroshot.test`" in text and "vsre datagen" not in text
    assert table(text, "Leakage") == [
        ["as released", "7,680", "3,489", "8,751", "5,000"],
        ["without held-out photos", "12", "3", "13", "9"],
    ]
    assert leakage({"guard": {"covers": []}}, ["vsr"], Exposure(True))[0].startswith("Not guarded")


def test_photos_without_a_guard_are_told_of_beside_renders() -> None:
    lines = leakage({"groups": 3}, ["render", "vsr"], Exposure(True))
    assert lines[0].startswith("Not guarded") and not any("Every image is rendered" in line for line in lines)
    assert leakage({}, ["vsr"], Exposure(True)) == lines[:1]


def test_held_out_nouns_and_pixels_of_renders_are_told(rendered: Path) -> None:
    text, data = (rendered / "README.md").read_text(), DatasetFolder(rendered)
    shown = {item.name for row in data.images.values() for item in row.objects}
    held = sorted(shown & packaged("zeroshot").concepts)
    assert held and "Every image is rendered" in text
    assert f"zeroshot split keeps for its dev and test parts it shows {len(held)} ({', '.join(held)})." in text
    assert "Pixels were not compared" in text
    found = "\n".join(leakage({}, ["render"], Exposure(pixels=("random",))))
    assert "parts it shows none." in found and "pixel for pixel: random." in found


def test_relations_without_a_counterfactual_are_listed_with_the_reason(rendered: Path, tmp_path: Path) -> None:
    text = (rendered / "README.md").read_text()
    why = dict(table(text, "Relation statements", 1))
    assert why["down"] == RELATIONS["down"].refused and why["past"] == "ambiguous in a still picture"
    missing = text.split("Not in this dataset: ")[1].split(".\n")[0].split(", ")
    contrasted = {name for recipe in choose_recipes(["all"]) for name in (recipe.relation, recipe.counterpart)}
    assert set(why) == set(RELATIONS) - contrasted
    assert set(missing) == contrasted - {"left of", "right of"}
    data = DatasetFolder(rendered)
    undrawn = [replace(row, provenance="{}") for row in data.images.values()]
    assert "have no counterfactual" not in copy(rendered, tmp_path, undrawn, data.records)
