"""The report: numbers from predictions, one page that needs nothing from elsewhere."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.predictions import Prediction, write_predictions
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import ConfigError, RecordError
from spatial.records import ImageObject, ImageRow, encode_png
from vsre.config import ReportConfig, RunConfig
from vsre.mediation_tables import functions_of
from vsre.report import choose_examples, loss_curve, write_report
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


@pytest.fixture
def config(tmp_path: Path) -> ReportConfig:
    """Evaluations of a base at chance and of an expert, a training log, and the images."""
    runs = {
        "base": predictions(0, "greedy", "image") + predictions(0.2, "adaptvis(a1=0.5,a2=1.2,beta=0.4)", "image"),
        "expert": predictions(0.9, "greedy", "image") + predictions(0, "greedy", "image_blind"),
    }
    for name, rows in runs.items():
        extra = predictions(0, "scale(alpha=0.5)", "image")
        write_predictions(tmp_path / name / "predictions.parquet", rows + extra)
        decoders = list(dict.fromkeys(row.decoder for row in rows))
        (tmp_path / name / "results.json").write_text(json.dumps({"config": {"decoders": decoders}}))
        (tmp_path / name / "config.yaml").write_text(f"model: {name}-model")
    log = tmp_path / "run" / "log.jsonl"
    log.parent.mkdir()
    log.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n{"step": 2, "train_runtime": 3}\n')
    pixels = encode_png(np.zeros((8, 8, 3), dtype=np.uint8))
    names = sorted({row.image_id for row in runs["base"]})
    write_shard(tmp_path / "data", 0, [ImageRow(name, pixels, 8, 8, "render") for name in names], [])
    return ReportConfig(
        out=str(tmp_path / "report"),
        evaluations={name: str(tmp_path / name) for name in runs},
        training={"expert": str(tmp_path / "run")},
        data=str(tmp_path / "data"),
        examples=3,
    )


def test_the_summary_has_the_numbers_of_every_part_that_was_evaluated(config: ReportConfig) -> None:
    write_report(config)
    summary = json.loads((Path(config.out) / "summary.json").read_text())
    assert summary["n"] == 40
    assert summary["base"]["accuracy"] == 0.5
    assert summary["base+adaptvis"]["accuracy"] == 0.6
    assert summary["expert"]["accuracy"] == 0.95
    assert summary["pair_accuracy"] == 0.9
    assert summary["image_blind"]["accuracy"] == 0.5
    low, high = summary["expert"]["ci95"]
    assert low < 0.95 < high
    assert not [name for name in summary if "scale" in name or "diffusion" in name]


def test_the_page_holds_everything_itself(config: ReportConfig) -> None:
    page = write_report(config).read_text()
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert page.count('src="data:image/png;base64,') == 3
    assert page.count("<svg") == 2
    assert 'name="viewport"' in page


@pytest.mark.parametrize(("passes", "enough"), [(0.14, False), (3.04, True)])
def test_the_page_says_when_the_time_was_over_too_early(config: ReportConfig, passes: float, enough: bool) -> None:
    run = Path(config.training["expert"])
    (run / "training.json").write_text(json.dumps({"steps": 42, "seconds": 300.4}))
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 42, "loss": 0.9, "epoch": passes}) + "\n")
    page = write_report(config).read_text()
    assert f"42 steps in 300 s; each picture was seen {passes:.1f} times" in page
    assert ("before all pictures had been seen once" in page) is not enough


def test_the_page_shows_captions_as_text_and_where_numbers_come_from(config: ReportConfig) -> None:
    page = write_report(config).read_text()
    assert "The &lt;red&gt; cup" in page and "<red>" not in page
    assert "base+adaptvis" in page and "image_blind" in page
    assert "model: expert-model" in page


def test_a_report_without_data_and_training_has_neither_images_nor_curve(config: ReportConfig) -> None:
    config.data, config.training = "", {}
    page = write_report(config).read_text()
    assert page.count("<svg") == 1 and "<img" not in page


def test_examples_show_their_objects_and_the_gallery_is_linked(config: ReportConfig, tmp_path: Path) -> None:
    data = DatasetFolder(tmp_path / "data")
    cup = ImageObject("cup", (0.0, 2.0, 4.0, 8.0), "red")
    write_shard(data.path, 0, [replace(row, objects=(cup,)) for row in data.images.values()], [])
    config.gallery = str(tmp_path / "the gallery")
    with pytest.raises(ConfigError, match="vsre gallery DIR --out"):
        write_report(config)
    (tmp_path / "the gallery").mkdir()
    (tmp_path / "the gallery" / "gallery.html").write_text("")
    page = write_report(config).read_text()
    assert page.count('alt="red cup"') == 3 and page.count(">red cup</text>") == 3
    assert '<a href="../the%20gallery/gallery.html">' in page


def test_painted_data_has_its_yields_and_its_pictures_beside_their_renders(
    config: ReportConfig, painted: Path, tmp_path: Path
) -> None:
    config.painted = str(painted)
    page = write_report(config).read_text()
    counted = json.loads((painted / "yield.json").read_text())
    summary = json.loads((Path(config.out) / "summary.json").read_text())
    assert summary["diffusion"] == {"attempts": 48, "accepted": counted["accepted"]}
    assert f"{counted['accepted']} of 48 painted pictures are in the data" in page
    assert page.count('<figure class="painted">') == 16 == page.count('alt="render of: ')
    assert page.count("✓ accepted</b>") == 8 and "✗ relation: contradicted</b>" in page
    assert page.count("<svg") > 2 and "partner: rejected (" in page and "painted data: yield.json" in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith(("data:", "#")) for link in links)
    config.painted_gallery = str(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"painted_gallery: .* does not exist"):
        write_report(config)


def test_a_folder_in_which_nothing_was_painted_is_refused(config: ReportConfig, renders: Path) -> None:
    config.painted = str(renders)
    with pytest.raises(RecordError, match="was painted"):
        write_report(config)


@pytest.fixture
def with_patching(config: ReportConfig, patched: RunConfig) -> ReportConfig:
    """The report, with the runs of both models."""
    return replace(config, interpretations={name: f"{patched.out}/{name}" for name in ("expert", "base")})


def test_the_parts_that_carry_the_answer_are_shown_with_every_picture(with_patching: ReportConfig) -> None:
    page = write_report(with_patching).read_text()
    section = page.partition("<h2>Which parts carry the answer</h2>")[2].partition("<h2>")[0]
    for name, folder in with_patching.interpretations.items():
        pictures = list(Path(folder).glob("*.png"))
        assert len(pictures) >= 4 and section.count(f'alt="{name}, ') == len(pictures)
        assert f"vsre interpret {folder}/config.yaml" in section
        assert f'href="{os.path.relpath(folder, with_patching.out)}"' in section
    assert section.count("<img") == section.count('src="data:image/png;base64,')
    assert "share of the answer restored" in section and "largest effects" in section and "heads at" in section
    assert "T2: both sides right" in section
    assert "On the 4 pairs that count in both models, 0 of " in section  # the same model twice
    assert "patching of expert: config.yaml" in page


def test_the_summary_has_selected_heads_beside_random_ones(with_patching: ReportConfig) -> None:
    write_report(with_patching)
    short = json.loads((Path(with_patching.out) / "summary.json").read_text())["interpret"]
    assert list(short) == ["expert", "base"] and short["expert"] == short["base"]
    found = json.loads((Path(with_patching.interpretations["base"]) / "results.json").read_text())["modes"]["image"]
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
    with_patching: ReportConfig, tmp_path: Path, bounds: list[float], pairs: int, words: str
) -> None:
    folder = shutil.copytree(with_patching.interpretations["base"], tmp_path / "copy")
    found = json.loads((folder / "results.json").read_text())
    for direction in ("denoise", "noise"):
        found["modes"]["image"]["exchanged"][direction] |= {"ci95": bounds, "pairs": pairs}
    (folder / "results.json").write_text(json.dumps(found))
    with_patching.interpretations = {"base": str(folder)}
    page = write_report(with_patching).read_text()
    interval = f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"
    assert page.count(f"<td>{words}</td>") == 2 == page.count(f" ({interval})</td>")


def test_pairs_that_none_counts_of_leave_their_tables_out(with_patching: ReportConfig, tmp_path: Path) -> None:
    folder = shutil.copytree(with_patching.interpretations["expert"], tmp_path / "copy")
    found = json.loads((folder / "results.json").read_text())
    for mode in found["modes"].values():
        mode["directions"] = {name: [] for name in mode["directions"]}
        mode |= {"heads": {"role": "", "all": [], "by_chance": 0.0}, "exchanged": None}
    found |= {"functions": [], "against": {"folder": "elsewhere", "pairs": 0, "sites": {}}}
    (folder / "results.json").write_text(json.dumps(found))
    with_patching.interpretations = {"expert": str(folder)}
    page = write_report(with_patching).read_text()
    assert "largest effects" not in page and "Selected heads on other pairs" not in page
    assert "No pair counts in both models" in page and "What differs from elsewhere" in page


def test_without_patched_models_the_page_says_nothing_of_them(config: ReportConfig) -> None:
    assert "Which parts carry the answer" not in write_report(config).read_text()
    assert "interpret" not in json.loads((Path(config.out) / "summary.json").read_text())


def test_a_folder_without_finished_patching_names_the_command(config: ReportConfig, tmp_path: Path) -> None:
    config.interpretations = {"expert": str(tmp_path / "nothing")}
    with pytest.raises(ConfigError, match=r"results\.json does not exist; write it with: vsre interpret --model"):
        write_report(config)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "config.yaml").write_text("{}")
    with pytest.raises(ConfigError, match=r"vsre interpret .*nothing/config\.yaml$"):
        write_report(config)
    config.interpretations = {"expert": config.evaluations["expert"]}
    with pytest.raises(ConfigError, match="is of another command"):
        write_report(config)


def test_examples_go_round_the_relations() -> None:
    rows = predictions(1, "greedy", "image")
    chosen = choose_examples(rows, 4)
    relations = {row.image_id: row.relation for row in rows}
    assert sorted(relations[image] for image in chosen) == ["above", "above", "left of", "left of"]
    assert chosen == choose_examples(list(reversed(rows)), 4)


def test_nothing_to_report_is_said(config: ReportConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="evaluations is empty"):
        write_report(ReportConfig(out=str(tmp_path)))
    (tmp_path / "base" / "results.json").unlink()
    with pytest.raises(RecordError, match="vsre eval"):
        write_report(config)
    assert loss_curve(tmp_path / "no-log.jsonl") == []


def test_a_label_of_a_head_says_what_cutting_it_off_costs() -> None:
    label = {"layer": 1, "head": 2, "function": "detection", "value": 0.81, "labelled": True}
    tried = {"lost": 0.021, "random": -0.0001, "confirmed": True}
    rows = [label | {"confirmation": tried}, label | {"head": 3, "confirmation": None}, label | {"labelled": False}]
    ((_, heads),) = functions_of({"functions": rows}).values()
    assert heads == "1.2 (0.81; cut off: 2.1 % lost, 0.0 by random heads, confirmed), 1.3 (0.81)"


@pytest.mark.parametrize("content", [b'{"step": 1, "lo', b"\xff\xfe"])
def test_a_damaged_training_log_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.jsonl").write_bytes(content)
    with pytest.raises(RecordError, match=r"log\.jsonl"):
        loss_curve(tmp_path / "log.jsonl")


def test_results_of_another_shape_are_named(tmp_path: Path) -> None:
    for content in ("[1, 2]", '{"config": [1]}', '{"config": {"decoders": 3}}'):
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(RecordError, match="missing or damaged"):
            _decoders(tmp_path / "results.json")
