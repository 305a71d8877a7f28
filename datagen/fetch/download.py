"""Bring a file over HTTP to disk: whole and checked, or not at all.

A failure is final (the server refuses the file: it is not asked again) or passing (no answer, a server's error, too
few bytes, wrong content: every address is asked again after a pause). An interrupted file goes on where it stopped
(RFC 9110, Range with If-Range) if the server had named its version; otherwise it starts again. A file gets its name
only when size, hash and content are right.
"""

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import httpx2

from datagen.fetch.manifest import Entry
from datagen.fetch.partial import Origin, Partial
from spatial.benchmarks import file_hash

PARTIAL_FOLDER = ".partial"
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between two rounds of attempts: doubling from the first, and as long as a server's Retry-After asks."""

MAX_BYTES = 64 * 2**20
"""No file of a data set is larger unless it is known to be; a server that sends more is refused."""

PASSING_STATUS = (408, 425, 429)
"""Refusals of the moment, beside all server errors (RFC 9110, RFC 6585, RFC 8470)."""


@dataclass(frozen=True)
class Wanted:
    """A file to have.

    Attributes:
        file: its path in the output folder.
        urls: where it may be had, the preferred first.
        sha256: of its content, "" where that is not known.
        flaw: says what is wrong with the content of a file, "" if nothing is.
        max_bytes: no more is accepted; 0 stands for ``MAX_BYTES``.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str = ""
    flaw: Callable[[Path], str] = lambda path: ""
    max_bytes: int = 0

    def flaw_of(self, path: Path, digest: str) -> str:
        """Return what is wrong with the content of a file of that sha256, "" if nothing is."""
        if self.sha256 and digest != self.sha256:
            return "its sha256 is not the released file's"
        return self.flaw(path)


class FetchError(Exception):
    """A file that could not be had, and why; ``refused`` if every server answered that it will not give it."""

    def __init__(self, reason: str, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


class _Refused(Exception):
    """The server will not give the file, however often it is asked."""


class _Failed(Exception):
    """An attempt that may end better later, after ``pause`` seconds at least."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class Downloader:
    """Fetches files into ``folder``; one object serves many threads.

    Args:
        folder: nothing is written outside it.
        client: makes the requests; its timeout counts.
        retries: rounds of attempts after the first.
        stop: once set, no further attempt begins and those under way end.
    """

    def __init__(self, folder: Path, client: httpx2.Client, retries: int, stop: Event) -> None:
        self._folder = folder
        self._client = client
        self._retries = retries
        self._stop = stop
        self._strikes: Counter[str] = Counter()

    def fetch(self, wanted: Wanted) -> Entry:
        """Bring one file.

        Raises:
            FetchError: it could not be had; what was there before is untouched.
        """
        try:
            return self._fetch(wanted)
        except OSError as error:
            raise FetchError(f"cannot be written ({error.strerror or error})") from error

    def _fetch(self, wanted: Wanted) -> Entry:
        live = list(wanted.urls)
        reasons: dict[str, str] = {}
        for turn in range(self._retries + 1):
            pause = FIRST_PAUSE * 2**turn * random.uniform(0.5, 1.0)
            # A server that keeps failing, for whatever file, is asked after the others.
            for url in sorted(live, key=lambda url: self._strikes[_host(url)]):
                if self._stop.is_set():
                    raise FetchError("not tried, after too many failures in a row")
                try:
                    return self._attempt(wanted, url)
                except _Refused as refusal:
                    live.remove(url)
                    reasons[_host(url)] = str(refusal)
                except _Failed as failure:
                    self._strikes[_host(url)] += 1
                    pause = max(pause, failure.pause)
                    reasons[_host(url)] = str(failure)
            if not live or turn == self._retries or self._stop.wait(min(pause, LONGEST_PAUSE)):
                break
        raise FetchError("; ".join(f"{host}: {reason}" for host, reason in reasons.items()), refused=not live)

    def _attempt(self, wanted: Wanted, url: str) -> Entry:
        target = inside(self._folder, wanted.file)
        partial = Partial(inside(self._folder, f"{PARTIAL_FOLDER}/{wanted.file}"))
        origin = partial.origin(url)
        if origin is None or origin.size != partial.size():
            try:
                self._receive(url, partial, origin, wanted.max_bytes or MAX_BYTES)
            except httpx2.TimeoutException as error:
                raise _Failed("no answer in time") from error
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise _Failed(str(error) or type(error).__name__) from error
        size, digest = partial.size(), file_hash(partial.path)
        if flaw := wanted.flaw_of(partial.path, digest):
            partial.discard()
            raise _Failed(flaw)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.path.replace(target)
        partial.discard()
        self._strikes[_host(url)] = 0
        return Entry(wanted.file, size, digest, url)

    def _receive(self, url: str, partial: Partial, origin: Origin | None, limit: int) -> None:
        """Ask for the file, or for the rest of it, until all announced bytes have arrived."""
        # Compressed on the way, its size would not be the announced one.
        headers = {"Accept-Encoding": "identity"}
        if origin:
            headers |= {"Range": f"bytes={partial.size()}-", "If-Range": origin.version}
        with self._client.stream("GET", url, headers=headers) as response:
            _refuse_errors(response, partial)
            if response.status_code == 206:
                size = _continued_size(response, partial, origin)
            else:
                size = _announced_size(response)
                partial.begin(Origin(url, _version(response), size))
            if size is not None and size > limit:
                partial.discard()
                raise _Refused(f"it has {size:,} bytes, more than {limit:,}")
            self._append(response, partial, limit)
        if size is not None and partial.size() != size:
            raise _Failed(f"{partial.size():,} of {size:,} bytes came")

    def _append(self, response: httpx2.Response, partial: Partial, limit: int) -> None:
        arrived = partial.size()
        with partial.path.open("ab") as file:
            for chunk in response.iter_raw():
                arrived += len(chunk)
                if arrived > limit:
                    partial.discard()
                    raise _Refused(f"it has more than {limit:,} bytes")
                if self._stop.is_set():
                    raise _Failed("stopped")
                file.write(chunk)


def inside(folder: Path, file: str) -> Path:
    """Return the path of a file to write under ``folder``.

    Raises:
        FetchError: the name or a link in the folder leads outside.
    """
    path = folder / file
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise FetchError(f"it would be written outside {folder}, where a link leads; remove the link")
    return path


def _host(url: str) -> str:
    return url.split("/", 3)[2]


def _refuse_errors(response: httpx2.Response, partial: Partial) -> None:
    status = response.status_code
    if status == 416:
        partial.discard()
        raise _Failed("the server cannot continue it")
    if status >= 500 or status in PASSING_STATUS:
        asked = response.headers.get("Retry-After", "")
        raise _Failed(f"HTTP {status}", float(asked) if asked.isdecimal() else 0.0)
    if status not in (200, 206):
        raise _Refused(f"HTTP {status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _Refused("the server compresses it although it was asked not to")


def _continued_size(response: httpx2.Response, partial: Partial, origin: Origin | None) -> int | None:
    """Return the size of the whole file, once it is sure that the answer goes on where the bytes end."""
    answer = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if origin and answer and int(answer[1]) == partial.size() and _version(response) in ("", origin.version):
        size = int(answer[2]) if answer[2] != "*" else origin.size
        if origin.size in (None, size):
            return size
    partial.discard()
    raise _Failed("the server sent a part that was not asked for")


def _announced_size(response: httpx2.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _version(response: httpx2.Response) -> str:
    """Return what names the version of a file: a strong ETag, or a date; a weak ETag does not name bytes."""
    etag: str = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
