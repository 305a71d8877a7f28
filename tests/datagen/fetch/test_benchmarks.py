"""Every benchmark comes from its server into a folder that its reader takes, checked as far as anything is known."""

import io
import json
import shlex
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import md5, sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datagen.fetch import benchmark_sources, unpack
from datagen.fetch.benchmark_sources import PIECES
from datagen.fetch.config import FetchConfig, with_folder
from datagen.fetch.missing import MISSING_LIST
from datagen.fetch.run import DATASETS, fetch
from eval.benchmarks import read_benchmark
from eval.config import DataConfig
from spatial.benchmarks import RELEASED
from spatial.errors import ConfigError, RecordError
from vsre.settings import parse

from .conftest import Fault, Site, files_in, photo

CAPTIONS = [f"A mug {said} a table" for said in ("on", "under", "to the left of", "to the right of")]
NAMES = [f"mug_{said}_table.jpeg" for said in ("on", "under", "left_of", "right_of")]


def tar(files: dict[str, bytes]) -> bytes:
    """Return a .tar.gz archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a .zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def controlled() -> dict[str, bytes]:
    """Return the files of a What'sUp of one set: its questions and its archive."""
    rows = [
        {
            "image_path": f"data/controlled_images/{name}",
            "caption_options": [CAPTIONS[n], *CAPTIONS[:n], *CAPTIONS[n + 1 :]],
        }
        for n, name in enumerate(NAMES)
    ]
    photos = tar(
        {f"controlled_images/{name}": photo(n) for n, name in enumerate(NAMES)} | {"controlled_images/._x": b""}
    )
    return {"/b/controlled_images_dataset.json": json.dumps(rows).encode(), "/b/controlled_images.tar.gz": photos}


def numbered(kind: str, folder: str, names: tuple[str, str]) -> dict[str, bytes]:
    """Return the files of a set on numbered photos: its questions, and two photos."""
    rows = [[7, "A photo of a cup on the left", "x"], [139, "A photo of a cup at the top", "x"]]
    return {f"/b/{RELEASED[kind].file}": json.dumps(rows).encode()} | {
        f"/p/{folder}/{name}": photo(n) for n, name in enumerate(names)
    }


def mme() -> dict[str, bytes]:
    """Return MME's archive, with more than the position task in it."""
    text = b"Is the cup on the left? Please answer yes or no.\tYes\nIs the cup on the right?\tNo\n"
    root = "MME_Benchmark_release_version/MME_Benchmark"
    files = {f"{root}/position/1.jpg": photo(1), f"{root}/position/1.txt": text, f"{root}/color/2.jpg": photo(2)}
    return {"/b/MME_Benchmark_release_version.zip": zipped(files)}


def seed() -> dict[str, bytes]:
    """Return SEED-Bench's file and archive, of which one photo is needed."""
    choices = {f"choice_{letter}": letter * 3 for letter in "abcd"}
    row = {"question": "Where?", "answer": "A", **choices}
    rows = [{**row, "question_type_id": kind, "data_id": f"1_{kind}"} for kind in (5, 6)]
    photos = {f"SEED-Bench-image/1_{kind}": photo(kind) for kind in (5, 6)}
    return {
        "/b/SEED-Bench.json": json.dumps({"questions": rows}).encode(),
        "/b/SEED-Bench-image.zip": zipped(photos),
    }


def blink() -> dict[str, bytes]:
    """Return BLINK's Parquet file with two rows."""
    rows = [
        {"idx": f"{n}", "question": "Is it?", "choices": ["yes", "no"], "answer": "(A)", "image_1": {"bytes": photo(n)}}
        for n in range(2)
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return {f"/b/{RELEASED['blink-spatial'].file}": buffer.getvalue()}


SITES: dict[str, tuple[Callable[[], dict[str, bytes]], int]] = {
    "whatsup-a": (controlled, 4),
    "coco-spatial-one": (lambda: numbered("coco-spatial-one", "val2017", ("000000000007.jpg", "000000000139.jpg")), 2),
    "vg-spatial-one": (lambda: numbered("vg-spatial-one", "vg_images", ("7.jpg", "139.jpg")), 2),
    "mme-position": (mme, 2),
    "seed-spatial": (seed, 1),
    "blink-spatial": (blink, 2),
}
"""The files of some benchmarks, of few rows, and how many records they make."""


@pytest.fixture
def settings(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], FetchConfig]:
    """Return a function that puts a benchmark on the site and gives the settings that fetch it."""

    def offer(kind: str) -> FetchConfig:
        make, rows = SITES[kind]
        site.files = make()
        whole = 0 if kind == "seed-spatial" else rows
        monkeypatch.setitem(RELEASED, kind, replace(RELEASED[kind], rows=whole, asked=rows, hash=""))
        monkeypatch.setitem(PIECES, kind, tuple(replace(piece, hash="") for piece in PIECES[kind]))
        return FetchConfig(
            dataset=kind,
            out=str(tmp_path / "out"),
            annotations_url=f"{site.address}/b",
            photos_url=f"{site.address}/p",
            retries=1,
            timeout=10.0,
        )

    return offer


def read(config: FetchConfig) -> int:
    """Return how many records the reader makes of what was fetched; nothing may have failed."""
    found = read_benchmark(DataConfig(kind=config.dataset, path=config.out))
    assert not found.failed
    return len(found.records)


@pytest.mark.parametrize("kind", SITES)
def test_what_is_fetched_can_be_read_and_is_not_fetched_again(
    kind: str, settings: Callable[[str], FetchConfig], site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings(kind)
    assert fetch(config) == Path(config.out)
    assert read(config) == SITES[kind][1]
    said = capsys.readouterr().out.rpartition("evaluate with: vsre eval ")[2]
    asked = parse("eval", shlex.split(said))
    assert (asked.data.kind, asked.data.path) == (kind, config.out) and len(asked.templates) == 1
    there = files_in(Path(config.out))
    site.requests.clear()
    fetch(config)
    assert not site.requests and files_in(Path(config.out)) == there


def test_every_benchmark_has_a_source_whose_first_file_holds_its_questions() -> None:
    assert list(DATASETS) == ["vsr", *RELEASED] and list(PIECES) == list(RELEASED)
    for kind, pieces in PIECES.items():
        assert pieces[0].file == RELEASED[kind].file or pieces[0].unpack == RELEASED[kind].file
        assert all(piece.addresses[0].startswith("https://") for piece in pieces)
        assert pieces[0].unpack or pieces[0].hash == RELEASED[kind].hash
    folders = {RELEASED[kind].pictures for kind in RELEASED if kind.startswith(("coco", "vg"))}
    assert folders == set(benchmark_sources.PHOTO_SOURCES)


def test_only_what_is_needed_of_an_archive_is_taken(settings: Callable[[str], FetchConfig]) -> None:
    config = settings("seed-spatial")
    fetch(config)
    assert {path for path in files_in(Path(config.out)) if "/" in path} == {"SEED-Bench-image/1_6"}
    config = settings("mme-position")
    fetch(replace(config, out=f"{config.out}-mme"))
    assert {path for path in files_in(Path(f"{config.out}-mme")) if "/" in path} == {"position/1.jpg", "position/1.txt"}


def test_an_interrupted_archive_goes_on_where_it_stopped(settings: Callable[[str], FetchConfig], site: Site) -> None:
    config = settings("whatsup-a")
    site.faults["/b/controlled_images.tar.gz"] = [Fault(cut=100)]
    fetch(config)
    assert [asked.get("Range") for asked in site.asked("/b/controlled_images.tar.gz")] == [None, "bytes=100-"]
    assert read(config) == 4


def test_a_page_in_place_of_a_file_tells_what_to_do_by_hand(settings: Callable[[str], FetchConfig], site: Site) -> None:
    config = settings("whatsup-a")
    for name in site.files:
        site.files[name] = b"<html>Google Drive: quota exceeded</html>"
    with pytest.raises(RecordError, match="2 of 2 files could not be had") as raised:
        fetch(config)
    message = str(raised.value)
    assert "\n" not in message and "it is no archive" in message and "no JSON list" in message
    command = message.partition("or by hand first: ")[2].partition(" && ")[0]
    assert command == f"gdown 1ap8mmmpQjLIjPGuplkpBgc1hoEHCj4hm -O {config.out}/controlled_images_dataset.json"
    again = message.partition("continue with: vsre fetch ")[2].partition("; or by hand")[0]
    assert parse("fetch", shlex.split(again)) == config
    assert files_in(Path(config.out)) == {MISSING_LIST}


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_file_with_another_hash_or_number_of_rows_is_not_taken(
    kind: str, settings: Callable[[str], FetchConfig], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings("coco-spatial-one")
    monkeypatch.setitem(RELEASED, config.dataset, replace(RELEASED[config.dataset], rows=3))
    with pytest.raises(RecordError, match="it has 2 rows, not 3"):
        fetch(config)
    plain = settings("mme-position")
    (piece,) = PIECES["mme-position"]
    right = {"sha256": sha256, "md5": md5}[kind](site.files["/b/MME_Benchmark_release_version.zip"]).hexdigest()
    monkeypatch.setitem(PIECES, "mme-position", (replace(piece, hash=f"{kind}:{right}"),))
    fetch(plain)
    monkeypatch.setitem(PIECES, "mme-position", (replace(piece, hash=f"{kind}:{'0' * len(right)}"),))
    with pytest.raises(RecordError, match=f"{kind} is not the released"):
        fetch(replace(plain, out=f"{plain.out}-other"))


def test_questions_alone_and_a_dry_run_ask_for_no_photos(
    settings: Callable[[str], FetchConfig], site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings("coco-spatial-one")
    assert fetch(replace(config, dry_run=True)) is None
    assert not site.requests and not Path(config.out).exists()
    assert "coco_qa_one_obj.json: to fetch" in capsys.readouterr().out
    fetch(replace(config, photos=False))
    assert [path for path, _ in site.requests] == ["/b/coco_qa_one_obj.json"]


def test_a_row_that_names_no_photo_is_listed_and_the_others_fetched(
    settings: Callable[[str], FetchConfig], site: Site
) -> None:
    config = settings("vg-spatial-one")
    site.files["/b/vg_qa_one_obj.json"] = json.dumps([[7, "a", "b"], ["../7", "a", "b"]]).encode()
    with pytest.raises(RecordError, match=r"1 of 3 files .* no number of a picture"):
        fetch(config)
    assert (Path(config.out) / "vg_images" / "7.jpg").is_file()


WICKED = ["controlled_images/../../x.jpg", "/controlled_images/a/b/c.jpg", "controlled_images/.hidden", "other/1.jpg"]


def test_nothing_of_an_archive_is_written_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "one.tar.gz").write_bytes(tar({**dict.fromkeys(WICKED, b"x"), "a/controlled_images/1.jpg": b"1"}))
    (tmp_path / "two.zip").write_bytes(zipped({**dict.fromkeys(WICKED, b"x"), "controlled_images/2.jpg": b"2"}))
    with tarfile.open(tmp_path / "three.tar.gz", "w:gz") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("controlled_images/link")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    out = tmp_path / "out"
    assert unpack.unpack(tmp_path / "one.tar.gz", "controlled_images", out) == 1
    assert unpack.unpack(tmp_path / "two.zip", "controlled_images", out) == 1
    with pytest.raises(RecordError, match="holds no files of a folder"):
        unpack.unpack(tmp_path / "three.tar.gz", "controlled_images", out)
    assert files_in(out) == {"controlled_images/1.jpg", "controlled_images/2.jpg"}
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "controlled_images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="written outside"):
        unpack.unpack(tmp_path / "one.tar.gz", "controlled_images", tmp_path / "linked")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_damaged_archive_or_one_with_an_endless_file_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tar({f"controlled_images/{n}.jpg": photo(n) for n in range(9)})
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError, match=r"cut\.tar\.gz cannot be unpacked") as raised:
        unpack.unpack(tmp_path / "cut.tar.gz", "controlled_images", tmp_path / "out")
    assert "\n" not in str(raised.value)
    monkeypatch.setattr(unpack, "MAX_BYTES", 10)
    (tmp_path / "big.zip").write_bytes(zipped({"controlled_images/1.jpg": photo(1)}))
    with pytest.raises(RecordError, match="more than 10"):
        unpack.unpack(tmp_path / "big.zip", "controlled_images", tmp_path / "out2")
    assert not (tmp_path / "out2").exists()


def test_where_no_folder_is_named_the_benchmark_names_it() -> None:
    assert with_folder(FetchConfig(dataset="blink-spatial")).out == "data/blink-spatial"
    assert with_folder(FetchConfig(dataset="vsr")).out == "data/vsr"
    with pytest.raises(ConfigError, match=r"did you mean 'whatsup-[ab]'"):
        fetch(FetchConfig(dataset="whatsup"))
