"""Rates, waiting and utilisation: by hand on a made-up run, and in what a real run leaves behind."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from training import throughput as module
from training.config import EvaluateSettings, TrainConfig
from training.cost import Costs
from training.run import train
from training.throughput import Throughput, summary_line

KEYS = {
    "rows_per_second",
    "tokens_per_second",
    "padded_tokens_per_second",
    "images_per_second",
    "data_wait",
    "peak_memory_gib",
    "tflops",
    "mfu",
    "hfu",
}


class Now:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    clock = Now()
    monkeypatch.setattr(module, "time", clock)
    return clock


def made_up(world: int = 1, **settings: Any) -> Throughput:
    measured = Throughput(nn.Linear(1, 1), torch.device("cpu"), world, **settings)
    measured.costs = Costs(frozen=1e9, trainable=0.0, head=0.0, head_learns=False, attention=0.0)
    return measured


def batch(length: int = 40) -> dict[str, Tensor]:
    mask = torch.ones(2, 50, dtype=torch.long)
    mask[:, length:] = 0
    ids = torch.zeros(2, 50, dtype=torch.long)
    return {"input_ids": ids, "attention_mask": mask, "labels": ids, "pixel_values": torch.zeros(2, 3, 4, 4)}


def steps(measured: Throughput, now: Now, count: int, wait: float, work: float) -> None:
    def slowly() -> Iterator[dict[str, Tensor]]:
        while True:
            now.now += wait
            yield batch()

    batches = slowly()
    for _ in range(count):
        inputs = next(measured.fetched(batches))
        measured.stepped()
        measured.add(inputs, torch.tensor(6))
        now.now += work


def test_rates_waiting_and_utilisation_by_hand(now: Now) -> None:
    measured = made_up(peak_tflops=1.0)
    steps(measured, now, count=4, wait=0.25, work=0.75)
    figures = measured.entry(lambda own: own)
    assert figures["rows_per_second"] == pytest.approx(6)
    assert figures["tokens_per_second"] == pytest.approx(80)
    assert figures["padded_tokens_per_second"] == pytest.approx(100)
    assert figures["images_per_second"] == pytest.approx(2)
    assert figures["data_wait"] == pytest.approx(0.25)
    assert figures["mfu"] == pytest.approx(4 * 1e9 * 80 / 1e12)
    assert figures["hfu"] == pytest.approx(4 * 1e9 * 100 / 1e12)
    assert figures["peak_memory_gib"] > 0


def test_checkpointing_raises_what_is_computed_not_what_is_needed(now: Now) -> None:
    measured = made_up(peak_tflops=1.0, checkpointing=True)
    steps(measured, now, count=1, wait=0.0, work=1.0)
    figures = measured.entry(lambda own: own)
    assert figures["mfu"] == pytest.approx(4 * 1e9 * 80 / 1e12)
    assert figures["hfu"] == pytest.approx(6 * 1e9 * 100 / 1e12)


def test_processes_add_up_and_utilisation_is_of_one_device(now: Now) -> None:
    measured = made_up(world=2, peak_tflops=1.0)
    steps(measured, now, count=2, wait=0.5, work=0.5)
    figures = measured.entry(lambda own: torch.cat([own, own]))
    assert figures["tokens_per_second"] == pytest.approx(160)
    assert figures["data_wait"] == pytest.approx(0.5)
    assert figures["mfu"] == pytest.approx(4 * 1e9 * 80 / 1e12)


def test_saving_does_not_count(now: Now) -> None:
    measured = made_up()
    steps(measured, now, count=1, wait=0.0, work=1.0)
    with measured.aside():
        now.now += 50
    steps(measured, now, count=1, wait=0.0, work=1.0)
    assert measured.entry(lambda own: own)["rows_per_second"] == pytest.approx(6)


def test_what_is_aside_within_what_is_aside_counts_once(now: Now) -> None:
    measured = made_up()
    with measured.aside():  # before the first batch nothing is measured yet
        now.now += 7
    steps(measured, now, count=1, wait=0.0, work=1.0)
    with measured.aside():
        now.now += 20
        with measured.aside():
            now.now += 30
    steps(measured, now, count=1, wait=0.0, work=1.0)
    assert measured.entry(lambda own: own)["rows_per_second"] == pytest.approx(6)


class SlowScores:
    """Takes longer to score than the steps between take."""

    content = "a slice"

    def answers(self, model: Any, processor: Any, part: int = 0, parts: int = 1) -> list[Any]:
        time.sleep(0.5)
        return []

    def scores(self, answers: Any) -> dict[str, float]:
        return {"accuracy": 0.5}


def test_evaluation_leaves_the_figures_as_they_are(config: TrainConfig) -> None:
    chosen = EvaluateSettings(1, {"data": {"path": "dev"}}, "accuracy", keep="last")
    given = replace(config, evaluate=chosen, trainer=config.trainer | {"max_steps": 4})
    began = time.perf_counter()
    out = train(given, lambda _: SlowScores())
    took = time.perf_counter() - began
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    measured = [entry for entry in entries if "loss" in entry]
    summary = json.loads((out / "training.json").read_text())["throughput"]
    for figures in [*measured, summary]:
        assert all(figures[name] > 0 for name in KEYS & figures.keys()) and figures["data_wait"] < 1
    # Of 24 statements a step; the first interval once counted from when the machine was started.
    assert 0 < sum(24 / entry["rows_per_second"] for entry in measured) < took - 5 * 0.5


def test_the_summary_leaves_out_the_first_steps_and_takes_in_the_last(now: Now) -> None:
    measured = made_up()
    for seconds in (9.0, 9.0, 1.0, 1.0):
        steps(measured, now, count=5, wait=0.0, work=seconds)
        measured.entry(lambda own: own)
    steps(measured, now, count=2, wait=0.0, work=2.0)
    measured.close(lambda own: own)
    assert measured.summary["steps"] == 12
    assert measured.summary["rows_per_second"] == pytest.approx(6 * 12 / 14)
    assert "statements/s" in summary_line(measured.summary) and "20% padding" in summary_line(measured.summary)


def test_a_run_of_one_entry_is_summarised_whole(now: Now) -> None:
    measured = made_up()
    steps(measured, now, count=3, wait=0.0, work=1.0)
    measured.close(lambda own: own)
    assert measured.summary["steps"] == 3 and measured.summary["rows_per_second"] == pytest.approx(6)


def test_a_module_of_which_nothing_is_known_still_has_rates(now: Now) -> None:
    measured = Throughput(nn.Linear(1, 1), torch.device("cpu"))
    assert "no FLOPs" in measured.describe()
    steps(measured, now, count=2, wait=0.0, work=1.0)
    assert measured.entry(lambda own: own).keys() == {"rows_per_second", "data_wait", "peak_memory_gib"}


def test_a_run_logs_and_keeps_its_figures(
    config: TrainConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    trainer = {name: value for name, value in config.trainer.items() if name != "report_to"}
    out = train(replace(config, stage="align", peak_tflops=0.5, trainer=trainer | {"max_steps": 4}))
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    for entry in entries:
        assert entry.keys() >= KEYS
        assert 0 < entry["mfu"] < entry["hfu"] and 0 <= entry["data_wait"] < 1
        assert entry["tokens_per_second"] < entry["padded_tokens_per_second"]
        assert entry["rows_per_second"] == pytest.approx(3 * entry["images_per_second"])
    summary = json.loads((out / "training.json").read_text())["throughput"]
    assert summary.keys() == KEYS | {"steps"} and summary["steps"] == 3
    shown = capsys.readouterr()
    assert "peak 0 TFLOP/s (peak_tflops), 1 device(s)" in " ".join(shown.err.split())
    assert "throughput over 3 steps:" in shown.out and "MFU" in shown.out
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    assert {f"train/{key}" for key in KEYS} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("train/mfu")] == [1, 2, 3, 4]


@pytest.mark.slow
def test_measuring_costs_less_than_a_hundredth_of_a_step_of_a_tenth_of_a_second() -> None:
    measured, inputs = made_up(), batch()
    rounds = 200
    began = time.perf_counter()
    for _ in range(rounds):
        next(measured.fetched(iter([inputs])))
        measured.stepped()
        measured.add(inputs, torch.tensor(6))
    measured.entry(lambda own: own)
    assert (time.perf_counter() - began) / rounds < 0.001
