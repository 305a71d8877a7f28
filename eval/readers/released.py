"""Find the file of a benchmark, and check that it is the one its authors released.

``data.path`` is the folder that ``vsre fetch`` wrote, or the file itself, and must have the released number of rows.
``data.annotations`` names another file in its place: a selection of one's own, of any length.
"""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from eval.config import DataConfig
from spatial.benchmarks import RELEASED, Released, file_hash, hash_flaw
from spatial.errors import ConfigError, RecordError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """What is read: the file (or folder) of questions, the folder of pictures, and whether it must be the release.

    Attributes:
        kind: the benchmark's name.
        path: of the questions.
        images: under which the pictures are looked for.
        own: whether it is a selection of one's own.
    """

    kind: str
    path: Path
    images: Path
    own: bool

    @property
    def released(self) -> Released:
        """What is known of the benchmark."""
        return RELEASED[self.kind]

    @property
    def folders(self) -> tuple[str, ...]:
        """Where pictures are looked for under ``images``."""
        return (self.released.pictures, "")

    def check_counts(self, rows: int, asked: int) -> None:
        """Compare how many rows there are, and how many of them are asked, with what was released.

        Raises:
            RecordError: they differ, and this is not a selection of one's own.
        """
        known = self.released
        for found, expected, what in ((rows, known.rows, ""), (asked, known.asked, f" of {self.kind}")):
            if expected and found != expected and not self.own:
                raise RecordError(
                    f"{self.path} has {found} rows{what}, but the released one has {expected}; fetch it again with "
                    f"'vsre fetch {self.kind}', or name a selection of your own as data.annotations"
                )

    def tell_hash(self, texts: Sequence[Path] = ()) -> None:
        """Say in the log what is read: warn if it is not the released file, print a hash to compare if none is known.

        Args:
            texts: the files of questions, where ``path`` is their folder; their hashes are hashed, in this order.

        Raises:
            RecordError: a file cannot be read.
        """
        if self.own:
            return
        try:
            flaw = hash_flaw(self.path, self.released.hash)
            if flaw:
                _log.warning("%s: %s", self.path, flaw)
            elif not self.released.hash:
                told = sha256("\n".join(map(file_hash, texts)).encode()).hexdigest() if texts else file_hash(self.path)
                _log.info("%s has sha256 %s; no hash of the released file is known to compare", self.path, told)
        except OSError as error:
            raise RecordError(f"{self.path} cannot be read ({error.strerror}); correct its permissions") from error


def open_released(data: DataConfig, kind: str, splits: tuple[str, ...] = (), also: tuple[str, ...] = ()) -> Opened:
    """Return what a configuration asks to read of a benchmark.

    Args:
        data: the configuration.
        kind: a name of ``RELEASED``.
        splits: what ``data.split`` may be, beside "".
        also: other places of the file under ``data.path``.

    Raises:
        ConfigError: no path is given, or a split that the benchmark has not.
        RecordError: there is no such file.
    """
    if data.split and data.split not in splits:
        had = f"has the splits {' and '.join(splits)}" if splits else "is not split"
        raise ConfigError(f"data.split is {data.split!r}, but {kind} {had}; leave it empty")
    if not (data.path or data.annotations):
        raise ConfigError(f"data.path is empty; name the folder that 'vsre fetch {kind}' wrote")
    path = Path(data.annotations) if data.annotations else _place(Path(data.path), RELEASED[kind].file, also)
    if not path.exists():
        out = f" --out {shlex.quote(data.path)}" if data.path else ""
        raise RecordError(
            f"{path} is missing; run 'vsre fetch {kind}{out}', or set data.path to the folder that holds it"
        )
    folder = Path(data.path) if data.path and not Path(data.path).is_file() else path.parent
    return Opened(kind, path, Path(data.images or folder), own=bool(data.annotations))


def _place(given: Path, file: str, also: tuple[str, ...]) -> Path:
    if given.is_file():
        return given
    places = [given / place for place in (file, *also)]
    return next((place for place in places if place.exists()), places[0])
