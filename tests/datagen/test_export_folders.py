"""Exports appear whole or not at all, and what cannot be used is named in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datagen.config import DatagenConfig, ExportConfig, ImportConfig
from datagen.export.formats import FORMATS
from datagen.export.run import export, import_folder
from datagen.run import generate
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError


def run(dataset: Path, to: str, out: Path, **settings: Any) -> Path:
    return export(ExportConfig(str(dataset), to, str(out), **settings))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_export_is_left_as_it_is_and_another_one_refused(rendered: Path, tmp_path: Path) -> None:
    out = run(rendered, "llava", tmp_path / "out")
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    run(rendered, "llava", out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times
    with pytest.raises(ConfigError, match="holds something else"):
        run(rendered, "llava", out, seed=1)
    with pytest.raises(ConfigError, match="holds something else"):
        run(rendered, "vsr", out)


def test_a_killed_export_leaves_nothing_and_the_next_one_is_whole(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def interrupted(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) == 4:
            raise KeyboardInterrupt
        return len(data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(rendered, "coco", tmp_path / "out")
    assert not list(tmp_path.iterdir())
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "left by kill -9").touch()
    assert len(list(FORMATS["coco"].read(run(rendered, "coco", tmp_path / "out")))) == 12
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"to": "vrs"}, "did you mean 'vsr'"),
        ({"to": "llava", "templates": ["questoin"]}, "did you mean 'question'"),
        ({"to": "llava", "turns": -1}, "turns must be 0"),
        ({"to": "vsr", "turns": 4}, "turns is a setting of llava, not of vsr"),
        ({"to": "vsr", "push_to": "me/data"}, "push_to is a setting of datasets, not of vsr"),
        ({"to": "webdataset", "images_per_shard": 0}, "images_per_shard must be at least 1"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    rendered: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(rendered, out=tmp_path / "out", **settings)
    assert not list(tmp_path.iterdir())


def test_folders_inside_one_another_are_refused(rendered: Path) -> None:
    before = contents(rendered)
    for out in (rendered, rendered / "vsr", rendered.parent):
        with pytest.raises(ConfigError, match="lie in one another"):
            run(rendered, "vsr", out)
    assert contents(rendered) == before


def _edit_lines(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().split("\n"))))


def _flip_label(out: Path) -> None:
    _edit_lines(out / "train.jsonl", lambda lines: [lines[0].replace('"label": 1', '"label": 0'), *lines[1:]])


def _swap_rows(out: Path) -> None:
    _edit_lines(out / "train.jsonl", lambda lines: [lines[-2], *lines[1:-2], lines[0], ""])


def _other_pixels(out: Path) -> None:
    first, second, *_ = sorted((out / "images").iterdir())
    first.write_bytes(second.read_bytes())


def _no_picture(out: Path) -> None:
    next((out / "images").iterdir()).unlink()


def _outside(out: Path) -> None:
    _edit_lines(out / "vsre.images.jsonl", lambda lines: [lines[0].replace('"file": "', '"file": "../'), *lines[1:]])


def _cut_text(out: Path) -> None:
    for path in (out / "vsre.images.jsonl", out / "annotations" / "captions.json"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-200])


def _fewer_objects(out: Path) -> None:
    path = out / "annotations" / "instances.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"annotations": content["annotations"][:-1]}))


def _folder_for_tar(out: Path) -> None:
    path = next(out.glob("*.tar"))
    path.unlink()
    path.mkdir()


def _damaged_tar(out: Path) -> None:
    path = out / "shard-000000.tar"
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)


def _cut_arrow(out: Path) -> None:
    path = out / "train" / "data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[:2000])


def _nul_in_a_name(out: Path) -> None:
    name = json.loads((out / "train.json").read_text())[0]["image"]
    for path in out.glob("*.json*"):
        path.write_text(path.read_text().replace(name, r"\u0000.png"))


def _zeros_for_a_tar(out: Path) -> None:
    (out / "SHA256SUMS").unlink()
    path = out / "shard-000000.tar"
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize(
    ("to", "damage", "message"),
    [
        ("vsr", _flip_label, "was changed since it was exported"),
        ("vsr", _swap_rows, "out of order"),
        ("vsr", _other_pixels, "picture .* was changed"),
        ("llava", _no_picture, "cannot be read"),
        ("vsr", _outside, "no plain file name"),
        ("vsr", _cut_text, r"vsre\.images\.jsonl:\d+ is no JSON"),
        ("coco", _cut_text, r"captions\.json is damaged"),
        ("coco", _fewer_objects, "annotations were removed"),
        ("webdataset", _damaged_tar, "is not the file of .*SHA256SUMS"),
        ("llava", _nul_in_a_name, r"cannot be read \(embedded null byte\)"),
        ("webdataset", _zeros_for_a_tar, r"has none of its \d+ records"),
        ("webdataset", _folder_for_tar, r"\.tar is damaged"),
        ("datasets", _cut_arrow, "no whole folder"),
    ],
)
def test_a_damaged_export_is_named_and_nothing_is_left_of_its_import(
    rendered: Path, tmp_path: Path, to: str, damage: Callable[[Path], None], message: str
) -> None:
    out = run(rendered, to, tmp_path / "out")
    damage(out)
    with pytest.raises(RecordError, match=message):
        import_folder(ImportConfig(str(out), str(tmp_path / "back")))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_rows_may_be_removed_and_changed_ones_imported_as_new(
    rendered: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = run(rendered, "vsr", tmp_path / "out")
    lines = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    lines[0]["label"] = 1 - lines[0]["label"]
    old = lines[0]["vsre"].pop("record_id")
    (out / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in [lines[0], *lines[2:]]))
    back = DatasetFolder(import_folder(ImportConfig(str(out), str(tmp_path / "back"))))
    ours, theirs = ({row.record_id for row in folder.records} for folder in (DatasetFolder(rendered), back))
    assert ours - theirs == {old, lines[1]["vsre"]["record_id"]} and len(theirs - ours) == 1
    assert "rows were removed or added" in caplog.text


def test_an_import_does_not_touch_a_folder_that_is_there(rendered: Path, tmp_path: Path) -> None:
    out = run(rendered, "vsr", tmp_path / "out")
    before = contents(rendered)
    with pytest.raises(ConfigError, match="is there already"):
        import_folder(ImportConfig(str(out), str(rendered)))
    assert contents(rendered) == before


def test_only_exports_are_imported(rendered: Path, tmp_path: Path) -> None:
    for source in (rendered, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="that it wrote"):
            import_folder(ImportConfig(str(source), str(tmp_path / "back")))


def test_an_imported_folder_is_not_continued_by_datagen(rendered: Path, tmp_path: Path) -> None:
    back = import_folder(ImportConfig(str(run(rendered, "vsr", tmp_path / "out")), str(tmp_path / "back")))
    made = json.loads((rendered / "dataset.json").read_text())
    with pytest.raises(ConfigError, match="holds imported data"):
        generate(
            DatagenConfig(
                out=str(back), **{name: made[name] for name in made if name not in ("imported_from", "shards")}
            )
        )


def test_an_unfinished_dataset_is_exported_with_a_warning(
    rendered: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(rendered, tmp_path / "data")
    (tmp_path / "data" / "records" / "shard-00002.parquet").unlink()
    run(tmp_path / "data", "vsr", tmp_path / "out")
    assert "2 of 3 shards; records/shard-00002.parquet is missing: run 'vsre datagen CONFIG' again" in caplog.text
