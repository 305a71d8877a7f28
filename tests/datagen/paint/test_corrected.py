"""A calibration goes with the data that it was trusted for, and says what the accepted labels are worth."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from datagen.config import DatagenConfig, YieldConfig
from datagen.paint.run import run_painted
from datagen.paint.stages import Parts
from datagen.paint.yield_run import show_yield
from datagen.verify.calibration import Count, Rates, judging, label_precision
from spatial.errors import ConfigError


@pytest.fixture
def calibration(small: DatagenConfig, tmp_path: Path) -> Path:
    """Rates of "left of" alone."""
    content = {
        "relations": {"left of": {"right": {"accepted": 90, "n": 100}, "wrong": {"accepted": 2, "n": 100}}},
        "most_wrong": 0.05,
        "least_images": 30,
        "verify": judging(small.verify),
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
    rates = Rates(Count(90, 100), Count(2, 100))
    expected = label_precision(line["passed"]["count"], line["attempts"], rates)
    assert expected and line["label_precision"]["share"] == pytest.approx(expected.share, abs=1e-4)
    assert lines_of(folder / "yield.json")["right of"]["label_precision"] is None
    card = (folder / "README.md").read_text()
    assert "| right labels |" in card and "DATASET/calibration.json" in card
    assert run_painted(config, parts) == folder


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
    finally:
        show_yield(YieldConfig(str(painted)))
    assert (painted / "yield.json").read_text() == before
