"""The picture of the README is drawn of a run, and shows what the run says."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from datagen.config import DatagenConfig
from datagen.run import generate
from scripts.readme_picture import SHOWN, chosen_bars, main, sample_groups
from spatial.dataset import DatasetFolder
from spatial.errors import RecordError

RESULTS = {
    "n": 1440,
    "base": {"accuracy": 0.5, "ci95": [0.48, 0.52]},
    "base+adaptvis": {"accuracy": 0.49, "ci95": [0.47, 0.51]},
    "expert": {"accuracy": 0.94, "ci95": [0.92, 0.96]},
}


def test_bars_are_those_that_the_run_has() -> None:
    assert list(chosen_bars(RESULTS, "expert")) == ["base", "base + AdaptVis", "expert"]
    with pytest.raises(RecordError, match="has no 'other'; name one of its models: n, base"):
        chosen_bars(RESULTS, "other")


@pytest.mark.slow
def test_a_run_becomes_a_small_picture_of_contrary_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    relations = ["left of", "right of", "in front of", "behind"]
    plain = {"contrasts": ["direct"], "frames": "viewer", "nouns": ["core"], "exclude_nouns": []}
    folder = tmp_path / "test-data"
    generate(DatagenConfig(str(folder), groups=8, relations=relations, image_size=48, workers=1, **plain))
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    for (true, false), relation in zip(sample_groups(DatasetFolder(folder), SHOWN), SHOWN, strict=True):
        assert (true.relation, true.caption, true.group_id) == (relation, false.caption, false.group_id)
        assert (true.answer, false.answer) == ("true", "false") and true.image_id != false.image_id
    picture = tmp_path / "docs" / "overview.png"
    monkeypatch.setattr(sys, "argv", ["readme_picture.py", str(tmp_path), "--out", str(picture)])
    main()
    assert Image.open(picture).width == 1000 and picture.stat().st_size < 300_000
    with pytest.raises(RecordError, match="no group says and denies 'inside'"):
        sample_groups(DatasetFolder(folder), ("inside",))
