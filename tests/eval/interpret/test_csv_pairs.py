"""Tables of pairs: every row stands for itself, and what cannot be used is named."""

import csv
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eval.config import CsvConfig
from eval.interpret.build import BUILDERS
from eval.interpret.build_folders import SENTIMENTS, STATES, alike
from eval.interpret.build_svo import take_triplet
from eval.interpret.from_csv import COLUMNS, read_pairs
from eval.interpret.pairs import Pair, Side
from eval.interpret.questions import question, replaced
from spatial.errors import ConfigError, RecordError
from spatial.scene import digest
from tests.eval.released_files import picture

CONFIGS = Path(__file__).parents[3] / "configs" / "interpret"

WET = {
    "id": "1",
    "clean_image": "wet cat/1.jpg",
    "corrupt_image": "dry cat/1.jpg",
    "clean_prompt": "Is this cat wet or dry?",
    "corrupt_prompt": "Is this cat old or new?",
    "correct": "wet",
    "incorrect": "dry",
    "family": "colour",
    "group": "cat",
}


def store(folder: Path, *names: str) -> None:
    """Write a picture of its own under each name."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(int(digest(name)[:8], 16)))


def table(path: Path, rows: list[dict[str, Any]], header: list[str] | None = None) -> Path:
    """Write rows as a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, header or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def spoken(side: Side) -> dict[str, str]:
    """Return the words that the spans of a side point at."""
    return {role: side.prompt.text[start:end] for role, (start, end) in side.prompt.spans.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store(tmp_path, "wet cat/1.jpg", "dry cat/1.jpg")
    return tmp_path


def read(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> Any:
    return read_pairs(CsvConfig(path=str(table(folder / "pairs.csv", rows)), **settings))


def test_a_row_gives_an_image_pair_and_a_text_pair(folder: Path) -> None:
    found = read(folder, [WET])
    image, text = found.pairs
    assert (image.mode, text.mode) == ("image", "text") and not found.failed
    for pair in found.pairs:
        assert (pair.answers, pair.family, pair.group_id) == (("wet", "dry"), "colour", "cat")
        assert pair.clean.image_id in found.images and pair.clean.prompt.options == ("wet", "dry")
        assert spoken(pair.clean) == {"options": "wet or dry", "correct": "wet", "incorrect": "dry"}
    assert (
        image.clean.image_id
        != image.corrupt.image_id
        == next(name for name in found.images if name != image.clean.image_id)
    )
    assert image.corrupt.prompt.text == image.clean.prompt.text and image.corrupt.prompt.answer == "dry"
    assert text.corrupt.image_id == text.clean.image_id
    assert spoken(text.corrupt) == {"options": "old or new", "correct": "old", "incorrect": "new"}
    assert text.corrupt.prompt.options == ("old", "new") and text.corrupt.prompt.answer == "dry"


def test_columns_may_have_other_names_and_modes_may_be_left_out(folder: Path) -> None:
    theirs = {"clean_image_path": WET["clean_image"], "q": WET["clean_prompt"], "other": WET["corrupt_image"]}
    row = theirs | {"correct_answer": "wet", "incorrect_answer": "dry", "state": "colour", "noun": "cat"}
    columns = {"clean_image": "clean_image_path", "clean_prompt": "q", "corrupt_image": "other"}
    columns |= {"correct": "correct_answer", "incorrect": "incorrect_answer", "family": "state", "object": "noun"}
    (pair,) = read(folder, [row], columns=columns).pairs
    assert (pair.mode, pair.family) == ("image", "colour") and spoken(pair.clean)["object"] == "cat"
    assert pair.group_id == pair.clean.image_id
    (text,) = read(folder, [WET], modes=["text"]).pairs
    assert text.mode == "text"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"clean_image": "../secret.jpg"}, "outside the folder"),
        ({"clean_image": "wet cat/../../secret.jpg"}, "outside the folder"),
        ({"clean_image": "/etc/passwd"}, "outside the folder"),
        ({"corrupt_image": "link.jpg"}, "outside the folder"),
        ({"corrupt_image": "..\\secret.jpg"}, "no usable name"),
        ({"clean_image": ""}, "no usable name"),
        ({"corrupt_image": "https://example.org/1.jpg"}, "download it first"),
        ({"corrupt_image": "dry cat/2.jpg"}, "is missing"),
        ({"corrupt_image": "dry cat"}, "is missing"),
        ({"corrupt_image": "broken.jpg"}, "cannot be decoded"),
        ({"corrupt_image": "large.png"}, "too large"),
        ({"corrupt_image": "wet cat/1.jpg"}, "both pictures are the same"),
        ({"corrupt_image": "copy.jpg"}, "both pictures are the same"),
        ({"incorrect": "Wet"}, "both answers are the same"),
        ({"incorrect": ""}, "an answer is missing"),
        ({"corrupt_image": "", "corrupt_prompt": "is this cat wet or dry ?"}, "both questions are the same"),
        ({"corrupt_image": "", "corrupt_prompt": ""}, "neither another picture nor another question"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_reason(
    change: dict[str, str], reason: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.jpg"
    outside.write_bytes(picture(5))
    (folder / "secret.jpg").write_bytes(picture(5))
    photos = folder / "photos"
    store(photos, "wet cat/1.jpg", "dry cat/1.jpg")
    (photos / "link.jpg").symlink_to(outside)
    (photos / "broken.jpg").write_bytes(picture(1)[:50])
    (photos / "copy.jpg").write_bytes((photos / "wet cat/1.jpg").read_bytes())
    buffer = io.BytesIO()
    Image.new("1", (20000, 20000)).save(buffer, format="PNG")
    (photos / "large.png").write_bytes(buffer.getvalue())
    found = read(folder, [WET, {**WET, "id": "bad", **change}], images=str(photos), modes=["image", "text"])
    named = [row for row in found.failed if reason in row.reason]
    assert named and {row.name for row in named} == {"pairs.csv:2 (bad)"}
    assert found.dropped[named[0].reason] == len(named) and len(found.pairs) >= 2
    with pytest.raises(RecordError, match=f"pairs.csv:1 .bad.: .*{reason}"):
        read(folder, [{**WET, "id": "bad", "corrupt_prompt": "", **change}], images=str(photos))


def test_no_download_that_failed_is_shown_as_zeros(folder: Path) -> None:
    """Defect D13 of the reference code: pictures that were not downloaded become zeros, and stay in."""
    Image.new("RGB", (224, 224)).save(folder / "dry cat/zeros.png")
    bad = [{**WET, "corrupt_image": name, "corrupt_prompt": ""} for name in ("dry cat/zeros.png", "dry cat/none.png")]
    found = read(folder, [WET, *bad, bad[0]])
    assert found.dropped == {"a picture is of one colour, as failed downloads are": 2, "a picture is missing": 1}
    assert len(found.images) == 2


def test_a_row_that_stands_twice_counts_once(folder: Path) -> None:
    """Defect D12 of the reference code: each row of SVO-Probes stands there twice."""
    found = read(folder, [WET, {**WET, "id": "2"}, WET])
    assert len(found.pairs) == 2 and found.dropped == {"the same pair stands in the table before": 4}


def test_questions_of_different_rows_are_not_paired(folder: Path) -> None:
    """Defect D11 of the reference code: corrupt questions are those of other rows."""
    asked = ["Is this cat wet or dry?", "Does the girl sit or stand?", "Is the bowl large or tiny?"]
    corrupt = ["Is this cat old or new?", "Does the girl run or jump?", "Is the bowl open or closed?"]
    rows = [{**WET, "clean_prompt": a, "corrupt_prompt": b} for a, b in zip(asked, corrupt, strict=True)]
    shifted = [
        {**row, "corrupt_prompt": other["corrupt_prompt"]}
        for row, other in zip(rows, [*rows[1:], rows[0]], strict=True)
    ]
    assert len(read(folder, rows, modes=["text"]).pairs) == 3
    with pytest.raises(RecordError, match="too little in common"):
        read(folder, shifted, modes=["text"])


def test_missing_columns_and_unknown_settings_are_refused_with_the_nearest(folder: Path) -> None:
    with pytest.raises(ConfigError, match="has no column 'clean_image'; did you mean 'clean_images'"):
        read(folder, [{("clean_images" if key == "clean_image" else key): value for key, value in WET.items()}])
    with pytest.raises(ConfigError, match="no column 'states'"):
        read(folder, [WET], columns={"family": "states"})
    with pytest.raises(ConfigError, match="unknown column 'answer'"):
        read(folder, [WET], columns={"answer": "correct"})
    with pytest.raises(ConfigError, match="did you mean 'mit-states'"):
        read(folder, [WET], build="mit_states")
    with pytest.raises(ConfigError, match="unknown mode 'words'"):
        read(folder, [WET], modes=["words"])
    with pytest.raises(ConfigError, match="path is empty"):
        read_pairs(CsvConfig())


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"id\n"])
def test_a_damaged_table_is_one_line(content: bytes | None, folder: Path) -> None:
    if content is not None:
        (folder / "bad.csv").write_bytes(content)
    with pytest.raises((RecordError, ConfigError), match=r"bad\.csv") as raised:
        read_pairs(CsvConfig(path=str(folder / "bad.csv")))
    assert "\n" not in str(raised.value)


@given(st.sampled_from(["a", "an", "man", "or", "hot dog", "wet"]), st.sampled_from(["plan", "the", "red", "top hat"]))
def test_options_are_found_where_they_are_listed_and_as_whole_words(one: str, other: str) -> None:
    """Defect D4 of the reference code: "a" is found in "man"."""
    text = f"Is a man, or any plan, wetter than the red hat: {other} or the {one}?"
    prompt = question(text, (one, other), one, {})
    spans = {role: text[start:end] for role, (start, end) in prompt.spans.items()}
    assert spans == {"options": f"{other} or the {one}", "correct": one, "incorrect": other}
    assert prompt.options == (other, one) and prompt.answer == one


def test_replaced_words_take_the_spans_of_those_in_their_place() -> None:
    clean = question(
        "Is the hot dog left of the cup?", ("yes", "no"), "yes", {"subject": "hot dog", "relation": "left"}
    )
    assert clean.spans == {"subject": (7, 14), "relation": (15, 19)} and clean.options == ("no", "yes")
    corrupt = replaced(clean, "Is the hot dog right of the cup?", "no")
    assert corrupt.spans == {"subject": (7, 14), "relation": (15, 20)} and corrupt.answer == "no"
    longer = replaced(clean, "Is the hot dog to the right of the cup?", "no")
    assert longer.spans == {"subject": (7, 14)}


def svo(folder: Path, rows: list[tuple[str, str, int, int]]) -> CsvConfig:
    """Write SVO-Probes as released, with a picture for every number but those from 900 on; return its settings."""
    told = []
    for positive, negative, first, second in rows:
        one, other = (take_triplet(text) or () for text in (positive, negative))
        differ = [str(a != b) for a, b in zip(one, other, strict=False)] or ["False"] * 3
        told.append(
            {
                "sentence": "A sentence.",
                "pos_triplet": positive,
                "neg_triplet": negative,
                "pos_url": "http://example.org/1",
                "neg_url": "http://example.org/2",
                "pos_image_id": first,
                "neg_image_id": second,
                **dict(zip(("subj_neg", "verb_neg", "obj_neg"), differ, strict=True)),
            }
        )
    numbers = {number for row in rows for number in row[2:] if number < 900}
    store(folder / "images", *(f"{number}.jpg" for number in numbers))
    source = table(folder / "svo_probes.csv", told)
    return CsvConfig(
        path=str(folder / "pairs.csv"), images=str(folder / "images"), build="svo-probes", source=str(source), count=4
    )


VERBS = ["sit", "run", "jump", "walk", "lie", "swim"]


def rows_of(config: CsvConfig) -> list[dict[str, str]]:
    """Build a table and return its rows."""
    BUILDERS[config.build](config)
    with Path(config.path).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_svo_probes_become_pairs_in_both_directions_and_orders(tmp_path: Path) -> None:
    rows = [(f"girl,{verb},grass", f"girl,{VERBS[n - 1]},grass", 2 * n, 2 * n + 1) for n, verb in enumerate(VERBS)]
    rows += [
        (f"{who},run,field", "['cow,run,field', 'x']", 20 + n, 30 + n) for n, who in enumerate(["men", "dog", "cat"])
    ]
    made = svo(tmp_path, rows)
    built = rows_of(made)
    assert Counter(row["family"] for row in built) == {"verb": 4, "subject": 3}
    for row in built:
        shown = int(Path(row["clean_image"]).stem)
        told = next((p, n) if shown == a else (n, p) for p, n, a, b in rows if shown in (a, b))
        slot = ("subject", "verb").index(row["family"])
        assert row["correct"] == (take_triplet(told[0]) or ())[slot]
        assert row["incorrect"] == (take_triplet(told[1]) or ())[slot]
        words = {word for text in told for word in take_triplet(text) or ()}
        replaced_by = set(row["corrupt_prompt"].strip("?").split()) - set(row["clean_prompt"].strip("?").split())
        assert len(replaced_by) == 2 and not replaced_by & words
    verbs = [row for row in built if row["family"] == "verb"]
    assert sum(int(Path(row["clean_image"]).stem) % 2 for row in verbs) == 2
    assert sum(f" {row['correct']} or" in row["clean_prompt"] for row in verbs) == 2
    assert verbs[0]["clean_prompt"].startswith("Does the girl ")
    found = read_pairs(made)
    assert len(found.pairs) == 2 * len(built) and not found.failed
    assert all({"options", "correct", "incorrect"} <= set(side.prompt.spans) for p in found.pairs for side in sides(p))


def sides(pair: Pair) -> tuple[Side, Side]:
    return pair.clean, pair.corrupt


def test_svo_rows_that_are_no_pairs_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = ("girl,sit,grass", "girl,run,grass", 1, 2)
    bad = [
        good,  # D12
        ("girl,run,grass", "girl,sit,grass", 2, 1),
        ("girl,sit,grass", "boy,run,grass", 3, 4),
        ("person,sit,grass", "girl,sit,grass", 5, 6),
        ("girl,sit,grass", "['[]']", 7, 8),
        ("girl,sit,grass", "girl,jump,grass", 9, 901),
    ]
    assert len(rows_of(svo(tmp_path, [good, *bad]))) == 1
    for reason in ("again", "'person'", "not two triplets", "picture is missing"):
        assert reason in caplog.text


@pytest.mark.parametrize(
    ("text", "triplet"),
    [
        ("girl,sit,grass", ("girl", "sit", "grass")),
        ("['Girl,sit,hot dog', 'a,b,c']", ("girl", "sit", "hot dog")),
        ("['[]']", None),
        ("[]", None),
        ("[", None),
        ("girl,sit", None),
        ("a,b,c,d", None),
        ("", None),
        ("__import__('os'),x,y", None),
    ],
)
def test_a_triplet_is_three_words_or_none(text: str, triplet: tuple[str, ...] | None) -> None:
    assert take_triplet(text) == triplet


def states(folder: Path, each: int = 6) -> CsvConfig:
    """Write folders as MIT-States has them, some of which are not used; return the settings."""
    for name in ("wet cat", "dry cat", "old cat", "ancient cat", "wet road", "dry road", "cracked cup", "tiny cup"):
        store(folder / "images", *(f"{name}/{number}.jpg" for number in range(each)))
    store(folder / "images", "adj cat/1.jpg", "lucky cat/1.jpg", "wet dog/1.jpg")
    images = str(folder / "images")
    return CsvConfig(path=str(folder / "pairs.csv"), images=images, build="mit-states", source=images, count=10)


def test_mit_states_become_pairs_without_repeats_in_both_orders(tmp_path: Path) -> None:
    """Defect D10 of the reference code: rows are drawn with replacement, and sorted by the first right answer alone."""
    built = rows_of(states(tmp_path))
    assert Counter(row["family"] for row in built) == {"colour": 10, "shape": 6}
    shown = [row[column] for row in built for column in ("clean_image", "corrupt_image")]
    assert len(set(shown)) == len(shown)
    for row in built:
        adjective, noun = Path(row["clean_image"]).parent.name.split(" ")
        assert adjective == row["correct"] and f"{row['incorrect']} {noun}" == Path(row["corrupt_image"]).parent.name
        assert not alike(row["correct"], row["incorrect"]) and f"Is this {noun} " in row["clean_prompt"]
        others = row["corrupt_prompt"].strip("?").split()[3::2]
        assert not any(alike(a, b) for a in others for b in (row["correct"], row["incorrect"]))
        assert not alike(*others) and all(any(word in some for some in STATES.values()) for word in others)
    for family in ("colour", "shape"):
        first = [f" {row['correct']} or" in row["clean_prompt"] for row in built if row["family"] == family]
        assert sum(first) == len(first) / 2
    assert {row["correct"] for row in built} == {"wet", "dry", "old", "ancient", "cracked", "tiny"}
    assert rows_of(states(tmp_path)) == built
    assert rows_of(replace(states(tmp_path), seed=1)) != built


def test_a_table_is_built_where_there_is_none_and_read_where_there_is(tmp_path: Path) -> None:
    config = states(tmp_path)
    found = read_pairs(config)
    assert Counter(pair.mode for pair in found.pairs) == {"image": 16, "text": 16}
    Path(config.path).write_text("\n".join(Path(config.path).read_text().splitlines()[:3]), encoding="utf-8")
    assert len(read_pairs(config).pairs) == 4


def test_faces_become_pairs_of_two_emotions(tmp_path: Path) -> None:
    for name in ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"):
        store(tmp_path / "images", *(f"train/{name}/{number}.jpg" for number in range(8)))
    config = CsvConfig(
        path=str(tmp_path / "pairs.csv"),
        images=str(tmp_path / "images"),
        build="facial-expressions",
        source=str(tmp_path / "images/train"),
        count=4,
    )
    built = rows_of(config)
    assert len(built) >= 20 and max(Counter(row["correct"] for row in built).values()) <= 4
    assert {"disgusted", "fearful", "surprised"} <= {row["correct"] for row in built}
    sentiment = {word: name for name, words in SENTIMENTS.items() for word in words}
    for row in built:
        ours, theirs = (row[name].strip("?").split()[4::2] for name in ("clean_prompt", "corrupt_prompt"))
        assert all(sentiment[a] != sentiment[b] for a, b in zip(ours, theirs, strict=True))
    assert len(read_pairs(config).pairs) == 2 * len(built)


@pytest.mark.parametrize("name", list(BUILDERS))
def test_a_set_that_is_not_there_says_what_to_download(name: str, tmp_path: Path) -> None:
    config = CsvConfig(path=str(tmp_path / "p.csv"), images=str(tmp_path), build=name, source=str(tmp_path / "none"))
    with pytest.raises(RecordError, match="none"):
        read_pairs(config)
    assert not Path(config.path).exists()


TABLES = [path for path in sorted(CONFIGS.glob("*.yaml")) if "csv:" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_shipped_tables_have_known_settings(path: Path) -> None:
    config = CsvConfig(**yaml.safe_load(path.read_text(encoding="utf-8"))["csv"])
    assert config.build == path.stem
    assert set(config.columns) <= set(COLUMNS)
