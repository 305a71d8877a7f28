"""The command measures a verifier that makes no errors as one, goes on where it was stopped, and refuses mistakes."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datagen.config import CalibrateConfig, VerifySettings
from datagen.groups import draw_group
from datagen.render import render
from datagen.schedule import recipes_of
from datagen.verify import calibrate as command
from datagen.verify import summary
from datagen.verify.calibrate import calibrate
from datagen.verify.models import Models
from datagen.verify.verifier import Verifier
from spatial.errors import ConfigError, RecordError
from vsre.settings import parse

SETTINGS = VerifySettings(detectors=["tiny"], device="cpu")


@pytest.fixture
def measure(groups: Path, tmp_path: Path, oracle: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function from settings to the result of the command, run with an oracle that learns each picture."""
    draw, fault = command._draw, command.make_faulty

    def drawn(row: Any, supersample: int) -> Any:
        picture = draw(row, supersample)
        oracle.learn(command._scene(row), picture)
        return picture

    def faulty(*arguments: Any) -> Any:
        made = fault(*arguments)
        if made:
            oracle.learn(made.scene, render(made.scene, arguments[-1]), made.pixels)
        return made

    monkeypatch.setattr(command, "_draw", drawn)
    monkeypatch.setattr(command, "make_faulty", faulty)
    monkeypatch.setattr(command, "Verifier", lambda settings: Verifier(settings, Models([oracle], oracle)))

    def run(**settings: Any) -> Any:
        usual = {"faults": ["missing", "swapped"], "faults_each": 3, "verify": SETTINGS, "out": str(tmp_path / "out")}
        folder = calibrate(CalibrateConfig(**{"data": str(groups), **usual, **settings}))
        return json.loads((folder / "calibration.json").read_text())

    return run


def test_an_oracle_is_measured_as_one(measure: Callable[..., Any], tmp_path: Path, capsys: Any) -> None:
    content = measure(images=0, least_images=1, most_wrong=0.7)  # of a relation there are two wrong pictures or more
    assert content["faithful"]["n"] == 20 and content["faithful"]["share"] == 1.0
    assert {name: (row["n"], row["share"]) for name, row in content["faults"].items()} == {
        "missing": (3, 1.0),
        "swapped": (3, 1.0),
    }
    relations = content["relations"]
    assert all(row["right"]["share"] == 1.0 for row in relations.values())
    assert all(relations[name]["trusted"] for name in ("left of", "right of", "in front of", "behind", "near", "on"))
    assert not relations["facing"]["trusted"] and relations["facing"]["decided"] == 0.0
    assert relations["left of"]["decided"] == 1.0
    told = capsys.readouterr().out
    assert "faithful, accepted" in told and "facing away from" in told
    assert re.search(r"[1-9]\d pictures in \d+ s, [\d.]+ images/s", told)
    assert "not measured enough" not in told
    assert (tmp_path / "out" / "calibration.png").stat().st_size > 10_000


def test_the_command_tells_how_many_renders_more_it_needs(measure: Callable[..., Any], capsys: Any) -> None:
    content = measure(images=0)
    assert not any(row["trusted"] for row in content["relations"].values())
    told = " ".join(capsys.readouterr().out.split())
    assert "not measured enough: " in told and "renders more of the same kind" in told
    left = content["relations"]["left of"]
    assert left["wrong"]["n"] + left["lacking"] == 73 and "more are needed" in left["why_not"]
    named = told.rpartition("not measured enough: ")[2].partition(";")[0].split(", ")
    assert "left of" in named and "facing" not in named, "no number of renders would mend 'facing'"


def test_pictures_of_several_groups_are_looked_at_together(
    measure: Callable[..., Any], oracle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect, batches = oracle.detect, []

    def counted(pictures: Any, nouns: Any) -> Any:
        batches.append(len(pictures))
        return detect(pictures, nouns)

    monkeypatch.setattr(oracle, "detect", counted)
    measure(images=0, faults=[], faults_each=0)
    assert batches == [16, 4]


def test_a_stopped_run_goes_on_and_ends_the_same(
    measure: Callable[..., Any], tmp_path: Path, oracle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measure(images=8)
    shutil.rmtree(tmp_path / "out")
    monkeypatch.setattr(command, "GROUPS_PER_PART", 2)
    detect, calls = oracle.detect, []

    def failing(pictures: Any, nouns: Any) -> Any:
        calls.append(len(pictures))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return detect(pictures, nouns)

    monkeypatch.setattr(oracle, "detect", failing)
    with pytest.raises(KeyboardInterrupt):
        measure(images=8)
    kept = len(list((tmp_path / "out" / "trials").glob("relations-*.json")))
    assert kept == 1
    before = len(calls)
    assert measure(images=8) == whole
    assert 0 < len(calls) - before < 5
    again = len(calls)
    assert measure(images=8) == whole and len(calls) == again


def test_more_images_are_added_to_those_that_were_measured(measure: Callable[..., Any], oracle: Any) -> None:
    measure(images=4, faults_each=2)
    content = measure(images=8, faults_each=4)
    assert content["faithful"]["n"] == 8 and content["faults"]["missing"]["n"] == 4


def test_no_render_is_spoiled_twice_where_images_are_added(
    measure: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "BATCH", 2)
    asked = {"faults": ["colour"], "faults_each": 8}
    summed: list[list[str]] = []

    def summarise(trials: Any, *others: Any) -> Any:
        summed.append([trial.image for trial in trials if trial.kind == "colour"])
        return summary.summarise(trials, *others)

    monkeypatch.setattr(command, "summarise", summarise)
    measure(images=4, **asked)
    measure(images=20, **asked)
    shutil.rmtree(tmp_path / "out")
    measure(images=20, **asked)
    _, added, fresh = summed
    assert added == fresh and len(set(added)) == len(added) == 8


def test_trials_of_other_settings_are_not_mixed(measure: Callable[..., Any]) -> None:
    measure(images=2, faults=[], faults_each=0)
    with pytest.raises(ConfigError, match="holds trials with other verify; choose another --out"):
        measure(images=2, verify=VerifySettings(detectors=["tiny"], least_overlap=0.7))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"faults": ["mising"]}, "no fault is called 'mising'; did you mean 'missing'?"),
        ({"images": -1}, "images must be at least 0, not -1"),
        ({"most_wrong": 5.0}, "most_wrong must be above 0 and at most 1, not 5.0"),
        ({"most_wrong": 0.0}, "most_wrong must be above 0 and at most 1, not 0.0"),
        ({"least_images": 0}, "least_images must be at least 1, not 0"),
    ],
)
def test_a_wrong_setting_is_told(settings: dict[str, Any], message: str, measure: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError) as error:
        measure(**settings)
    assert str(error.value) == message or message in str(error.value)


def test_nouns_that_no_detector_knows_are_told_before_any_work(measure: Callable[..., Any], oracle: Any) -> None:
    oracle.vocabulary = frozenset({"cup"})
    with pytest.raises(ConfigError, match=r"no detector of verify\.detectors knows .* such as owlv2=DIR"):
        measure()
    assert not oracle.known


def test_data_that_cannot_be_measured_on_are_told(measure: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="does not exist; make it with 'vsre datagen'"):
        measure(data=str(tmp_path / "nowhere"))


def test_painted_pictures_are_no_measure(measure: Callable[..., Any], painted: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds pictures by copyist, whose truth nobody knows for sure"):
        measure(data=str(painted))
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_of_trials_is_told(measure: Callable[..., Any], tmp_path: Path) -> None:
    measure(images=2, faults=[], faults_each=0)
    [path] = (tmp_path / "out" / "trials").glob("relations-*.json")
    path.write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        measure(images=2, faults=[], faults_each=0)


def test_every_relation_of_the_shipped_settings_can_be_drawn() -> None:
    config = parse("datagen", [str(Path(__file__).parents[3] / "configs" / "datagen" / "calibration.yaml")])
    recipes = recipes_of(config)
    assert {name for recipe in recipes for name in (recipe.relation, recipe.counterpart)} >= set(config.relations)
    for index, recipe in enumerate(recipes):
        assert draw_group(config, recipe, index).views
