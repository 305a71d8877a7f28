"""The page of answers: which picture and which statement each model got wrong, with pictures and without."""

import json
import math
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.benchmarks import read_benchmark
from eval.config import DataConfig
from eval.predictions import Prediction, read_predictions, write_predictions
from vsre.config import ReportConfig
from vsre.report import write_report
from vsre.site.answers import DISAGREE, RIGHT, WRONG, choose, kind_of

RELATIONS = {"left of": "The cup is left of the book.", "on": "The <dog> is on the bench."}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReportConfig:
    """Two pictures of one's own with four statements, which two models were asked; one of them is always right."""
    monkeypatch.setattr("vsre.summary.RESAMPLES", 20)
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = []
    for index, name in enumerate(("desk.png", "kitchen.png")):
        Image.fromarray(np.full((900, 1200, 3), 90 * index + 20, dtype=np.uint8)).save(folder / name)
        lines += [
            {"image": name, "caption": caption, "relation": relation, "label": (index + place) % 2}
            for place, (relation, caption) in enumerate(RELATIONS.items())
        ]
    (folder / "statements.jsonl").write_text("\n".join(map(json.dumps, lines)))
    data = DataConfig("vsr", annotations=str(folder / "statements.jsonl"), images=str(folder), variant="mine")
    records = read_benchmark(data)
    for name in ("good", "bad"):
        rows = []
        for record in records.records:
            answer = "yes" if record.answer == "true" else "no"
            said = answer if name == "good" or record.relation == "on" else {"yes": "no", "no": "yes"}[answer]
            shares = [math.log(0.75 if option == said else 0.25) for option in ("yes", "no")]
            row = Prediction(name, record.record_id, record.image_id, record.group_id, "question", "greedy", "image")
            row = replace(row, task="statement", topic="relation", relation=record.relation, caption=record.caption)
            row = replace(row, options=("yes", "no"), answer=answer, predicted=said, correct=said == answer)
            rows.append(replace(row, option_logprobs=tuple(shares), image_file=records.files[record.image_id]))
        write_predictions(tmp_path / name / "predictions.parquet", rows)
        results = {"config": {"decoders": ["greedy"], "data": asdict(data)}}
        (tmp_path / name / "results.json").write_text(json.dumps(results))
    evaluations = {name: str(tmp_path / name) for name in ("good", "bad")}
    return ReportConfig(str(tmp_path / "report"), evaluations=evaluations)


def page_of(config: ReportConfig) -> str:
    """Write the report and return its page of answers."""
    return (write_report(config).parent / "answers.html").read_text()


def test_each_statement_stands_with_its_picture_its_truth_and_who_was_wrong(own: ReportConfig) -> None:
    page = page_of(own)
    cards = page.split("<article")[1:]
    assert len(cards) == 4 == page.count("<code>desk.png</code>") + page.count("<code>kitchen.png</code>")
    assert all("left of the book" in card for card in cards[:2]) and all("&lt;dog&gt;" in card for card in cards[2:])
    desk = next(card for card in cards[:2] if "<code>desk.png</code>" in card)
    assert "Truth: <b>false</b>" in desk and 'src="data:image/' in desk
    good, bad = desk.split("<li>")[1:]
    assert "good: <b>false</b> <small>75.0 %" in good and "✓ right" in good
    assert "bad: <b>true</b> <small>75.0 %" in bad and "✗ wrong" in bad
    assert "4 statements about 2 pictures: the models disagree on 2, all are right on 2." in page
    assert "All are below" in page and "not shown" not in page and "<dog>" not in page
    assert '<option value="wrong: bad">' in page and '<option value="wrong: good">' not in page


def test_of_many_answers_a_number_is_drawn_and_all_are_counted(own: ReportConfig) -> None:
    own.answers, own.evaluations = 2, {"bad": own.evaluations["bad"]}
    page = page_of(own)
    assert page.count("<article") == 2 and "2 answered wrongly, 2 answered rightly." in page
    assert "2 of them are below" in page and "1 answered wrongly, 1 answered rightly, drawn" in page
    assert "with seed 0" in page and '<option value="wrong">' in page and "disagree</option>" not in page
    own.answers = 0
    assert not (write_report(own).parent / "answers.html").exists()


def test_without_its_pictures_the_page_says_so_and_shows_statements(own: ReportConfig) -> None:
    folder = Path(own.evaluations["good"]).parent / "pictures"
    (folder / "desk.png").unlink()
    page = page_of(own)
    assert page.count('<img src="data:image/') == 2 and "1 of 2 pictures are not shown: " in page
    (folder / "statements.jsonl").unlink()
    page = page_of(own)
    assert "<img" not in page and page.count("<article") == 4 == page.count(".png</code>")
    assert page.count("2 of 2 pictures are not shown: the data of good cannot be read (there is no file ") == 1
    for data in (None, [1], {"kind": "vrs"}, {"kind": "folder", "other": 3}):
        for place in own.evaluations.values():
            results = {"config": {"decoders": ["greedy"], "data": data}}
            (Path(place) / "results.json").write_text(json.dumps(results))
        assert "2 of 2 pictures are not shown: the data of good cannot be read (" in page_of(own)


def test_rows_without_an_answer_are_listed_with_why(own: ReportConfig) -> None:
    table = Path(own.evaluations["bad"]) / "predictions.parquet"
    name = "statements.jsonl:5 hall.png"
    failed = Prediction("bad", name, "", "", "", "greedy", "image", failed="image hall.png is missing")
    write_predictions(table, [*read_predictions(table), failed])
    page = page_of(own)
    assert f"<li>{name}: image hall.png is missing</li>" in page and page.count("<article") == 4


def test_kinds_share_the_page_and_relations_take_turns() -> None:
    kinds = {f"{kind}{n}": kind for kind, count in ((DISAGREE, 50), (WRONG, 1), (RIGHT, 50)) for n in range(count)}
    about = {key: f"relation {len(key) % 2}" if key in kinds else "" for key in kinds}
    chosen = choose(kinds, about, 12, 0)
    assert [kinds[key] for key in chosen] == [DISAGREE] * 7 + [WRONG] + [RIGHT] * 4
    assert Counter(about[key] for key in chosen[:4]) == {"relation 0": 2, "relation 1": 2}
    assert chosen == choose(dict(reversed(kinds.items())), about, 12, 0) != choose(kinds, about, 12, 1)
    assert choose({}, {}, 12, 0) == []


def test_two_wordings_disagree_only_where_one_is_right() -> None:
    row = Prediction("m", "r", "i", "g", "letters", "greedy", "image", task="choice", predicted="B", correct=True)
    other = replace(row, template="words", predicted="above")
    assert kind_of({"a": row, "b": other}) == RIGHT
    assert kind_of({"a": row, "b": replace(other, correct=False)}) == DISAGREE
    wrong = replace(row, correct=False)
    assert kind_of({"a": wrong, "b": replace(wrong, predicted="C")}) == DISAGREE
    assert kind_of({"a": wrong, "b": wrong}) == WRONG
