"""Checkpoints that carry code or numbers that are none are refused in one line, and the code is not run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from encoders.bases import read_base
from encoders.load import load_model
from spatial.errors import CheckpointError
from vsre.assets import resolve_model


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.marker), "w")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(resolve_model("tiny-base"), tmp_path / "model"))


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(resolve_model("tiny-expert"), tmp_path / "adapter"))
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(resolve_model("tiny-base"))
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def pickled_weights(folder: Path, marker: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"a": Payload(marker)}, folder / "pytorch_model.bin")


def shards_of_pickles(folder: Path, marker: Path) -> None:
    pickled_weights(folder, marker)
    (folder / "pytorch_model.bin").rename(folder / "pytorch_model-00001-of-00001.bin")
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "pytorch_model-00001-of-00001.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def template_with_code(folder: Path, marker: Path) -> None:
    (folder / "chat_template.jinja").write_text(f"{{{{ cycler.__init__.__globals__.os.mkdir('{marker}') }}}}")


def tokenizer_that_is_a_list(folder: Path, _: Path) -> None:
    (folder / "tokenizer.json").write_text("[1, 2]")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (pickled_weights, "no weights as safetensors, and pytorch_model.bin can hold code"),
        (shards_of_pickles, "no weights as safetensors"),
        (template_with_code, "the chat template cannot be used"),
        (tokenizer_that_is_a_list, "has no processor"),
    ],
)
def test_code_and_damage_in_a_checkpoint_are_refused(
    copy: Path, tmp_path: Path, harm: Callable[[Path, Path], None], says: str
) -> None:
    harm(copy, tmp_path / "marker")
    with pytest.raises(CheckpointError, match=says) as caught:
        load_model(copy)
    assert "\n" not in str(caught.value) and not (tmp_path / "marker").exists()


def test_a_base_that_brings_its_code_is_refused_and_nobody_is_asked(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((copy / "config.json").read_text()) | {"model_type": "mine"}
    config["auto_map"] = {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Mine"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "mine.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')\n")
    with pytest.raises(CheckpointError, match=r"contains custom code"):
        read_base(str(copy))
    assert "[y/N]" not in capsys.readouterr().out and not (tmp_path / "marker").exists()


def test_pickled_weights_of_an_adapter_are_refused(adapter: Path, tmp_path: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    torch.save({"a": Payload(tmp_path / "marker")}, adapter / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"has no adapter_model\.safetensors"):
        load_model(adapter)
    assert not (tmp_path / "marker").exists()


def test_code_in_the_weights_of_a_language_model_is_not_run(tmp_path: Path) -> None:
    config = {"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 8}
    config |= {"num_attention_heads": 1, "architectures": ["LlamaForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save({"a": Payload(tmp_path / "marker")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_base(str(tmp_path))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(copy: Path, adapter: Path, value: float) -> None:
    for folder, file, part in ((copy, "model", "vision_tower"), (adapter, "adapter_model", "lora_B")):
        path = folder / f"{file}.safetensors"
        weights = load_file(path)
        name = next(name for name in weights if part in name)
        weights[name].view(-1)[-1] = value
        save_file(weights, path, metadata={"format": "pt"})
        with pytest.raises(CheckpointError, match=rf"{part}.* is not finite"):
            load_model(folder)
