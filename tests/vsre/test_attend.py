"""``vsre attend`` on the shipped model and a few renders; a mistake is one line that names what was meant."""

import json
from pathlib import Path

import pandas as pd
import pytest

from vsre.cli import main


def test_the_shipped_model_is_looked_at(renders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "attend"
    data = ["--data.path", str(renders), "--data.tasks", "[statement]", "--data.topics", "[relation]"]
    how = ["--templates", "[question]", "--decoders", '["scale(alpha=0.5)"]', "--bootstrap", "20", "--examples", "2"]
    assert main(["attend", *data, *how, "--device", "cpu", "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    found = json.loads((out / "results.json").read_text())
    assert found["image_tokens"] == 64 and len(found["layers"]["greedy"]["all"]) == 4
    table = pd.read_parquet(out / "attention.parquet")
    assert table.auroc_either.notna().any() and table.image_share.between(0, 1).all()
    assert (out / "config.yaml").is_file() and (out / "maps.png").is_file()


def test_an_unknown_setting_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attend", "--exmples", "3"]) == 2
    assert capsys.readouterr().err.splitlines() == ["vsre: unknown setting 'exmples'; did you mean 'examples'?"]
