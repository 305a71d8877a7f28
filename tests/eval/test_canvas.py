"""The canvas mode is recorded with every answer, and answers of two modes never mix."""

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eval.config import DataConfig, EvalConfig
from eval.predictions import Prediction, read_predictions
from eval.results import print_tables
from eval.run import evaluate
from spatial.errors import ConfigError


@pytest.fixture
def config(checkpoint: Path, dataset: Path, tmp_path: Path) -> EvalConfig:
    """Return a configuration of the tiny model, whose pictures are wider than high."""
    data = DataConfig(path=str(dataset), tasks=["statement"])
    return EvalConfig(str(checkpoint), data, str(tmp_path / "run"), ["question"], bootstrap=20)


def test_answers_of_two_canvases_share_a_run_directory_and_never_mix(
    config: EvalConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    answers: dict[str, dict[str, tuple[float, ...]]] = {}
    for canvas, recorded in (("", "pad"), ("crop", "crop"), ("pad", "pad")):
        config.canvas = canvas
        out = evaluate(config)
        rows = read_predictions(out / "predictions.parquet")
        assert {row.canvas for row in rows} == {recorded}
        results = json.loads((out / "results.json").read_text())
        assert results["canvas"] == recorded and {run["canvas"] for run in results["scores"]} == {recorded}
        assert f"canvas: {recorded}" in capsys.readouterr().out
        seen = {row.record_id: row.option_logprobs for row in rows}
        assert answers.setdefault(recorded, seen) == seen, "the third run takes what the first has stored"
    assert answers["pad"].keys() == answers["crop"].keys()
    assert all(answers["pad"][name] != answers["crop"][name] for name in answers["pad"])
    assert len(list((out / "predictions").glob("part-*.parquet"))) == 2


def test_rows_from_before_there_was_a_choice_were_padded(tmp_path: Path) -> None:
    row = asdict(Prediction("model", "record", "image", "group", "question", "greedy", "image"))
    del row["canvas"], row["image_file"]
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "old.parquet")
    (old,) = read_predictions(tmp_path / "old.parquet")
    assert old.canvas == "pad" and old.image_file == ""
    assert old.key == ("model", "record", "question", "greedy", "image", "pad")


def test_an_unknown_canvas_is_named_before_the_model_is_loaded(config: EvalConfig) -> None:
    config.canvas, config.model = "corp", "nowhere"
    with pytest.raises(ConfigError, match="did you mean 'crop'"):
        evaluate(config)


def test_no_scores_no_canvas(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables([])
    assert "canvas" not in capsys.readouterr().out
