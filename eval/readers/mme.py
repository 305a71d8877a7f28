"""MME's position task (arXiv 2306.13394): 30 photos, and beside each a text file with two questions, yes and no.

A line is a question, a tab, and "Yes" or "No". Photos and texts lie together, or in "images" and
"questions_answers_YN", as MME's other tasks have them. The two questions about a photo are one group: MME's "accuracy+"
counts a photo only if both are answered rightly.
"""

from collections.abc import Iterator
from pathlib import Path

from eval.config import DataConfig
from eval.readers.pictures import find_picture
from eval.readers.released import open_released
from eval.readers.rows import Row, gather
from spatial.dataset import FailedRow, RecordSet
from spatial.errors import RecordError

RELEASE = "MME_Benchmark_release_version"

UNPACKED = (f"{RELEASE}/MME_Benchmark/position", f"{RELEASE}/position", ".")
"""Where the task is in what MME's archive unpacks to, or the folder itself."""

TEXTS, PHOTOS = "questions_answers_YN", "images"

KIND = "mme-position"


def read_mme(data: DataConfig) -> RecordSet:
    """Read MME's position task.

    Raises:
        ConfigError: no path, or a split.
        RecordError: the folder is missing, has not the released number of questions, or no photo was found.
    """
    opened = open_released(data, KIND, also=UNPACKED)
    if not opened.path.is_dir():
        raise RecordError(f"{opened.path} is a file; MME has one for each photo, so name the folder that holds them")
    texts = sorted((opened.path / TEXTS if (opened.path / TEXTS).is_dir() else opened.path).glob("*.txt"))
    lines = [(text, number, line) for text in texts for number, line in _lines(text)]
    opened.check_counts(len(lines), len(lines))
    opened.tell_hash(texts)
    photos = (str(opened.path / PHOTOS), str(opened.path))
    images = Path(data.images or next(folder for folder in photos if Path(folder).is_dir()))
    return gather(opened, _rows(images, lines))


def _lines(text: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = text.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{text} cannot be read ({error}); fetch it again with 'vsre fetch {KIND}'") from error
    yield from ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _rows(images: Path, lines: list[tuple[Path, int, str]]) -> Iterator[Row | FailedRow]:
    for text, number, line in lines:
        name = f"{text.name}:{number}"
        try:
            question, _, answer = (part.strip() for part in line.strip().rpartition("\t"))
            if answer not in ("Yes", "No"):
                raise RecordError(f"line {line!r} is no question, tab, Yes or No; correct the file")
            picture = find_picture(images, ("",), text.stem, KIND)
            yield Row(name, picture, picture.name, question, ("yes", "no"), answer.lower(), role=answer.lower())
        except RecordError as error:
            yield FailedRow(name, str(error))
