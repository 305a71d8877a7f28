"""A pipeline does each step once, and again exactly when its settings or what it reads have changed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vsre.pipeline
import vsre.steps
from spatial.errors import ConfigError, RecordError
from vsre.config import RunConfig
from vsre.pipeline import launched, run
from vsre.settings import from_mapping
from vsre.steps import resolve_steps


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the commands by one that writes a file, and return the folders written, in order."""
    written: list[str] = []

    def pretend(command: str, config: Any) -> Path:
        out = Path(config.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "made-by.txt").write_text(command)
        written.append(out.name)
        return out

    monkeypatch.setattr(vsre.pipeline, "execute", pretend)
    return written


def pipeline(out: Path, seed: int = 0, batch_size: int = 16) -> RunConfig:
    """A dataset, a model, and an evaluation of the model on the dataset."""
    steps = [
        {"name": "data", "command": "datagen", "settings": {"groups": 4, "seed": seed}},
        {"name": "model", "command": "build-model"},
        {
            "name": "scores",
            "command": "eval",
            "settings": {"model": "step:model", "data": {"path": "step:data"}, "batch_size": batch_size},
        },
    ]
    config: RunConfig = from_mapping("run", {"out": str(out), "steps": steps})
    return config


def test_steps_write_into_the_run_directory_and_see_each_other(tmp_path: Path, done: list[str]) -> None:
    results = run(pipeline(tmp_path))
    assert done == ["data", "model", "scores"]
    record = json.loads((tmp_path / "steps" / "scores.json").read_text())
    assert record["settings"]["data"]["path"] == str(tmp_path / "data")
    assert set(json.loads(results.read_text())["seconds"]) == {"render", "build", "eval", "total"}


def test_painting_is_counted_apart_and_done_again_when_a_shipped_model_changes(
    tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [
        {"name": "data", "command": "datagen", "settings": {"groups": 4}},
        {"name": "painted", "command": "datagen", "settings": {"groups": 4, "engine": {"name": "tiny-depth"}}},
    ]
    config = from_mapping("run", {"out": str(tmp_path / "run"), "steps": steps})
    results = json.loads(run(config).read_text())
    assert set(results["seconds"]) == {"render", "diffuse", "total"} and done == ["data", "painted"]
    done.clear()
    run(config)
    assert done == []
    (tmp_path / "assets" / "tiny-depth").mkdir(parents=True)
    (tmp_path / "assets" / "tiny-depth" / "SHA256SUMS").write_text("0 unet")
    monkeypatch.setattr(vsre.steps, "ASSETS", tmp_path / "assets")
    monkeypatch.setattr(vsre.steps, "asset_names", lambda: ["tiny-depth"])
    run(config)
    assert done == ["painted"]


def test_a_second_run_skips_everything(tmp_path: Path, done: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    first = run(pipeline(tmp_path)).read_text()
    done.clear()
    capsys.readouterr()
    assert run(pipeline(tmp_path)).read_text() == first
    assert done == []
    assert capsys.readouterr().out.count("already done, skipped") == 3


def test_a_model_is_patched_once_and_compared_with_that_of_an_earlier_step(
    patched: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run(patched)
    assert capsys.readouterr().out.count("already done, skipped") == 2
    assert set(json.loads(results.read_text())["seconds"]) == {"interpret", "total"}
    base, expert = (Path(patched.out) / name for name in ("base", "expert"))
    found = json.loads((expert / "results.json").read_text())
    assert found["against"]["folder"] == str(base) and found["against"]["pairs"] == 4
    assert resolve_steps(patched)[1].inputs == ("base",)


def test_a_changed_setting_repeats_the_step_and_what_reads_from_it(tmp_path: Path, done: list[str]) -> None:
    run(pipeline(tmp_path))
    done.clear()
    run(pipeline(tmp_path, seed=1))
    assert done == ["data", "scores"]
    done.clear()
    run(pipeline(tmp_path, seed=1, batch_size=8))
    assert done == ["scores"]


def test_a_repeated_step_starts_in_an_empty_folder(tmp_path: Path, done: list[str]) -> None:
    run(pipeline(tmp_path))
    left_over = tmp_path / "data" / "old-shard"
    left_over.touch()
    run(pipeline(tmp_path, seed=1))
    assert not left_over.exists()


def training(out: Path, **settings: Any) -> RunConfig:
    given = {"model": "tiny-base", "data": ["d"], **settings}
    steps = [{"name": "expert", "command": "train", "settings": given}]
    config: RunConfig = from_mapping("run", {"out": str(out), "steps": steps})
    return config


def test_a_training_is_neither_repeated_for_nothing_nor_thrown_away(
    tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = [{"name": "full"}, {"name": "finetune", "trainer": {"max_steps": 1}}]
    faster = [stages[0], {"name": "finetune", "trainer": {"max_steps": 1, "dataloader_num_workers": 1}}]
    run(training(tmp_path, stages=stages, dry_run=True))
    assert done.pop() == "expert"
    run(training(tmp_path, stages=stages))
    unlike = {"peak_tflops": 5, "feature_cache": "f", "trainer": {"dataloader_num_workers": 2}}
    run(training(tmp_path, stages=faster, **unlike))
    assert done == ["expert"]
    run(training(tmp_path, stages=stages, seed=1))
    monkeypatch.setattr(vsre.steps, "__version__", "99")
    run(training(tmp_path, stages=stages, seed=1))
    assert done == ["expert"] * 3 and "it is now" in capsys.readouterr().out
    assert (tmp_path / "expert.old-1/made-by.txt").exists() and (tmp_path / "expert.old-2/made-by.txt").exists()


def test_cached_features_count_where_they_are_rounded(tmp_path: Path, done: list[str]) -> None:
    for trainer, times in (({"max_steps": 1}, 1), ({"bf16": True}, 2)):
        done.clear()
        for features in ("", "cache"):
            run(training(tmp_path / str(times), trainer=trainer, features=features))
        assert done == ["expert"] * times


def test_a_deleted_output_is_made_again(tmp_path: Path, done: list[str]) -> None:
    run(pipeline(tmp_path))
    (tmp_path / "model" / "made-by.txt").unlink()
    (tmp_path / "model").rmdir()
    done.clear()
    run(pipeline(tmp_path))
    assert done == ["model"]


def test_a_killed_step_goes_on_in_its_folder(tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(command: str, config: Any) -> Path:
        Path(config.out).mkdir(parents=True)
        (Path(config.out) / "half").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(vsre.pipeline, "execute", killed)
        with pytest.raises(KeyboardInterrupt):
            run(pipeline(tmp_path))
    run(pipeline(tmp_path))
    assert done == ["data", "model", "scores"]
    assert (tmp_path / "data" / "half").exists()


@pytest.mark.parametrize("damage", [b'{"finger', b"\xff\x00", b"[1]"])
def test_a_damaged_note_of_what_is_done_is_refused_by_name(tmp_path: Path, done: list[str], damage: bytes) -> None:
    run(pipeline(tmp_path))
    (tmp_path / "steps" / "model.json").write_bytes(damage)
    done.clear()
    with pytest.raises(ConfigError, match=r"steps/model\.json is damaged, .*; delete it and the step's output"):
        run(pipeline(tmp_path))
    assert not done
    (tmp_path / "steps" / "model.json").unlink()
    shutil.rmtree(tmp_path / "model")
    run(pipeline(tmp_path))
    assert done == ["model"]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "x", "command": "evall"}, "did you mean 'eval'"),
        ({"name": "x", "command": "run"}, "cannot be a step"),
        ({"name": "x", "command": "push", "settings": {"model": "m"}}, "command 'push' cannot be a step"),
        ({"name": "x", "command": "eval", "settings": {"modle": "m"}}, "step 'x': unknown setting 'modle'"),
        ({"name": "x", "command": "eval", "settings": {"model": "step:dada"}}, "did you mean 'data'"),
        ({"name": "x", "command": "eval", "settings": {"out": "here"}}, "leave 'out' away"),
        ({"name": "data", "command": "eval"}, "must be unique"),
        ({"name": "x", "command": "eval", "config": "configs/nothing.yaml"}, "step 'x': there is no settings file"),
    ],
)
def test_a_wrong_step_is_refused_before_the_first_one_starts(
    step: dict[str, Any], message: str, tmp_path: Path, done: list[str]
) -> None:
    steps = [{"name": "data", "command": "datagen"}, step]
    with pytest.raises(ConfigError, match=message):
        run(from_mapping("run", {"out": str(tmp_path), "steps": steps}))
    assert done == []


def test_a_pipeline_without_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no steps"):
        run(RunConfig(out=str(tmp_path / "run"), steps=[]))
    assert not (tmp_path / "run").exists()


def test_settings_of_a_step_are_laid_over_its_file(tmp_path: Path) -> None:
    (tmp_path / "eval.yaml").write_text("{model: ./here, data: {kind: folder, path: a, limit: 5}, batch_size: 4}")
    step = {"name": "x", "command": "eval", "config": str(tmp_path / "eval.yaml"), "settings": {"data": {"path": "b"}}}
    [resolved] = resolve_steps(from_mapping("run", {"out": str(tmp_path), "steps": [step]}))
    assert (resolved.config.data.path, resolved.config.data.limit, resolved.config.batch_size) == ("b", 5, 4)


def test_references_are_replaced_in_keys_too_and_may_go_into_a_folder(tmp_path: Path, done: list[str]) -> None:
    steps = [
        {"name": "scenes", "command": "datagen"},
        {
            "name": "expert",
            "command": "train",
            "settings": {"model": "step:scenes/inside", "data": {"step:scenes": 1.0, "data/x": 0.5}},
        },
    ]
    [_, expert] = resolve_steps(from_mapping("run", {"out": str(tmp_path), "steps": steps}))
    assert expert.config.data == {str(tmp_path / "scenes"): 1.0, "data/x": 0.5}
    assert expert.config.model == str(tmp_path / "scenes" / "inside") and expert.inputs == ("scenes",)


def test_a_shared_folder_is_never_emptied(tmp_path: Path, done: list[str]) -> None:
    shared = tmp_path / "data"
    shared.mkdir()
    (shared / "fetched-before").touch()
    for seed in (0, 1):
        step = {"name": "photos", "command": "datagen", "out": str(shared), "settings": {"seed": seed}}
        run(from_mapping("run", {"out": str(tmp_path / "run"), "steps": [step]}))
    assert done == ["data", "data"] and (shared / "fetched-before").exists()


def test_a_failing_step_is_named_with_the_command_that_goes_on(
    tmp_path: Path, done: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failures: list[Exception] = [RecordError("no photo"), ZeroDivisionError()]

    def fail(command: str, config: Any) -> Path:
        raise failures.pop(0)

    monkeypatch.setattr(vsre.pipeline, "execute", fail)
    monkeypatch.setattr("sys.argv", ["vsre", "run", "my recipe.yaml"])
    again = "what is done stays; go on with: vsre run 'my recipe.yaml'"
    with pytest.raises(RecordError, match=f"^step 'data': no photo; {again}$"):
        run(pipeline(tmp_path))
    with pytest.raises(ZeroDivisionError):
        run(pipeline(tmp_path))
    assert again in capsys.readouterr().err


def test_a_dry_run_tells_of_every_step_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    build = {"base": "llava-hf/llava-1.5-7b-hf", "encoders": ["clip"], "dtype": "bfloat16"}
    painting = {"name": "img2img", "dtype": "bfloat16"}
    photos = {"annotations": "step:photos", "images": "step:photos", "one_sided": True}
    trained = {"model": "step:model", "data": ["step:painted"], "trainer": {"num_train_epochs": 1}}
    steps = [
        {"name": "photos", "command": "fetch", "settings": {"dataset": "vsr", "parts": ["train"]}},
        {
            "name": "painted",
            "command": "datagen",
            "settings": {"groups": 9000, "engine": painting, "paint": {"over": "photos", "photos": photos}},
        },
        {"name": "model", "command": "build-model", "settings": build},
        {"name": "expert", "command": "train", "settings": trained},
        {"name": "scores", "command": "eval", "settings": {"model": "step:expert", "data": {"path": "data/none"}}},
    ]
    assert run(from_mapping("run", {"out": "runs/x", "steps": steps, "dry_run": True})) is None
    assert not list(tmp_path.iterdir())
    text = capsys.readouterr().out
    rows = {line.split()[0]: line for line in text.splitlines() if " to do " in line}
    assert list(rows) == ["photos", "painted", "model", "expert", "scores"]
    assert "13.1 GiB" in rows["model"]  # 7.05 billion parameters in two bytes
    assert float(rows["painted"].split()[-2]) == pytest.approx(7436 * 2.5 / 3600, abs=0.06)
    assert 0.05 < float(rows["expert"].split()[-2]) < 1  # 7,436 pictures of about 620 tokens
    assert "model: llava-hf/llava-1.5-7b-hf: 'hf download llava-hf/llava-1.5-7b-hf'" in text
    assert "scores: data data/none" in text and "photos in" not in text
    total = next(line for line in text.splitlines() if line.startswith("total"))
    assert float(total.split()[-2]) == pytest.approx(
        sum(float(rows[n].split()[-2]) for n in ("painted", "expert")), abs=0.2
    )


def test_evaluation_is_launched_where_it_needs_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eval.launch.visible_gpus", lambda: 4)
    settings = from_mapping("eval", {})
    assert launched("eval", settings) == 4
    assert launched("eval", replace(settings, nproc=1)) == launched("eval", replace(settings, device="cpu")) == 0


def test_the_number_of_processes_of_an_evaluation_repeats_no_step(tmp_path: Path) -> None:
    def fingerprint(**settings: int) -> str:
        step = {"name": "score", "command": "eval", "settings": settings}
        (resolved,) = resolve_steps(from_mapping("run", {"out": str(tmp_path), "steps": [step]}))
        return resolved.fingerprint

    assert fingerprint() == fingerprint(nproc=2) != fingerprint(batch_size=7)
