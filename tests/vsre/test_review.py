"""People judge labels on a page that does not give them away, and their answers come back as precision."""

import html
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.verify.calibration import judging
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError
from spatial.proportion import wilson
from tests.stand_ins import SMALL
from vsre.config import ReviewConfig
from vsre.review.answers import ALL
from vsre.review.items import Item, choose, statements
from vsre.review.run import review

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), "")

items = st.lists(
    st.builds(
        Item,
        st.uuids().map(str),
        st.sampled_from([f"image-{n}" for n in range(12)]),
        st.sampled_from(["on", "under", "left of"]),
        st.just("The cup is on the book."),
        st.sampled_from(["true", "false"]),
    ),
    max_size=40,
    unique_by=lambda item: item.record_id,
)


@given(items, st.integers(0, 6), st.integers(0, 12), st.integers(0, 3))
def test_a_picture_is_asked_about_once_and_relations_have_equal_parts(
    known: list[Item], per_relation: int, limit: int, seed: int
) -> None:
    chosen = choose(known, per_relation, limit, seed)
    assert len({item.image_id for item in chosen}) == len(chosen) and set(chosen) <= set(known)
    assert not limit or len(chosen) <= limit
    counts = Counter(item.relation for item in chosen)
    assert not per_relation or all(count <= per_relation for count in counts.values())
    assert choose(list(reversed(known)), per_relation, limit, seed) == chosen


def test_true_and_false_statements_take_turns() -> None:
    known = [
        Item(f"{n}", f"image-{n}", relation, "", answer)
        for n, (relation, answer) in enumerate(
            (relation, answer) for relation in ("on", "off") for answer in ("true", "false") for _ in range(30)
        )
    ]
    chosen = choose(known, 10, 0, 0)
    assert Counter((item.relation, item.answer) for item in chosen) == {
        (relation, answer): 5 for relation in ("on", "off") for answer in ("true", "false")
    }
    assert [item.answer for item in chosen] != sorted(item.answer for item in chosen), "they are mixed"
    assert {item.record_id for item in choose(known, 10, 0, 1)} != {item.record_id for item in chosen}


def sheet_of(page: Path) -> dict[str, Any]:
    """Return what the page was given to ask."""
    match = re.search(r'<script type="application/json" id="sheet">(.*?)</script>', page.read_text(), re.DOTALL)
    assert match
    found: dict[str, Any] = json.loads(match[1])
    return found


@pytest.fixture(scope="module")
def page(painted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of three statements about each relation."""
    return review(ReviewConfig(str(painted), str(tmp_path_factory.mktemp("review")), per_relation=3))


def test_the_page_asks_about_accepted_pictures_and_does_not_tell_labels(page: Path, painted: Path) -> None:
    text, sheet = page.read_text(), sheet_of(page)
    known = statements(DatasetFolder(painted).records)
    asked = [known[key] for key in sheet["questions"]]
    assert [item.caption for item in asked] == sheet["captions"] and len(asked) == 12
    assert text.count('src="data:image/png;base64,') == 12
    assert set(sheet) == {"data", "seed", "sheet", "questions", "captions", "file"}
    assert all(link.startswith(("data:", "#")) for link in re.findall(r'(?:src|href)="([^"]*)"', text))
    tags = re.findall(r"<img hidden ([^>]*)>", re.sub(r"base64,[^\"]*", "", text))
    given = [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in tags]
    assert [tag.pop("data-key") for tag in given] == sheet["questions"]
    assert len({tuple(tag.items()) for tag in given}) == 1, "all that differs is the key and the pixels"


def answer_all(page: Path, painted: Path, path: Path, wrong: int = 0, unsure: int = 0, who: str = "Ann") -> Path:
    """Save answers that agree with the data but for the first ones of the sheet."""
    known, sheet = statements(DatasetFolder(painted).records), sheet_of(page)
    answers = {}
    for place, key in enumerate(sheet["questions"]):
        right = "yes" if known[key].answer == "true" else "no"
        answers[key] = "unsure" if place < unsure else right
        if unsure <= place < unsure + wrong:
            answers[key] = "no" if right == "yes" else "yes"
    path.write_text(json.dumps({"data": sheet["data"], "reviewer": who, "answers": answers}))
    return path


def test_answers_become_precision_with_intervals(page: Path, painted: Path, tmp_path: Path) -> None:
    saved = answer_all(page, painted, tmp_path / "answers.json", wrong=2, unsure=1)
    result = json.loads(review(ReviewConfig(str(painted), str(tmp_path), answers=str(saved))).read_text())
    total = result["rows"][-1]
    assert (total["relation"], total["right"], total["wrong"], total["unsure"]) == (ALL, 9, 2, 1)
    assert total["precision"] == round(9 / 11, 4) and total["precision_unsure_as_wrong"] == 0.75
    assert total["ci95"] == [round(bound, 4) for bound in wilson(9 / 11, 11)]
    assert sum(row["right"] + row["wrong"] + row["unsure"] for row in result["rows"][:-1]) == 12
    assert {item["record_id"] for item in result["wrong"]} == set(sheet_of(page)["questions"][1:3])
    assert result["reviewers"] == ["Ann"] and all(row["verifier"] is None for row in result["rows"])


def test_where_two_people_differ_nobody_can_tell(page: Path, painted: Path, tmp_path: Path) -> None:
    first = answer_all(page, painted, tmp_path / "a.json", wrong=3)
    second = answer_all(page, painted, tmp_path / "b.json", wrong=1, who="Bo")
    config = ReviewConfig(str(painted), str(tmp_path), answers=[str(first), str(second)])
    total = json.loads(review(config).read_text())["rows"][-1]
    assert (total["right"], total["wrong"], total["unsure"]) == (9, 1, 2)


def test_the_verifiers_own_expectation_stands_beside(
    page: Path, painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = {"right": {"accepted": 95, "n": 100}, "wrong": {"accepted": 1, "n": 100}}
    content = {
        "relations": {"above": rates},
        "most_wrong": 0.05,
        "least_images": 30,
        "verify": judging(SMALL.verify),
        "weights": {"reader": "none"},
    }
    (tmp_path / "calibration.json").write_text(json.dumps(content))
    saved = answer_all(page, painted, tmp_path / "answers.json")
    config = ReviewConfig(
        str(painted), str(tmp_path), answers=str(saved), calibration=str(tmp_path / "calibration.json")
    )
    rows = {row["relation"]: row for row in json.loads(review(config).read_text())["rows"]}
    assert rows["above"]["verifier"]["share"] > 0.9 and rows["below"]["verifier"] is None
    assert "verifier expects" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not what the page of 'vsre review' saves"),
        ('{"data": "other", "answers": {"a": "yes"}}', "is about other data"),
        ('{"data": "HASH", "answers": {"a": "yes"}}', "no statement of the data"),
        ('{"data": "HASH", "answers": {"KEY": "maybe"}}', "'maybe' is no answer"),
        ('{"data": "HASH", "answers": {}}', "holds no answer"),
        ("", "is not what the page"),
    ],
)
def test_answers_that_cannot_be_used_are_refused_by_name(
    painted: Path, tmp_path: Path, content: str, message: str
) -> None:
    data = DatasetFolder(painted)
    path = tmp_path / "answers.json"
    path.write_text(content.replace("HASH", data.content_hash()).replace("KEY", next(iter(statements(data.records)))))
    with pytest.raises(RecordError, match=re.escape(message)):
        review(ReviewConfig(str(painted), str(tmp_path), answers=str(path)))
    with pytest.raises(RecordError, match="cannot be read"):
        review(ReviewConfig(str(painted), str(tmp_path), answers=str(tmp_path / "nothing.json")))


def test_settings_that_make_no_sense_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data is empty"):
        review(ReviewConfig())
    with pytest.raises(ConfigError, match="per_relation must be 0 or more"):
        review(ReviewConfig(str(photos), str(tmp_path), per_relation=-1))


PROBE = """<script id="probe">
(async () => {
  const found = {};
  const press = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const look = () => ({ status: document.getElementById("status").textContent,
    caption: document.getElementById("caption").textContent,
    shown: [...document.querySelectorAll("#pictures img")].filter((e) => e.checkVisibility()).map((e) => e.dataset.key),
    pressed: [...document.querySelectorAll('[aria-pressed="true"]')].map((e) => e.dataset.answer) });
  found.start = look();
  press("y"); press("N"); press("u"); press("x"); found.three = look();
  press("ArrowLeft"); found.back = look();
  press("y"); press("ArrowRight"); press("ArrowLeft");
  document.querySelector('[data-answer="no"]').click();
  document.getElementById("open").click(); found.open = look();
  const name = document.getElementById("reviewer");
  name.value = "Ann"; name.dispatchEvent(new Event("input", { bubbles: true }));
  name.dispatchEvent(new KeyboardEvent("keydown", { key: "y", bubbles: true })); found.typed = look();
  for (let turn = 0; turn < 40; turn += 1) press("ArrowRight");
  found.end = look();
  let blob; URL.createObjectURL = (it) => { blob = it; return "#saved"; };
  document.getElementById("save").click();
  found.saved = JSON.parse(await blob.text());
  found.kept = Object.keys(localStorage).length;
  const result = document.createElement("pre");
  result.id = "result"; result.textContent = JSON.stringify(found); document.body.append(result);
})();
</script>"""


@pytest.mark.skipif(not BROWSER, reason=f"none of {', '.join(BROWSERS)} is installed")
def test_keys_answer_and_the_saved_file_comes_back(page: Path, painted: Path, tmp_path: Path) -> None:
    copy = tmp_path / "probed.html"
    copy.write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--enable-logging=stderr"]
    command = [BROWSER, *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", copy.as_uri()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert not [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    match = re.search(r'<pre id="result">(.*?)</pre>', result.stdout, flags=re.DOTALL)
    assert match
    found, sheet = json.loads(html.unescape(match[1])), sheet_of(page)
    keys = sheet["questions"]
    assert found["start"]["status"] == "1 of 12, 0 answered" and found["start"]["shown"] == keys[:1]
    assert found["three"]["status"] == "4 of 12, 3 answered" and found["three"]["caption"] == sheet["captions"][3]
    assert found["back"]["shown"] == [keys[2]] and found["back"]["pressed"] == ["unsure"]
    assert found["open"]["shown"] == [keys[4]] and found["typed"]["status"] == found["open"]["status"]
    assert found["end"]["shown"] == [keys[-1]] and found["kept"] == 1
    assert found["saved"]["answers"] == {keys[0]: "yes", keys[1]: "no", keys[2]: "yes", keys[3]: "no"}
    assert found["saved"]["reviewer"] == "Ann"
    saved = tmp_path / "answers.json"
    saved.write_text(json.dumps(found["saved"]))
    rows = json.loads(review(ReviewConfig(str(painted), str(tmp_path), answers=str(saved))).read_text())["rows"]
    assert rows[-1]["right"] + rows[-1]["wrong"] == 4
