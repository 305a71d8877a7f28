"""The report: numbers from predictions, on pages that need nothing from elsewhere."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.predictions import Prediction, write_predictions
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import ConfigError, RecordError
from spatial.records import ImageObject, ImageRow, encode_png
from spatial.shipped import ASSETS
from vsre.config import ReportConfig
from vsre.pages import unbroken
from vsre.report import write_report
from vsre.site.calibration import read_calibrated
from vsre.site.curves import thinned
from vsre.site.examples import choose_examples
from vsre.summary import _decoders

RELATIONS = ("left of", "above")


def predictions(right: float, decoder: str, image_mode: str) -> list[Prediction]:
    """Twenty groups of two images; the first ``right`` of them are answered rightly, the rest always with yes."""
    rows = []
    for group in range(20):
        for image in range(2):
            answer = ("yes", "no")[image]
            predicted = answer if group < 20 * right else "yes"
            rows.append(
                Prediction(
                    "model",
                    f"record-{group}-{image}",
                    f"image-{group}-{image}",
                    f"group-{group}",
                    "question",
                    decoder,
                    image_mode,
                    task="statement",
                    topic="relation",
                    relation=RELATIONS[group % 2],
                    category="Projective",
                    caption=f"The <red> cup is {RELATIONS[group % 2]} the book {group}.",
                    options=("yes", "no"),
                    answer=answer,
                    predicted=predicted,
                    correct=predicted == answer,
                )
            )
    return rows


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with evaluations of a base at chance and of an expert, a training log, and the images."""
    folder = tmp_path_factory.mktemp("evaluated")
    runs = {
        "base": predictions(0, "greedy", "image") + predictions(0.2, "adaptvis(a1=0.5,a2=1.2,beta=0.4)", "image"),
        "expert": predictions(0.9, "greedy", "image") + predictions(0, "greedy", "image_blind"),
    }
    for name, rows in runs.items():
        extra = predictions(0, "scale(alpha=0.5)", "image")
        write_predictions(folder / name / "predictions.parquet", rows + extra)
        decoders = list(dict.fromkeys(row.decoder for row in rows))
        (folder / name / "results.json").write_text(
            json.dumps({"config": {"decoders": decoders}, "model_hash": "1234"})
        )
        (folder / name / "config.yaml").write_text(f"model: {name}-model")
    log = folder / "run" / "log.jsonl"
    log.parent.mkdir()
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n{"step": 2, "train_runtime": 3}\n')
    pixels = encode_png(np.zeros((8, 8, 3), dtype=np.uint8))
    names = sorted({row.image_id for row in runs["base"]})
    write_shard(folder / "data", 0, [ImageRow(name, pixels, 8, 8, "render") for name in names], [])
    return folder


def settings(evaluated: Path, out: Path) -> ReportConfig:
    """Return settings that name all of it."""
    evaluations = {name: str(evaluated / name) for name in ("base", "expert")}
    training = {"expert": str(evaluated / "run")}
    return ReportConfig(str(out), evaluations=evaluations, training=training, data=str(evaluated / "data"), examples=3)


@pytest.fixture
def config(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReportConfig:
    """Settings for a report of one's own, with quick intervals."""
    monkeypatch.setattr("vsre.summary.RESAMPLES", 20)
    return settings(evaluated, tmp_path / "report")


@pytest.fixture(scope="module")
def site(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report that several tests read."""
    return write_report(settings(evaluated, tmp_path_factory.mktemp("site") / "report")).parent


def text_of(site: Path, page: str) -> str:
    """Return a page, with plain blanks."""
    return (site / f"{page}.html").read_text().replace("\u00a0", " ")


def figure_of(page: str, name: str) -> dict[str, Any]:
    """Return the figure of a chart."""
    found = re.search(rf'<script type="application/json" id="{name}-figure">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_summary_has_the_numbers_of_every_part_that_was_evaluated(site: Path) -> None:
    summary = json.loads((site / "summary.json").read_text())
    assert summary["n"] == 40
    assert summary["base"]["accuracy"] == 0.5
    assert summary["base+adaptvis"]["accuracy"] == 0.6
    assert summary["expert"]["accuracy"] == 0.95
    assert summary["pair_accuracy"] == 0.9
    assert summary["image_blind"]["accuracy"] == 0.5
    low, high = summary["expert"]["ci95"]
    assert low < 0.95 < high
    assert not [name for name in summary if "scale" in name or "diffusion" in name]


def test_the_folder_holds_all_that_its_pages_need(site: Path) -> None:
    pages = sorted(path.name for path in site.glob("*.html"))
    assert pages == ["answers.html", "data.html", "index.html", "provenance.html", "scores.html", "training.html"]
    for page in pages:
        text = (site / page).read_text()
        assert text.count('aria-current="page"') == 1 and 'name="viewport"' in text
        needed = re.findall(r'(?:src|href)="([^"]*)"', text)
        beside = [link for link in needed if not link.startswith(("data:", "#"))]
        assert set(pages) <= set(beside) and all((site / link).exists() for link in beside)
        anchors = [link[1:] for link in needed if link.startswith("#")]
        assert anchors and all(f'id="{anchor}"' in text for anchor in anchors)
        assert ("assets/plotly.min.js" in text) is ('class="plot"' in text)
    assert text_of(site, "data").count('src="data:image/png;base64,') == 3


def test_charts_have_their_numbers_below_them(site: Path) -> None:
    page = text_of(site, "index")
    traces = figure_of(page, "scores")["data"]
    assert {trace["name"] for trace in traces} == {"base", "expert"}
    assert [trace["x"] for trace in traces if trace["mode"] == "markers"] == [[50.0, 60.0], [95.0, 50.0]]
    told = traces[0]["customdata"][1]
    cells = re.search(r'<th scope="row">base\+adaptvis</th><td>(60\.0 \([^<]*)</td><td>40</td>', page)
    assert cells and cells[1] in told and "n = 40" in told
    scores = text_of(site, "scores")
    shown = {trace["name"]: trace["visible"] for trace in figure_of(scores, "relations")["data"]}
    assert shown == {"base": True, "base+adaptvis": False, "expert": True}
    assert (
        scores.count('<section class="chart"') == scores.count("Numbers of this chart") == 1
    )  # one wording, one category


def test_the_first_sentences_tell_the_difference_and_whether_it_may_be_luck(site: Path) -> None:
    page = text_of(site, "index")
    assert re.search(
        r"expert answers 95\.0 % \([^)]*\) of 40 questions about relations rightly; base answers 50\.0 %", page
    )
    assert "the difference is +45.0 points" in page and "more than luck explains (p &lt; 0.001)" in page
    assert "Guessing reaches 50.0 %" in page and "Asked about an empty picture, expert answers 50.0 %" in page


@pytest.mark.parametrize(("passes", "enough"), [(0.14, False), (3.04, True)])
def test_the_page_says_when_the_time_was_over_too_early(
    config: ReportConfig, tmp_path: Path, passes: float, enough: bool
) -> None:
    run = shutil.copytree(config.training["expert"], tmp_path / "run")
    (run / "training.json").write_text(json.dumps({"steps": 42, "seconds": 300.4}))
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 42, "loss": 0.9, "epoch": passes}) + "\n")
    config.training = {"expert": str(run)}
    page = text_of(write_report(config).parent, "training")
    assert f"42 steps in 300 s; each picture was seen {passes:.1f} times" in page
    assert ("before all pictures had been seen once" in page) is not enough
    assert figure_of(page, "loss")["data"][0]["y"] == [2.0, 1.0, 0.9]


def test_captions_are_shown_as_text_and_numbers_with_where_they_come_from(site: Path) -> None:
    data, index, origin = (text_of(site, page) for page in ("data", "index", "provenance"))
    assert "The &lt;red&gt; cup" in data and "<red>" not in data
    assert "base+adaptvis" in index and "image_blind" in index
    assert "model: expert-model" in origin and "1234" in origin
    assert re.search(r"<code>vsre eval [^<]*/expert/config.yaml --out [^<]*</code>", origin)


def test_one_evaluation_alone_is_a_report_without_the_pages_of_other_parts(config: ReportConfig) -> None:
    site = write_report(config).parent
    assert (site / "data.html").exists() and (site / "training.html").exists()
    config.data, config.training = "", {}
    config.evaluations = {"<mine>": config.evaluations["expert"]}
    write_report(config)
    left = ["answers.html", "index.html", "provenance.html", "scores.html"]
    assert sorted(path.name for path in site.glob("*.html")) == left
    page = text_of(site, "index")
    assert "&lt;mine&gt; answers 95.0 %" in page and "<img" not in page and "Every two" not in page
    assert "<mine>" not in page and "training" not in page.lower()


def test_examples_show_their_objects_and_galleries_become_pages(config: ReportConfig, tmp_path: Path) -> None:
    data = DatasetFolder(shutil.copytree(config.data, tmp_path / "data"))
    cup = ImageObject("cup", (0.0, 2.0, 4.0, 8.0), "red")
    write_shard(data.path, 0, [replace(row, objects=(cup,)) for row in data.images.values()], [])
    config.data, config.gallery = str(data.path), str(tmp_path / "the gallery")
    with pytest.raises(ConfigError, match="vsre gallery DIR --out"):
        write_report(config)
    (tmp_path / "the gallery").mkdir()
    (tmp_path / "the gallery" / "gallery.html").write_text("<!-- navigation --><!-- end of navigation --><p>groups")
    for _ in range(2):
        site = write_report(config).parent
        page = text_of(site, "data")
        assert page.count('alt="red cup"') == 3 and page.count(">red cup</text>") == 3
        assert page.count('<a href="gallery.html">') == 2
        copied = text_of(site, "gallery")
        assert copied.count('<a href="index.html">') == 1 and copied.endswith("<p>groups")
        config.gallery = str(site)  # a gallery that was written into the report's own folder


def test_painted_data_has_its_yields_and_its_pictures_beside_their_renders(
    config: ReportConfig, painted: Path, tmp_path: Path
) -> None:
    config.painted = str(painted)
    site = write_report(config).parent
    page = text_of(site, "data")
    counted = json.loads((painted / "yield.json").read_text())
    summary = json.loads((site / "summary.json").read_text())
    assert summary["diffusion"] == {"attempts": 48, "accepted": counted["accepted"]}
    assert f"{counted['accepted']} of 48 painted pictures are in the data" in page
    assert page.count('<figure class="painted">') == 16 == page.count('alt="render of: ')
    assert page.count("✓ accepted</b>") == 8 and "✗ relation: contradicted</b>" in page
    assert "<svg" in page and "partner: rejected (" in page
    assert "painted data: yield.json" in text_of(site, "provenance")
    config.painted_gallery = str(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"painted_gallery: .* does not exist"):
        write_report(config)


def test_the_calibration_that_painted_data_relies_on_is_shown(tmp_path: Path) -> None:
    assert read_calibrated(tmp_path) is None
    made = {"verify": {"calibration": "calibration.json"}, "calibration_name": "tiny-verifier"}
    (tmp_path / "dataset.json").write_text(json.dumps(made))
    shutil.copy(ASSETS / "tiny-verifier" / "calibration.json", tmp_path)
    found = read_calibrated(tmp_path)
    assert found and found.name == "tiny-verifier"
    assert [row[0] for row in found.faults[1]][:2] == ["faithful, accepted", "missing, rejected"]
    assert {len(row) for row in found.relations[1]} == {len(found.relations[0])}


def test_a_folder_in_which_nothing_was_painted_is_refused(config: ReportConfig, renders: Path) -> None:
    config.painted = str(renders)
    with pytest.raises(RecordError, match="was painted"):
        write_report(config)


def test_attention_is_shown_before_and_after_interventions(config: ReportConfig, attended: Path) -> None:
    config.attention = {"expert": str(attended)}
    page = text_of(write_report(config).parent, "attention")
    pictures = list(attended.glob("*.png"))
    assert len(pictures) == 4 == page.count('alt="expert, ') == page.count('src="data:image/png;base64,')
    assert "8 questions about " in page and "decoders greedy, scale(alpha=2)." in page
    layers = page.partition("<caption>Attention of the last prompt token")[2].partition("</table>")[0]
    assert layers.count('<th scope="row">greedy</th>') == layers.count('<th scope="row">scale(alpha=2)</th>') == 4
    config.attention = {"expert": config.evaluations["expert"]}
    with pytest.raises(ConfigError, match=r"attention: .* is of another command; .*vsre attend"):
        write_report(config)


def test_without_patched_models_the_report_says_nothing_of_them(site: Path) -> None:
    assert not (site / "explanation.html").exists() and "explanation" not in text_of(site, "index").lower()
    assert "interpret" not in json.loads((site / "summary.json").read_text())


def test_examples_go_round_the_relations() -> None:
    rows = predictions(1, "greedy", "image")
    chosen = choose_examples(rows, 4)
    relations = {row.image_id: row.relation for row in rows}
    assert sorted(relations[image] for image in chosen) == ["above", "above", "left of", "left of"]
    assert chosen == choose_examples(list(reversed(rows)), 4)


def test_nothing_to_report_is_said(config: ReportConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="evaluations is empty"):
        write_report(ReportConfig(out=str(tmp_path)))
    config.training = {"expert": str(tmp_path / "nothing")}
    with pytest.raises(ConfigError, match=r"training\.expert: .*log\.jsonl does not exist; name the output folder"):
        write_report(config)
    failed = [replace(row, failed="no image") for row in predictions(1, "greedy", "image")]
    write_predictions(tmp_path / "failed" / "predictions.parquet", failed)
    (tmp_path / "failed" / "results.json").write_text('{"config": {"decoders": ["greedy"]}}')
    with pytest.raises(RecordError, match="none of these evaluations has an answer"):
        write_report(ReportConfig(out=str(tmp_path), evaluations={"mine": str(tmp_path / "failed")}))
    config.evaluations = {"expert": str(tmp_path / "nothing")}
    with pytest.raises(RecordError, match="vsre eval"):
        write_report(config)


def test_a_long_curve_has_a_short_table() -> None:
    points = [(float(step), 1 / (step + 1)) for step in range(1000)]
    few = thinned(points)
    assert len(few) == 40 and few[0] == points[0] and few[-1] == points[-1]
    assert thinned(points[:40]) == points[:40]


def test_intervals_are_not_broken_over_lines() -> None:
    assert (
        unbroken("48.6 to -51.2 next to < 0.001, n = 4")
        == "48.6\u00a0to\u00a0-51.2 next to <\u00a00.001, n\u00a0=\u00a04"
    )


@pytest.mark.parametrize("content", [b'{"step": 1, "lo', b"\xff\xfe"])
def test_a_damaged_training_log_is_named(config: ReportConfig, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "log.jsonl").write_bytes(content)
    config.training = {"expert": str(tmp_path / "trained")}
    with pytest.raises(RecordError, match=r"log\.jsonl"):
        write_report(config)


def test_results_of_another_shape_are_named(tmp_path: Path) -> None:
    for content in ("[1, 2]", '{"config": [1]}', '{"config": {"decoders": 3}}'):
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(RecordError, match="missing or damaged"):
            _decoders(tmp_path / "results.json")
