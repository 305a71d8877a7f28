"""A dry run where features meet: chains, weighed data, conversations, other families, evaluation, cached features."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from transformers import PreTrainedModel

from encoders.load import read_config
from encoders.parameters import parameter_counts
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import ConfigError
from tests.training.test_conversations import ROWS
from tests.training.tiny_families import write_family
from training import plan
from training.arguments import build_arguments
from training.config import EvaluateSettings, TrainConfig
from training.cost import work_of
from training.dry_run import dry_run
from training.examples import Examples
from training.families import FAMILIES, family_parts, planned_family
from training.parts import load_trainable
from training.run import train
from training.sample import look

STAGES: list[dict[str, Any]] = [
    {"name": "align"},
    {"name": "first", "stage": "finetune"},
    {"name": "second", "stage": "finetune"},
]


def told(config: TrainConfig, **given: Any) -> str:
    """Return what a dry run prints; it loads no weight and leaves every folder as it was."""
    root, console = Path(config.out).parent, Console(width=300, file=io.StringIO(), record=True)
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PreTrainedModel, "from_pretrained", None)
        dry_run(config, read_config, console, **given)
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before
    return console.export_text()


def counted(text: str) -> list[str]:
    return re.findall(r"tokens: .*", text)


@pytest.fixture
def finetune(config: TrainConfig) -> TrainConfig:
    return replace(config, stage="finetune", projector_learning_rate=5e-4)


def test_stages_that_start_from_what_is_not_made_yet_are_counted_as_when_it_is(finetune: TrainConfig) -> None:
    text = told(replace(finetune, stages=STAGES))
    assert text.count("is not there yet: an earlier stage makes it") == 2
    assert len(counted(text)) == 3 and all("in the first batches" in line for line in counted(text))
    assert text.count("first row: positions and text") == 3 and "no tokenizer" not in text
    alone = told(finetune)
    _, first, second = text.split(" of 3: ")[1:]
    for part in (first, second):
        assert [line for line in part.splitlines() if "language_model LoRA" in line] == [
            line for line in alone.splitlines() if "language_model LoRA" in line
        ]


def test_an_adapter_that_goes_on_is_counted_as_it_trains(finetune: TrainConfig, tmp_path: Path) -> None:
    out = train(replace(finetune, trainer=finetune.trainer | {"max_steps": 1, "save_strategy": "no"}))
    more = replace(finetune, model=str(out), out=str(tmp_path / "more"))
    loaded, _ = load_trainable(more, build_arguments(more))
    trained = json.loads((out / "training.json").read_text())["parameters"]
    assert {name: some for name, (_, some) in parameter_counts(loaded).items()} == {
        name: counts["trainable"] for name, counts in trained.items()
    }
    wanted, found = told(finetune), told(more)
    for name in trained:
        rows = [[line for line in text.splitlines() if name in line] for text in (wanted, found)]
        assert rows[0] == rows[1]
    with pytest.raises(ConfigError, match="is an adapter with r 4, not 2"):
        told(replace(more, lora=replace(more.lora, r=2)))


def test_a_mistake_in_a_later_stage_is_found(finetune: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"stage 'second': .*did you mean 'question'"):
        told(replace(finetune, stages=[*STAGES[:2], STAGES[2] | {"templates": ["questoin"]}]))


def test_weighed_data_is_told_as_an_epoch_shows_it(finetune: TrainConfig, tmp_path: Path) -> None:
    whole = DatasetFolder(next(iter(finetune.data)))
    images = list(whole.images.values())
    for name, rows in (("a", images[:10]), ("b", images[10:])):
        kept = {row.image_id for row in rows}
        write_shard(tmp_path / name, 0, rows, [record for record in whole.records if record.image_id in kept])
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    text = told(replace(finetune, data={a: 0.5, b: 3.0}))
    assert "epoch:  23 images with 128 records, 3 steps" in text
    assert f"5 of {a} (10 x 0.5), 18 of {b} (6 x 3)" in text
    with pytest.raises(ConfigError, match="give a number above 0"):
        told(replace(finetune, data={a: -1.0}))


def test_conversations_are_counted_and_shown(finetune: TrainConfig, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(tmp_path / name)
    (tmp_path / "talk.json").write_text(json.dumps(ROWS))
    text = told(replace(finetune, data=[str(tmp_path / "talk.json")]))
    assert "epoch:  4 images with 5 records, 1 steps" in text and "in the first batches" in counted(text)[0]
    assert "[[yes" in text and "[[left of the book" in text
    talks = {str(tmp_path / "talk.json"): 2.0, finetune.data[0]: 1.0}  # type: ignore[index]
    assert "epoch:  24 images with 133 records" in told(replace(finetune, data=talks))
    with pytest.raises(ConfigError, match="stage 'towers' learns from dataset folders"):
        told(replace(finetune, stage="towers", data=[str(tmp_path / "talk.json")]))


@pytest.mark.parametrize("name", ["qwen2_5_vl", "blip-2", pytest.param("instructblip", marks=pytest.mark.slow)])
@pytest.mark.parametrize("stage", ["align", "finetune"])
def test_another_family_is_told_without_its_weights(
    finetune: TrainConfig, tmp_path: Path, name: str, stage: Any
) -> None:
    folder = write_family(name, tmp_path / "model")
    given = replace(finetune, model=str(folder), stage=stage)
    text = told(given)
    assert "step:   8 images = 8 images x 1 accumulated x 1 device(s)" in text and "0.0005" in text
    assert "each of which has the image for itself" in text and "in the first batches" in counted(text)[0]
    planned, make_collator = planned_family(given, name)
    loaded, collator = family_parts(given, name, build_arguments(given))
    parts = FAMILIES[name].projector
    assert parameter_counts(planned, parts) == parameter_counts(loaded, parts)
    assert all(parameter.is_meta for parameter in planned.parameters())
    examples = Examples([DatasetFolder(path).record_set() for path in given.data], 3)
    batches = [[examples[row] for row in range(start, start + 8)] for start in (0, 8)]
    ours, theirs = make_collator(), collator
    for batch in batches:
        one, other = ours(batch), theirs(batch)
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    sample = look(given, plan.settings_of(given), make_collator)
    assert sample.work is not None and sample.work.encoded == 8 * 3
    assert sample.work.tokens == sum(float(work_of(theirs(batch))[0]) for batch in batches) / 2
    assert sample.row is not None and "[[" in sample.row.plain


def test_a_chain_of_another_family_ends_with_its_adapter(finetune: TrainConfig, tmp_path: Path) -> None:
    given = replace(finetune, model=str(write_family("qwen2_5_vl", tmp_path / "model")))
    assert len(counted(told(replace(given, stages=STAGES[:2])))) == 2
    for act in (told, train):
        with pytest.raises(ConfigError, match="'qwen2_5_vl' is not trained on from an adapter; let 'finetune' be the"):
            act(replace(given, stages=STAGES))
        with pytest.raises(ConfigError, match="'evaluate' scores our own models, not a 'qwen2_5_vl'"):
            act(replace(given, evaluate=EvaluateSettings(2, {"data": {"path": "dev"}}, keep="last")))
    assert not Path(given.out).exists()


def test_checkpoints_of_the_best_are_planned_at_every_evaluation(finetune: TrainConfig) -> None:
    trainer = {name: value for name, value in finetune.trainer.items() if name != "save_steps"}
    chosen = EvaluateSettings(2, {"data": {"path": "data/dev"}}, "accuracy")
    seen: list[TrainConfig] = []
    text = told(replace(finetune, trainer=trainer, evaluate=chosen), make_evaluator=seen.append)
    assert "one every 2 steps" in text and "evaluate: every 2 steps, by accuracy; the best weights are kept" in text
    assert [each.evaluate for each in seen] == [chosen]


def test_cached_features_are_planned_and_not_made(finetune: TrainConfig) -> None:
    text = told(replace(finetune, features="auto"))
    assert "features are cached, where 'auto' finds that it pays" in text
    cached = told(replace(finetune, features="somewhere"))
    flops = [float(re.findall(r"FLOPs:  ([\d.e-]+)", each)[0]) for each in (text, cached)]
    assert flops[1] < flops[0]
    with pytest.raises(ConfigError, match="'pretrain' cannot use cached features"):
        told(replace(finetune, stage="pretrain", features="auto"))
