"""Models on the hub, with a hub that only notes what it is sent."""

# ruff: noqa: F811 - fixtures are imported by name

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from encoders.config import MergeConfig
from encoders.merge import merge
from encoders.model_hash import model_hash
from eval.run import evaluate
from spatial.errors import CheckpointError, ConfigError, UserError
from tests.adapted import adapt
from tests.training.conftest import WORDS, data, make_model  # noqa: F401
from training.output import fingerprint
from vsre.cli import main
from vsre.config import PushConfig
from vsre.private import cleaned_file
from vsre.push import push
from vsre.settings import from_mapping


class FakeHub:
    """Takes what would go to the hub."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        monkeypatch.setattr("huggingface_hub.HfApi.create_repo", self._create_repo)
        monkeypatch.setattr("huggingface_hub.HfApi.create_commit", self._create_commit)

    def _create_repo(self, repo_id: str, **settings: Any) -> Any:
        self.created.append({"repo": repo_id, **settings})
        return type("Url", (), {"repo_id": repo_id})

    def _create_commit(self, repo_id: str, operations: list[Any], commit_message: str) -> None:
        for item in operations:
            given = item.path_or_fileobj
            self.files[item.path_in_repo] = given if isinstance(given, bytes) else Path(given).read_bytes()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub that takes everything."""
    return FakeHub(monkeypatch)


@pytest.fixture(scope="module")
def base(make_model: Callable[[str, list[str]], Path]) -> Path:
    """A checkpoint in float32."""
    return make_model("channel", WORDS)


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    """An adapter with what training writes beside it, on a machine with folders of its own."""
    folder = adapt(base, tmp_path / "expert")
    facts = {
        "config": {"model": str(base), "data": ["/secret/place/turn-g"], "stage": "finetune", "seed": 3},
        "data": {"/secret/place/turn-g": "0123abcd"},
        "exposure": {"photos": True, "targets": ["zeroshot"]},
        "steps": 12,
        "seconds": 61.5,
        "parameters": {"language_model": {"all": 5000, "trainable": 1200}},
    }
    (folder / "training.json").write_text(json.dumps(facts))
    (folder / "environment.json").write_text("{}")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "optimizer.json").write_text("{}")
    return folder


def scores(model: Path, data: Path, out: Path) -> str:
    slice_ = {"path": str(data), "tasks": ["statement"], "limit": 10}
    settings = {"model": str(model), "data": slice_, "out": str(out), "templates": ["question"], "bootstrap": 20}
    return str(evaluate(from_mapping("eval", settings)))


def test_an_adapter_names_its_base_and_no_place_of_this_machine(adapter: Path, hub: FakeHub, base: Path) -> None:
    before = (adapter / "adapter_config.json").read_text()
    push(PushConfig(str(adapter), "me/expert", base="me/base", private=True, licence="apache-2.0"))
    assert hub.created == [{"repo": "me/expert", "private": True, "exist_ok": True}]
    assert json.loads(hub.files["adapter_config.json"])["base_model_name_or_path"] == "me/base"
    assert (adapter / "adapter_config.json").read_text() == before and not (adapter / "README.md").exists()
    assert {"adapter_model.safetensors", "processor_config.json", "tokenizer.json", "README.md"} <= set(hub.files)
    assert not {"environment.json", "optimizer.json", "config.yaml"} & set(hub.files)
    for name, content in hub.files.items():
        if not name.endswith(".safetensors"):
            assert b"/secret" not in content and str(base).encode() not in content, name
    card = ModelCard(hub.files["README.md"].decode())
    assert card.data.base_model == "me/base" and card.data.library_name == "peft"
    assert card.data.license == "apache-2.0"
    assert json.loads(hub.files["training.json"])["data"] == {"turn-g": "0123abcd"}


def test_no_secret_and_no_place_is_sent_and_no_dataset_is_lost(adapter: Path, hub: FakeHub, tmp_path: Path) -> None:
    facts = json.loads((adapter / "training.json").read_text())
    first = tmp_path / "first"
    first.mkdir()
    (first / "training.json").write_text(
        json.dumps({"config": {"stage": "align"}, "data": {"/a/pre": "77"}, "steps": 5})
    )
    facts["config"] |= {"model": str(first), "images": "file:///home/bob/photos", "controls": "./../home/bob/maps"}
    facts["config"]["trainer"] = {"hub_token": "hf_" + "x" * 30, "run_name": "hf_" + "y" * 30, "max_steps": 3}
    facts |= {"data": {"/disk1/train": "aa11", "/disk2/train": "bb22", "evaluate": "cc33"}, "model": fingerprint(first)}
    (adapter / "training.json").write_text(json.dumps(facts))
    build = {
        "parts": [{"component": "clip", "parameters": 1, "weights": "C:\\Users\\bob\\clip"}],
        "base": "/home/bob/b",
    }
    (adapter / "build.json").write_text(json.dumps(build))
    vocabulary = (adapter / "tokenizer.json").read_bytes()
    push(PushConfig(str(adapter), "me/expert", base="me/base"))
    for name, content in hub.files.items():
        if name.endswith((".json", ".md")) and name != "tokenizer.json":
            assert not [word for word in (b"bob/", b"bob\\", b"home", b"Users", b"hf_") if word in content], name
    assert hub.files["tokenizer.json"] == vocabulary
    assert json.loads(hub.files["training.json"])["data"] == {"train": "aa11", "train (2)": "bb22", "evaluate": "cc33"}
    card = hub.files["README.md"].decode()
    for row in ("| align, 5 steps | pre | `77` |", "12 steps | train | `aa11` |", "12 steps | train | `bb22` |"):
        assert row in card
    assert "cc33" not in card and "max_steps: 3" in card


def test_words_of_a_model_are_no_places(tmp_path: Path) -> None:
    settings = {"bos_token_id": 1, "image_token": "~", "pad_token": "/", "vocab_file": "/home/bob/vocab.json"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    cleaned = cleaned_file(tmp_path / "tokenizer_config.json")
    assert cleaned and json.loads(cleaned) == settings | {"vocab_file": "vocab.json"}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"/home/": 0, "password": 1, "../": 2}}}))
    assert cleaned_file(tmp_path / "tokenizer.json") is None


def test_the_card_says_what_files_say(adapter: Path, data: Path, tmp_path: Path) -> None:
    found = scores(adapter, data, tmp_path / "on-renders")
    config = PushConfig(str(adapter), "me/expert", base="me/base", evaluations=[found], dry_run=True)
    path = push(config)
    assert path == adapter / "README.md"
    text = path.read_text()
    (run,) = json.loads((tmp_path / "on-renders" / "results.json").read_text())["scores"]
    assert f"| {run['n']} | {100 * run['accuracy']:.1f} |" in text and "| turn-g | `0123abcd` |" in text
    assert "guarded for zeroshot" in text and "that it has not seen anything of: zeroshot." in text
    assert "| --- | --- |\n| encoders | clip, dinov2 |\n| fusion |" in text  # a blank line would end the table
    assert "| trained parameters | 1,200 |" in text and "stage: finetune" in text
    assert model_hash(adapter) in text and 'PeftModel.from_pretrained(model, "me/expert")' in text
    assert "Licence: not stated" in text and "None" not in text and str(tmp_path) not in text
    (result,) = ModelCard(text).data.eval_results
    assert result.metric_value == round(run["accuracy"], 4)
    push(config)  # a card of ours is replaced


def test_a_dry_run_sends_nothing(
    adapter: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def online(*_: object, **__: object) -> None:
        raise AssertionError("the hub was called")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", online)
    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", online)
    assert main(["push", str(adapter), "--repo", "me/expert", "--base", "me/base", "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "adapter_model.safetensors" in said and "files would go to me/expert; nothing was sent" in said
    assert "MiB" in said and "checkpoints" not in said


def test_a_merged_model_brings_its_code_and_the_adapters_scores(
    adapter: Path,
    data: Path,
    tmp_path: Path,
    hub: FakeHub,
) -> None:
    found = scores(adapter, data, tmp_path / "scored")
    merged = merge(MergeConfig(str(adapter), with_code=True))
    push(PushConfig(str(merged), "me/whole", evaluations=[found]))
    assert "encoders_modeling.py" in hub.files and "adapter_config.json" not in hub.files
    text = hub.files["README.md"].decode()
    assert "trust_remote_code=True" in text and "import vsre.hf" not in text
    assert "1 adapters added to their base, in float32" in text and "| scored |" in text


def test_mistakes_are_one_line(adapter: Path, base: Path, data: Path, tmp_path: Path, hub: FakeHub) -> None:
    good = PushConfig(str(adapter), "me/expert", base="me/base")
    for wrong in ("", "expert", "me/", "/tmp/expert", "a/b/c"):
        with pytest.raises(ConfigError, match="give --repo OWNER/NAME"):
            push(replace(good, repo=wrong))
    for wrong in (str(base), "../base", "base", "./base"):
        with pytest.raises(ConfigError, match="is no model of the hub; push the base first"):
            push(replace(good, base=wrong))
    with pytest.raises(ConfigError, match=r"of use only with its base.*'vsre merge"):
        push(replace(good, base=""))
    with pytest.raises(CheckpointError, match="does not exist"):
        push(replace(good, model=str(tmp_path / "nothing")))
    with pytest.raises(ConfigError, match=r"holds no results.json"):
        push(replace(good, evaluations=[str(tmp_path)]))
    with pytest.raises(ConfigError, match="is of another model"):
        push(replace(good, evaluations=[scores(base, data, tmp_path / "scored")]))
    (adapter / "README.md").write_text("# Mine\n")
    with pytest.raises(ConfigError, match="somebody wrote"):
        push(good)
    assert not hub.created and not hub.files


def test_weights_that_are_no_numbers_are_not_sent(adapter: Path, hub: FakeHub) -> None:
    weights = adapter / "adapter_model.safetensors"
    tensors = load_file(weights)
    next(iter(tensors.values())).view(-1)[0] = float("nan")
    save_file(tensors, weights)
    with pytest.raises(CheckpointError, match=r"the weight .* is not finite \(NaN or infinity\)"):
        push(PushConfig(str(adapter), "me/expert", base="me/base", dry_run=True))
    weights.write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"adapter_model.safetensors is damaged"):
        push(PushConfig(str(adapter), "me/expert", base="me/base"))
    assert not hub.created and not hub.files


def test_a_hub_that_cannot_be_reached_is_one_line(adapter: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", offline)
    with pytest.raises(UserError, match=r"cannot push .* \(no route to host\); log in with 'hf auth login'"):
        push(PushConfig(str(adapter), "me/expert", base="me/base"))
