"""A whole analysis: the answers are those of an evaluation, nothing is dropped silently, mistakes are one line."""

import json
import shutil
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from encoders.build import assemble
from encoders.presets import PRESETS
from eval.attend.run import attend
from eval.attend.table import MEASURES
from eval.config import AttendConfig, DataConfig, EvalConfig
from eval.decoders import DECODERS, Choice, Greedy, Reading, scale
from eval.predictions import Prediction, read_predictions
from eval.run import evaluate
from spatial.dataset import write_shard
from spatial.errors import CheckpointError, ConfigError, RecordError
from spatial.vocabulary import words
from tests.eval.squares import RELATIONS, groups_of_two, scene, statement

ADAPTVIS = "adaptvis(a1=0.5,a2=2,beta=0.2)"
PICTURES = ["confidence.png", "maps.png", "overlap.png", "share.png"]

Make = Callable[..., AttendConfig]


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve groups of two images with a true and a false statement each, and a statement about no second object."""
    images, records = groups_of_two(12)
    lone = {"topic": "presence", "caption": "There is a cup.", "object": -1}
    records.append(statement(images[0], "group 0", "", **lone))
    folder = tmp_path_factory.mktemp("squares")
    write_shard(folder, 0, images, records)
    return folder


@pytest.fixture
def make(checkpoint: Path, squares: Path, tmp_path: Path) -> Make:
    """Return settings for the tiny model and the squares, with changes."""

    def build(**changes: Any) -> AttendConfig:
        data = DataConfig(path=str(squares), tasks=["statement"])
        usual = AttendConfig(str(checkpoint), data, str(tmp_path / "attend"), ["question", "true-false"])
        return replace(usual, batch_size=5, bootstrap=30, examples=2, **changes)

    return build


def table_of(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "attention.parquet")


def test_an_analysis_writes_tables_figures_and_pictures(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    out = attend(make(decoders=["scale(alpha=0.5)", "temper(alpha=2)"]))
    tables = ["attention.parquet", "heads.parquet", "results.json"]
    assert sorted(path.name for path in out.iterdir()) == sorted([*tables, *PICTURES])
    table = table_of(out)
    assert len(table) == (48 + 1) * 2 * 3 * 2  # records, templates, decoders, layers
    assert set(table.decoder) == {"greedy", "scale(alpha=0.5)", "temper(alpha=2)"} and set(table.layer) == {0, 1}
    assert (
        table.image_share.between(0, 1).all()
        and not table.duplicated(["record_id", "template", "decoder", "layer"]).any()
    )
    known = table[table.relation != ""]
    assert known[list(MEASURES)].notna().all(axis=None) and known.auroc_either.between(0, 1).all()
    found = json.loads((out / "results.json").read_text())
    assert found["data"]["undefined_overlap"] == {"subject": {}, "object": {"no box": 2}, "either": {}}
    assert found["data"]["questions"] == 98 and found["data"]["images"] == 24 and not found["data"]["failed"]
    layer = found["layers"]["temper(alpha=2)"]
    mean = table[(table.decoder == "temper(alpha=2)") & (table.layer == 1)].image_share.mean()
    low, high = layer["all"][1]["image_share"]["ci95"]
    assert layer["all"][1]["image_share"]["mean"] == pytest.approx(mean) and low <= mean <= high
    assert layer["right"][0]["image_share"]["n"] + layer["wrong"][0]["image_share"]["n"] == 98
    assert set(found["confidence"]["greedy"]["per_relation"]) == set(RELATIONS)
    for name in PICTURES:
        with Image.open(out / name) as picture:
            assert picture.format == "PNG" and picture.width > 1000
    shown = capsys.readouterr().out
    assert "temper(alpha=2)" in shown and "no overlap with object: 2 of 98 questions, no box" in shown


@dataclass(frozen=True)
class Mixed(Choice):
    """An answer made of two, which no look at the picture gave."""

    readings = (Greedy(), scale(0.5))

    def choose(self, rows: Mapping[Reading, Prediction]) -> Prediction:
        return replace(rows[Greedy()], confidence=0.5)


def test_a_decoder_whose_answers_are_made_of_several_has_no_attention(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(DECODERS, "mixed", Mixed)
    out = attend(make(decoders=["mixed", "temper(alpha=2)"]))
    assert set(table_of(out).decoder) == {"greedy", "temper(alpha=2)"}
    assert "mixed answers with none of its readings alone" in " ".join(capsys.readouterr().out.split())


def test_answers_are_those_of_an_evaluation_and_adaptvis_shows_what_it_chose(make: Make) -> None:
    config = make(decoders=[ADAPTVIS])
    table = table_of(attend(config))
    asked = EvalConfig(config.model, config.data, config.out + "-eval", config.templates, ["greedy", ADAPTVIS])
    rows = {row.key[1:4]: row for row in read_predictions(evaluate(asked) / "predictions.parquet")}
    assert set(table.decoder) == {"greedy", ADAPTVIS}
    for row in table.itertuples():
        expected = rows[row.record_id, row.template, row.decoder]
        assert (row.correct, row.relation, row.image_id) == (expected.correct, expected.relation, expected.image_id)
        assert row.confidence == pytest.approx(expected.confidence, abs=1e-6)
        if row.decoder == ADAPTVIS:
            assert row.reading == ("scale(alpha=2)" if row.confidence >= 0.2 else "scale(alpha=0.5)")
    assert len(set(table[table.decoder == ADAPTVIS].reading)) == 2


def test_batches_change_nothing_and_scale_at_one_is_greedy(make: Make) -> None:
    tables = [table_of(attend(make(decoders=["scale(alpha=1)"]))), table_of(attend(replace(make(), batch_size=17)))]
    small = tables[0].set_index(["record_id", "template", "decoder", "layer"])
    columns = [*MEASURES, "confidence"]
    greedy, one = (small.xs(name, level="decoder")[columns] for name in ("greedy", "scale(alpha=1)"))
    pd.testing.assert_frame_equal(greedy, one)
    large = tables[1].set_index(["record_id", "template", "decoder", "layer"]).xs("greedy", level="decoder")[columns]
    pd.testing.assert_frame_equal(greedy, large.loc[greedy.index], atol=1e-5)


def test_heads_are_means_whose_mean_is_that_of_the_layer(make: Make) -> None:
    out = attend(make(decoders=["greedy"]))
    heads, table = pd.read_parquet(out / "heads.parquet"), table_of(out)
    assert (heads.n_image_share == 98).all() and (heads.n_auroc_object == 96).all()
    by_layer = heads.groupby("layer").image_share.mean()
    assert by_layer.tolist() == pytest.approx(table.groupby("layer").image_share.mean().tolist())
    assert set(heads["head"]) == set(range(4))


def test_data_without_boxes_still_has_shares(make: Make, dataset: Path) -> None:
    config = make(data=DataConfig(path=str(dataset), tasks=["statement"]))
    out = attend(config)
    found = json.loads((out / "results.json").read_text())
    assert found["data"]["undefined_overlap"]["either"] == {"no box": 64} and found["data"]["questions"] == 64
    assert found["layers"]["greedy"]["all"][0]["auroc_either"] == {"mean": None, "ci95": None, "n": 0}
    assert found["maps"]["chosen"] == "best attention on the image"
    assert table_of(out).auroc_either.isna().all()
    assert not (out / "maps.png").exists() and not (out / "overlap.png").exists()


def test_a_picture_that_is_missing_is_counted(make: Make, squares: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(squares, tmp_path / "copy"))
    other = scene("above", 99)
    write_shard(folder, 1, [], [statement(other, "lost", "above")])
    found = json.loads((attend(make(data=DataConfig(path=str(folder)), decoders=[])) / "results.json").read_text())
    assert [reason.startswith(f"image {other.image_id} is not in") for reason in found["data"]["failed"].values()] == [
        True
    ]
    assert found["data"]["questions"] == 98


@pytest.mark.parametrize("canvas", ["pad", ""])
def test_llava_looks_at_its_own_grid(canvas: str, make: Make, written: Callable[[str], Path]) -> None:
    out = attend(make(model=str(written("llava")), canvas=canvas, layer=1))
    found = json.loads((out / "results.json").read_text())
    assert found["image_tokens"] == 16 and found["maps"] == {"layer": 1, "chosen": "as asked"}
    # The middle square of a wide picture cuts the outer ends off both objects, and leaves some of each.
    assert found["data"]["undefined_overlap"]["subject"] == {} and found["canvas"] == (canvas or "processor")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoders": ["vcd(alpha=1,beta=0.1)"]}, r"'vcd\(alpha=1,beta=0.1\)' changes no attention.*choose from scale"),
        ({"decoders": ["dola(beta=0.1)"]}, "changes no attention"),
        ({"decoders": ["scal(alpha=2)"]}, "did you mean 'scale'"),
        ({"templates": ["questoin"]}, "did you mean 'question'"),
        ({"canvas": "pda"}, "did you mean 'pad'"),
        ({"layer": 2}, "the model has 2, counted from 0"),
        ({"layer": -2}, "use -1 or more"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(make: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        attend(make(**changes))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["llava_next", "qwen2_5_vl", "blip"])
def test_models_whose_tokens_have_no_known_places_are_refused_before_weights_are_read(
    kind: str, make: Make, written: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(written(kind), tmp_path / "copy"))
    (folder / "model.safetensors").write_bytes(b"not read")
    with pytest.raises(CheckpointError, match=f"type {kind!r} look is not known here"):
        attend(make(model=str(folder)))


def test_a_resampler_is_refused(make: Make, tmp_path: Path) -> None:
    preset = deepcopy(PRESETS["tiny"])
    preset["text"] |= {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 48}
    model, processor = assemble(preset, ["clip"], "resampler", words(), seed=0)
    model.save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    with pytest.raises(CheckpointError, match="under fusion 'resampler' every image token looks at the whole picture"):
        attend(make(model=str(tmp_path / "model")))


def test_data_that_cannot_be_asked_is_refused(make: Make, squares: Path, tmp_path: Path) -> None:
    write_shard(tmp_path / "lost", 0, [], [statement(scene("above", 99), "lost", "above")])
    with pytest.raises(RecordError, match="no question could be answered; the first: image"):
        attend(make(data=DataConfig(path=str(tmp_path / "lost"))))
