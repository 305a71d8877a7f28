"""What the commands after training say of models of other families, and of what lies between stages."""

# ruff: noqa: F811 - fixtures are imported by name

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.predictions import read_predictions
from tests.training.conftest import config, data, make_model, model_path  # noqa: F401
from tests.training.tiny_families import write_family
from training.config import TrainConfig
from training.run import train
from vsre.cli import main

ONE = {"max_steps": 1, "save_strategy": "no", "per_device_train_batch_size": 2}


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2.5-VL."""
    return write_family("qwen2_5_vl", tmp_path_factory.mktemp("qwen"))


@pytest.fixture
def adapter(family: Path, config: TrainConfig, tmp_path: Path) -> Path:
    """An adapter on it, as training leaves it."""
    return train(
        replace(config, model=str(family), stage="finetune", out=str(tmp_path / "tuned"), trainer=config.trainer | ONE)
    )


def test_commands_for_our_models_say_so_in_one_line(
    family: Path, adapter: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = f"{family.name} holds a model of type 'qwen2_5_vl', not 'vsre'; build one with 'vsre build-model', or see"
    out = str(tmp_path / "result")
    lines: list[list[str]] = [
        ["merge", str(adapter), "--out", out],
        ["merge", str(family), "--out", out, "--with_code"],
        ["push", str(adapter), "--repo", "me/expert", "--base", "Qwen/Qwen2.5-VL-7B-Instruct", "--dry_run"],
        ["push", str(family), "--repo", "me/expert", "--dry_run"],
    ]
    for given in lines:
        capsys.readouterr()
        assert main(given) == 2, given
        error = capsys.readouterr().err
        assert said in error, error
        assert "Traceback" not in error and error.count("holds a model of type") == 1, given
        assert len([line for line in error.splitlines() if line.strip()]) == 1, error
    assert not list(adapter.glob("README.md")) and not list(Path(out).glob("*.safetensors"))


def test_a_base_and_what_training_made_of_it_are_scored(
    family: Path, adapter: Path, data: Path, tmp_path: Path
) -> None:
    asked = ["--data.path", str(data), "--data.tasks", "[statement]", "--data.limit", "8", "--templates", "[question]"]
    decoders = ["--decoders", "[greedy, scale(alpha=0.5)]", "--max_new_tokens", "2", "--bootstrap", "20"]
    found = []
    for name, model in (("base", family), ("tuned", adapter)):
        folder = tmp_path / name
        assert main(["eval", "--model", str(model), "--out", str(folder), *asked, *decoders]) == 0
        results = json.loads((folder / "results.json").read_text())
        assert (results["model_type"], results["canvas"]) == ("qwen2_5_vl", "processor")
        assert all(score["n"] >= 8 and not score["failed"] for score in results["scores"])
        rows = read_predictions(folder / "predictions.parquet")
        found.append({(row.record_id, row.decoder): row.option_logprobs for row in rows})
    assert found[0].keys() == found[1].keys() and found[0] != found[1]


def test_what_a_stage_leaves_between_is_scored_and_merged_as_any_result(
    config: TrainConfig, data: Path, tmp_path: Path
) -> None:
    stages: list[dict[str, Any]] = [{"name": "align"}, {"name": "first", "stage": "finetune"}, {"name": "finetune"}]
    out = train(replace(config, stages=stages, trainer=config.trainer | ONE))
    asked = ["--data.path", str(data), "--data.tasks", "[statement]", "--data.limit", "8", "--templates", "[question]"]
    hashes = set()
    for part in ("align", "first", "."):
        folder = tmp_path / "scores" / part
        assert main(["eval", "--model", str(out / part), "--out", str(folder), "--bootstrap", "20", *asked]) == 0
        results = json.loads((folder / "results.json").read_text())
        assert results["scores"][0]["n"] >= 8  # groups stay whole
        hashes.add(results["model_hash"])
    assert len(hashes) == 3
    assert main(["merge", str(out / "first"), "--out", str(tmp_path / "merged")]) == 0
    assert (tmp_path / "merged" / "model.safetensors").exists()
