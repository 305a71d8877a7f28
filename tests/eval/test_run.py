"""A whole evaluation: every record gets a row, killed runs go on, nobody earns from ties or from not looking."""

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from encoders.model_hash import model_hash
from eval import answering, attention
from eval.answering import neutral_choice
from eval.benchmarks import BENCHMARKS, read_benchmark
from eval.config import DataConfig, EvalConfig
from eval.decoders import format_decoder
from eval.predictions import Prediction, read_predictions
from eval.run import evaluate
from eval.scoring import Scorer, Scores
from spatial.dataset import DatasetFolder, FailedRow
from spatial.errors import CheckpointError, ConfigError, RecordError

Make = Callable[..., EvalConfig]


@pytest.fixture
def make(checkpoint: Path, dataset: Path, tmp_path: Path) -> Make:
    """Return a configuration of the tiny model and dataset, with changes."""

    def build(**changes: Any) -> EvalConfig:
        data = DataConfig(path=str(dataset), **changes.pop("data", {}))
        templates = changes.pop("templates", ["question", "true-false", "where"])
        out = changes.pop("out", str(tmp_path / "run"))
        return EvalConfig(str(checkpoint), data, out, templates, batch_size=5, bootstrap=50, **changes)

    return build


def rows_of(out: Path) -> list[Prediction]:
    return read_predictions(out / "predictions.parquet")


def results_of(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    scores = json.loads((out / "results.json").read_text())["scores"]
    return {(score["decoder"], score["image_mode"]): score for score in scores}


def test_every_record_is_scored_in_every_way(make: Make) -> None:
    decoders = ["scale(alpha=1)", "adaptvis(a1=0.5,a2=1.5,beta=0.4)"]
    out = evaluate(make(decoders=decoders, image_modes=["image", "image_blind", "shuffled"]))
    rows = rows_of(out)
    asked = 3 * (2 * 32 + 16)  # image modes x (statement templates x statements + choices)
    stored = ["greedy", "scale(alpha=0.5)", "scale(alpha=1.5)"]
    assert len({row.key for row in rows}) == len(rows) == asked * len(decoders + stored)
    assert not any(row.failed for row in rows)
    results = results_of(out)
    assert set(results) == {(d, m) for d in decoders + stored for m in ("image", "image_blind", "shuffled")}
    image = results[decoders[1], "image"]
    assert image["n"] == 80 and image["pairs"] == 40 and image["sets"] == 24
    assert set(image["per_relation"]) == {"left of", "right of", "on", "under"}
    assert image["against_greedy"]["n"] == 80
    assert set(image["per_template"]) == {"question", "true-false", "where"}


def test_scale_at_one_equals_greedy_and_adaptvis_follows_its_rule(make: Make) -> None:
    out = evaluate(make(decoders=["greedy", "scale(alpha=1)", "adaptvis(a1=0.5,a2=1.5,beta=0.2)"]))
    by_decoder: dict[str, dict[tuple[str, str], Prediction]] = {}
    for row in rows_of(out):
        by_decoder.setdefault(row.decoder, {})[row.record_id, row.template] = row
    greedy = by_decoder["greedy"]
    for name, row in by_decoder["scale(alpha=1)"].items():
        assert replace(row, decoder="greedy") == greedy[name]
    taken = set()
    for name, row in by_decoder["adaptvis(a1=0.5,a2=1.5,beta=0.2)"].items():
        source = "scale(alpha=0.5)" if greedy[name].confidence < 0.2 else "scale(alpha=1.5)"
        assert replace(row, decoder=source) == by_decoder[source][name]
        taken.add(source)
    assert len(taken) == 2


def test_answers_of_a_decoder_that_was_changed_since_are_asked_for_again(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = make(decoders=["greedy", "scale(alpha=0.5)"])
    before = {row.key: row for row in rows_of(evaluate(asked))}
    assert "are stored" not in capsys.readouterr().out
    evaluate(asked)
    assert "160 of 160 answers are stored in" in capsys.readouterr().out

    def flat(logits: Tensor, image: Tensor, factor: Tensor) -> Tensor:
        return torch.where(image, logits * 0, logits)

    monkeypatch.setitem(attention.RULES, "scale", flat)
    after = {row.key: row for row in rows_of(evaluate(asked))}
    assert "80 of 160 answers are stored in" in capsys.readouterr().out
    for key, row in after.items():
        assert (row == before[key]) == (row.decoder == "greedy"), row.decoder


def test_without_the_image_balanced_groups_are_exactly_at_chance(make: Make) -> None:
    out = evaluate(make(image_modes=["image_blind"], decoders=["greedy", "scale(alpha=2)"]))
    for score in results_of(out).values():
        assert score["accuracy"] == 0.5
        assert score["near_chance"]
        assert score["pair_accuracy"] == 0


def test_a_scorer_without_preference_is_exactly_at_chance(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def constant(self: Scorer, questions: Any, pictures: Any, readings: Any) -> Any:
        return {reading: [Scores((-1.0,) * len(q.options), 0.5, True) for q in questions] for reading in readings}

    monkeypatch.setattr(Scorer, "score", constant)
    score = results_of(evaluate(make()))["greedy", "image"]
    assert score["accuracy"] == 0.5
    assert 0.2 < score["yes_rate"] < 0.8


def test_ties_are_broken_by_neither_order_nor_answer() -> None:
    texts = [f"prompt {i}" for i in range(200)]
    firsts = sum(neutral_choice(("yes", "no"), (0.0, 0.0), text, 0) == "yes" for text in texts)
    assert 70 < firsts < 130
    for text in texts:
        assert neutral_choice(("yes", "no"), (0, 0), text, 0) == neutral_choice(("no", "yes"), (0, 0), text, 0)
    assert neutral_choice(("yes", "no"), (-2.0, -1.0), "any", 0) == "no"


def test_an_interrupted_run_goes_on_and_ends_the_same(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    decoders = ["greedy", "scale(alpha=0.5)"]
    whole = rows_of(evaluate(make(decoders=decoders, out=str(tmp_path / "whole"))))
    calls, score = [], Scorer.score

    def failing(self: Scorer, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return score(self, *arguments)

    monkeypatch.setattr(Scorer, "score", failing)
    with pytest.raises(KeyboardInterrupt):
        evaluate(make(decoders=decoders))
    assert rows_of(evaluate(make(decoders=decoders))) == whole
    assert len(calls) == -(-80 // 5) + 1
    evaluate(make(decoders=decoders))
    assert len(calls) == -(-80 // 5) + 1


def test_a_killed_process_loses_no_finished_part(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config, score = make(), Scorer.score
    with monkeypatch.context() as patch:
        patch.setattr(answering, "FLUSH_SECONDS", 0.0)
        patch.setattr(Scorer, "score", lambda *arguments: time.sleep(0.2) or score(*arguments))
        process = multiprocessing.get_context("fork").Process(target=evaluate, args=(config,))
        process.start()
    parts = Path(config.out) / "predictions"
    while len(list(parts.glob("part-*.parquet"))) < 2:
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    assert not (Path(config.out) / "predictions.parquet").exists()
    kept = {path: path.stat().st_mtime_ns for path in parts.glob("part-*.parquet")}
    resumed = rows_of(evaluate(config))
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items())
    assert resumed == rows_of(evaluate(make(out=str(tmp_path / "whole"))))


def test_a_changed_question_is_asked_again(make: Make) -> None:
    first = {row.record_id: row for row in rows_of(evaluate(make(image_modes=["shuffled"], seed=0)))}
    second = {row.record_id: row for row in rows_of(evaluate(make(image_modes=["shuffled"], seed=1)))}
    assert any(first[name].question != second[name].question for name in first)
    assert {row.record_id: row for row in rows_of(evaluate(make(image_modes=["shuffled"], seed=0)))} == first


def test_rows_that_cannot_be_scored_are_named(make: Make, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = DatasetFolder(dataset).record_set()
    broken = whole.records[0].image_id
    images = {**whole.images, broken: replace(whole.images[broken], image=b"no")}
    records = replace(whole, images=images, failed=[FailedRow("test.jsonl:7", "image 7.jpg is missing")])
    monkeypatch.setitem(BENCHMARKS, "folder", lambda data: records)
    out = evaluate(make())
    score = results_of(out)["greedy", "image"]
    assert score["n"] == 80 - 5
    assert score["failed"]["test.jsonl:7"] == "image 7.jpg is missing"
    assert "cannot be decoded" in score["failed"][whole.records[0].record_id]
    assert score["pairs"] == 40 - 5
    monkeypatch.setitem(BENCHMARKS, "folder", lambda data: whole)
    assert results_of(evaluate(make()))["greedy", "image"]["n"] == 80


def test_numbers_that_are_not_finite_are_failures(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Scorer, questions: Any, pictures: Any, readings: Any) -> Any:
        return {reading: [Scores((float("nan"), -1.0), 0.5, True) for _ in questions] for reading in readings}

    monkeypatch.setattr(Scorer, "score", broken)
    with pytest.raises(RecordError, match="no question could be answered; the first: the model's log-prob"):
        evaluate(make())
    score = results_of(Path(make().out))["greedy", "image"]
    assert score["n"] == 0 and len(score["failed"]) == 48
    assert score["accuracy"] is None and not score["near_chance"]


def test_a_decoder_that_answers_nothing_is_a_failure_beside_one_that_does(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = Scorer.score

    def broken(self: Scorer, questions: Any, pictures: Any, readings: Any) -> Any:
        found = score(self, questions, pictures, readings)
        nan = float("nan")
        bad = {
            key: [Scores((nan, nan), 0.5, True) for _ in questions] for key in found if "scale" in format_decoder(key)
        }
        return found | bad

    monkeypatch.setattr(Scorer, "score", broken)
    config = make(decoders=["greedy", "scale(alpha=0.5)"])
    with pytest.raises(RecordError, match=r"^scale\(.*answered no question; the first: the model's log-prob"):
        evaluate(config)
    scores = results_of(Path(config.out))
    assert scores["greedy", "image"]["accuracy"] is not None


def test_an_unknown_relation_is_named(make: Make, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = DatasetFolder(dataset).record_set()
    odd = replace(whole.records[0], relation="left off")
    monkeypatch.setitem(BENCHMARKS, "folder", lambda data: replace(whole, records=[*whole.records, odd]))
    with pytest.raises(RecordError, match=r"unknown relation 'left off'.*did you mean 'left of'"):
        evaluate(make())


def test_tasks_without_options_are_named(make: Make, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = DatasetFolder(dataset).record_set()
    free = replace(whole.records[0], task="caption", topic="scene", answer="x1 y1 red cup", record_id="free")
    monkeypatch.setitem(BENCHMARKS, "folder", lambda data: replace(whole, records=[*whole.records, free]))
    out = evaluate(make(data={"tasks": []}, templates=["question", "where", "describe"]))
    score = results_of(out)["greedy", "image"]
    assert score["failed"] == {"free": "has no answer options to compare; leave its task out of data.tasks"}


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"decoders": ["gredy"]}, ConfigError, "did you mean 'greedy'"),
        ({"decoders": []}, ConfigError, "must not be empty"),
        ({"image_modes": ["blind"]}, ConfigError, "did you mean 'image_blind'"),
        ({"templates": ["questoin"]}, ConfigError, "did you mean 'question'"),
        ({"templates": ["question"]}, ConfigError, "suits task 'choice'"),
        ({"device": "cuda:99"}, ConfigError, "use 'auto' or 'cpu'"),
        ({"data": {"tasks": ["statements"]}}, ConfigError, "did you mean 'statement'"),
        ({"data": {"topics": ["colour"]}}, RecordError, "none of 48 records has topics colour"),
        ({"data": {"split": "train"}}, RecordError, "none of 48 records has split 'train'"),
        ({"data": {"limit": -1}}, ConfigError, "data.limit is -1"),
        ({"data": {"kind": "folders"}}, ConfigError, "did you mean 'folder'"),
        ({"data": {"kind": "vsr"}}, ConfigError, "data.images is empty"),
        ({"data": {"limit": 1}, "image_modes": ["shuffled"]}, ConfigError, "images of two groups"),
    ],
)
def test_mistakes_are_named(make: Make, changes: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        evaluate(make(**changes))


def test_a_missing_model_and_a_damaged_part_are_named(make: Make, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        evaluate(replace(make(), model=str(tmp_path / "nothing")))
    part = tmp_path / "run" / "predictions" / "part-000000.parquet"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"PAR1 cut")
    with pytest.raises(RecordError, match=r"part-000000\.parquet is not a readable"):
        evaluate(make())


def test_photos_with_an_annotation_file_are_evaluated(make: Make, tmp_path: Path) -> None:
    photos, rows = tmp_path / "photos", []
    photos.mkdir()
    for index in range(4):
        Image.new("RGB", (20 + index, 16), (index * 60, 0, 0)).save(photos / f"{index}.jpg")
        row = {"image": f"{index}.jpg", "caption": "The cup is on the book.", "relation": "on", "label": index % 2}
        rows.append(json.dumps(row))
    rows.append(json.dumps({"image": "gone.jpg", "caption": "The cup is on the book.", "relation": "on", "label": 1}))
    (tmp_path / "own.test.jsonl").write_text("\n".join(rows))
    where = {"kind": "vsr", "annotations": str(tmp_path), "images": str(photos), "variant": "own"}
    out = evaluate(make(data=where))
    score = results_of(out)["greedy", "image"]
    assert (score["n"], score["pairs"], set(score["per_category"])) == (8, 4, {"Topological"})
    shown = {row.image_file for row in read_predictions(out / "predictions.parquet") if not row.failed}
    assert shown == {"0.jpg", "1.jpg", "2.jpg", "3.jpg"}, "whoever made the pictures knows them by their names"
    assert list(score["failed"]) == ["own.test.jsonl:5 gone.jpg"]


def test_a_limit_keeps_whole_groups(make: Make) -> None:
    records = read_benchmark(make(data={"limit": 7, "tasks": []}).data).records
    sizes = {group: sum(r.group_id == group for r in records) for group in {r.group_id for r in records}}
    assert list(sizes.values()) == [6, 6]
    assert read_benchmark(make(data={"limit": 7, "tasks": []}).data).records == records


def test_the_model_hash_follows_weights_and_words_not_places(checkpoint: Path, tmp_path: Path) -> None:
    name = model_hash(checkpoint)
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    (copy / "trainer_state.json").write_text("{}")
    assert model_hash(copy) == name
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert model_hash(copy) != name
    shutil.copy(checkpoint / "model.safetensors", weights)
    assert model_hash(copy) == name
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "../copy", "r": 4}))
    adapted = model_hash(adapter)
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(checkpoint), "r": 4}))
    assert model_hash(adapter) == adapted != name
    tokenizer = copy / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"cup"', '"cap"'))
    assert model_hash(copy) != name


def test_words_that_are_asked_for_later_are_written_then(make: Make) -> None:
    rows_of(evaluate(make()))
    rows = rows_of(evaluate(make(max_new_tokens=3)))
    assert all(row.outcome for row in rows)
    plain = {row.key: row.predicted for row in rows_of(evaluate(make()))}
    assert plain == {row.key: row.predicted for row in rows}
