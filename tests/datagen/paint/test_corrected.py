"""A calibration goes with the data that it was trusted for, and says what the accepted labels are worth."""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.config import DatagenConfig, YieldConfig
from datagen.paint.corrected import calibration_of, calibrations_of, with_precision
from datagen.paint.run import run_painted
from datagen.paint.stages import Parts
from datagen.paint.yield_run import show_yield
from datagen.paint.yields import Attempted, yields
from datagen.verify.base import Verdict
from datagen.verify.calibration import Rates, judging, label_precision
from spatial.errors import ConfigError
from spatial.proportion import Proportion


@pytest.fixture
def calibration(small: DatagenConfig, tmp_path: Path) -> Path:
    """Rates of "left of" alone."""
    content = {
        "relations": {"left of": {"right": {"accepted": 90, "n": 100}, "wrong": {"accepted": 2, "n": 100}}},
        "most_wrong": 0.05,
        "least_images": 30,
        "verify": judging(small.verify),
        "weights": {"reader": "none"},
    }
    path = tmp_path / "measured" / "calibration.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    return path


def lines_of(path: Path) -> dict[str, dict]:
    return {line["relation"]: line for line in json.loads(path.read_text())["rows"]}


def test_it_is_kept_with_the_data_and_shown_in_table_and_card(
    small: DatagenConfig, parts: Parts, calibration: Path
) -> None:
    config = replace(small, verify=replace(small.verify, calibration=str(calibration)))
    folder = run_painted(config, parts)
    assert folder and (folder / "calibration.json").read_bytes() == calibration.read_bytes()
    assert str(calibration.parent) not in (folder / "dataset.json").read_text()
    line = lines_of(folder / "yield.json")["left of"]
    rates = Rates(Proportion(90, 100), Proportion(2, 100))
    expected = label_precision(line["passed"]["count"], line["attempts"], rates)
    assert line["label_precision"]["of"] == "passed"
    assert expected and line["label_precision"]["share"] == pytest.approx(expected.share, abs=1e-4)
    assert lines_of(folder / "yield.json")["right of"]["label_precision"] is None
    card = (folder / "README.md").read_text()
    assert "| right of passed |" in card and "DATASET/calibration.json" in card
    assert run_painted(config, parts) == folder


def test_the_card_calls_it_what_the_user_called_it(
    small: DatagenConfig, parts: Parts, calibration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(calibration.parent.parent)
    config = replace(small, verify=replace(small.verify, calibration="measured/calibration.json"), groups=3)
    folder = run_painted(config, parts)
    assert folder
    command = next(line for line in (folder / "README.md").read_text().splitlines() if line.startswith("vsre datagen"))
    verify = json.loads(shlex.split(command)[shlex.split(command).index("--verify") + 1])
    assert verify["calibration"] == "measured/calibration.json"
    absolute = replace(config, verify=replace(config.verify, calibration=str(calibration)))
    assert run_painted(absolute, parts) == folder  # the same bytes by another name are the same data


@pytest.mark.slow
def test_another_calibration_is_another_dataset(small: DatagenConfig, parts: Parts, calibration: Path) -> None:
    config = replace(small, verify=replace(small.verify, calibration=str(calibration)))
    run_painted(config, parts)
    calibration.write_text(calibration.read_text().replace("90", "91"))
    with pytest.raises(ConfigError, match="made with other calibration_digest"):
        run_painted(config, parts)
    with pytest.raises(ConfigError, match="made with other calibration_digest, verify"):
        run_painted(small, parts)
    calibration.unlink()
    with pytest.raises(ConfigError, match=r"verify.calibration .* cannot be read"):
        run_painted(config, parts)


def test_one_that_was_measured_later_serves_too_unless_of_another_verifier(
    painted: Path, calibration: Path, tmp_path: Path
) -> None:
    before = (painted / "yield.json").read_text()
    try:
        found = lines_of(show_yield(YieldConfig(str(painted), calibration=str(calibration))))
        assert found["left of"]["label_precision"]["share"] > 0.9
        calibration.write_text(calibration.read_text().replace('"least_overlap": 0.5', '"least_overlap": 0.6'))
        with pytest.raises(ConfigError, match="measured with other least_overlap"):
            show_yield(YieldConfig(str(painted), calibration=str(calibration)))
        calibration.write_text(calibration.read_text().replace("0.6", "0.5").replace('"none"', '"other"'))
        with pytest.raises(ConfigError, match="measured with other weights of reader"):
            show_yield(YieldConfig(str(painted), calibration=str(calibration)))
    finally:
        show_yield(YieldConfig(str(painted)))
    assert (painted / "yield.json").read_text() == before


def rows_with(found: str, run: str = "", control: bool = True) -> list[Attempted]:
    """Return pictures of "left of": "p" passed, "d" as well but there is one like it, "f" failed."""
    seen = Verdict("presence", "passed"), Verdict("relation", "passed")
    verdicts = {
        "p": (Verdict("duplicate", "passed"), *seen),
        "d": (Verdict("duplicate", "failed", "same pixels"), *seen),
        "f": (seen[0], Verdict("relation", "failed", "contradicted")),
        "u": (*seen, Verdict("trust", "failed", "unread")),
    }
    return [
        Attempted("left of", "engine", control, str(number), 0, verdicts[letter], letter == "p", run=run)
        for number, letter in enumerate(found)
    ]


def test_what_was_painted_from_words_alone_is_judged_otherwise_than_renders(painted: Path, calibration: Path) -> None:
    known = calibrations_of({"": painted}, str(calibration))
    steered, _, words, _ = with_precision(yields(rows_with("ppf") + rows_with("ppf", control=False)), known)
    assert steered.precision is not None and words.precision is None


def test_a_run_that_refused_what_needs_poses_is_judged_otherwise_than_renders(painted: Path, calibration: Path) -> None:
    line, _ = with_precision(yields(rows_with("ppu")), calibrations_of({"": painted}, str(calibration)))
    assert line.reasons == {"trust: unread": 1} and line.precision is None


def test_a_second_picture_of_one_look_was_judged_right_too(painted: Path, calibration: Path) -> None:
    known = calibrations_of({"": painted}, str(calibration))
    line, _ = with_precision(yields(rows_with("ppdf")), known)
    assert line.passed.count == 2 and line.judged_right == 3
    assert line.precision == label_precision(3, 4, Rates(Proportion(90, 100), Proportion(2, 100)))


def test_runs_over_photos_are_judged_otherwise_than_renders(painted: Path, calibration: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(painted, tmp_path / "photos"))
    shutil.copy(calibration, folder / "calibration.json")
    assert calibration_of(folder) is not None
    description = json.loads((folder / "dataset.json").read_text())
    description["paint"]["over"] = "photos"
    (folder / "dataset.json").write_text(json.dumps(description))
    assert calibration_of(folder) is None and calibration_of(folder, str(calibration)) is None


def test_a_run_beside_that_was_judged_otherwise_has_no_corrected_column(
    painted: Path, calibration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(painted, tmp_path / "stricter"))
    description = json.loads((folder / "dataset.json").read_text())
    description["verify"]["least_overlap"] = 0.9
    (folder / "dataset.json").write_text(json.dumps(description))
    known = calibrations_of({"a": painted, "b": folder}, str(calibration))
    assert set(known) == {"a"} and "stricter was judged otherwise" in capsys.readouterr().out
    first, _, second, _ = with_precision(yields(rows_with("pf", "a") + rows_with("pf", "b")), known)
    assert first.precision is not None and second.precision is None
    with pytest.raises(ConfigError, match="measured with other least_overlap"):
        calibrations_of({"b": folder, "a": painted}, str(calibration))
