"""The shipped recipes: all of their steps resolve, and every row says what it is and what it costs."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from training.chain import stage_configs
from training.config import TrainConfig
from vsre.commands import find_command
from vsre.config import RunConfig
from vsre.outlay import Made, Outlay
from vsre.outlay_models import building, training
from vsre.roots import ROOT
from vsre.settings import load_settings, parse
from vsre.steps import resolve_steps

RECIPES = sorted((ROOT / "configs/recipes").glob("*.yaml"))
SHARED = ("lora", "align", "encoders")
"""Files of configs/train/vsre that others extend; they are no rows."""

ROWS = sorted(path for path in (ROOT / "configs/train/vsre").glob("*.yaml") if path.stem not in SHARED)
ROWS_AND_MORE = [*ROWS, ROOT / "configs/train/smollm2-135m.yaml"]

PUBLISHED = {
    "7b-turn-g-500k": (58.3, 69.5),
    "7b-pre-100k": (61.7, 71.0),
    "7b-pre-200k": (64.1, 73.3),
    "7b-pre-300k": (65.6, 74.1),
    "7b-pre-400k": (66.7, 73.5),
    "7b-pre-500k": (66.2, 73.6),
    "13b-turn-g-500k": (62.5, 71.4),
    "13b-pre-400k": (70.3, 75.7),
    "13b-full": (74.4, 79.5),
    "llama3-8b": (70.0, 74.3),
    "13b-sam": (None, 72.8),
    "13b-dinov2": (None, 74.3),
    "13b-clip": (None, 75.5),
    "13b-siglip": (None, 76.8),
    "13b-clip-siglip": (None, 78.4),
    "13b-siglip-sam": (None, 78.5),
    "13b-siglip-dinov2": (None, 78.7),
    "13b-siglip-dinov2-sam": (None, 78.9),
    "13b-clip-siglip-dinov2": (None, 79.2),
}
"""Test-G and Test-S of VSRE's Tables 1 and 2, and of its encoder ablation."""


def header(path: Path) -> str:
    """Return the comment that a file begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[: next(n for n, line in enumerate(lines) if not line.startswith("#"))])


def commands(path: Path) -> list[list[str]]:
    """Return the words of the commands in a file's header, after "vsre"."""
    lines = (line.removeprefix("#   ") for line in header(path).splitlines() if line.startswith("#   vsre "))
    told = [command for line in lines for command in re.sub(r"   .*", "", line).split(" && ")]
    return [shlex.split(command)[1:] for command in told]


WITH_COMMANDS = [path for path in sorted((ROOT / "configs").rglob("*.yaml")) if commands(path)]


@cache
def parsed(name: str, *arguments: str) -> Any:
    """Return the settings of a command line; most headers have some in common."""
    return parse(name, list(arguments))


def recipe(path: Path, out: Path) -> RunConfig:
    config: RunConfig = parse("run", [str(path), "--out", str(out)])
    return config


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_all_steps_of_a_recipe_can_be_resolved(path: Path, tmp_path: Path) -> None:
    steps = {step.name: step for step in resolve_steps(recipe(path, tmp_path))}
    used = [step.command for step in steps.values()]
    assert {"build-model", "train", "merge", "eval", "report"} <= set(used)
    for step in steps.values():
        if step.command == "train":
            stage_configs(step.config)
    assert steps["finetune"].config.model == str(steps["align"].out)
    assert steps["merged"].config.adapter == str(steps["finetune"].out)
    assert {steps[name].config.model for name in ("test-s", "test-g")} == {str(steps["merged"].out)}
    assert [stage["name"] for stage in steps["finetune"].config.stages] == ["pre-400k", "turn-g", "turn-s"]


def test_the_chain_of_the_recipe_is_one_adapter_in_vsre_s_order(tmp_path: Path) -> None:
    steps = {step.name: step for step in resolve_steps(recipe(ROOT / "configs/recipes/vsre-7b.yaml", tmp_path))}
    runs = stage_configs(steps["finetune"].config)
    assert [Path(run.out).name for run in runs] == ["pre-400k", "turn-g", "finetune"]
    assert {run.stage for run in runs} == {"finetune"} and runs[2].templates == ["vsre-07"]
    assert [run.trainer["num_train_epochs"] for run in runs] == [1, 45, 1]


def test_the_large_recipe_is_the_small_one_with_other_models_and_shares_its_data(tmp_path: Path) -> None:
    small, large = (
        {step.name: step for step in resolve_steps(recipe(ROOT / f"configs/recipes/vsre-{size}.yaml", tmp_path))}
        for size in ("7b", "13b")
    )
    assert list(small) == list(large)
    assert large["model"].config.base == "llava-hf/llava-1.5-13b-hf"
    assert small["pre-400k"].out == large["pre-400k"].out == Path("data/vsre-pre400k")
    assert large["align"].out == tmp_path / "align" and large["align"].config.model == "checkpoints/vsre-13b"
    rows = [
        step["finetune"].config.trainer["per_device_train_batch_size"]
        * step["finetune"].config.trainer["gradient_accumulation_steps"]
        for step in (small, large)
    ]
    assert rows == [128, 128]


def test_the_twin_has_the_steps_of_the_recipe_but_the_download(tmp_path: Path) -> None:
    tiny, large = (
        [(step.name, step.command) for step in resolve_steps(recipe(ROOT / f"configs/recipes/{name}.yaml", tmp_path))]
        for name in ("tiny", "vsre-7b")
    )
    stand_in = {"import-vsr": "datagen"}
    expected = [(name, stand_in.get(command, command)) for name, command in large if command != "fetch"]
    assert tiny == [step for step in expected if step[0] not in ("base", "base-test-g")]


def test_every_published_row_has_a_file() -> None:
    assert {path.stem for path in ROWS} == set(PUBLISHED)


@pytest.mark.parametrize("path", ROWS_AND_MORE, ids=lambda path: path.stem)
def test_a_row_parses_and_its_header_names_score_hours_and_commands(path: Path) -> None:
    config = parse("train", [str(path)])
    assert stage_configs(config)[0].model == config.model
    text = header(path)
    assert re.search(r"[Aa]bout [\d.]+ H100-hours", text) and "estimate" in text
    for scored, name in zip(PUBLISHED.get(path.stem, ()), ("Test-G", "Test-S"), strict=False):
        assert scored is None or f"{name} {scored}" in text
    told = {words[0]: parsed(*words) for words in commands(path)}
    assert {"build-model", "datagen", "train", "eval"} - set(told) <= {"datagen"}
    assert told["train"] == config and told["build-model"].out == config.model and told["eval"].model == config.out


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_commands_in_the_header_of_a_recipe_parse(path: Path) -> None:
    told = [parse(words[0], words[1:]) for words in commands(path)]
    assert told and {config.out for config in told} == {parse("run", [str(path)]).out}


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_every_command_in_the_header_of_a_settings_file_parses(path: Path) -> None:
    told = commands(path)
    assert told and all(isinstance(parsed(*words), find_command(words[0]).config_class()) for words in told)


def test_rows_of_one_table_differ_in_what_the_table_varies() -> None:
    settings = {path.stem: load_settings(path) for path in ROWS}
    shared = [
        {k: v for k, v in it.items() if k not in ("model", "out", "data", "stages", "trainer")}
        for it in settings.values()
    ]
    assert all(it == shared[0] for it in shared)
    weights = [settings[f"7b-pre-{n}k"]["stages"][0]["data"] for n in (100, 200, 300, 400)]
    assert [list(it.values()) for it in weights] == [[0.25], [0.5], [0.75], [1.0]]


@pytest.mark.slow
@pytest.mark.parametrize("path", ROWS_AND_MORE, ids=lambda path: path.stem)
def test_the_hours_in_a_header_are_those_that_are_computed(path: Path) -> None:
    made = Made()
    known = {"vsr-train": (4666, 7436), "vsre-pre400k": (402996, 402996), "vsre-pre500k": (503712, 503712)}
    for name, (images, statements) in (known | {"expert-40k": (40000, 480000)}).items():
        made.add(Path("data", name), Outlay(images=images, statements=statements))
    [built] = [words for words in commands(path) if words[0] == "build-model"]
    model = parse("build-model", built[1:])
    made.add(Path(model.out), building(model, made))
    found = training(parse("train", [str(path)]), made)
    told = re.search(r"[Aa]bout ([\d.]+) H100-hours", header(path))
    assert told and not found.missing
    assert float(told[1]) == pytest.approx(found.gpu_hours, abs=0.051)


def test_conversations_are_no_dataset_folders(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    data = [str(tmp_path / name) for name in ("a.json", "b.jsonl")]
    found = training(TrainConfig("tiny-base", data, "out"), Made())
    assert found.missing == (f"conversations {data[1]}: copy the file there, or correct 'data'",)
    assert found.notes == ("conversations are not counted",)


def test_a_time_limit_is_of_every_device() -> None:
    made = Made()
    made.add(Path("data/large"), Outlay(images=1e9, statements=8e9))
    timed = TrainConfig("tiny-base", ["data/large"], "out", max_seconds=36, schedule="time", nproc=2)
    assert training(timed, made).gpu_hours == pytest.approx(2 * 36 / 3600)


def test_an_encoder_that_is_aligned_alone_trains_its_own_part() -> None:
    made = Made()
    made.add(Path("data/some"), Outlay(images=10, statements=80))
    made.add(Path("seven"), building(parse("build-model", ["configs/model/vsre-7b.yaml"]), made))
    config = TrainConfig("seven", ["data/some"], "out", stage="align")
    alone = training(replace(config, encoders=["sam"]), made)
    assert 0 < alone.trained < training(config, made).trained


def small_twin(out: Path) -> dict[str, Any]:
    """Return the twin with still smaller numbers, as a settings file."""
    quiet = {"max_steps": 6, "save_steps": 2}
    stages = [
        {"name": "pre-400k"},
        {"name": "turn-g", "trainer": {"max_steps": 16, "save_steps": 4, "warmup_steps": 2}},
        {"name": "turn-s", "trainer": {"max_steps": 4, "save_steps": 2}},
    ]
    return {
        "extends": str(ROOT / "configs/recipes/tiny.yaml"),
        "out": str(out),
        "steps": [
            {"name": "vsr-train", "settings": {"groups": 24, "workers": 1}},
            {"name": "vsr-test", "settings": {"groups": 12, "workers": 1}},
            {"name": "pre-400k", "settings": {"groups": 12, "workers": 1}},
            {"name": "align", "settings": {"trainer": quiet}},
            {"name": "finetune", "settings": {"trainer": quiet, "stages": stages}},
        ],
    }


def start(folder: Path) -> "subprocess.Popen[bytes]":
    folder.mkdir(exist_ok=True)
    (folder / "twin.yaml").write_text(yaml.safe_dump(small_twin(folder / "run")))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    log = (folder / "log.txt").open("ab")
    command = [sys.executable, "-m", "vsre", "run", str(folder / "twin.yaml")]
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


@pytest.mark.slow
def test_the_twin_killed_while_it_is_tuned_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(whole).wait(900) == 0, (whole / "log.txt").read_text()
    process = start(cut)
    checkpoints = cut / "run/finetune/turn-g/checkpoints"
    deadline = time.monotonic() + 900
    while not (checkpoints / "checkpoint-4/trainer_state.json").exists():
        assert process.poll() is None and time.monotonic() < deadline, (cut / "log.txt").read_text()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (cut / "run/finetune/training.json").exists() and checkpoints.exists()
    assert start(cut).wait(900) == 0, (cut / "log.txt").read_text()
    log = (cut / "log.txt").read_text()
    assert "goes on" in log and "resuming from" in log and log.count("already done, skipped") == 5
    for name in ("finetune/adapter_model.safetensors", "merged/model.safetensors"):
        first, second = (load_file(folder / "run" / name) for folder in (whole, cut))
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    results = [yaml.safe_load((folder / "run/results.json").read_text()) for folder in (whole, cut)]
    assert results[0]["seconds"].keys() == results[1]["seconds"].keys()
    assert results[0]["expert, Test-S"] == results[1]["expert, Test-S"]
