"""``vsre train --dry-run`` from the command line: no record, no processes, no weights."""

from pathlib import Path

import pytest

from vsre.cli import main


def test_a_planned_model_is_enough_and_no_trace_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.yaml").write_text("preset: tiny\nencoders: [clip, sam]\nout: checkpoints/tiny\n")
    (tmp_path / "train.yaml").write_text(
        "model: model.yaml\ndata: [data/none]\nout: checkpoints/tuned\nnproc: 4\ntrainer: {max_steps: 10}\n"
    )
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", "train.yaml", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "vision_tower.sam" in text and "siglip" not in text and "no data yet" in text
    assert "x 4 device(s)" in text and "run:    10 steps" in text
    assert sorted(tmp_path.rglob("*")) == before
    assert main(["train", "train.yaml", "--dry-run", "--model", "checkpoints/none"]) == 2
    assert "give a dry run the settings file that would" in capsys.readouterr().err
