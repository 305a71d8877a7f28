"""A file comes whole and checked or not at all, whatever the server does in between."""

import tempfile
import time
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Event

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen.fetch import download
from datagen.fetch.download import PARTIAL_FOLDER, Downloader, FetchError, Wanted
from datagen.fetch.partial import Origin, Partial

from .conftest import Fault, Site

CONTENT = bytes(range(256)) * 40
PATH = "/photos/one.bin"


@cache
def client(timeout: float) -> httpx2.Client:
    """Return a client; making one takes longer than any test here."""
    return httpx2.Client(timeout=timeout, follow_redirects=True)


def fetch(site: Site, folder: Path, wanted: Wanted | None = None, retries: int = 3, timeout: float = 5.0) -> bytes:
    """Fetch one file, ``CONTENT`` unless the site has another, and return what is on disk then."""
    item = wanted or Wanted("one.bin", (site.address + PATH,))
    entry = Downloader(folder, client(timeout), retries, Event()).fetch(item)
    data = (folder / item.file).read_bytes()
    assert (entry.file, entry.bytes, entry.sha256) == (item.file, len(data), sha256(data).hexdigest())
    assert not list((folder / PARTIAL_FOLDER).rglob("*.*"))
    return data


@pytest.fixture
def serving(site: Site) -> Callable[..., Site]:
    """Return a function that gives the site ``CONTENT`` and the faults of its first requests."""

    def serve(*faults: Fault) -> Site:
        site.files[PATH] = CONTENT
        site.faults[PATH] = list(faults)
        return site

    return serve


def test_errors_of_the_server_pass(serving: Callable[..., Site], tmp_path: Path) -> None:
    site = serving(Fault(500), Fault(503), Fault(429))
    assert fetch(site, tmp_path) == CONTENT
    assert len(site.asked(PATH)) == 4


@pytest.mark.parametrize("fault", [Fault(stall=4000), Fault(cut=4000)], ids=["stalled", "cut off"])
def test_an_interrupted_file_goes_on_where_it_stopped(
    fault: Fault, serving: Callable[..., Site], tmp_path: Path
) -> None:
    site = serving(fault)
    assert fetch(site, tmp_path, timeout=1.0) == CONTENT
    first, second = site.asked(PATH)
    assert "Range" not in first
    assert second["Range"] == "bytes=4000-"
    assert second["If-Range"].strip('"')


def test_a_file_is_continued_by_a_later_run(serving: Callable[..., Site], tmp_path: Path) -> None:
    site = serving(Fault(cut=4000))
    with pytest.raises(FetchError):
        fetch(site, tmp_path, retries=0)
    assert not (tmp_path / "one.bin").exists()
    assert fetch(site, tmp_path) == CONTENT
    assert site.asked(PATH)[-1]["Range"] == "bytes=4000-"


def test_a_server_that_ignores_the_range_is_heard_from_the_start(serving: Callable[..., Site], tmp_path: Path) -> None:
    site = serving(Fault(cut=4000), Fault(ignores_range=True))
    assert fetch(site, tmp_path) == CONTENT
    assert len(site.asked(PATH)) == 2


@pytest.mark.parametrize("rude", [False, True], ids=["sends the new whole", "sends the new rest"])
def test_two_versions_are_never_put_together(rude: bool, serving: Callable[..., Site], tmp_path: Path) -> None:
    site = serving(Fault(cut=4000))
    with pytest.raises(FetchError):
        fetch(site, tmp_path, retries=0)
    site.files[PATH] = CONTENT[::-1]
    site.faults[PATH] = [Fault(ignores_version=rude)]
    assert fetch(site, tmp_path) == CONTENT[::-1]


@pytest.mark.parametrize(
    "wrong", [{"Content-Range": "bytes 7-10239/10240"}, {"Content-Range": "bytes 4000-10239/99999"}]
)
def test_a_part_that_does_not_fit_is_thrown_away(
    wrong: dict[str, str], serving: Callable[..., Site], tmp_path: Path
) -> None:
    site = serving(Fault(cut=4000), Fault(headers={**wrong}))
    assert fetch(site, tmp_path) == CONTENT
    assert ["Range" in headers for headers in site.asked(PATH)] == [False, True, False]


def test_a_server_that_sends_only_some_of_the_rest_is_asked_for_more(
    serving: Callable[..., Site], tmp_path: Path
) -> None:
    site = serving(Fault(cut=4000), Fault(part=1000))
    assert fetch(site, tmp_path) == CONTENT
    assert [headers.get("Range") for headers in site.asked(PATH)] == [None, "bytes=4000-", "bytes=5000-"]


def test_a_file_that_had_come_whole_is_not_asked_for_again(serving: Callable[..., Site], tmp_path: Path) -> None:
    site = serving()
    partial = Partial(tmp_path / PARTIAL_FOLDER / "one.bin")
    partial.begin(Origin(site.address + PATH, size=len(CONTENT)))
    partial.path.write_bytes(CONTENT)
    assert fetch(site, tmp_path) == CONTENT
    assert not site.requests


@pytest.mark.parametrize("version", [None, 'W/"1"'], ids=["none", "weak"])
def test_without_a_version_of_bytes_a_file_starts_again(
    version: str | None, serving: Callable[..., Site], tmp_path: Path
) -> None:
    site = serving(Fault(cut=4000, headers={"ETag": version}))
    assert fetch(site, tmp_path) == CONTENT
    assert all("Range" not in headers for headers in site.asked(PATH))


def test_a_date_names_a_version_too(serving: Callable[..., Site], tmp_path: Path) -> None:
    date = "Sat, 21 Nov 2020 10:00:00 GMT"
    site = serving(Fault(cut=4000, headers={"ETag": None, "Last-Modified": date}))
    with pytest.raises(FetchError):
        fetch(site, tmp_path, retries=0)
    site.faults[PATH] = [Fault(ignores_version=True, headers={"ETag": None, "Last-Modified": date})]
    assert fetch(site, tmp_path) == CONTENT
    assert site.asked(PATH)[1]["If-Range"] == date
    assert len(site.asked(PATH)) == 2


def test_another_address_does_not_continue_the_file_of_the_first(site: Site, tmp_path: Path) -> None:
    site.files = {"/a/one.bin": CONTENT, "/b/one.bin": CONTENT[::-1]}
    site.faults["/a/one.bin"] = [Fault(cut=4000)]
    wanted = Wanted("one.bin", (f"{site.address}/a/one.bin", f"{site.address}/b/one.bin"))
    assert fetch(site, tmp_path, wanted) == CONTENT[::-1]
    assert "Range" not in site.asked("/b/one.bin")[0]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(announced=500, ignores_range=True), "without sending complete message body"),
        (Fault(headers={"Content-Encoding": "gzip"}), "compresses"),
        (Fault(status=410), "HTTP 410"),
        (Fault(status=502), "HTTP 502"),
        (Fault(status=304), "HTTP 304"),
    ],
)
def test_a_file_that_never_comes_right_leaves_what_was_there(
    fault: Fault, reason: str, site: Site, tmp_path: Path
) -> None:
    site.files[PATH], site.always[PATH] = CONTENT, fault
    (tmp_path / "one.bin").write_bytes(b"before")
    with pytest.raises(FetchError, match=reason):
        fetch(site, tmp_path, retries=1)
    assert (tmp_path / "one.bin").read_bytes() == b"before"


def test_too_small_an_announced_size_is_found_by_the_hash(site: Site, tmp_path: Path) -> None:
    site.files[PATH], site.always[PATH] = CONTENT, Fault(announced=-500)
    wanted = Wanted("one.bin", (site.address + PATH,), sha256(CONTENT).hexdigest())
    with pytest.raises(FetchError, match="sha256 is not the released"):
        fetch(site, tmp_path, wanted, retries=1)
    site.always.clear()
    assert fetch(site, tmp_path, wanted) == CONTENT


def test_what_a_server_does_not_have_is_asked_once_and_then_elsewhere(site: Site, tmp_path: Path) -> None:
    site.files["/b/one.bin"] = CONTENT
    wanted = Wanted("one.bin", (f"{site.address}/a/one.bin", f"{site.address}/b/one.bin"))
    assert fetch(site, tmp_path, wanted) == CONTENT
    with pytest.raises(FetchError, match="HTTP 404"):
        fetch(site, tmp_path, Wanted("two.bin", (f"{site.address}/a/two.bin",)))
    assert len(site.asked("/a/one.bin")) == len(site.asked("/a/two.bin")) == 1


def test_a_server_that_fails_is_asked_after_the_others(site: Site, tmp_path: Path) -> None:
    dead = "http://127.0.0.1:9"
    site.files = {"/1.bin": CONTENT, "/2.bin": CONTENT}
    downloader = Downloader(tmp_path, client(5.0), 0, Event())
    downloader.fetch(Wanted("1.bin", (f"{dead}/1.bin", f"{site.address}/1.bin")))
    downloader.fetch(Wanted("2.bin", (f"{dead}/2.bin", f"{site.address}/2.bin")))
    assert downloader._strikes[dead.removeprefix("http://")] == 1


def test_unusable_content_is_not_kept(site: Site, tmp_path: Path) -> None:
    site.files[PATH] = b"<html>please log in</html>"
    wanted = Wanted(
        "one.bin", (site.address + PATH,), flaw=lambda path: "it is a page" if b"<html>" in path.read_bytes() else ""
    )
    with pytest.raises(FetchError, match="it is a page"):
        fetch(site, tmp_path, wanted, retries=1)
    assert len(site.asked(PATH)) == 2
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_without_end_is_refused(
    announced: bool, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    site.files[PATH] = CONTENT
    site.always[PATH] = Fault(headers={} if announced else {"Content-Length": None, "Connection": "close"})
    with pytest.raises(FetchError, match="more than 1,000"):
        fetch(site, tmp_path)
    assert len(site.asked(PATH)) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_server_that_asks_for_a_pause_gets_it(
    serving: Callable[..., Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LONGEST_PAUSE", 0.3)
    started = time.monotonic()
    assert fetch(serving(Fault(503, headers={"Retry-After": "7"})), tmp_path) == CONTENT
    assert 0.3 <= time.monotonic() - started < 5


@pytest.mark.parametrize("file", ["../one.bin", "a/../../one.bin", "/tmp/vsre-never-written.bin", "link/one.bin"])
def test_nothing_is_written_outside_the_folder(file: str, serving: Callable[..., Site], tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    with pytest.raises(FetchError, match="outside"):
        fetch(serving(), folder, Wanted(file, (serving().address + PATH,)))
    assert [path for path in (tmp_path / "one.bin", outside / "one.bin", Path(file)) if path.exists()] == []


def test_a_folder_in_the_way_is_told(serving: Callable[..., Site], tmp_path: Path) -> None:
    (tmp_path / "one.bin").mkdir()
    with pytest.raises(FetchError, match="cannot be written"):
        fetch(serving(), tmp_path)


FAULTS = st.one_of(
    st.builds(Fault, status=st.sampled_from([500, 503, 429])),
    st.builds(Fault, cut=st.integers(0, len(CONTENT) - 1), ignores_range=st.booleans()),
    st.builds(Fault, cut=st.integers(0, len(CONTENT) - 1), headers=st.just({"ETag": None})),
    st.builds(Fault, cut=st.integers(0, 5000), ignores_version=st.booleans()),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FAULTS, max_size=5))
def test_any_row_of_interruptions_ends_in_the_same_bytes(serving: Callable[..., Site], faults: list[Fault]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert fetch(serving(*faults), Path(folder), retries=len(faults)) == CONTENT
