"""A shard that was deleted or cut off after it was written is told of by whoever reads, and made again alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.claim import REJECTED, SHARDS
from datagen.complete import incomplete, is_whole, whole_shards
from datagen.config import DatagenConfig
from datagen.paint.run import run_painted
from datagen.run import generate
from spatial.dataset import DatasetFolder
from spatial.exposure import DESCRIPTION
from tests import stand_ins
from vsre.cli import main
from vsre.commands import COMMANDS, Command

READERS = ("card", "audit", "review", "yield", "gallery", "passes", "calibrate")


def cut(path: Path) -> None:
    """Cut off the last bytes of a file."""
    path.write_bytes(path.read_bytes()[:-20])


def times_of(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("shard-*.parquet")}


@pytest.fixture
def data(rendered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rendered, tmp_path / "data"))


@pytest.mark.parametrize("change", [Path.unlink, cut, Path.touch])
@pytest.mark.parametrize("file", ["images/shard-00002.parquet", "records/shard-00001.parquet"])
def test_a_lost_shard_is_made_again_and_no_other(data: Path, file: str, change) -> None:
    before, whole = times_of(data), DatasetFolder(data).content_hash()
    change(data / file)
    if change is Path.touch:
        (data / file).write_bytes(b"")
    description = json.loads((data / DESCRIPTION).read_text())
    generate(DatagenConfig(**description, out=str(data), workers=1))
    assert DatasetFolder(data).content_hash() == whole and not incomplete(data)[0]
    changed = {path.name for path, time_ns in times_of(data).items() if before.get(path) != time_ns}
    assert changed == {Path(file).name}


def test_a_lost_shard_of_rejected_pictures_is_painted_again(painted: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(painted, tmp_path / "data"))
    lost = data / REJECTED / "images" / "shard-00001.parquet"
    held, before = lost.read_bytes(), times_of(data)
    cut(lost)
    assert whole_shards(data) == {0, 2, 3}
    run_painted(replace(stand_ins.SMALL, out=str(data)), stand_ins.PARTS)
    assert lost.read_bytes() == held
    assert {path.name for path, time_ns in times_of(data).items() if before[path] != time_ns} == {lost.name}


@pytest.mark.parametrize("name", READERS)
def test_who_reads_a_folder_without_all_shards_says_so_in_one_line(
    name: str,
    data: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (data / "images" / "shard-00001.parquet").unlink()
    monkeypatch.setattr(Command, "load_action", lambda _: lambda config: None)
    monkeypatch.chdir(data.parent)
    assert main([name, str(data)]) == 0
    line = f"{data}: 2 of 3 shards; images/shard-00001.parquet is missing: run 'vsre datagen CONFIG' again"
    assert caplog.messages == [line]
    cut(data / "records" / "shard-00000.parquet")
    assert main([name, str(data)]) == 2
    told = "records/shard-00000.parquet is damaged, images/shard-00001.parquet is missing"
    assert capsys.readouterr().err.splitlines() == [
        f"vsre: {data}: 1 of 3 shards; {told}: run 'vsre datagen CONFIG' again"
    ]
    assert name in COMMANDS


def test_the_card_says_that_data_lack_a_shard(data: Path) -> None:
    assert main(["card", str(data)]) == 0
    assert "Not complete" not in (data / "README.md").read_text()
    (data / "images" / "shard-00002.parquet").unlink()
    assert main(["card", str(data)]) == 0
    assert "**Not complete**: 2 of 3 shards; images/shard-00002.parquet is missing" in (data / "README.md").read_text()


def test_a_folder_without_settings_of_shards_says_itself_how_many_it_has(data: Path) -> None:
    description = json.loads((data / DESCRIPTION).read_text())
    del description["groups"]
    (data / DESCRIPTION).write_text(json.dumps(description))
    (data / "images" / "shard-00002.parquet").unlink()
    (data / "records" / "shard-00002.parquet").unlink()
    assert not incomplete(data)[0]
    (data / DESCRIPTION).write_text(json.dumps({**description, SHARDS: 3}))
    assert "images/shard-00002.parquet and 1 more are missing: run 'vsre import-vsr" in incomplete(data)[0]


def test_whole_is_what_has_its_beginning_and_its_end(data: Path) -> None:
    path = data / "images" / "shard-00000.parquet"
    content = path.read_bytes()
    assert is_whole(path) and not is_whole(data / "nowhere") and not is_whole(data)
    for length in (0, 4, 8, 11, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert not is_whole(path)
    path.write_bytes(content[:4] + content[-8:])
    assert not is_whole(path)
