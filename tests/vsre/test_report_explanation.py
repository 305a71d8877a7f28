"""The report's page about the parts that carry the answer: maps, tables, and words for whichever way numbers fall."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from spatial.errors import ConfigError
from vsre.config import ReportConfig, RunConfig
from vsre.mediation_tables import functions_of, held_out_table
from vsre.report import write_report

from .test_report import config as config
from .test_report import evaluated as evaluated
from .test_report import text_of


@pytest.fixture
def with_patching(config: ReportConfig, patched: RunConfig) -> ReportConfig:
    """The report, with the runs of both models."""
    return replace(config, interpretations={name: f"{patched.out}/{name}" for name in ("expert", "base")})


def test_the_parts_that_carry_the_answer_are_shown_with_every_picture(with_patching: ReportConfig) -> None:
    site = write_report(with_patching).parent
    page = text_of(site, "explanation")
    for name, folder in with_patching.interpretations.items():
        pictures = list(Path(folder).glob("*.png"))
        assert len(pictures) >= 4 and page.count(f'alt="{name}, ') == len(pictures)
        assert f"vsre interpret {folder}/config.yaml" in page
        assert f'href="{os.path.relpath(folder, with_patching.out)}"' in page
    assert page.count("<img") == page.count('src="data:image/png;base64,')
    assert "share of the answer restored" in page and "largest effects" in page and "heads at" in page
    assert "T2: both sides right" in page
    assert "On the 4 pairs that count in both models, 0 of " in page  # the same model twice
    assert "patching of expert: config.yaml" in text_of(site, "provenance")
    found = json.loads((Path(with_patching.interpretations["base"]) / "results.json").read_text())["modes"]["image"]
    numbers = page.partition("<caption>image pairs, restored, in % with 95 % intervals")[2].partition("</table>")[0]
    whole = [row for row in found["directions"]["denoise"] if row["head"] == -1]
    assert numbers.count(" to ") == len(whole) > 0
    short = json.loads((site / "summary.json").read_text())["interpret"]
    assert list(short) == ["expert", "base"] and short["expert"] == short["base"]
    own = short["base"]["image"]
    assert (own["pairs"], own["counted"], len(own["heads"])) == (4, 4, len(found["exchanged"]["heads"]))
    low, high = own["other_pairs"]["denoise"]["ci95"]
    assert low <= own["other_pairs"]["denoise"]["difference"] <= high


@pytest.mark.parametrize(
    ("bounds", "pairs", "words"),
    [
        ([0.1, 0.3], 20, "more"),
        ([-0.3, -0.1], 20, "less"),
        ([-0.1, 0.3], 20, "no clear difference"),
        ([0.1, 0.3], 3, "too few pairs"),
    ],
)
def test_the_check_on_other_pairs_is_told_whichever_way_it_falls(
    patched: RunConfig, bounds: list[float], pairs: int, words: str
) -> None:
    run = json.loads((Path(patched.out) / "base" / "results.json").read_text())
    for direction in ("denoise", "noise"):
        run["modes"]["image"]["exchanged"][direction] |= {"ci95": bounds, "pairs": pairs}
    heads, rows = held_out_table({"base": run})
    interval = f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"
    assert len(rows) == 2
    for row in rows:
        told = dict(zip(heads, row, strict=True))
        assert told["selected do"] == words and told["difference (95 %)"].endswith(f" ({interval})")


def test_pairs_that_none_counts_of_leave_their_tables_out(with_patching: ReportConfig, tmp_path: Path) -> None:
    folder = shutil.copytree(with_patching.interpretations["expert"], tmp_path / "copy")
    found = json.loads((folder / "results.json").read_text())
    for mode in found["modes"].values():
        mode["directions"] = {name: [] for name in mode["directions"]}
        mode |= {"heads": {"role": "", "all": [], "by_chance": 0.0}, "exchanged": None}
    found |= {"functions": [], "against": {"folder": "elsewhere", "pairs": 0, "sites": {}}}
    (folder / "results.json").write_text(json.dumps(found))
    with_patching.interpretations = {"expert": str(folder)}
    page = text_of(write_report(with_patching).parent, "explanation")
    assert "largest effects" not in page and "Selected heads on other pairs" not in page
    assert "No pair counts in both models" in page and "What differs from elsewhere" in page


def test_a_folder_without_finished_patching_names_the_command(config: ReportConfig, tmp_path: Path) -> None:
    config.interpretations = {"expert": str(tmp_path / "nothing")}
    with pytest.raises(ConfigError, match=r"results\.json does not exist; write it with: vsre interpret --model"):
        write_report(config)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "config.yaml").write_text("{}")
    with pytest.raises(ConfigError, match=r"vsre interpret .*nothing/config\.yaml$"):
        write_report(config)
    (tmp_path / "nothing" / "results.json").write_text("{")
    with pytest.raises(ConfigError, match=r"is damaged; delete it"):
        write_report(config)
    config.interpretations = {"expert": config.evaluations["expert"]}
    with pytest.raises(ConfigError, match="is of another command"):
        write_report(config)


def test_a_label_of_a_head_says_what_cutting_it_off_costs() -> None:
    label = {"layer": 1, "head": 2, "function": "detection", "value": 0.81, "labelled": True}
    tried = {"lost": 0.021, "random": -0.0001, "confirmed": True}
    rows = [label | {"confirmation": tried}, label | {"head": 3, "confirmation": None}, label | {"labelled": False}]
    ((_, heads),) = functions_of({"functions": rows}).values()
    assert heads == "1.2 (0.81; cut off: 2.1 % lost, 0.0 by random heads, confirmed), 1.3 (0.81)"
