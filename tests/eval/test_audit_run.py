"""A whole audit: balanced data passes, a shortcut fails, stored features are used again, mistakes are one line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eval.audit import features
from eval.audit.features import pooled_features
from eval.audit.run import audit
from eval.config import AuditConfig
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import ConfigError, RecordError
from spatial.records import ImageRow, Record, encode_png, image_id_of

Make = Callable[..., AuditConfig]


@pytest.fixture
def make(checkpoint: Path, dataset: Path, tmp_path: Path) -> Make:
    """Return settings for the tiny model and the balanced dataset, with changes."""
    usual = AuditConfig(str(dataset), str(tmp_path / "audit"), str(checkpoint), bootstrap=50, batch_size=5, folds=4)
    return lambda **changes: replace(usual, **changes)


def read(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "audit.json").read_text())
    return content


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty groups of one image, which is mostly brighter where its statement is true."""
    rng = np.random.default_rng(3)
    images, records = [], []
    for group in range(60):
        truth = group % 2 == 0
        level = 90 if truth == (rng.random() < 0.9) else 0
        pixels = rng.integers(level, level + 150, (32, 32, 3), dtype=np.uint8)
        images.append(ImageRow(image_id_of(pixels), encode_png(pixels), 32, 32, "test"))
        records.append(
            Record(
                image_id=images[-1].image_id,
                group_id=f"group {group}",
                role_in_group="original",
                task="statement",
                topic="relation",
                caption="The cup is on the book.",
                answer="true" if truth else "false",
                relation="on",
                concepts=("cup", "book"),
            )
        )
    folder = tmp_path_factory.mktemp("bright")
    write_shard(folder, 0, images, records)
    return folder


def test_balanced_groups_pass(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    out = audit(make(fail=True))
    found = read(out)
    assert found["verdict"] == "pass"
    assert (found["data"]["statements"], found["data"]["groups"], found["data"]["images"]) == (32, 8, 16)
    assert {row["accuracy"] for row in found["probes"].values()} == {0.5}
    assert len(found["probes"]) == 8
    assert not any(row["violations"] for row in found["balances"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in found["probes"]) and "pass" in shown.splitlines()[-1]
    with Image.open(out / "audit.png") as chart:
        assert chart.format == "PNG" and min(chart.size) > 300


def test_what_the_towers_see_gives_an_unbalanced_set_away(bright: Path, make: Make) -> None:
    found = read(audit(make(data=str(bright))))
    for name in ("image", "image + relation"):
        assert found["probes"][name]["accuracy"] >= 0.7 and found["probes"][name]["verdict"] == "fail"
    assert found["probes"]["caption n-grams"]["answered"] == 0
    assert found["verdict"] == "fail"


def test_a_shortcut_is_reported_and_under_fail_an_error(
    bright: Path, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    out = audit(make(data=str(bright), model=""))
    assert read(out)["verdict"] == "fail"  # captions and images stand alone in their groups, so no group is balanced
    assert "each image of a group is true half of the time (60)" in capsys.readouterr().out
    (out / "audit.json").unlink()
    with pytest.raises(RecordError, match=r"fail: .*audit\.json") as failed:
        audit(make(data=str(bright), model="", fail=True))
    assert "\n" not in str(failed.value)
    assert read(out)["verdict"] == "fail"


def test_without_a_model_only_words_are_probed(make: Make, tmp_path: Path) -> None:
    found = read(audit(make(model="")))
    assert "image" not in found["probes"] and len(found["probes"]) == 6
    assert not (tmp_path / "audit" / "features").exists()


def test_a_limit_takes_whole_groups_for_the_probes_and_counts_balances_on_all(make: Make) -> None:
    found = read(audit(make(model="", limit=15)))
    assert (found["data"]["statements"], found["data"]["groups"]) == (16, 4)
    assert found["balances"][0]["checked"] == 16


def test_stored_features_are_not_computed_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(audit(make()))
    monkeypatch.setattr(features, "load_model", None)  # a second use would be an error
    second = read(audit(make()))
    assert first == second


def test_a_killed_audit_computes_only_what_is_missing(
    make: Make, dataset: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = DatasetFolder(dataset).images
    wanted = list(images)
    whole = pooled_features(checkpoint, images, wanted, tmp_path / "whole", 5)
    pooled_features(checkpoint, images, wanted[:7], tmp_path / "cut", 5)
    asked: list[str] = []
    inner = features.decode_image
    monkeypatch.setattr(features, "decode_image", lambda data, name: asked.append(name) or inner(data, name))
    again = pooled_features(checkpoint, images, wanted, tmp_path / "cut", 5)
    assert asked == wanted[7:]
    assert all(np.allclose(again[name], whole[name], atol=1e-4) for name in wanted)


def test_features_of_another_model_are_not_taken(make: Make, checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    images = DatasetFolder(dataset).images
    cache = tmp_path / "features"
    pooled_features(checkpoint, images, list(images)[:2], cache, 2)
    (folder,) = cache.iterdir()
    folder.rename(cache / "another-model")
    pooled_features(checkpoint, images, list(images)[:2], cache, 2)
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_feature_file_is_named(make: Make) -> None:
    out = audit(make())
    path = next((out / "features").rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RecordError, match=f"{path.name} is damaged; delete it"):
        audit(make())


def test_an_image_that_the_folder_lacks_is_named(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="image nowhere is not in the dataset"):
        pooled_features(checkpoint, {}, ["nowhere"], tmp_path, 4)


def test_an_old_chart_does_not_stay_beside_a_new_report(make: Make, tmp_path: Path) -> None:
    out = audit(make(model=""))
    boxes, rows = tmp_path / "boxes.json", tmp_path / "rows.jsonl"
    placed = [{"image_id": 1, "category_id": n, "bbox": [60 * n, 9, 20, 20]} for n in (1, 2)]
    photo = {"id": 1, "file_name": "000000000001.jpg", "width": 200, "height": 99}
    named = [{"id": 1, "name": "cup"}, {"id": 2, "name": "book"}]
    boxes.write_text(json.dumps({"images": [photo], "annotations": placed, "categories": named}))
    row = {"image": "000000000001.jpg", "caption": "The cup is left of the book.", "relation": "left of", "label": 1}
    rows.write_text(json.dumps(row))
    audit(make(data="", coco=str(boxes), vsr=str(rows)))
    found = read(out)
    assert found["agreement"]["overall"]["agreement"] == 1.0 and "probes" not in found
    assert not (out / "audit.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": ""}, "there is nothing to audit"),
        ({"vsr": "somewhere"}, "vsr is given without coco"),
        ({"folds": 1}, "folds is 1; use 2 or more"),
        ({"limit": -1}, "limit is -1; use 0 or more"),
        ({"topics": ["relations"]}, "did you mean 'relation'"),
    ],
)
def test_bad_settings_are_refused(make: Make, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        audit(make(**change))
    assert not (tmp_path / "audit").exists()


def test_a_folder_without_such_statements_is_refused(make: Make) -> None:
    with pytest.raises(RecordError, match="no true/false statement about colour"):
        audit(make(topics=["colour"]))
