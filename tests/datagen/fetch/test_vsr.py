"""``vsre fetch vsr``: each file once and checked, what is missing is told, what is there is kept."""

import json
import shlex
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from datagen.fetch import batch, plan
from datagen.fetch.batch import claimed
from datagen.fetch.config import FetchConfig
from datagen.fetch.manifest import MANIFEST, Manifest
from datagen.fetch.missing import MISSING_LIST
from datagen.fetch.run import fetch
from datagen.fetch.sources import EXTENTS, Source
from spatial.errors import ConfigError, RecordError
from spatial.vsr import read_vsr
from vsre.settings import parse

from .conftest import (
    ANNOTATION,
    FEW,
    FIRST,
    PHOTOS,
    SECOND,
    Fault,
    Site,
    files_in,
    photo,
)


def test_the_folder_is_what_the_reader_of_vsr_takes(config: FetchConfig, site: Site, whole: dict[str, bytes]) -> None:
    folder = fetch(config)
    assert folder == Path(config.out)
    assert files_in(folder) == {"zeroshot.dev.jsonl", MANIFEST} | {name.removeprefix("/coco/") for name in whole}
    assert len(site.requests) == 1 + len(whole) == 1 + EXTENTS["zeroshot", "dev"].photos
    data = read_vsr(folder, folder, "zeroshot", "dev")
    assert (len(data.records), len(data.images), data.failed) == (340, len(whole), [])


def test_a_second_run_asks_nothing_and_changes_nothing(config: FetchConfig, site: Site) -> None:
    fetch(config)
    site.requests.clear()
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in Path(config.out).rglob("*.jpg")}
    manifest = (Path(config.out) / MANIFEST).read_text()
    fetch(config)
    assert not site.requests
    assert all((path.stat().st_mtime_ns, path.read_bytes()) == kept for path, kept in before.items())
    assert (Path(config.out) / MANIFEST).read_text() == manifest


def test_the_manifest_names_size_hash_and_address(config: FetchConfig, site: Site) -> None:
    fetch(config)
    for line in (Path(config.out) / MANIFEST).read_text().splitlines():
        entry = json.loads(line)
        data = (Path(config.out) / entry["file"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), sha256(data).hexdigest())
        assert site.files[entry["url"].removeprefix(site.address)] == data


def test_what_changed_since_is_fetched_again(config: FetchConfig, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    fetch(config)
    changed = Path(config.out) / FIRST.removeprefix("/coco/")
    changed.write_bytes(photo(99999))
    (Path(config.out) / SECOND.removeprefix("/coco/")).unlink()
    (Path(config.out) / "zeroshot.dev.jsonl").write_bytes(FEW + b"\n")
    site.requests.clear()
    fetch(config)
    assert {path for path, _ in site.requests} == {FIRST, SECOND, ANNOTATION}
    assert changed.read_bytes() == PHOTOS[FIRST]
    assert "changed since it was fetched" in caplog.text


def test_photos_that_lie_there_already_are_used_if_they_decode(config: FetchConfig, site: Site) -> None:
    folder = Path(config.out)
    (folder / "train2017").mkdir(parents=True)
    for name in PHOTOS:
        (folder / name.rpartition("/")[2]).write_bytes(PHOTOS[name])
    (folder / FIRST.rpartition("/")[2]).write_bytes(PHOTOS[FIRST][:300])
    fetch(config)
    assert {path for path, _ in site.requests} == {ANNOTATION, FIRST}
    assert read_vsr(folder, folder, "zeroshot", "dev").failed == []


def test_annotations_alone(config: FetchConfig, site: Site) -> None:
    fetch(replace(config, photos=False))
    assert [path for path, _ in site.requests] == [ANNOTATION]


def test_what_is_missing_is_told_with_the_command_that_continues(config: FetchConfig, site: Site) -> None:
    site.always = {FIRST: Fault(404), SECOND: Fault(500)}
    page = list(PHOTOS)[2]
    site.files[page] = b"<html>please log in</html>"
    with pytest.raises(RecordError, match=f"3 of {len(PHOTOS) + 1} files could not be had") as raised:
        fetch(config)
    message = str(raised.value)
    assert "\n" not in message and "HTTP 404" in message and "HTTP 500" in message and "no photo" in message
    assert (len(site.asked(FIRST)), len(site.asked(SECOND)), len(site.asked(page))) == (1, 2, 2)
    listed = (Path(config.out) / MISSING_LIST).read_text().splitlines()
    assert {line.split("\t")[0] for line in listed} == {name.removeprefix("/coco/") for name in (FIRST, SECOND, page)}
    assert not any((Path(config.out) / line.split("\t")[0]).exists() for line in listed)

    site.always.clear()
    site.files[page] = PHOTOS[page]
    site.requests.clear()
    again = parse("fetch", shlex.split(message.rpartition("continue with: vsre fetch ")[2]))
    assert again == config
    fetch(again)
    assert {path for path, _ in site.requests} == {FIRST, SECOND, page}
    assert not (Path(config.out) / MISSING_LIST).exists()


def test_many_missing_files_are_told_shortly_and_all_others_fetched(
    config: FetchConfig, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "HOPELESS", 5)
    for name in list(PHOTOS)[:20]:
        site.always[name] = Fault(404)
    with pytest.raises(RecordError, match=rf"20 of {len(PHOTOS) + 1} .* and 17 more") as raised:
        fetch(config)
    assert len(str(raised.value)) < 800
    assert len(list(Path(config.out).glob("*2017/*.jpg"))) == len(PHOTOS) - 20


def test_a_dead_server_is_not_asked_for_everything(
    config: FetchConfig, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "HOPELESS", 5)
    site.always = dict.fromkeys(PHOTOS, Fault(500))
    with pytest.raises(RecordError, match=f"{len(PHOTOS)} of {len(PHOTOS) + 1}"):
        fetch(replace(config, concurrency=2))
    assert len(site.requests) < 20
    assert "not tried" in (Path(config.out) / MISSING_LIST).read_text()


def test_annotations_must_be_the_released_ones(config: FetchConfig, site: Site) -> None:
    site.files[ANNOTATION] = FEW.replace(b"The", b"An")
    with pytest.raises(RecordError, match=r"zeroshot\.dev\.jsonl .*sha256 is not the released"):
        fetch(config)
    assert files_in(Path(config.out)) == {MISSING_LIST}


def test_the_next_address_is_asked_for_annotations_that_are_not_the_released_ones(
    config: FetchConfig, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["/old/zeroshot/dev.jsonl"] = b"{}"
    both = tuple(f"{site.address}/{place}/{{split}}/{{part}}.jsonl" for place in ("old", "annotations"))
    monkeypatch.setattr(plan, "ANNOTATIONS", Source(both, "/{split}/{part}.jsonl", "annotations_url"))
    fetch(replace(config, annotations_url="", photos=False))
    assert (Path(config.out) / "zeroshot.dev.jsonl").read_bytes() == FEW


def test_two_processes_do_not_write_to_one_folder(config: FetchConfig) -> None:
    with claimed(Path(config.out)), pytest.raises(ConfigError, match="another 'vsre fetch' is writing"):
        fetch(config)
    fetch(replace(config, photos=False))


def test_a_file_in_the_place_of_the_folder_is_told(config: FetchConfig) -> None:
    Path(config.out).write_text("")
    with pytest.raises(ConfigError, match=r"File exists.*choose another --out"):
        fetch(config)


def test_a_torn_line_of_the_manifest_costs_one_entry(tmp_path: Path) -> None:
    entry = batch.Entry("a.jpg", 3, "0" * 64)
    Manifest(tmp_path).add(entry)
    with (tmp_path / MANIFEST).open("a") as file:
        file.write('{"file": "b.jpg", "by')
    manifest = Manifest(tmp_path)
    manifest.add(replace(entry, file="c.jpg"))
    assert set(Manifest(tmp_path).entries) == {"a.jpg", "c.jpg"}
