"""An adapter and its base as one checkpoint."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from encoders.config import MergeConfig
from encoders.load import load_model
from encoders.merge import merge
from encoders.source_files import checkpoint_folder
from spatial.errors import CheckpointError, ConfigError
from tests.adapted import adapt
from tests.training.conftest import WORDS, make_model  # noqa: F401
from vsre.cli import main

IDS = torch.tensor([[5, 7, 9, 11]])


@pytest.fixture(scope="module")
def base(make_model: Callable[[str, list[str]], Path]) -> Path:  # noqa: F811
    """A checkpoint in float32."""
    return make_model("channel", WORDS)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        canvas = torch.arange(3 * 32 * 32, dtype=torch.uint8).reshape(1, 3, 32, 32)
        tokens = model.config.num_image_tokens
        ids = torch.cat([torch.full((1, tokens), model.config.image_token_id), IDS], dim=1)
        result: torch.Tensor = model(input_ids=ids, pixel_values=canvas).logits.float()
    return result


def test_a_merged_adapter_answers_as_the_adapter(base: Path, tmp_path: Path) -> None:
    adapter = adapt(base, tmp_path / "adapter")
    out = merge(MergeConfig(str(adapter)))
    assert out == tmp_path / "adapter-merged" and not (out / "adapter_config.json").exists()
    unmerged = PeftModel.from_pretrained(load_model(base)[0], adapter).eval()
    merged, processor = load_model(out)
    assert torch.allclose(logits(merged), logits(unmerged), atol=1e-5)
    assert not torch.allclose(logits(merged), logits(load_model(base)[0]), atol=1e-2)
    assert processor.num_image_tokens == merged.config.num_image_tokens
    facts = json.loads((out / "training.json").read_text())
    assert facts["exposure"]["targets"] == ["zeroshot"] and facts["merged"]["adapters"] == 1


def test_a_chain_is_added_up_in_float32_and_rounded_once(base: Path, tmp_path: Path) -> None:
    model, processor = load_model(base)
    half = tmp_path / "half"
    model.to(torch.bfloat16).save_pretrained(half)
    processor.save_pretrained(half)
    second = adapt(adapt(half, tmp_path / "one"), tmp_path / "two", seed=1)
    out = merge(MergeConfig(str(second)))
    exact = load_model(second, torch.float32)[0].state_dict()
    saved = load_file(out / "model.safetensors")
    assert all(tensor.dtype == torch.bfloat16 for tensor in saved.values())
    merged = load_model(out)[0].state_dict()
    assert all(torch.equal(merged[name], exact[name].to(torch.bfloat16)) for name in merged)
    wide = merge(MergeConfig(str(second), str(tmp_path / "wide"), dtype="float32"))
    kept = load_model(wide)[0].state_dict()
    assert all(torch.equal(kept[name], exact[name]) for name in kept)  # the projector as it was trained


def test_files_are_as_small_as_asked(base: Path, tmp_path: Path) -> None:
    out = merge(MergeConfig(str(adapt(base, tmp_path / "adapter")), str(tmp_path / "out"), max_shard_size="40KB"))
    assert len(list(out.glob("*.safetensors"))) > 1 and (out / "model.safetensors.index.json").is_file()
    load_model(out)


def test_a_merge_is_done_once_and_never_over_something_else(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = MergeConfig(str(adapt(base, tmp_path / "adapter")), str(tmp_path / "out"))
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "model.safetensors").write_text("half of it")  # what a kill leaves
    before = (merge(config) / "model.safetensors").stat().st_mtime_ns
    assert merge(config) == tmp_path / "out" and "already merged" in capsys.readouterr().out
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == before
    assert not (tmp_path / ".out.partial").exists()
    adapt(base, tmp_path / "adapter", seed=5)
    with pytest.raises(ConfigError, match="holds something else"):
        merge(config)
    with pytest.raises(ConfigError, match="holds something else"):
        merge(replace(config, out=str(base)))


def test_a_folder_that_is_no_finished_training_is_named(base: Path, tmp_path: Path) -> None:
    (tmp_path / "first-run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"its training is not finished: give the same 'vsre train' command"):
        merge(MergeConfig(str(tmp_path / "first-run")))
    for use in (merge, lambda config: checkpoint_folder(config.adapter)):
        with pytest.raises(CheckpointError, match=r"does not exist; did you mean '.*/first-run'\?"):
            use(MergeConfig(str(tmp_path / "first-rum")))


def test_mistakes_are_one_line(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="is no adapter, so there is nothing to merge; add --with_code"):
        merge(MergeConfig(str(base), str(tmp_path / "out")))
    with pytest.raises(ConfigError, match=r"unknown dtype 'bfloat'; known: .*did you mean 'bfloat16'"):
        merge(MergeConfig(str(base), str(tmp_path / "out"), dtype="bfloat"))
    assert main(["merge", str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]) == 2
    assert "nothing" in capsys.readouterr().err.strip() and not (tmp_path / "out").exists()
