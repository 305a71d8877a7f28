"""From config to checkpoint: what lies in ``out``, what is refused, and what is not done twice."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from encoders.load import load_model
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import CheckpointError, ConfigError, RecordError, UserError
from spatial.exposure import Exposure, exposure_from_json
from training.arguments import build_arguments
from training.config import LoraSettings, TrainConfig
from training.fit import fit
from training.output import describe_job, last_checkpoint
from training.parts import Parts
from training.run import check, train

GOLDEN = [3.7877, 3.6780, 3.5844, 3.5095, 3.4607, 3.4367, 3.4084, 3.4102]
"""Losses of the golden run: torch 2.13, CPU, float32."""

GOLDEN_LORA = [3.7787, 3.7516, 3.7263, 3.7098, 3.698, 3.6982, 3.6884, 3.6937]
"""Losses of the same run with adapters, dropout and a projector that learns faster."""


def log_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_loss_curve_is_the_golden_one_with_and_without_workers(config: TrainConfig, workers: int) -> None:
    trainer = config.trainer | {"dataloader_num_workers": workers, "dataloader_persistent_workers": workers > 0}
    kinds = {"statement/relation": 1.0, "name/cell": 1.0}
    golden = replace(config, tasks=kinds, templates=["question", "name"], trainer=trainer)
    losses = [entry["loss"] for entry in log_of(train(golden))]
    assert losses == pytest.approx(GOLDEN, abs=1e-3)


def test_the_loss_curve_of_adapters_is_the_golden_one(config: TrainConfig) -> None:
    kinds = {"statement/relation": 1.0, "name/cell": 1.0}
    golden = replace(config, stage="finetune", projector_learning_rate=5e-3, tasks=kinds)
    golden = replace(
        golden, templates=["question", "name"], encoder_dropout=0.3, lora=LoraSettings(r=4, alpha=8, dropout=0.1)
    )
    losses = [entry["loss"] for entry in log_of(train(golden))]
    assert losses == pytest.approx(GOLDEN_LORA, abs=1e-3)


def test_pretraining_writes_a_full_checkpoint_with_trained_encoders(config: TrainConfig) -> None:
    out = train(replace(config, encoder_dropout=0.3))
    model, _ = load_model(out)
    before, _ = load_model(config.model)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before.get_parameter(name))}
    assert any("vision_tower" in name for name in changed) and any("language_model" in name for name in changed)
    facts = json.loads((out / "training.json").read_text())
    assert facts["steps"] == 8 and facts["seconds"] > 0 and facts["versions"]["torch"]
    assert list(facts["data"]) == config.data
    assert [entry["step"] for entry in log_of(out)] == list(range(1, 9))
    assert log_of(out)[-1].keys() >= {"loss", "learning_rate", "rows_per_second", "seconds"}
    assert not (out / "checkpoints").exists() and not (out / ".partial").exists()


def test_finetuning_writes_an_adapter_with_the_whole_projector(config: TrainConfig) -> None:
    out = train(replace(config, stage="finetune", projector_learning_rate=5e-4))
    weights = load_file(out / "adapter_model.safetensors")
    projector = load_model(config.model)[0].model.multi_modal_projector.state_dict()
    saved = {name.partition("multi_modal_projector.")[2]: w for name, w in weights.items() if "projector" in name}
    assert {name: w.shape for name, w in saved.items()} == {name: w.shape for name, w in projector.items()}
    assert all(not torch.equal(saved[name], projector[name]) for name in saved)
    assert not any("vision_tower" in name for name in weights)
    assert sum("lora_B" in name and bool(w.any()) for name, w in weights.items()) == 14
    assert not Path(json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"]).is_absolute()
    model, processor = load_model(out)
    assert processor.num_image_tokens == model.config.num_image_tokens


def test_a_finished_run_is_not_done_again(config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    out = train(config)
    written = (out / "training.json").stat().st_mtime_ns
    assert train(config) == out
    assert (out / "training.json").stat().st_mtime_ns == written
    assert "already trained" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"another config \(seed\)"):
        train(replace(config, seed=1))


def test_no_record_left_is_an_error_before_the_model_is_loaded(config: TrainConfig) -> None:
    with pytest.raises(RecordError, match="no record passes"):
        train(replace(config, templates=["where"]))


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_broken_image_is_one_line_also_from_a_loader_worker(
    config: TrainConfig, workers: int, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    whole = DatasetFolder(config.data[0])
    row = next(iter(whole.images.values()))
    records = [record for record in whole.records if record.image_id == row.image_id]
    write_shard(folder, 0, [replace(row, image=row.image[:60])], records)
    trainer = config.trainer | {"dataloader_num_workers": workers}
    with pytest.raises(RecordError) as caught:
        train(replace(config, data=[str(folder)], trainer=trainer))
    assert str(caught.value).startswith(f"image {row.image_id}") and "\n" not in str(caught.value)


@pytest.mark.slow
def test_every_run_has_its_own_tensorboard(config: TrainConfig, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    for name in ("first", "second"):
        short = config.trainer | {"report_to": "tensorboard", "max_steps": 1}
        out = train(replace(config, out=str(tmp_path / name), trainer=short))
        assert len(list((out / "tensorboard").glob("events.*"))) == 1


def test_mistakes_are_found_early(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        train(replace(config, trainer={"lerning_rate": 1.0}))
    with pytest.raises(ConfigError, match="did you mean 'statement/colour'"):
        check(replace(config, tasks={"statement/color": 1.0}))
    with pytest.raises(ConfigError, match="did you mean 'question'"):
        check(replace(config, templates=["questoin"]))
    with pytest.raises(RecordError, match="does not exist"):
        train(replace(config, data=[str(tmp_path / "nowhere")]))
    with pytest.raises(CheckpointError, match="does not exist"):
        train(replace(config, model=str(tmp_path / "nowhere")))


def test_a_checkpoint_of_another_architecture_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(CheckpointError, match="'clip'"):
        train(replace(config, model=str(tmp_path / "other")))


def test_a_loss_that_is_not_finite_names_the_last_good_checkpoint(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0, 1.0, 1.0, float("nan")])
    monkeypatch.setattr("training.trainer.answer_loss", lambda out, *_, **__: out["logits"].sum() * next(losses))
    with pytest.raises(UserError, match=r"at step 4; .*checkpoints/checkpoint-3"):
        train(config)


def test_a_time_limit_stops_cleanly_with_a_decayed_rate(config: TrainConfig) -> None:
    trainer = {name: value for name, value in config.trainer.items() if name != "max_steps"} | {"warmup_steps": 2}
    out = train(replace(config, trainer=trainer, max_seconds=1.5, schedule="time"))
    facts = json.loads((out / "training.json").read_text())
    assert 1.5 <= facts["seconds"] < 10
    rates = [entry["learning_rate"] for entry in log_of(out)]
    assert len(rates) == facts["steps"] > 2
    assert rates[-1] < 0.5 * max(rates)


class Line(nn.Module):
    """A model that is not a language model: fits y = 2 x and returns its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": ((self.weight * x - y) ** 2).mean()}


class Pairs(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if index >= 16:
            raise IndexError
        return {"x": torch.tensor(index / 16), "y": torch.tensor(index / 8)}

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return (self[index] for index in range(16))


def test_any_module_that_returns_a_loss_can_be_trained(config: TrainConfig) -> None:
    from transformers import default_data_collator

    given = replace(config, trainer=config.trainer | {"learning_rate": 0.1, "max_steps": 60, "save_strategy": "no"})
    out = fit(given, {"config": "line"}, build_arguments(given), Parts(Line(), Pairs(), default_data_collator))
    assert load_file(out / "model.safetensors")["weight"].item() == pytest.approx(2.0, abs=0.2)
    assert last_checkpoint(out / "checkpoints") is None


def test_a_checkpoint_carries_what_it_and_its_base_have_seen_of_vsr(
    config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = train(replace(config, trainer=config.trainer | {"max_steps": 1}))
    renders = json.loads((base / "training.json").read_text())["exposure"]
    assert renders == {
        "photos": False,
        "targets": [],
        "pixels": [],
        "concepts": {"zeroshot": ["book", "cup"]},
        "unknown": False,
    }
    whole = DatasetFolder(config.data[0])
    write_shard(tmp_path / "photos", 0, [replace(row, source="vsr") for row in whole.images.values()], whole.records)
    photos = DatasetFolder(tmp_path / "photos")
    tuned = replace(config, model=str(base), data=[str(photos.path)])
    assert describe_job(tuned, [photos])["exposure"]["targets"] == []
    assert "photos holds photos of VSR that no guard has filtered" in caplog.text
    (photos.path / "dataset.json").write_text(json.dumps({"guard": {"covers": ["zeroshot"]}}))
    seen = exposure_from_json(describe_job(tuned, [photos])["exposure"])
    assert seen == Exposure(True, ("zeroshot",), concepts={"zeroshot": ("book", "cup")})
