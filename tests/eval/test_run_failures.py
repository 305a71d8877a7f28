"""A picture that a processor refuses fails its own questions only; words are written anew where their end moves."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encoders.model_hash import model_hash
from eval.benchmarks import BENCHMARKS
from eval.config import DataConfig, EvalConfig
from eval.images import ImageFeatures
from eval.predictions import Prediction, read_predictions
from eval.run import evaluate
from spatial.dataset import DatasetFolder, RecordSet
from spatial.errors import RecordError
from spatial.records import ImageRow, encode_png, image_id_of

LONG = (402, 2)
"""Width and height of a picture that Qwen's processor really refuses: more than 200 times as wide as high."""

Rows = dict[tuple[str, str, str], Prediction]


class Choosy:
    """An image processor that raises on the long picture, in whatever way."""

    def __init__(self, inner: Any, error: Exception) -> None:
        self.inner, self.error = inner, error

    def __call__(self, images: Any, **settings: Any) -> Any:
        if any(image.size == LONG for image in images):
            raise self.error
        return self.inner(images=images, **settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def with_a_long_picture(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Show one record's image as a long picture; return the image's id."""
    whole = DatasetFolder(dataset).record_set()
    pixels = np.random.default_rng(5).integers(0, 255, (LONG[1], LONG[0], 3), dtype=np.uint8)
    row = ImageRow(image_id_of(pixels), encode_png(pixels), *LONG, "test")
    first = whole.records[0].image_id
    records = [
        replace(record, image_id=row.image_id) if record.image_id == first else record for record in whole.records
    ]
    images = {record.image_id: whole.images[record.image_id] for record in whole.records} | {row.image_id: row}
    monkeypatch.setitem(BENCHMARKS, "folder", lambda data: RecordSet(records, images))
    return row.image_id


def make_choosy(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let every image processor refuse the long picture."""
    begin = ImageFeatures.__init__

    def init(self: ImageFeatures, *arguments: Any, **more: Any) -> None:
        begin(self, *arguments, **more)
        self.image_processor = Choosy(self.image_processor, error)

    monkeypatch.setattr(ImageFeatures, "__init__", init)


def by_name(out: Path) -> Rows:
    """Rows by record, template and decoder."""
    return {(row.record_id, row.template, row.decoder): row for row in read_predictions(out / "predictions.parquet")}


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("vsre", ValueError("absolute aspect ratio must be smaller than 200, got 201.0")),
        ("llava", TypeError("absolute aspect ratio")),
        ("llava_next", IndexError("absolute aspect ratio")),
        ("qwen2_vl", None),
        ("qwen2_5_vl", None),
        ("blip", RuntimeError("absolute aspect ratio")),
    ],
)
def test_a_refused_picture_fails_its_own_questions(
    name: str,
    error: Exception | None,
    with_a_long_picture: str,
    written: Callable[[str], Path],
    checkpoint: Path,
    family_run: EvalConfig,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    model = str(checkpoint if name == "vsre" else written(name))
    decoders = ["greedy", "blind(alpha=1,beta=0.1)"]
    config = replace(family_run, model=model, decoders=decoders, max_new_tokens=0)
    whole = by_name(evaluate(replace(config, out=str(tmp_path / "whole")))) if error else {}
    if error:
        make_choosy(monkeypatch, error)
    out = evaluate(config)
    rows = by_name(out)
    failed = {key for key, row in rows.items() if row.failed}
    assert {rows[key].image_id for key in failed} == {with_a_long_picture}
    assert failed == {key for key, row in rows.items() if row.image_id == with_a_long_picture} and len(failed) == 6
    assert all("image processor refuses it (absolute aspect ratio" in rows[key].failed for key in failed)
    for key in whole.keys() - failed:
        assert rows[key].option_logprobs == pytest.approx(whole[key].option_logprobs, abs=5e-5)
    (greedy, _) = json.loads((out / "results.json").read_text())["scores"]
    assert greedy["n"] == 45 and len(greedy["failed"]) == 3


def test_a_picture_that_was_refused_is_tried_again(
    with_a_long_picture: str, checkpoint: Path, family_run: EvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(family_run, model=str(checkpoint), max_new_tokens=0)
    with monkeypatch.context() as patched:
        make_choosy(patched, ValueError("no"))
        assert any(row.failed for row in by_name(evaluate(config)).values())
    assert not any(row.failed for row in by_name(evaluate(config)).values())


def test_a_processor_of_ours_says_why_in_its_own_words(
    with_a_long_picture: str, checkpoint: Path, family_run: EvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_choosy(monkeypatch, RecordError("too large"))
    rows = by_name(evaluate(replace(family_run, model=str(checkpoint), max_new_tokens=0)))
    assert {row.failed for row in rows.values()} == {"", "too large"}


def test_a_machine_without_memory_is_no_fault_of_a_picture(
    with_a_long_picture: str, checkpoint: Path, family_run: EvalConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_choosy(monkeypatch, MemoryError("no memory"))
    with pytest.raises(MemoryError):
        evaluate(replace(family_run, model=str(checkpoint), max_new_tokens=0))


def test_words_are_written_anew_where_they_end_elsewhere(checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    """The generation settings are no part of the model's hash: they move nothing but where words end."""
    model = tmp_path / "model"
    shutil.copytree(checkpoint, model)
    data = DataConfig(path=str(dataset), tasks=["statement"], limit=6)
    config = EvalConfig(str(model), data, str(tmp_path / "run"), ["question"], max_new_tokens=4, bootstrap=20)
    before, name = by_name(evaluate(config)), model_hash(model)
    plain = by_name(evaluate(replace(config, max_new_tokens=0, out=str(tmp_path / "plain"))))
    longest = max(before.values(), key=lambda row: len(row.generated.split())).generated.split()
    vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    settings = model / "generation_config.json"
    found = json.loads(settings.read_text()) if settings.exists() else {}
    settings.write_text(json.dumps(found | {"eos_token_id": [2, vocabulary[longest[1]]]}))
    after = by_name(evaluate(config))
    assert model_hash(model) == name and len(longest) > 1
    assert all(longest[1] not in row.generated.split() for row in after.values())
    assert any(before[key].generated != row.generated for key, row in after.items())
    assert {key: row.option_logprobs for key, row in after.items()} == {k: r.option_logprobs for k, r in before.items()}
    again = by_name(evaluate(replace(config, max_new_tokens=0, out=str(tmp_path / "plain"))))
    assert again == plain, "answers without words are kept"
    assert len(list((tmp_path / "plain" / "predictions").glob("*.parquet"))) == 1
