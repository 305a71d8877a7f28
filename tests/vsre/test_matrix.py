"""A pipeline for every combination: what is shared, what is done again, what is submitted, what is drawn."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image

from spatial.errors import ConfigError, UserError
from vsre import pipeline
from vsre.config import AxisConfig, MatrixConfig, StepConfig
from vsre.matrix import expand, run_matrix
from vsre.matrix_scores import position, read_score
from vsre.settings import from_mapping, load_mapping

ROOT = Path(__file__).parents[2]


@pytest.fixture
def matrix(tmp_path: Path) -> MatrixConfig:
    """Two sizes and two models; the test data is the same for all."""
    return MatrixConfig(
        out=str(tmp_path / "runs"),
        steps=[
            StepConfig("data", "datagen", settings={"groups": 1}),
            StepConfig("test", "datagen", settings={"groups": 2, "split": "test"}),
            StepConfig("model", "build-model", settings={"base": "tiny-base"}),
            StepConfig("expert", "train", settings={"model": "step:model", "data": ["step:data"]}),
            StepConfig("eval", "eval", settings={"model": "step:expert", "data": {"path": "step:test"}}),
        ],
        axes=[
            AxisConfig("groups", {"10": {"data": {"groups": 10}}, "1k": {"data": {"groups": 1000}}}),
            AxisConfig("encoders", {name: {"model": {"encoders": [name]}} for name in ("clip", "sam")}),
        ],
    )


SEEDS = AxisConfig("seed", {"s0": {"expert": {"seed": 0}}, "s1": {"expert": {"seed": 1}}})


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Steps are noted instead of done; an evaluation writes an accuracy that its place in the matrix decides."""
    names: list[str] = []

    def execute(step: pipeline.Step) -> Path:
        names.append(step.name)
        step.out.mkdir(parents=True, exist_ok=True)
        if step.command == "eval":
            value = 0.5 + 0.1 * ("1k" in step.name) + 0.02 * ("s1" in step.name)
            score = {"accuracy": value, "macro_accuracy": value, "ci95": [value - 0.05, value + 0.05], "n": 40}
            scores = [{"image_mode": "image", **score}]
            (step.out / "results.json").write_text(json.dumps({"scores": scores}))
        return step.out

    monkeypatch.setattr(pipeline, "_execute_step", execute)
    return names


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves are empty pictures, because one is drawn after each combination."""
    monkeypatch.setattr("vsre.matrix_scores.curve_chart", lambda *_: Figure((0.1, 0.1)))


def test_what_several_combinations_need_alike_is_one_step(matrix: MatrixConfig) -> None:
    expanded = expand(replace(matrix, axes=[*matrix.axes, SEEDS]))
    assert len(expanded.cells) == 8
    kinds = [name.split("-")[0] for name in expanded.steps]
    assert {kind: kinds.count(kind) for kind in kinds} == {"data": 2, "test": 1, "model": 2, "expert": 8, "eval": 8}
    assert set(expanded.shared()) == {"data-10", "data-1k", "test", "model-clip", "model-sam"}
    settings = expanded.steps["expert-1k-sam-s1"].settings
    assert settings == {"model": "step:model-sam", "data": ["step:data-1k"], "seed": 1}
    assert expanded.steps["eval-1k-sam-s1"].settings["data"] == {"path": "step:test"}


def test_every_step_is_done_once_and_nothing_twice(matrix: MatrixConfig, done: list[str]) -> None:
    picture = run_matrix(matrix)
    assert sorted(done) == sorted(expand(matrix).steps) and len(set(done)) == len(done)
    assert Image.open(picture).size[0] > 600
    done.clear()
    assert run_matrix(matrix) == picture
    assert done == []


@pytest.mark.usefixtures("sketched")
def test_a_change_repeats_what_depends_on_it(matrix: MatrixConfig, done: list[str]) -> None:
    run_matrix(matrix)
    done.clear()
    larger = AxisConfig("groups", {"10": {"data": {"groups": 11}}, "1k": {"data": {"groups": 1000}}})
    run_matrix(replace(matrix, axes=[larger, *matrix.axes[1:]]))
    assert len(done) == 1 + 2 + 2 and all("-10" in name for name in done)


@pytest.mark.usefixtures("sketched")
def test_an_interrupted_matrix_goes_on_and_has_a_table_of_what_is_done(
    matrix: MatrixConfig, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = pipeline._execute_step

    def killed(step: pipeline.Step) -> Path | None:
        if step.name == "expert-10-sam":
            raise KeyboardInterrupt
        return execute(step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pipeline, "_execute_step", killed)
        run_matrix(matrix)
    scores = json.loads((Path(matrix.out) / "matrix.json").read_text())
    assert [score["labels"]["encoders"] for score in scores["scores"]] == ["clip"]
    before = list(done)
    run_matrix(matrix)
    assert sorted(done) == sorted(expand(matrix).steps) and done[: len(before)] == before


@pytest.mark.usefixtures("sketched")
def test_the_table_averages_over_further_axes(matrix: MatrixConfig, done: list[str]) -> None:
    seeds = replace(matrix, axes=[*matrix.axes, SEEDS])
    run_matrix(seeds)
    rows = [line for line in (Path(seeds.out) / "matrix.md").read_text().splitlines() if line.startswith("| sam")]
    assert rows == ["| sam | 51.0 (50.0 to 52.0) | 61.0 (60.0 to 62.0) |"]
    alone = replace(matrix, out=matrix.out + "-2")
    run_matrix(alone)
    rows = [line for line in (Path(alone.out) / "matrix.md").read_text().splitlines() if line.startswith("| sam")]
    assert rows == ["| sam | 50.0 (45.0 to 55.0) | 60.0 (55.0 to 65.0) |"]


@pytest.mark.usefixtures("sketched", "done")
def test_a_score_without_an_interval_is_not_said_to_have_one(matrix: MatrixConfig) -> None:
    for metric, said in (
        ("accuracy", "accuracy in %, with 95 % interval:"),
        ("macro_accuracy", "macro accuracy in %:"),
    ):
        run_matrix(replace(matrix, metric=metric))
        assert (Path(matrix.out) / "matrix.md").read_text().splitlines()[0] == said


@pytest.mark.usefixtures("sketched", "done")
def test_the_mean_is_taken_over_a_second_axis_that_is_named_so(matrix: MatrixConfig) -> None:
    seeds = replace(matrix, axes=[matrix.axes[0], SEEDS, matrix.axes[1]])
    named = replace(seeds, average=["seed"])
    run_matrix(named)
    rows = [line for line in (Path(named.out) / "matrix.md").read_text().splitlines() if line.startswith("| sam")]
    assert rows == ["| sam | 51.0 (50.0 to 52.0) | 61.0 (60.0 to 62.0) |"]
    run_matrix(replace(named, average=["seed", "encoders"]))
    assert (Path(named.out) / "matrix.md").read_text().splitlines() == [
        "accuracy in %, with range over seed, encoders:",
        "",
        "| groups | accuracy, % |",
        "| --- | --- |",
        "| 10 | 51.0 (50.0 to 52.0) |",
        "| 1k | 61.0 (60.0 to 62.0) |",
    ]


@pytest.mark.usefixtures("sketched")
def test_jobs_are_submitted_once_and_what_is_shared_comes_first(
    matrix: MatrixConfig, done: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = tmp_path / "queue"
    queue.write_text("import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n'); print('job 7')")
    jobs = tmp_path / "jobs.txt"
    asked = replace(matrix, submit=f"{sys.executable} {queue} {jobs} {{command}}")
    for _ in range(2):
        run_matrix(asked)
    assert "submitted before (job 7)" in capsys.readouterr().out
    [command] = jobs.read_text().splitlines()
    assert command.endswith(f"-m vsre run {matrix.out}/jobs/shared.yaml")

    def work(command: str) -> None:
        pipeline.run(from_mapping("run", load_mapping(Path(command.rpartition(" ")[2]))))

    work(command)
    assert sorted(done) == sorted(expand(matrix).shared())
    run_matrix(asked)
    cells = jobs.read_text().splitlines()[1:]
    written = [load_mapping(Path(cell.split()[-1]))["results"] for cell in cells]
    assert len(set(written)) == len(cells) and "results.json" not in written
    assert len(cells) == 4
    for command in cells:
        work(command)
    assert len(set(done)) == len(done) == len(expand(matrix).steps)
    assert run_matrix(asked).name == "matrix.png"


def test_a_scheduler_that_refuses_is_quoted(matrix: MatrixConfig, done: list[str]) -> None:
    refused = replace(matrix, submit="sh -c 'echo no such partition >&2; exit 3' {command}")
    with pytest.raises(UserError, match="ended with code 3 for shared: no such partition"):
        run_matrix(refused)
    assert not list((Path(matrix.out) / "jobs").glob("*.submitted"))
    with pytest.raises(ConfigError, match="where the command belongs"):
        run_matrix(replace(matrix, submit="sbatch"))
    with pytest.raises(ConfigError, match="cannot be started"):
        run_matrix(replace(matrix, submit="/no/such/sbatch {command}"))


@pytest.mark.usefixtures("sketched")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": []}, "no steps"),
        ({"axes": []}, "needs axes"),
        ({"score": "evil"}, "score names no step: 'evil'.*eval"),
        ({"score": "expert"}, "no 'eval' but 'train'"),
        ({"axes": [AxisConfig("a", {})]}, "axis 'a' has no values"),
        ({"axes": [AxisConfig("a", {"x": {"modl": {}}})]}, "no step 'modl'.*model"),
        ({"axes": [AxisConfig("a", {"x": {}}), AxisConfig("a", {"y": {}})]}, "different names"),
        ({"axes": [AxisConfig("a", {"1": {}, "1-1": {}}), AxisConfig("b", {"1-1": {}, "1": {}})]}, "same name"),
        ({"axes": [AxisConfig("a", {"x": {"expert": {"sed": 1}}})]}, "step 'expert-x'.*'sed'.*seed"),
        ({"average": ["encoder"]}, "average names no axis: 'encoder'.*encoders"),
        ({"average": ["encoders", "groups"]}, "names every axis"),
        ({"metric": "accurcy"}, "no score 'accurcy'.*accuracy"),
    ],
)
def test_mistakes_are_named(matrix: MatrixConfig, done: list[str], change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        run_matrix(replace(matrix, **change))
    assert done == [] or "metric" in change


def test_a_dry_run_does_nothing(matrix: MatrixConfig, done: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run_matrix(replace(matrix, dry_run=True))
    assert done == [] and not Path(matrix.out).exists()
    assert "4 combinations, 4 not done; 13 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("label", "number"), [("500", 500), ("1.5k", 1500), ("100K", 1e5), ("2m", 2e6), ("all", None), ("k", None)]
)
def test_labels_that_are_amounts_are_drawn_to_scale(label: str, number: float | None) -> None:
    assert position(label) == number


def test_an_unscored_evaluation_says_what_it_has(tmp_path: Path) -> None:
    scores = [{"image_mode": "image", "accuracy": 0.5, "pair_accuracy": None, "n": 4}]
    (tmp_path / "results.json").write_text(json.dumps({"scores": scores}))
    with pytest.raises(ConfigError, match="no score 'pair_accuracy'; choose from accuracy"):
        read_score({}, tmp_path, "pair_accuracy")


@pytest.mark.parametrize("file", sorted((ROOT / "configs/matrix").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_matrices_are_at_least_four_by_four(file: Path) -> None:
    config = from_mapping("matrix", load_mapping(file))
    expanded = expand(config)
    assert [len(axis.values) >= 4 for axis in config.axes[:2]] == [True, True]
    assert len(expanded.cells) >= 16
    pipeline.resolve_steps(pipeline.RunConfig(config.out, list(expanded.steps.values())))


@pytest.mark.slow
def test_a_matrix_of_tiny_models_really_runs(tmp_path: Path) -> None:
    config = from_mapping("matrix", load_mapping(ROOT / "configs/matrix/tiny-scaling.yaml"))
    for step in config.steps:
        if step.name == "expert":
            step.settings["trainer"] = {"max_steps": 2, "save_steps": 2}
        if step.name == "test":
            step.settings["groups"] = 12
    small = [AxisConfig("groups", {str(n): {"data": {"groups": n}} for n in (12, 24)}), config.axes[1]]
    kept = {name: small[1].values[name] for name in ("sam", "siglip-dinov2")}
    small[1] = AxisConfig("encoders", kept)
    picture = run_matrix(replace(config, out=str(tmp_path / "matrix"), axes=small))
    assert picture.is_file()
    scores = json.loads((tmp_path / "matrix/matrix.json").read_text())["scores"]
    assert len(scores) == 4 and all(0.2 < score["value"] < 0.8 for score in scores)
    shutil.rmtree(tmp_path / "matrix/eval-12-sam")
    (tmp_path / "matrix/matrix.png").unlink()
    assert run_matrix(replace(config, out=str(tmp_path / "matrix"), axes=small)).is_file()
