"""Bring many files at once into one folder: what is there is verified, the rest is fetched, what fails is listed.

One process at a time works in a folder. It may be killed at any moment: whole files have their names, the rest
waits in ``.partial``.
"""

import fcntl
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
from tqdm import tqdm

from datagen.fetch.config import FetchConfig
from datagen.fetch.download import PARTIAL_FOLDER, Downloader, FetchError, Wanted
from datagen.fetch.manifest import Entry, Manifest
from spatial.benchmarks import file_hash
from spatial.errors import ConfigError

LOCK = ".lock"

HOPELESS = 40
"""So many failures in a row that are no refusals, and the rest is not tried: the network is gone."""


@dataclass(frozen=True)
class Missing:
    """A file that could not be had, and why; ``refused`` if every server answered that it will not give it."""

    file: str
    reason: str
    refused: bool = False


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Create the folder and keep other processes from fetching into it while the block runs.

    Raises:
        ConfigError: it cannot be written, or another process is at work in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise ConfigError(f"folder {folder} cannot be written ({error.strerror}); choose another --out") from error
    with lock:
        try:
            # The system lets go of it when the process ends, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"another 'vsre fetch' is writing to {folder}; wait until it has ended") from error
        except OSError as error:
            logging.getLogger(__name__).warning(
                "%s cannot be locked (%s): fetch once at a time", folder, error.strerror
            )
        yield


class Batch:
    """Fetches lists of files into ``config.out``, which must be claimed."""

    def __init__(self, config: FetchConfig) -> None:
        self._config = config
        self._folder = Path(config.out)
        self._manifest = Manifest(self._folder)

    def bring(self, wanted: Sequence[Wanted], what: str) -> tuple[list[Entry], list[Missing]]:
        """Verify and fetch files; ``what`` names them on the progress bar.

        Returns:
            The files that are there now, and those that are not.
        """
        had = self._verify(wanted, what)
        absent = [item for item in wanted if item.file not in had]
        missing: list[Missing] = []
        if absent:
            with tqdm(total=len(wanted), initial=len(had), desc=f"fetch {what}", unit="file") as bar:
                missing = self._download(absent, had, bar)
        if had:
            self._manifest.save()
        return list(had.values()), missing

    def _verify(self, wanted: Sequence[Wanted], what: str) -> dict[str, Entry]:
        """Return the files that are there and right; a wrong one is named in the log and fetched again."""
        there = [item for item in wanted if (self._folder / item.file).is_file()]
        had = {}
        with ThreadPoolExecutor(self._config.concurrency) as pool:
            found = pool.map(self._entry, there)
            for item, entry in zip(
                there, tqdm(found, f"check {what}", len(there), leave=False, disable=not there), strict=True
            ):
                if isinstance(entry, Entry):
                    self._manifest.add(entry)
                    had[item.file] = entry
                else:
                    path = self._folder / item.file
                    logging.getLogger(__name__).warning("%s is fetched again: %s", path, entry)
        return had

    def _entry(self, wanted: Wanted) -> Entry | str:
        """Return the entry of a file that is there, or what is wrong with it."""
        path = self._folder / wanted.file
        try:
            digest = file_hash(path)
        except OSError as error:
            return f"it cannot be read ({error.strerror})"
        known = self._manifest.entries.get(wanted.file)
        if known and digest != known.sha256:
            return "it has changed since it was fetched"
        if known and wanted.sha256 in ("", digest):
            return known
        return wanted.flaw_of(path, digest) or Entry(wanted.file, path.stat().st_size, digest)

    def _download(self, absent: list[Wanted], had: dict[str, Entry], bar: "tqdm[Any]") -> list[Missing]:
        stop = Event()
        started, arrived, in_a_row = time.monotonic(), 0, 0
        missing: list[Missing] = []
        with self._client() as client, ThreadPoolExecutor(self._config.concurrency) as pool:
            downloader = Downloader(self._folder, client, self._config.retries, stop)
            futures = {pool.submit(downloader.fetch, item): item.file for item in absent}
            try:
                for future in as_completed(futures):
                    outcome = _outcome(future, futures[future])
                    if isinstance(outcome, Entry):
                        had[outcome.file] = outcome
                        self._manifest.add(outcome)
                        arrived, in_a_row = arrived + outcome.bytes, 0
                    else:
                        missing.append(outcome)
                        in_a_row = 0 if outcome.refused else in_a_row + 1
                    if in_a_row == HOPELESS:
                        stop.set()
                    rate = arrived / 1e6 / max(time.monotonic() - started, 1e-3)
                    bar.set_postfix_str(f"{arrived / 1e6:.1f} MB, {rate:.1f} MB/s, {len(missing)} missing", False)
                    bar.update()
            except BaseException:
                stop.set()
                raise
        return sorted(missing, key=lambda item: item.file)

    def forget_partials(self) -> None:
        """Remove what has arrived of unfinished files; nothing is wanted of them any more."""
        shutil.rmtree(self._folder / PARTIAL_FOLDER, ignore_errors=True)

    def _client(self) -> httpx2.Client:
        return httpx2.Client(
            timeout=self._config.timeout,
            follow_redirects=True,
            limits=httpx2.Limits(max_connections=self._config.concurrency),
            headers={"User-Agent": "vsre"},
        )


def _outcome(future: "Future[Entry]", file: str) -> Entry | Missing:
    try:
        return future.result()
    except FetchError as error:
        return Missing(file, str(error), error.refused)
