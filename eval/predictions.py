"""Predictions: one row per answered question, as a Parquet file that every metric and report reads.

A row is named by (model_hash, record_id, template, decoder, image_mode, canvas). While a run goes on, rows are
appended as small part files, each renamed into place when it is whole, so a killed run loses only what it had not yet
written. Several processes may write at once: no two parts have one name.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from spatial.errors import RecordError
from spatial.files import atomic

Key = tuple[str, str, str, str, str, str]

OLD_CANVAS = "pad"
"""What every picture was made into while rows did not say it."""


@dataclass(frozen=True)
class Prediction:
    """One answer of one model to one question.

    Attributes:
        model_hash: hash over the weights and the files that decide what the model sees (``encoders.model_hash``).
        record_id: the record; of a row that could not be read, its name in the source.
        image_id: the record's own image, whichever image was shown; intervals are clustered by it.
        caption: the record's sentence, which pairs the two images of a counterfactual group.
        category: the relation's meta category, or the record's topic where it has no relation.
        options: answer strings; of a statement, the one that means "true" comes first.
        answer: the right option.
        option_logprobs: log p(option | prompt) in nats, summed over the option's tokens (and the end of the text where
            one option begins another), in the order of ``options``.
        confidence: largest probability over the whole vocabulary of the first answer token at alpha 1, not rounded.
        answered: whether the most probable first token begins one of the options.
        predicted: the chosen option.
        generated: what the model wrote; "" where it was not asked to, or wrote nothing.
        parsed: the option that it names (``eval.parsing``), or "".
        outcome: of the parsing; "" where nothing was to be written.
        contained: whether what was written counts as right in the code released with AdaptVis.
        failed: why there is no prediction, or "".
        question: hash of what the model was shown, and of the code of the decoder; a stored row counts only while it
            agrees.
        canvas: how pictures were made square, a name of ``encoders.canvas.CANVAS_MODES``; or "processor": as the
            processor of a model of another family does, or does not.
        image_file: what the source calls the file of the record's own image; "" where it has no such files, in the
            part files, and in tables from before there was this column.
    """

    model_hash: str
    record_id: str
    image_id: str
    group_id: str
    template: str
    decoder: str
    image_mode: str
    task: str = ""
    topic: str = ""
    relation: str = ""
    category: str = ""
    caption: str = ""
    negative_kind: str = ""
    options: tuple[str, ...] = ()
    answer: str = ""
    option_logprobs: tuple[float, ...] = ()
    confidence: float = float("nan")
    answered: bool = False
    predicted: str = ""
    correct: bool = False
    failed: str = ""
    question: str = ""
    canvas: str = OLD_CANVAS
    generated: str = ""
    parsed: str = ""
    outcome: str = ""
    contained: bool = False
    image_file: str = ""

    @property
    def key(self) -> Key:
        """What names the row."""
        return (self.model_hash, self.record_id, self.template, self.decoder, self.image_mode, self.canvas)


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write rows to a Parquet file, which appears whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in predictions], schema=_schema()), temporary)


def read_predictions(path: str | Path) -> list[Prediction]:
    """Read rows back.

    Raises:
        RecordError: the file is missing, truncated, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path, schema=_schema()).to_pylist()
    except (pa.ArrowException, OSError) as error:
        mend = "delete it and run the same 'vsre eval' command again"
        raise RecordError(f"{path} is not a readable predictions file; {mend}") from error
    return [_prediction(row) for row in rows]


class PartFiles:
    """The growing predictions of one run directory, ``predictions/part-*.parquet``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: set[Path] = set()

    def read(self) -> dict[Key, Prediction]:
        """Return the rows of all parts that have not been read or written here, by key; the last written counts."""
        paths = [path for path in sorted(self.folder.glob("part-*.parquet")) if path not in self._known]
        self._known.update(paths)
        return {row.key: row for path in paths for row in read_predictions(path)}

    def append(self, predictions: Sequence[Prediction]) -> None:
        """Add rows as one new part, which comes after all that are there; no rows, no part."""
        if not predictions:
            return
        taken = [int(path.stem.split("-")[1]) for path in self.folder.glob("part-*.parquet")]
        # Processes that look at the same time find the same number.
        path = self.folder / f"part-{max(taken, default=-1) + 1:06d}-{secrets.token_hex(4)}.parquet"
        write_predictions(path, predictions)
        self._known.add(path)

    def keep_failed(self, predictions: Sequence[Prediction], index: int, count: int) -> None:
        """Tell the other processes of ``count`` which rows have failed in this one; the next run tries them again."""
        path = self.folder / f"failed-{index:05d}-of-{count:05d}.parquet"
        if predictions:
            write_predictions(path, predictions)
        else:
            path.unlink(missing_ok=True)

    def read_failed(self, count: int) -> dict[Key, Prediction]:
        """Return the rows that have failed in any of ``count`` processes."""
        paths = sorted(self.folder.glob(f"failed-*-of-{count:05d}.parquet"))
        return {row.key: row for path in paths for row in read_predictions(path)}


def _prediction(row: dict[str, Any]) -> Prediction:
    lists = {name: tuple(row[name]) for name in ("options", "option_logprobs")}
    added = {name: row[name] or "" for name in ("generated", "parsed", "outcome", "image_file")}
    canvas = row["canvas"] or OLD_CANVAS
    return Prediction(**{**row, **lists, **added, "canvas": canvas, "contained": bool(row["contained"])})


def _schema() -> Any:
    import pyarrow as pa

    special = {
        "options": pa.list_(pa.string()),
        "option_logprobs": pa.list_(pa.float64()),
        "confidence": pa.float64(),
        "answered": pa.bool_(),
        "correct": pa.bool_(),
        "contained": pa.bool_(),
    }
    return pa.schema([(item.name, special.get(item.name, pa.string())) for item in fields(Prediction)])
