"""Scores while training goes on leave the training as it is, and choose the checkpoint that becomes the result."""

import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from encoders.load import load_model
from eval.metrics import METRICS
from eval.run import evaluate
from spatial.dataset import write_shard
from spatial.errors import ConfigError, UserError
from tests.extras import needs_deepspeed
from tests.training.conftest import config, data, make_image, make_model, model_path  # noqa: F401
from training import launch, run
from training.config import EvaluateSettings, TrainConfig
from vsre.cli import main
from vsre.model_card import _chosen
from vsre.settings import from_mapping, to_yaml
from vsre.steps import Step, resolve_steps
from vsre.train import make_evaluator, train

ROOT = Path(__file__).parents[2]
FIRST_SCORES = [0.5, 0.2, 0.7, 0.6, 0.1]


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four images that no training shows, with their statements."""
    folder = tmp_path_factory.mktemp("dev")
    made = [make_image(*pair, seed) for seed, pair in enumerate([("red", "blue"), ("green", "red")] * 2, 500)]
    write_shard(folder, 0, [row for row, _ in made], [record for _, records in made for record in records])
    return folder


@pytest.fixture
def scored(config: TrainConfig, dev: Path) -> TrainConfig:  # noqa: F811
    """The training run of the other tests, scored every two of its eight steps."""
    settings = {
        "data": {"path": str(dev), "tasks": ["statement"]},
        "templates": ["question"],
        "batch_size": 5,
        "bootstrap": 20,
    }
    trainer = {name: value for name, value in config.trainer.items() if name != "save_steps"}
    return replace(config, evaluate=EvaluateSettings(2, settings, "accuracy"), trainer=trainer)


def facts(out: str | Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((Path(out) / "training.json").read_text())
    return content


def same(first: str | Path, second: str | Path, file: str) -> bool:
    one, two = load_file(Path(first) / file), load_file(Path(second) / file)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


class Script:
    """Gives scores from a list, remembers the weights it was shown, and throws dice as a careless scorer may."""

    content = "a slice"

    def __init__(self, scores: Sequence[float], fail_at: int = -1) -> None:
        self.left, self.fail_at = list(scores), fail_at
        self.seen: list[dict[str, torch.Tensor]] = []

    def __call__(self, config: TrainConfig) -> "Script":  # noqa: F811
        return self

    def answers(self, model: Any, processor: Any, part: int = 0, parts: int = 1) -> list[Any]:
        assert not any(module.training for module in model.modules())
        if len(self.seen) == self.fail_at:
            raise KeyboardInterrupt
        torch.rand(3), random.random(), np.random.rand()
        self.seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return [None]

    def scores(self, answers: Sequence[Any]) -> dict[str, float]:
        return {"accuracy": self.left.pop(0), "n": 1.0}


@pytest.mark.slow
def test_scoring_leaves_the_weights_as_they_are(scored: TrainConfig, tmp_path: Path) -> None:
    lora = replace(scored.lora, dropout=0.2)
    plain = replace(scored, stage="finetune", lora=lora, encoder_dropout=0.3, evaluate=EvaluateSettings())
    run.train(replace(plain, out=str(tmp_path / "plain")))
    last = replace(scored.evaluate, keep="last")
    train(replace(plain, evaluate=last, out=str(tmp_path / "real")))
    run.train(replace(plain, evaluate=last, out=str(tmp_path / "careless")), Script(FIRST_SCORES))
    for name in ("real", "careless"):
        assert same(tmp_path / "plain", tmp_path / name, "adapter_model.safetensors")
        losses = [
            [json.loads(line).get("loss") for line in (tmp_path / run / "log.jsonl").read_text().splitlines()]
            for run in ("plain", name)
        ]
        assert losses[0] == [loss for loss in losses[1] if loss is not None]


@pytest.mark.parametrize("stage", ["pretrain", pytest.param("finetune", marks=pytest.mark.slow)])
def test_the_best_checkpoint_is_the_result(scored: TrainConfig, stage: Any) -> None:
    script = Script(FIRST_SCORES)
    out = run.train(replace(scored, stage=stage), script)
    said = facts(out)["evaluation"]
    assert said["best"] == said["result"] == {"step": 4, "accuracy": 0.7}
    assert [(entry["step"], entry["accuracy"]) for entry in said["history"]] == list(
        zip(range(0, 10, 2), FIRST_SCORES, strict=True)
    )
    assert facts(out)["steps"] == 8 and not (out / "checkpoints").exists()
    best, last = script.seen[2], script.seen[4]
    if stage == "pretrain":
        result = load_model(out)[0].state_dict()
        assert all(torch.equal(result[name], best[name]) for name in result)  # the DINOv2 tower too
    else:
        saved = load_file(out / "adapter_model.safetensors")
        found = {name: _live(name, best) for name in saved}
        assert all(torch.equal(saved[name], found[name]) for name in saved)
        assert not all(torch.equal(saved[name], _live(name, last)) for name in saved)


def _live(name: str, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return a tensor of an adapter file by its name in memory."""
    name = name.removeprefix("base_model.model.")
    for old in ("lora_A", "lora_B"):
        name = name.replace(f"{old}.weight", f"{old}.default.weight")
    part = "multi_modal_projector."
    return weights[name] if name in weights else weights[name.replace(part, f"{part}modules_to_save.default.")]


@pytest.mark.slow
def test_a_killed_run_keeps_its_best_also_after_a_move(scored: TrainConfig, tmp_path: Path) -> None:
    whole = run.train(replace(scored, out=str(tmp_path / "whole")), Script(FIRST_SCORES))
    with pytest.raises(KeyboardInterrupt):
        run.train(replace(scored, out=str(tmp_path / "killed")), Script(FIRST_SCORES, fail_at=4))
    (tmp_path / "killed").rename(tmp_path / "moved")
    moved = run.train(replace(scored, out=str(tmp_path / "moved")), Script(FIRST_SCORES[4:]))
    assert facts(moved)["evaluation"] == facts(whole)["evaluation"]
    assert same(whole, moved, "model.safetensors")


def test_a_damaged_best_checkpoint_is_replaced_by_the_best_that_is_left(scored: TrainConfig) -> None:
    given = replace(scored, trainer=scored.trainer | {"save_total_limit": 5})
    first, scores = Script([0.5, 0.4, 0.9, 0.1], fail_at=4), [0.3, 0.2]  # of steps 0, 2, 4, 6, and then 8
    with pytest.raises(KeyboardInterrupt):
        run.train(given, first)
    (Path(given.out) / "checkpoints" / "checkpoint-4" / "model.safetensors").write_bytes(b"")
    out = run.train(given, Script(scores))
    said = facts(out)["evaluation"]
    assert said["best"] == said["result"] == {"step": 2, "accuracy": 0.4}
    result = load_model(out)[0].state_dict()
    assert all(torch.equal(result[name], first.seen[1][name]) for name in result)
    card = _chosen(said)
    assert card.startswith("step 2, not the best of 4 evaluations in training, whose checkpoint was lost")
    assert card.endswith("no better than the 0.500 before training")


def test_a_card_counts_what_could_be_chosen() -> None:
    history = [{"step": step, "accuracy": score} for step, score in ((0, 0.5), (2, 0.6), (4, 0.7))]
    said = {"metric": "accuracy", "keep": "best", "history": history, "result": history[2]}
    assert _chosen(said) == (
        "step 4, the best of 2 evaluations in training, accuracy 0.700 on the slice it was chosen by"
    )


def test_scores_are_those_of_vsre_eval(scored: TrainConfig, tmp_path: Path) -> None:
    out = train(replace(scored, stage="finetune"))
    said = facts(out)["evaluation"]
    for model, entry in ((scored.model, said["history"][0]), (str(out), said["result"])):
        settings = scored.evaluate.settings | {"model": model, "out": str(tmp_path / "eval")}
        folder = evaluate(from_mapping("eval", settings))
        (scores,) = json.loads((folder / "results.json").read_text())["scores"]
        assert entry["accuracy"] == scores["accuracy"]
    assert said["history"][0]["step"] == 0 and said["history"][0]["n"] == 20
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "eval_accuracy" in line] == [0, 2, 4, 6, 8]


@pytest.mark.slow
def test_scores_are_on_the_curves(scored: TrainConfig) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer = scored.trainer | {"report_to": "tensorboard", "max_steps": 2}
    out = run.train(replace(scored, trainer=trainer), Script(FIRST_SCORES))
    (folder,) = {path.parent for path in (out / "tensorboard").rglob("events*")}
    read = events.EventAccumulator(str(folder)).Reload()
    assert [round(point.value, 3) for point in read.Scalars("eval/accuracy")] == FIRST_SCORES[:2]


def test_the_last_step_is_scored_where_time_ends_the_run(scored: TrainConfig) -> None:
    slow = replace(scored, max_seconds=0.01, evaluate=replace(scored.evaluate, every=100))
    out = run.train(slow, Script(FIRST_SCORES))
    assert [entry["step"] for entry in facts(out)["evaluation"]["history"]] == [0, facts(out)["steps"]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "acuracy"}, "evaluate.metric 'acuracy' is unknown.*did you mean 'accuracy'"),
        (
            {"settings": {"dta": {"path": "x"}}},
            "evaluate.settings: unknown setting 'dta.path'; did you mean 'data.path'",
        ),
        ({"settings": {"model": "x"}}, "evaluate.settings.model cannot be set: the model is the one in training"),
        ({"settings": {"data": {"path": "nowhere"}}}, "evaluate.settings: .*nowhere"),
        ({"settings": {"data": {"path": "talk.json"}}}, r"evaluate.settings: data.path is talk.json, but no answer in"),
        ({"settings": {}}, "evaluate.settings is empty"),
        ({"every": -1}, "evaluate.every is -1"),
    ],
)
def test_mistakes_are_found_before_training(scored: TrainConfig, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(replace(scored, evaluate=replace(scored.evaluate, **changes)))
    assert not Path(scored.out).exists()


def test_mistakes_are_found_before_processes_are_started(
    scored: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(launch, "run_launched", started.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    wrong = replace(scored.evaluate, settings=scored.evaluate.settings | {"tmplates": ["question"]})
    (tmp_path / "train.yaml").write_text(to_yaml(replace(scored, evaluate=wrong, nproc=2)))
    assert main(["train", "train.yaml"]) == 2
    assert "evaluate.settings: unknown setting 'tmplates'; did you mean 'templates'" in capsys.readouterr().err
    assert main(["train", "train.yaml", "--dry_run"]) == 2
    assert "did you mean 'templates'" in capsys.readouterr().err
    assert not started and not Path(scored.out).exists()
    launch.relaunch_if_needed(replace(scored, nproc=2), ["train"], make_evaluator)
    assert len(started) == 1


def test_mistakes_of_any_stage_are_found_before_the_first_one_starts(scored: TrainConfig) -> None:
    stages: list[dict[str, Any]] = [{"name": "first"}, {"name": "second"}]
    wrong = {"evaluate": {"settings": {"data": {"path": scored.data[0]}}}}  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"stage 'second': 16 of 16 images of evaluate.settings.data"):
        train(replace(scored, stages=[stages[0], stages[1] | wrong]))
    assert not Path(scored.out).exists()
    none = {"evaluate": {"every": 0}, "trainer": {"max_steps": 1}}
    out = run.train(replace(scored, stages=[stages[0] | none, stages[1]]), Script(FIRST_SCORES))
    assert "evaluation" not in facts(out / "first")
    assert facts(out)["evaluation"]["best"]["step"] == 4


def test_a_step_of_a_pipeline_is_evaluated_on_what_an_earlier_one_makes(tmp_path: Path, scored: TrainConfig) -> None:
    def resolved(groups: int) -> Step:
        tuned = {
            "model": scored.model,
            "data": list(scored.data),
            "evaluate": {"every": 2, "settings": {"data": {"path": "step:dev", "tasks": ["statement"]}}},
            "stages": [
                {"name": "first", "evaluate": {"settings": {"data": {"path": "step:dev/inner"}}}},
                {"name": "second"},
            ],
        }
        steps = [
            {"name": "dev", "command": "datagen", "settings": {"groups": groups}},
            {"name": "tuned", "command": "train", "settings": tuned},
        ]
        return resolve_steps(from_mapping("run", {"out": str(tmp_path / "run"), "steps": steps}))[1]

    step, dev = resolved(4), str(tmp_path / "run" / "dev")
    assert step.inputs == ("dev",) and "step:" not in to_yaml(step.config)
    assert step.config.evaluate.settings["data"]["path"] == dev
    assert step.config.stages[0]["evaluate"]["settings"]["data"]["path"] == f"{dev}/inner"
    assert resolved(5).fingerprint != step.fingerprint


def test_what_cannot_be_scored_is_refused(scored: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="stage 'towers' answers no questions"):
        train(replace(scored, stage="towers"))
    with pytest.raises(ConfigError, match=r"save_steps is 3, but evaluate.keep 'best' saves at every evaluation"):
        train(replace(scored, trainer=scored.trainer | {"save_steps": 3}))
    with pytest.raises(ConfigError, match="eval_steps cannot be set; set 'evaluate'"):
        train(replace(scored, trainer=scored.trainer | {"eval_steps": 3}))
    with pytest.raises(ConfigError, match="train with 'vsre train'"):
        run.train(scored)
    several = replace(scored.evaluate, settings=scored.evaluate.settings | {"image_modes": ["image", "image_blind"]})
    with pytest.raises(ConfigError, match="one decoder and one image mode"):
        train(replace(scored, evaluate=several))


def test_a_metric_without_a_value_stops_the_run_at_its_start(scored: TrainConfig) -> None:
    colours = scored.evaluate.settings["data"] | {"topics": ["colour"]}
    settings = replace(scored.evaluate, settings={"data": colours, "templates": ["question"]}, metric="macro_accuracy")
    with pytest.raises(ConfigError, match=r"no macro_accuracy \(choose from accuracy,.*evaluate.metric"):
        train(replace(scored, evaluate=settings))
    assert not list(Path(scored.out).rglob("log.jsonl")) or "loss" not in (Path(scored.out) / "log.jsonl").read_text()


def test_choosing_on_images_of_the_training_is_refused(scored: TrainConfig, caplog: pytest.LogCaptureFixture) -> None:
    seen = replace(scored.evaluate, settings={"data": {"path": scored.data[0]}})  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"16 of 16 images of evaluate.settings.data are in .* too"):
        train(replace(scored, evaluate=seen))
    with pytest.raises(ConfigError, match=r"16 of 16 images of evaluate.settings.data are in .* too"):
        train(replace(scored, data={scored.data[0]: 0.5}, evaluate=seen))  # type: ignore[index]
    make_evaluator(replace(scored, evaluate=replace(seen, keep="last")))
    assert "images that are trained on" in caplog.text


def test_scores_of_another_slice_are_not_compared(scored: TrainConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        run.train(scored, Script(FIRST_SCORES, fail_at=3))
    other = Script(FIRST_SCORES)
    other.content = "another slice"
    with pytest.raises(ConfigError, match=r"holds a run with another data \(evaluate\)"):
        run.train(scored, other)


def test_parts_of_the_questions_give_the_scores_of_all(scored: TrainConfig) -> None:
    evaluation = make_evaluator(scored)
    model, processor = load_model(scored.model)
    parts = [answer for part in range(3) for answer in evaluation.answers(model, processor, part, 3)]
    whole = evaluation.answers(model, processor)
    assert evaluation.scores(parts) == evaluation.scores(whole)


def test_each_category_has_an_accuracy_of_its_own(scored: TrainConfig) -> None:
    evaluation = make_evaluator(scored)
    answers = evaluation.answers(*load_model(scored.model))
    scores = evaluation.scores(answers)
    named = {name: score for name, score in scores.items() if name.startswith("accuracy_") and name not in METRICS}
    found = {name.removeprefix("accuracy_"): score for name, score in named.items()}
    right = defaultdict(list)
    for answer in answers:
        right[answer.category].append(answer.correct)
    assert found == {category: pytest.approx(mean(hits)) for category, hits in right.items()}


ELSEWHERE = """
import sys
import deepspeed
from deepspeed.ops import __compatible_ops__
__compatible_ops__["deepspeed_shm_comm"] = False  # it would be compiled first
deepspeed.init_distributed("gloo")
from vsre.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.parametrize("zero", [0, 2, 3])
def test_two_processes_give_the_scores_of_one(
    scored: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zero: int
) -> None:
    one = replace(scored, stage="finetune", out=str(tmp_path / "one"))
    train(one)
    batch = {"per_device_train_batch_size": 4}
    shipped = {"deepspeed": f"configs/deepspeed/zero{zero}.json"} if zero else {}
    trainer = scored.trainer | batch | shipped
    two = replace(one, out=str(tmp_path / "two"), trainer=trainer)
    (tmp_path / "two.yaml").write_text(to_yaml(two))
    (tmp_path / "script.py").write_text(ELSEWHERE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*torchrun, str(tmp_path / "script.py"), "train", str(tmp_path / "two.yaml")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (facts(each.out)["evaluation"] for each in (one, two))
    assert first["history"][0] == second["history"][0]
    assert [entry["step"] for entry in second["history"]] == [0, 2, 4, 6, 8]
    folder = evaluate(from_mapping("eval", scored.evaluate.settings | {"model": two.out, "out": str(tmp_path / "e")}))
    (scores,) = json.loads((folder / "results.json").read_text())["scores"]
    assert scores["accuracy"] == second["result"]["accuracy"]


def test_nothing_is_evaluated_unless_asked(config: TrainConfig) -> None:  # noqa: F811
    out = train(config)
    assert "evaluation" not in facts(out)
