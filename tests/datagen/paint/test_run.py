"""Painted dataset folders: only groups that are right as a whole, the rest beside them, the same for any layout."""

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from datagen.claim import REJECTED
from datagen.config import DatagenConfig, EngineSettings, PaintSettings, ScaleSettings
from datagen.engines.base import Order, Painting
from datagen.paint.run import run_painted
from datagen.paint.stages import Parts
from datagen.passes import render_passes
from datagen.run import generate
from datagen.statements import check_balance
from datagen.verify.verdicts import accepted, from_json
from spatial.dataset import DatasetFolder, finished_shards
from spatial.errors import CheckpointError, ConfigError
from spatial.records import ImageRow, decode_image, image_id_of
from spatial.scene import Scene
from tests.stand_ins import Copyist


def hashes(folder: Path) -> tuple[str, str]:
    """Return the content hashes of a folder and of what it rejected."""
    return DatasetFolder(folder).content_hash(), DatasetFolder(folder / REJECTED).content_hash()


def by_group(folder: Path) -> dict[str, list[ImageRow]]:
    """Return the images of a folder by the group that they were painted for."""
    groups: dict[str, list[ImageRow]] = defaultdict(list)
    for row in DatasetFolder(folder).images.values():
        groups[json.loads(row.provenance)["painted"]["group"]].append(row)
    return groups


def test_a_group_is_in_the_data_exactly_if_all_of_its_pictures_passed(painted: Path) -> None:
    kept, left = by_group(painted), by_group(painted / REJECTED)
    assert len(kept) + len(left) == 24 and not set(kept) & set(left)
    passed = {key: [accepted(from_json(row.verdicts)) for row in rows] for key, rows in (kept | left).items()}
    assert all(len(answers) == 2 for answers in passed.values())
    assert all(all(passed[key]) for key in kept) and not any(all(passed[key]) for key in left)
    assert any(any(passed[key]) for key in left), "some group is left out for one of its pictures"


def test_records_are_those_of_the_group_and_balance(painted: Path) -> None:
    data = DatasetFolder(painted)
    groups = defaultdict(list)
    for record in data.records:
        groups[record.group_id].append(record)
    assert set(groups) == set(by_group(painted))
    for records in groups.values():
        check_balance(records)
        assert {record.image_id for record in records} <= set(data.images)


def test_nothing_is_stated_of_a_rejected_picture_but_of_one_whose_partner_failed(painted: Path) -> None:
    data = DatasetFolder(painted / REJECTED)
    passed = {row.image_id for row in data.images.values() if accepted(from_json(row.verdicts))}
    assert {record.image_id for record in data.records} == passed != set()


def test_a_group_has_one_seed_and_one_style_and_differs_in_its_geometry(painted: Path) -> None:
    for rows in [*by_group(painted).values(), *by_group(painted / REJECTED).values()]:
        made = [json.loads(row.provenance) for row in rows]
        assert len({it["painting"]["seed"] for it in made}) == 1
        assert len({it["painting"]["prompt"].rpartition(". ")[2] for it in made}) == 1
        assert len({it["painted"]["spec"] for it in made}) == 2
    seeds = {json.loads(row.provenance)["painting"]["seed"] for row in DatasetFolder(painted).images.values()}
    assert len(seeds) == len(by_group(painted))


def test_a_picture_tells_how_it_came_about(painted: Path) -> None:
    for row in DatasetFolder(painted).images.values():
        made = json.loads(row.provenance)
        assert row.source == "copyist" and row.licence == "CC0-1.0 (test)"
        assert made["engine"] == {"engine": "copyist", "weights": "none"} and made["verifier"] == {"reader": "none"}
        assert {"relation", "counterpart", "contrast", "attempts", "painted", "painting"} <= set(made)
        assert image_id_of(np.asarray(decode_image(row.image, ""))) == row.image_id
        scene = Scene.from_json(row.scene)
        assert scene.scene_id == row.scene_id == made["painted"]["spec"]
        assert render_passes(scene, 1).rgb.shape[:2] == (row.height, row.width)


def test_relations_that_need_poses_are_told_apart_before_anything_is_painted(
    small: DatagenConfig, parts: Parts
) -> None:
    config = replace(
        small, groups=2, groups_per_shard=2, relations=["left of", "right of", "facing", "facing away from"]
    )
    for without in (False, True):
        folder = run_painted(
            replace(config, out=f"{small.out}-{without}", engine=replace(small.engine, without_control=without)), parts
        )
        assert folder
        rows = [row for part in (folder, folder / REJECTED) for row in DatasetFolder(part).images.values()]
        told = {
            json.loads(row.provenance)["painted"]["relation"]: json.loads(row.provenance)["painted"] for row in rows
        }
        assert told["left of"]["readable"] and told["right of"]["readable"]
        assert not told["facing"]["readable"] and not told["facing away from"]["readable"]


def test_captions_name_no_colours(painted: Path) -> None:
    colours = {"red", "green", "blue", "yellow", "purple", "orange", "white", "black"}
    words = {word for record in DatasetFolder(painted).records for word in record.caption.lower().split()}
    assert not words & colours


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_batches_ranks_and_processes_change_nothing(
    small: DatagenConfig, parts: Parts, painted: Path, batch_size: int
) -> None:
    engine = replace(small.engine, batch_size=batch_size, device="cpu")
    for rank in (1, 0):
        run_painted(replace(small, engine=engine, world=2, rank=rank, workers=batch_size), parts)
    assert hashes(Path(small.out)) == hashes(painted)


@pytest.mark.slow
def test_shards_of_another_size_hold_the_same_data(small: DatagenConfig, parts: Parts, painted: Path) -> None:
    assert hashes(run_painted(replace(small, groups_per_shard=5), parts) or Path()) == hashes(painted)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_the_same(small: DatagenConfig, painted: Path, parts: Parts) -> None:
    slow = replace(small, engine=replace(small.engine, steps=40))
    code = (
        "from tests.stand_ins import PARTS\n"
        "from datagen.config import *\n"
        "from datagen.paint.run import run_painted\n"
        f"run_painted({slow!r}, PARTS)"
    )
    folder = Path(small.out)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(finished_shards(folder)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("records/shard-*.parquet")}
    assert 2 <= len(kept) < 4
    run_painted(slow, parts)
    assert hashes(folder) == hashes(painted)
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in kept.items())


def test_without_control_nobody_knows_where_things_are(small: DatagenConfig, parts: Parts, painted: Path) -> None:
    folder = run_painted(replace(small, engine=replace(small.engine, without_control=True)), parts)
    assert folder
    both = [*DatasetFolder(folder).images.values(), *DatasetFolder(folder / REJECTED).images.values()]
    assert all(row.objects == () and not json.loads(row.provenance)["painted"]["control"] for row in both)
    assert {record.subject for record in DatasetFolder(folder).records} <= {-1}
    with_control = DatasetFolder(painted).images.values()
    assert all(row.objects for row in with_control)
    specs = {json.loads(row.provenance)["painted"]["spec"] for row in both}
    assert specs >= {json.loads(row.provenance)["painted"]["spec"] for row in with_control}


@pytest.mark.slow
def test_engines_take_turns_over_the_seeds(small: DatagenConfig, parts: Parts) -> None:
    folder = run_painted(replace(small, paint=PaintSettings(seeds_per_spec=3, engines=["second"])), parts)
    assert folder
    numbers = defaultdict(set)
    for part in (folder, folder / REJECTED):
        for row in DatasetFolder(part).images.values():
            numbers[row.source].add(json.loads(row.provenance)["painted"]["number"])
            assert row.licence == {"copyist": "CC0-1.0 (test)", "second": "MIT"}[row.source]
    assert numbers == {"copyist": {0, 2}, "second": {1}}


@dataclass
class Stubborn(Copyist):
    """Paints the same picture whatever the seed."""

    def paint(self, orders: Sequence[Order]) -> list[Painting]:
        return super().paint([replace(order, seed=0) for order in orders])


def test_what_was_painted_before_is_left_out_unless_it_is_not_in_the_data(small: DatagenConfig, parts: Parts) -> None:
    kind = replace(parts.engines["copyist"], load=lambda _: Stubborn(control=True))
    folder = run_painted(small, replace(parts, engines={"copyist": kind}))
    assert folder
    told = defaultdict(set)
    for part in (folder, folder / REJECTED):
        for row in (row for shard in finished_shards(part) for row in DatasetFolder(part).read_images(shard)):
            made = json.loads(row.provenance)["painted"]
            [why] = [it.reason for it in from_json(row.verdicts) if it.check == "duplicate"]
            told[made["spec"]].add((made["number"], part == folder, why))
    refused = "its group is refused already"
    assert len(told) == 24 and set(map(frozenset, told.values())) == {
        frozenset({(0, True, ""), (1, False, "same pixels")}),
        frozenset({(0, False, refused), (1, False, refused)}),
    }


def test_a_run_of_which_nothing_is_accepted_ends_well(small: DatagenConfig, parts: Parts) -> None:
    hopeless = replace(small, groups=1, seed=5, paint=PaintSettings(seeds_per_spec=1))
    config = replace(hopeless, engine=replace(small.engine, without_control=True))
    folder = run_painted(config, parts)
    assert folder and not DatasetFolder(folder).images and (folder / "README.md").is_file()
    assert json.loads((folder / "yield.json").read_text())["accepted"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": EngineSettings(name="copist")}, "did you mean 'copyist'"),
        ({"engine": EngineSettings(name="img2img"), "paint": PaintSettings(over="scene")}, "'scenes' or 'photos'"),
        ({"engine": EngineSettings(name="box-inpaint")}, "takes mask, .*but no geometry"),
        ({"paint": PaintSettings(over="photos")}, "takes depth, .*but no photo"),
        ({"paint": PaintSettings(seeds_per_spec=1, engines=["second"])}, "some would never paint"),
        ({"paint": PaintSettings(seeds_per_spec=0)}, "seeds_per_spec must be at least 1"),
        ({"dense": True}, "only statements are made of painted pictures"),
        ({"statements": False}, "only statements|no record"),
        ({"scale": ScaleSettings(by="rai")}, "'here' or 'ray'"),
        ({"scale": ScaleSettings(by="ray"), "world": 2}, "leave rank and world away"),
        ({"rank": 3}, "rank must be in"),
        ({"nouns": ["cub"]}, "did you mean 'cup'"),
        ({"engine": EngineSettings(name="copyist", revision="small")}, "'copyist' cannot paint "),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    small: DatagenConfig, parts: Parts, change: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_painted(replace(small, **change), parts)
    assert not Path(small.out).exists()


def test_missing_models_are_told_before_any_work(small: DatagenConfig, parts: Parts) -> None:
    for change in (
        {"engine": replace(small.engine, model="nowhere")},
        {"verify": replace(small.verify, depth="nowhere")},
    ):
        with pytest.raises(CheckpointError, match="nowhere"):
            run_painted(replace(small, **change), parts)
        assert not Path(small.out).exists()


def test_a_folder_of_renders_or_of_another_engine_is_refused(small: DatagenConfig, parts: Parts, painted: Path) -> None:
    with pytest.raises(ConfigError, match="holds data made with other engine"):
        run_painted(replace(small, out=str(painted), engine=replace(small.engine, steps=9)), parts)
    generate(replace(small, engine=EngineSettings(), paint=PaintSettings(), groups=2))
    assert "engine" not in json.loads((Path(small.out) / "dataset.json").read_text())
    with pytest.raises(ConfigError, match=r"holds data made with other engine, .*paint, verify"):
        run_painted(small, parts)
    with pytest.raises(ConfigError, match="holds data made with other engine"):
        generate(replace(small, out=str(painted), engine=EngineSettings(), paint=PaintSettings(), frame_conflict=0.0))
