"""What ``vsre eval`` cannot do with a model of another family is said in one line, before there is any work."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, Gemma2Config, Llama4TextConfig, LlamaConfig, MistralConfig

from eval.config import EvalConfig
from eval.families.opening import open_model
from eval.run import evaluate
from eval.tree import check_decoder
from spatial.errors import CheckpointError, ConfigError
from tests.eval.hub_cache import in_cache

CPU = torch.device("cpu")

TINY: dict[str, Any] = {
    "vocab_size": 20,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}

Written = Callable[[str], Path]


def edited(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def without_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights[next(name for name in weights if "projector.linear_1.weight" in name)]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: edited(f, model_type="lava"), "'lava', which evaluation does not know; known are .*mean 'llava'"),
        (lambda f: edited(f, model_type="internvl", auto_map={}), "'internvl', .*the code that it brings is not run"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "pytorch_model.bin can hold code"),
        (lambda f: (f / "model.safetensors").unlink(), "it needs config.json and .safetensors files"),
        (lambda f: (f / "model.safetensors").write_bytes(b"cut"), "cannot be loaded"),
        (without_a_weight, "lacks 1 weights, the first is model.multi_modal_projector.linear_1.weight"),
        (lambda f: (f / "processor_config.json").unlink(), "has no processor"),
    ],
)
def test_a_spoilt_checkpoint_is_refused_in_one_line(
    spoil: Callable[[Path], Any], says: str, written: Written, family_run: EvalConfig, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(written("llava"), tmp_path / "copy"))
    spoil(folder)
    with pytest.raises(CheckpointError, match=says) as refused:
        evaluate(replace(family_run, model=str(folder)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("llava", {"canvas": "crop"}, "canvas 'crop' is not for models of type 'llava'; choose from processor, pad"),
        ("llava", {"canvas": "procesor"}, "did you mean 'processor'"),
        (
            "blip",
            {"decoders": ["scale(alpha=0.5)"]},
            r"'scale\(alpha=0.5\)' cannot read a model of type 'blip'",
        ),
        ("blip", {"decoders": ["adaptvis(a1=0.5,a2=1.5,beta=0.3)"]}, "choose greedy, vcd or blind"),
        ("blip", {"decoders": ["pai(alpha=0.5)"]}, "choose greedy, vcd or blind"),
        ("blip", {"decoders": ["temper(alpha=2)"]}, "choose greedy, vcd or blind"),
        ("blip", {"decoders": ["dola(beta=0.1)"]}, "share no last norm"),
    ],
)
def test_what_a_family_cannot_do_is_refused_before_its_weights_are_read(
    name: str, changes: dict[str, Any], says: str, written: Written, family_run: EvalConfig, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(written(name), tmp_path / "copy"))
    (folder / "model.safetensors").write_bytes(b"not read")
    with pytest.raises(ConfigError, match=says):
        evaluate(replace(family_run, model=str(folder), **changes))


def test_our_own_models_have_no_canvas_of_their_processor(checkpoint: Path, family_run: EvalConfig) -> None:
    with pytest.raises(ConfigError, match="canvas 'processor' is not for models of type 'vsre'; choose from pad, crop"):
        evaluate(replace(family_run, model=str(checkpoint), canvas="processor"))


def test_a_hub_id_that_is_not_here_is_refused_with_the_command_that_fetches_it(
    written: Written, family_run: EvalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_cache(written("llava"), "someone/llava", tmp_path / "cache", monkeypatch)
    with pytest.raises(CheckpointError, match="hf download someone/else"):
        evaluate(replace(family_run, model="someone/else"))
    next((tmp_path / "cache").rglob("model.safetensors")).unlink()
    with pytest.raises(CheckpointError, match=r"someone/llava has no weights .* run 'hf download someone/llava'"):
        evaluate(replace(family_run, model="someone/llava"))


def test_a_conversation_that_nobody_published_is_not_made_up(written: Written, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(written("llava_next"), tmp_path / "copy"))
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match=r"has no chat template; copy chat_template.jinja"):
        open_model(folder, "llava_next", "", CPU)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (MistralConfig(**TINY, sliding_window=16), "MistralModel cannot be evaluated: it sees 16 tokens back"),
        (
            Gemma2Config(**TINY, head_dim=16, sliding_window=512),
            r"bends its logits \(attn_logit_soft",
        ),
        (Llama4TextConfig(**TINY, head_dim=16, num_local_experts=1), "has layers of chunked_attention"),
        (LlamaConfig(**TINY, attn_implementation="eager"), "attends by 'eager'"),
    ],
)
def test_decoders_that_a_shared_trunk_cannot_follow_are_refused(settings: Any, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        check_decoder(AutoModel.from_config(settings))


def test_a_window_that_no_prompt_reaches_changes_nothing() -> None:
    check_decoder(AutoModel.from_config(MistralConfig(**TINY, sliding_window=64)))
