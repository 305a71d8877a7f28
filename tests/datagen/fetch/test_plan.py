"""Which files are wanted: of any rows, only photos of COCO in the folder; and what is told before a download."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen.fetch import plan, sources
from datagen.fetch.config import FetchConfig
from datagen.fetch.manifest import MANIFEST
from datagen.fetch.missing import MISSING_LIST
from datagen.fetch.plan import wanted_photos
from datagen.fetch.run import fetch
from datagen.fetch.sources import EXTENTS, Extent, addresses
from spatial import vsr
from spatial.errors import ConfigError, RecordError
from spatial.vsr import Row, annotation_file, read_rows

from .conftest import ANNOTATION, FIRST, PHOTOS, SHIPPED, Site, files_in

WICKED = ["../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "..", "", "x.jpg/../../y.jpg", "x.sh", "C:\\x.jpg", ".jpg"]


def test_no_row_writes_outside_the_folder_or_asks_another_server(
    config: FetchConfig, site: Site, tmp_path: Path, own_rows: Callable[..., None]
) -> None:
    coco = "http://images.cocodataset.org"
    own_rows(
        *((name, f"{coco}/train2017/{name}") for name in WICKED),
        ("000000000001.jpg", "http://elsewhere.example/train2017/000000000001.jpg"),
        ("000000000002.jpg", f"{coco}/../secret/000000000002.jpg"),
        (FIRST.rpartition("/")[2], f"{coco}{FIRST.removeprefix('/coco')}"),
    )
    with pytest.raises(RecordError, match=f"{len(WICKED) + 2} of {len(WICKED) + 4} files"):
        fetch(config)
    assert {path for path, _ in site.requests} == {ANNOTATION, FIRST}
    assert files_in(tmp_path) == {
        f"vsr/{name}" for name in ("zeroshot.dev.jsonl", MANIFEST, MISSING_LIST, FIRST.removeprefix("/coco/"))
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.sampled_from("a.j/\\pg~$ %\0\n:é"), max_size=12), folder=st.text(max_size=12))
def test_any_wanted_photo_lies_in_cocos_folders(
    config: FetchConfig, monkeypatch: pytest.MonkeyPatch, name: str, folder: str
) -> None:
    link = f"http://images.cocodataset.org/{folder}/{name}"
    row = Row(1, f"{name}.jpg", "The cat is on the bed.", "on", True, f"{link}.jpg")
    monkeypatch.setattr(plan, "read_rows", lambda *_: [row, replace(row, link=link.replace(folder, "val2017"))])
    wanted, odd = wanted_photos(config, ["dev"])
    for item in wanted:
        place, _, photo_name = item.file.rpartition("/")
        assert place in ("train2017", "val2017") and vsr.PHOTO_NAME.fullmatch(photo_name)
        assert item.urls == (f"{config.photos_url}/{item.file}",)
    assert len(odd) + len(wanted) >= 1


def test_a_link_in_the_folder_is_not_followed_when_writing(config: FetchConfig, tmp_path: Path) -> None:
    for name in ("vsr", "coco"):
        (tmp_path / name).mkdir()
    there = tmp_path / "coco" / FIRST.rpartition("/")[2]
    there.write_bytes(PHOTOS[FIRST])
    (tmp_path / "vsr" / Path(FIRST).parent.name).symlink_to(tmp_path / "coco")
    with pytest.raises(RecordError, match="written outside"):
        fetch(config)
    assert list((tmp_path / "coco").iterdir()) == [there]
    assert FIRST.removeprefix("/coco/") not in (tmp_path / "vsr" / MISSING_LIST).read_text()


def test_a_dry_run_asks_nothing_and_writes_nothing(
    config: FetchConfig, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    dry = replace(config, dry_run=True)
    assert fetch(dry) is None
    told = capsys.readouterr().out
    assert "107,245 bytes, to fetch" in told and "227 needed, 0 there" in told and "228 files, about 37.1 MB" in told
    fetch(replace(dry, parts=["dev", "test", "train"]))
    assert "up to 3,191 needed" in capsys.readouterr().out
    assert not site.requests and not Path(config.out).exists()


def test_a_dry_run_counts_what_is_there(config: FetchConfig, capsys: pytest.CaptureFixture[str]) -> None:
    fetch(config)
    (Path(config.out) / FIRST.removeprefix("/coco/")).unlink()
    capsys.readouterr()
    fetch(replace(config, dry_run=True))
    told = capsys.readouterr().out
    assert f"{len(PHOTOS)} needed, {len(PHOTOS) - 1} there" in told and "1 files, about 0.2 MB" in told
    fetch(replace(config, dry_run=True, parts=["dev", "test", "train"], photos=False))
    assert "2 files, 1.5 MB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "vrs"}, "did you mean 'vsr'"),
        ({"dataset": ""}, "vsre fetch vsr"),
        ({"split": "zeroshoot"}, "did you mean 'zeroshot'"),
        ({"parts": ["tests"]}, "did you mean 'test'"),
        ({"parts": []}, "each once"),
        ({"parts": ["dev", "dev"]}, "each once"),
        ({"concurrency": 0}, "concurrency"),
        ({"retries": -1}, "retries"),
        ({"timeout": 0.0}, "timeout"),
        ({"photos_url": "file:///etc"}, "photos_url must be an http"),
        ({"photos_url": "http://mirror/{nmae}"}, "unknown word {nmae}"),
        ({"annotations_url": "http://mirror/{split}.jsonl"}, "must hold {part}"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    change: dict[str, object], message: str, config: FetchConfig, site: Site
) -> None:
    with pytest.raises(ConfigError, match=message):
        fetch(replace(config, **change))  # type: ignore[arg-type]
    assert not site.requests and not Path(config.out).exists()


def test_a_mirror_is_a_folder_or_an_address_with_words() -> None:
    words = {"folder": "val2017", "name": "1.jpg"}
    assert addresses(sources.PHOTOS, "http://m/coco/", **words) == ("http://m/coco/val2017/1.jpg",)
    assert addresses(sources.PHOTOS, "https://m/{name}?in={folder}", **words) == ("https://m/1.jpg?in=val2017",)
    known = addresses(sources.PHOTOS, "", **words) + addresses(sources.ANNOTATIONS, "", split="random", part="dev")
    assert len(known) == 4 and not any("{" in address for address in known)
    assert known[1] == "http://images.cocodataset.org/val2017/1.jpg"


@pytest.mark.parametrize(("split", "part"), EXTENTS)
def test_the_published_extents_are_those_of_the_released_files(split: str, part: str) -> None:
    try:
        path = annotation_file(Path(os.environ.get("VSR_ANNOTATIONS", SHIPPED)), split, part)
    except RecordError:
        pytest.skip("set VSR_ANNOTATIONS to a folder with VSR's split files")
    photos = {row.photo for row in read_rows(path, split, part)}
    assert Extent(path.stat().st_size, len(photos)) == EXTENTS[split, part]
