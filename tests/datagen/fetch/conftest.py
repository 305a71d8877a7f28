"""An HTTP server on this machine that misbehaves as it is told to, and a VSR on it with made-up photos."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datagen.fetch import download
from datagen.fetch.batch import LOCK
from datagen.fetch.config import FetchConfig
from spatial.vsr import RELEASED, Released

SHIPPED = Path(__file__).parents[3] / "eval" / "assets" / "vsr"


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of the right answer.

    Attributes:
        status: an error with this status.
        cut: the connection ends after this many bytes of the announced ones.
        stall: nothing more comes after this many bytes.
        announced: added to the announced size.
        part: no more than so many bytes of the asked part are sent, and announced.
        headers: sent beside, or in place of, the right ones; None leaves one out.
        ignores_range: the whole file is sent although a part was asked for.
        ignores_version: the part is sent although another version was asked for.
    """

    status: int = 0
    cut: int | None = None
    stall: int | None = None
    announced: int = 0
    part: int | None = None
    headers: dict[str, str | None] = field(default_factory=dict)
    ignores_range: bool = False
    ignores_version: bool = False


@dataclass
class Site:
    """Files by path, faults by path (one for each request, then none), and the requests so far."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    always: dict[str, Fault] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    delay: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    def asked(self, path: str) -> list[dict[str, str]]:
        """Return the headers of the requests for a path."""
        return [headers for asked, headers in self.requests if asked == path]

    def clear(self) -> None:
        """Forget all files, faults and requests."""
        for store in (self.files, self.faults, self.always, self.requests):
            store.clear()
        self.delay = 0.0


class Handler(BaseHTTPRequestHandler):
    """Answers from the ``Site`` of its server."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.requests.append((self.path, dict(self.headers)))
        time.sleep(site.delay)
        fault = (site.faults.get(self.path) or [site.always.get(self.path, Fault())]).pop(0)
        data = site.files.get(self.path)
        if fault.status or data is None:
            self.answer(fault, fault.status or 404, b"", {})
            return
        headers = {"ETag": f'"{md5(data).hexdigest()}"'} | fault.headers
        start = self.start(fault, headers.get("ETag"))
        if start is None:
            self.answer(fault, 200, data, headers)
        elif start >= len(data):
            self.answer(fault, 416, b"", {})
        else:
            body = data[start:][: fault.part]
            span = {"Content-Range": f"bytes {start}-{start + len(body) - 1}/{len(data)}"}
            self.answer(fault, 206, body, {**span, **headers})

    def start(self, fault: Fault, version: str | None) -> int | None:
        """Return where the asked part begins, if a part is to be sent."""
        asked = self.headers.get("Range")
        same = fault.ignores_version or self.headers.get("If-Range") == version
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked and same and not fault.ignores_range else None

    def answer(self, fault: Fault, status: int, body: bytes, headers: dict[str, Any]) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body) + fault.announced)} | headers | fault.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        stop = fault.cut if fault.cut is not None else fault.stall
        self.wfile.write(body[:stop])
        if fault.stall is not None:
            site.ended.wait(20)
        self.close_connection = stop is not None or bool(fault.announced) or bool(fault.headers)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="session")
def running_site() -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = Site(f"http://127.0.0.1:{server.server_port}")
    server.site = site  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield site
    site.ended.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(running_site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A server without files; attempts follow one another at once."""
    running_site.clear()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.001)
    return running_site


def photo(seed: int) -> bytes:
    """Return a small JPEG; another seed gives other pixels."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format="JPEG")
    return buffer.getvalue()


ANNOTATION = "/annotations/zeroshot/dev.jsonl"
RELEASED_DEV = (SHIPPED / "zeroshot.dev.jsonl").read_bytes()
SHIPPED_DEV = RELEASED["zeroshot", "dev"]
ROWS = 40
FEW = b"".join(RELEASED_DEV.splitlines(keepends=True)[:ROWS])


def photos_of(annotations: bytes) -> dict[str, bytes]:
    """Return made-up photos for the rows of an annotation file, by their path on the site."""
    rows = map(json.loads, annotations.decode().splitlines())
    return {f"/coco/{row['image_link'].split('/')[-2]}/{row['image']}": photo(i) for i, row in enumerate(rows)}


PHOTOS = photos_of(FEW)
FIRST, SECOND = list(PHOTOS)[:2]


@pytest.fixture
def config(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FetchConfig:
    """Settings for a zero-shot dev part of few rows, which the site has with their photos."""
    site.files = {ANNOTATION: FEW, **PHOTOS}
    monkeypatch.setitem(RELEASED, ("zeroshot", "dev"), Released(ROWS, sha256(FEW).hexdigest()))
    return FetchConfig(
        dataset="vsr",
        out=str(tmp_path / "vsr"),
        parts=["dev"],
        annotations_url=f"{site.address}/annotations/",
        photos_url=f"{site.address}/coco",
        retries=1,
        timeout=10.0,
    )


@pytest.fixture
def whole(config: FetchConfig, site: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Make the site's part the released one, and return its photos."""
    monkeypatch.setitem(RELEASED, ("zeroshot", "dev"), SHIPPED_DEV)
    photos = photos_of(RELEASED_DEV)
    site.files = {ANNOTATION: RELEASED_DEV, **photos}
    return photos


@pytest.fixture
def own_rows(config: FetchConfig, site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes the site's dev part consist of these (image, link) rows."""

    def publish(*rows: tuple[str, str]) -> None:
        caption = {"caption": "The cat is on the bed.", "relation": "on", "label": 1}
        lines = [json.dumps({"image": image, "image_link": link, **caption}) + "\n" for image, link in rows]
        data = "".join(lines).encode()
        site.files[ANNOTATION] = data
        monkeypatch.setitem(RELEASED, ("zeroshot", "dev"), Released(len(rows), sha256(data).hexdigest()))

    return publish


def files_in(folder: Path) -> set[str]:
    """Return the paths of all files of a folder but the lock, relative to it."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCK)
    return {path.relative_to(folder).as_posix() for path in paths}
