"""``vsre eval`` says which words of its questions the model has never seen."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eval.config import DataConfig, EvalConfig
from eval.run import evaluate
from spatial.dataset import DatasetFolder, write_shard
from vsre.assets import resolve_model


@pytest.fixture
def asked(renders: Path, tmp_path: Path) -> EvalConfig:
    """An evaluation of the tiny expert on two renders."""
    about = DataConfig(path=str(renders), tasks=["statement"], topics=["relation"], limit=2)
    return EvalConfig(resolve_model("tiny-expert"), about, str(tmp_path / "out"), bootstrap=2, device="cpu")


def told(config: EvalConfig) -> object:
    return json.loads((evaluate(config) / "results.json").read_text())["unseen"]


def test_words_never_seen_are_named_and_counted(
    asked: EvalConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = DatasetFolder(asked.data.path)
    records = [row for row in data.records if row.task == "statement" and row.topic == "relation"][:3]
    strange = ["The giraffe is left of the pizza.", "The pizza is above the cup."]
    changed = [replace(row, caption=text, record_id="") for row, text in zip(records, strange, strict=False)]
    write_shard(tmp_path / "strange", 0, [data.images[row.image_id] for row in records], [*changed, records[2]])
    config = replace(asked, data=replace(asked.data, path=str(tmp_path / "strange"), limit=0))
    assert told(config) == {"records": 2, "of": 3, "words": {"pizza": 2, "giraffe": 1}}
    assert "tiny-expert has never seen 'pizza', 'giraffe', which stand in 2 of the 3 records" in caplog.text
    assert "it knows bench, boat" in caplog.text


def test_nothing_is_said_of_words_that_are_known(asked: EvalConfig, caplog: pytest.LogCaptureFixture) -> None:
    assert told(asked) is None and "never seen" not in caplog.text
