"""``vsre interpret``: what it writes, that a killed run goes on, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import eval.interpret.run as run_module
from eval.config import CsvConfig, DataConfig, InterpretConfig
from eval.interpret.effects import Effect
from eval.interpret.functions import Look
from eval.interpret.run import find_pairs, interpret
from eval.interpret.table import read_rows
from eval.interpret.table import write_rows as write
from eval.interpret.universal import Chosen
from spatial.errors import ConfigError, RecordError
from tests.eval.released_files import picture
from vsre.cli import main


@pytest.fixture
def config(checkpoint: Path, dataset: Path, tmp_path: Path) -> InterpretConfig:
    """Random weights, so all pairs count."""
    return InterpretConfig(
        model=str(checkpoint),
        data=DataConfig(path=str(dataset)),
        out=str(tmp_path / "run"),
        pairs=6,
        tier=0,
        knockouts=2,
        bootstrap=20,
    )


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time of a short run."""
    for name in ("draw", "draw_cards"):
        monkeypatch.setattr(run_module, name, lambda *_: [])


def test_a_run_writes_tables_results_and_pictures(config: InterpretConfig) -> None:
    out = interpret(config)
    rows = read_rows(out / "effects.parquet", Effect)
    found = json.loads((out / "results.json").read_text())
    assert {row.mode for row in rows} == {"image", "text"}
    assert {row.direction for row in rows} == {"denoise", "noise"}
    assert {"resid", "attn", "mlp", "z"} <= {row.kind for row in rows}
    assert found["controls"]["identity"]["largest_effect"] == 0.0
    assert found["controls"]["identity"]["all_equal"]
    assert found["modes"]["image"]["tiers"]["T0"] == 6
    assert -1 <= found["modes"]["image"]["screen"]["denoise"]["all"]["spearman"] <= 1
    assert found["modes"]["image"]["exchanged"]["noise"]["pairs"] >= 1
    for name in ("effects-image-denoise", "effects-text-noise", "heads-image", "exchanged-image"):
        assert (out / f"{name}.png").stat().st_size > 5000
    assert {row.pair_id for row in rows if not row.control} == {
        pair.pair_id for pair in find_pairs(config)[0].pairs if not pair.control
    }


def test_the_last_token_of_the_top_layer_is_the_whole_answer(config: InterpretConfig, undrawn: None) -> None:
    """All that the last token of the top layer holds is the answer of the other run."""
    config = replace(config, modes=["image"], controls=False, kinds=["resid"], headed=[], roles=["image", "last"])
    rows = read_rows(interpret(config) / "effects.parquet", Effect)
    top = max(row.layer for row in rows)
    for row in rows:
        if row.kind == "resid" and row.role == "last" and row.layer == top:
            other = row.ld_clean if row.direction == "denoise" else row.ld_corrupt
            assert row.ld_patched == pytest.approx(other, abs=1e-4)


def test_a_killed_run_goes_on_and_computes_no_pair_twice(
    config: InterpretConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, undrawn: None
) -> None:
    whole = interpret(replace(config, out=str(tmp_path / "whole")))
    original = run_module.run_both
    calls: list[str] = []

    def counted(stack: Any, prepared: Any) -> Any:
        if len(calls) == 4:
            raise KeyboardInterrupt
        calls.append(prepared.pair.pair_id)
        return original(stack, prepared)

    monkeypatch.setattr(run_module, "run_both", counted)
    monkeypatch.setattr(run_module, "exchange_heads", lambda *_: [])
    with pytest.raises(KeyboardInterrupt):
        interpret(config)
    monkeypatch.setattr(
        run_module,
        "run_both",
        lambda stack, prepared: (calls.append(prepared.pair.pair_id), original(stack, prepared))[1],
    )
    out = interpret(config)
    assert len(calls) == len(set(calls))
    both = [[str(row) for row in read_rows(run / "effects.parquet", Effect)] for run in (out, whole)]
    assert both[0] == both[1]
    before = len(calls)
    interpret(config)
    assert len(calls) == before


def test_other_settings_are_another_job(config: InterpretConfig, undrawn: None) -> None:
    first = read_rows(interpret(replace(config, modes=["image"])) / "effects.parquet", Effect)
    second = read_rows(interpret(replace(config, modes=["image"], window=3)) / "effects.parquet", Effect)
    assert len(first) == len(second)
    assert [row.ld_patched for row in first] != [row.ld_patched for row in second]


@pytest.fixture
def of_table(config: InterpretConfig, tmp_path: Path) -> InterpretConfig:
    """Pairs of a table of two rows: two pictures of noise, and two questions about the first."""
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(2):
        (images / f"{seed}.png").write_bytes(picture(seed))
    row = "0.png,1.png,Is the cup left of the book?,Is the cup right of the book?,yes,no,here,cup\n"
    header = "clean_image,corrupt_image,clean_prompt,corrupt_prompt,correct,incorrect,family,thing\n"
    (tmp_path / "pairs.csv").write_text(header + row)
    small = {"kinds": ["mlp"], "roles": ["last", "subject"], "headed": [], "screen": False, "cuts": False}
    table = CsvConfig(str(tmp_path / "pairs.csv"), str(images))
    return replace(config, csv=table, encoders=False, knockouts=0, directions=["denoise"], **small)


def test_a_changed_table_is_not_answered_from_earlier_rows(
    of_table: InterpretConfig, tmp_path: Path, undrawn: None
) -> None:
    """The pictures and questions are the same, so the pairs have the same names."""
    before = read_rows(interpret(of_table) / "effects.parquet", Effect)
    table = tmp_path / "pairs.csv"
    table.write_text(table.read_text().replace(",here,", ",there,"))
    named = replace(of_table, csv=replace(of_table.csv, columns={"subject": "thing"}))
    after = read_rows(interpret(named) / "effects.parquet", Effect)
    assert {row.pair_id for row in before} == {row.pair_id for row in after}
    assert {row.family for row in before} == {"here"} and {row.family for row in after} == {"there"}
    assert {row.role for row in before} == {"last"} and {row.role for row in after} == {"last", "subject"}


def test_rows_that_make_no_pair_are_told(
    of_table: InterpretConfig, tmp_path: Path, undrawn: None, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "pairs.csv"
    header, row, *_ = table.read_text().splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True)) | {"corrupt_image": "", "corrupt_prompt": ""}
    table.write_text("\n".join([header, row, ",".join(cells.values())]) + "\n")
    interpret(of_table)
    assert "left out: 1 because it has neither another picture nor another question" in capsys.readouterr().out


def test_pairs_of_a_table_have_the_modes_of_the_run(of_table: InterpretConfig) -> None:
    assert {pair.mode for pair in find_pairs(of_table)[0].pairs} == {"image", "text"}
    found = find_pairs(replace(of_table, modes=["text"]))[0]
    assert {pair.mode for pair in found.pairs} == {"text"} and not found.failed
    with pytest.raises(ConfigError, match="have none in common"):
        interpret(replace(of_table, modes=["text"], csv=replace(of_table.csv, modes=["image"])))


def test_each_picture_is_encoded_once(config: InterpretConfig, monkeypatch: pytest.MonkeyPatch, undrawn: None) -> None:
    from encoders.tower import FusedVisionModel

    forward, seen = FusedVisionModel.forward, []

    def counted(self: Any, pixel_values: Any, *arguments: Any, **named: Any) -> Any:
        seen.append(len(pixel_values))
        return forward(self, pixel_values, *arguments, **named)

    monkeypatch.setattr(FusedVisionModel, "forward", counted)
    config = replace(config, controls=False, knockouts=0)
    interpret(config)
    pairs = find_pairs(config)[0].pairs
    assert sum(seen) == len({side.image_id for pair in pairs for side in (pair.clean, pair.corrupt)})


def test_runs_on_other_data_are_seen_beside(config: InterpretConfig, tmp_path: Path, undrawn: None) -> None:
    config = replace(config, kinds=["mlp"], roles=["last"], head_roles=["last"], controls=False, screen=False)
    config = replace(config, encoders=False, cuts=False, knockouts=0, directions=["denoise"])
    first = interpret(replace(config, out=str(tmp_path / "first"), seed=1))
    out = interpret(replace(config, beside=[str(first)]))
    found = json.loads((out / "results.json").read_text())["universality"]
    assert {cell["data"] for cell in (*found["conditions"], *found["left_out"])} == {"run", "first"}
    assert sum(cell["pairs"] for cell in found["left_out"]) == 2 * 12  # six pairs are too few for any family
    assert read_rows(out / "universality.parquet", Chosen) == []
    with pytest.raises(ConfigError, match=r"beside: .*nowhere.* is missing"):
        interpret(replace(config, beside=[str(tmp_path / "nowhere")]))
    with pytest.raises(ConfigError, match="is there twice"):
        interpret(replace(config, beside=[config.out]))
    with pytest.raises(ConfigError, match=r"no single heads at role 'subject'.*--head_roles"):
        interpret(replace(config, beside=[str(first)], head_roles=["subject"]))
    results = json.loads((first / "results.json").read_text())
    (first / "results.json").write_text(json.dumps(results | {"model_hash": "another"}))
    with pytest.raises(ConfigError, match="of another model"):
        interpret(replace(config, beside=[str(first)]))


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    row = Look("p", "g", "f", 1, 2, 0.1, float("nan"), 1.0, 0.0, 0.1, 0.2, 0.3, 0.4)
    write(tmp_path / "looks.parquet", Look, [row])
    assert str(read_rows(tmp_path / "looks.parquet", Look)[0]) == str(row)
    write(tmp_path / "none.parquet", Look, [])
    assert read_rows(tmp_path / "none.parquet", Look) == []


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("modes", ["pictures"], "modes has 'pictures'"),
        ("kinds", ["residual"], "did you mean 'resid'"),
        ("kinds", ["z"], "kinds has 'z'"),
        ("head_roles", ["subjects"], "did you mean 'subject'"),
        ("window", 2, "use an odd number"),
        ("tier", 7, "use 0, 1, 2 or 3"),
        ("rows", 0, "rows is 0"),
        ("directions", [], "must not be empty"),
        ("head_roles", [], "head_roles must not be empty"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(
    config: InterpretConfig, setting: str, value: Any, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        interpret(replace(config, **{setting: value}))


def test_data_without_pairs_are_refused(config: InterpretConfig) -> None:
    with pytest.raises(RecordError, match="widen that filter"):
        interpret(replace(config, data=DataConfig(path=config.data.path, topics=["count"], tasks=["statement"])))


def test_a_mistake_on_the_command_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interpret", "--data.path", "nowhere"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert main(["interpret", "--windows", "3"]) == 2
    assert "window" in capsys.readouterr().err
    assert CsvConfig().path == ""
