"""Benchmarks that ask in their own words: the question is the record, and no template of ours speaks over it."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.benchmarks import BENCHMARKS, read_benchmark
from spatial.benchmarks import RELEASED
from spatial.errors import RecordError
from spatial.records import decode_image
from spatial.templates import TEMPLATES, render

from .released_files import (
    base64_picture,
    config,
    constant_accuracy,
    embedded,
    expect,
    mmbench,
    mme,
    parquet,
    picture,
    prompts,
    write_json,
)

ASKED = "Is the sea behind people in the image? Please answer yes or no."
OTHER = "Is the sea in front of people in the image? Please answer yes or no."
MME = {f"00000000000{n}": f"{ASKED}\tYes\n{OTHER}\tNo\n" for n in range(3)}


def mmbench_row(index: int, image: str, **content: str) -> dict[str, Any]:
    """Return a row of MMBench's table; the right option is "left"."""
    plain = {"question": "Where is the dog?", "A": "right", "B": "left", "answer": "B"}
    return {"index": index, "image": image, **plain, **content}


MMBENCH = [
    mmbench_row(3, base64_picture(3)),
    mmbench_row(4, base64_picture(4), hint="Look closely.", C="above", D="nan"),
    mmbench_row(5, base64_picture(5), category="object_localization"),
    mmbench_row(6, "5"),
    mmbench_row(1_000_003, "3", A="left", B="right", answer="A"),
]


def seed_row(number: int, kind: int = 6, **content: Any) -> dict[str, Any]:
    """Return a row of SEED-Bench."""
    choices = {f"choice_{letter}": f"{word} of the car" for letter, word in zip("abcd", WORDS, strict=True)}
    row = {"question": "Where is the man?", "answer": "C", "data_id": f"14_{number}", "question_type_id": kind}
    return {**row, **choices, "data_type": "image", "question_id": str(number), **content}


WORDS = ("left", "right", "behind", "front")
SEED = [seed_row(1), seed_row(2, kind=4), seed_row(3, answer="A"), seed_row(1, question="Where is the woman?")]


def emb_row(number: int, scene: str, **content: Any) -> dict[str, Any]:
    """Return a row of EmbSpatial-Bench."""
    plain = {"data_source": "mp3d", "scene_id": scene, "question_id": f"mp3d_{number}", "relation": "close"}
    options = ["garage door", "cabinet", "table", "cart"]
    asked = {"question": "Which object is nearest?", "answer_options": options, "answer": number % 4}
    return {**plain, **asked, "image": base64_picture(number), "objects": [], **content}


EMB = [emb_row(0, "a"), emb_row(1, "a"), emb_row(2, "b"), emb_row(3, "c")]

BLINK = [
    {"idx": f"val_{n}", "question": f"Is the cat under the car, number {n}?", "choices": ["yes", "no"], "image_2": None}
    | {"answer": f"({'AB'[n % 2]})", "image_1": embedded(n), "sub_task": "Spatial_Relation"}
    for n in range(4)
]

CV = [
    {"idx": n, "task": task, "type": "2D", "question": "Where is the cat?", "choices": ["above", "below"]}
    | {"answer": f"({'AB'[n % 2]})", "image": embedded(n), "source": "COCO"}
    for n, task in enumerate(("Relation", "Count", "Relation", "Relation"))
]


def write_seed(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write SEED-Bench's file, and photos without endings."""
    photos = folder / "SEED-Bench-image"
    photos.mkdir(parents=True, exist_ok=True)
    for row in rows:
        if isinstance(row["data_id"], str) and row["data_id"].startswith("14_"):
            (photos / row["data_id"]).write_bytes(picture(int(row["data_id"][3:])))
    write_json(folder / "SEED-Bench.json", {"question_type": {"Spatial Relation": 6}, "questions": rows})


Writer = Callable[[Path], None]
SETS: dict[str, tuple[Writer, int, int, list[str]]] = {
    "mme-position": (lambda folder: mme(folder / "position", MME), 6, 6, ["yes", "no"] * 3),
    "mmbench-spatial": (lambda folder: mmbench(folder / "MMBench_DEV_EN.tsv", MMBENCH), 5, 3, ["left"] * 3),
    "seed-spatial": (
        lambda folder: write_seed(folder, SEED),
        4,
        3,
        ["behind of the car", "left of the car", "behind of the car"],
    ),
    "blink-spatial": (
        lambda folder: parquet(folder / RELEASED["blink-spatial"].file, BLINK),
        4,
        4,
        ["yes", "no", "yes", "no"],
    ),
    "cv-bench-relation": (lambda folder: parquet(folder / "test_2d.parquet", CV), 4, 3, ["above", "above", "below"]),
    "embspatial": (
        lambda folder: write_json(folder / "embspatial_bench.json", EMB),
        4,
        4,
        ["garage door", "cabinet", "table", "cart"],
    ),
}
"""How each is written, its rows, those that are asked, and their right answers."""


@pytest.fixture(params=SETS)
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A benchmark of few rows in ``tmp_path``."""
    name: str = request.param
    write, rows, asked, _ = SETS[name]
    write(tmp_path)
    expect(monkeypatch, name, rows, asked)
    return name


def test_every_benchmark_is_known_to_readers_and_to_the_table_of_releases() -> None:
    assert list(BENCHMARKS) == ["folder", "vsr", *RELEASED]


def test_every_row_is_a_question_with_neutral_options_and_its_picture(kind: str, tmp_path: Path) -> None:
    found = read_benchmark(config(kind, tmp_path))
    _, _, asked, answers = SETS[kind]
    assert not found.failed and len(found.records) == asked
    assert [record.answer for record in found.records] == answers
    relation = "close to" if kind == "embspatial" else ""
    for record in found.records:
        assert (record.task, record.topic, record.relation) == ("choice", "question", relation)
        assert record.options == tuple(sorted(record.options)) and record.answer in record.options
        image = found.images[record.image_id]
        assert decode_image(image.image, "").size == (image.width, image.height) == (24, 16)
        assert (image.source, image.licence) == (kind, RELEASED[kind].licence)


def test_every_record_is_asked_in_its_own_words_and_in_no_others(kind: str, tmp_path: Path) -> None:
    for record in read_benchmark(config(kind, tmp_path)).records:
        every = prompts(record, ["core", "own", "adaptvis", "given"])
        assert [name for name, _ in every] == ["given-alone", "given-words", "given-letters"]
        alone, words, letters = (prompt for _, prompt in every)
        assert alone.text == record.caption and alone.answer == words.answer == record.answer
        assert all(option in words.text and option in letters.text for option in record.options)
        assert letters.text.partition(f"{letters.answer}. ")[2].startswith(record.answer)
        with pytest.raises(ValueError, match=r"set templates to \[given\]"):
            render(record, TEMPLATES["where"], 0)


def test_a_scorer_to_which_all_options_are_alike_gets_chance_on_balanced_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect 29 of the reference code, here of questions with letters."""
    rows = [emb_row(n, f"scene {n}", answer=place) for n in range(40) for place in range(4)]
    write_json(tmp_path / "embspatial_bench.json", rows)
    expect(monkeypatch, "embspatial", 160)
    found = read_benchmark(config("embspatial", tmp_path))
    assert {constant_accuracy(found, f"given-{name}") for name in ("alone", "words", "letters")} == {0.25}


def test_what_belongs_together_is_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = {"mme-position": [0, 0, 1, 1, 2, 2], "embspatial": [0, 0, 1, 2], "seed-spatial": [0, 1, 0]}
    together |= {"mmbench-spatial": [0, 1, 2], "blink-spatial": [0, 1, 2, 3], "cv-bench-relation": [0, 1, 2]}
    for kind, expected in together.items():
        write, rows, asked, _ = SETS[kind]
        write(tmp_path / kind)
        expect(monkeypatch, kind, rows, asked)
        groups = [record.group_id for record in read_benchmark(config(kind, tmp_path / kind)).records]
        assert [list(dict.fromkeys(groups)).index(group) for group in groups] == expected
    roles = [
        record.role_in_group for record in read_benchmark(config("mme-position", tmp_path / "mme-position")).records
    ]
    assert roles == ["yes", "no"] * 3


def test_a_hash_to_compare_is_told(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read_benchmark(config(kind, tmp_path))
    assert re.search(r"has sha256 [0-9a-f]{64}; no hash of the released file is known", caplog.text)


def test_another_number_of_rows_is_refused_in_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, rows, asked, _ = SETS[kind]
    for wrong in ((rows + 1, asked), (0, asked + 1)):
        expect(monkeypatch, kind, *wrong)
        with pytest.raises(RecordError, match="but the released one has") as raised:
            read_benchmark(config(kind, tmp_path))
        assert "\n" not in str(raised.value) and f"vsre fetch {kind}" in str(raised.value)
    own = tmp_path / RELEASED[kind].file
    assert len(read_benchmark(config(kind, tmp_path, annotations=str(own))).records) == asked


def test_a_truncated_or_foreign_file_is_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / RELEASED[kind].file
    if path.is_dir():
        path = next(path.glob("*.txt"))
        contents = [b"\xff\xfe\x00"]
    else:
        contents = [path.read_bytes()[:-300], b"<html>please log in</html>", b"", b"\x00\xff" * 40]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(RecordError) as raised:
            read_benchmark(config(kind, tmp_path))
        assert "\n" not in str(raised.value) and path.name in str(raised.value)


def test_broken_pictures_fail_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [emb_row(n, "a") for n in range(6)]
    rows[0]["image"] = base64_picture(0)[:80]
    rows[1]["image"] = "not base64!"
    rows[2]["image"] = ""
    rows[3]["answer"] = 4
    rows[4]["answer_options"] = ["door", "door", "table", "cart"]
    write_json(tmp_path / "embspatial_bench.json", [*rows, {"question": "?"}, 7])
    expect(monkeypatch, "embspatial", 8)
    found = read_benchmark(config("embspatial", tmp_path))
    assert [row.name for row in found.failed] == [f"embspatial_bench.json:{n}" for n in (1, 2, 3, 4, 5, 7, 8)]
    said = ("cannot be decoded", "no base64", "missing", "number of none", "name one twice", "no row of", "no row of")
    assert all(word in row.reason for word, row in zip(said, found.failed, strict=True))
    assert len(found.records) == 1


def test_rows_of_mmbench_without_answer_picture_or_options_fail_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        mmbench_row(1, base64_picture(1)),
        mmbench_row(2, "99"),
        mmbench_row(3, base64_picture(3), answer=""),
        mmbench_row(4, base64_picture(4), B="nan", answer="A"),
        mmbench_row(5, "1"),
    ]
    mmbench(tmp_path / "MMBench_DEV_EN.tsv", rows)
    expect(monkeypatch, "mmbench-spatial", 5)
    found = read_benchmark(config("mmbench-spatial", tmp_path))
    assert [row.name.rpartition(":")[2] for row in found.failed] == ["2", "3", "4"]
    assert len({record.image_id for record in found.records}) == 1 and len(found.records) == 2
    table = (tmp_path / "MMBench_DEV_EN.tsv").read_text().replace("category", "kind")
    (tmp_path / "MMBench_DEV_EN.tsv").write_text(table)
    with pytest.raises(RecordError, match="lacks the columns category"):
        read_benchmark(config("mmbench-spatial", tmp_path))


def test_no_name_of_a_photo_leaves_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.jpg").write_bytes(picture(1))
    wicked = ["../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "..", "", ["14_1", "14_2"]]
    write_seed(tmp_path / "seed", [seed_row(1), *(seed_row(2, data_id=name) for name in wicked)])
    expect(monkeypatch, "seed-spatial", 7)
    found = read_benchmark(config("seed-spatial", tmp_path / "seed"))
    assert len(found.records) == 1 and len(found.failed) == len(wicked)
    assert all("not the plain name" in row.reason for row in found.failed)


def test_hidden_answers_and_several_pictures_fail_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [dict(BLINK[0]), {**BLINK[1], "answer": "hidden"}, {**BLINK[2], "image_2": embedded(9)}]
    rows.append({**BLINK[3], "image_1": {"bytes": None, "path": "3.jpg"}})
    parquet(tmp_path / RELEASED["blink-spatial"].file, rows)
    expect(monkeypatch, "blink-spatial", 4)
    found = read_benchmark(config("blink-spatial", tmp_path))
    assert len(found.records) == 1
    said = ("letter of none", "several pictures", "missing")
    assert all(word in row.reason for word, row in zip(said, found.failed, strict=True))
    parquet(tmp_path / RELEASED["blink-spatial"].file, [{"idx": "1"}])
    with pytest.raises(RecordError, match=r"columns question, choices, answer; .* 'vsre fetch blink-spatial'"):
        read_benchmark(config("blink-spatial", tmp_path))


@pytest.mark.parametrize("layout", ["position", "MME_Benchmark_release_version/MME_Benchmark/position", "."])
def test_mme_is_found_where_its_archive_unpacks_it_and_in_both_layouts(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(monkeypatch, "mme-position", 6)
    folder = tmp_path / layout
    mme(folder, MME)
    flat = read_benchmark(config("mme-position", tmp_path))
    for name, ending in (("questions_answers_YN", "txt"), ("images", "jpg")):
        (folder / name).mkdir()
        for path in folder.glob(f"*.{ending}"):
            path.rename(folder / name / path.name)
    split = read_benchmark(config("mme-position", tmp_path))
    assert flat.records == split.records and len(split.records) == 6


def test_a_single_file_is_no_selection_of_mme(tmp_path: Path) -> None:
    mme(tmp_path, MME)
    with pytest.raises(RecordError, match=r"0001\.txt is a file; .* name the folder"):
        read_benchmark(config("mme-position", tmp_path, annotations=str(tmp_path / "000000000001.txt")))


def test_lines_of_mme_that_are_none_fail_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mme(tmp_path / "position", {**MME, "000000000009": f"{ASKED} Yes\n{OTHER}\tMaybe\n\n"})
    expect(monkeypatch, "mme-position", 8)
    found = read_benchmark(config("mme-position", tmp_path))
    assert [row.name for row in found.failed] == ["000000000009.txt:1", "000000000009.txt:2"]


def test_pictures_of_a_table_are_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [emb_row(n % 5, f"{n}") for n in range(20)]
    write_json(tmp_path / "embspatial_bench.json", rows)
    expect(monkeypatch, "embspatial", 20)
    found = read_benchmark(config("embspatial", tmp_path))
    assert len(found.images) == 5
    held = {type(value) for value in vars(found.images).values()}
    assert bytes not in held and {row.image for row in found.images.values()} == {picture(n) for n in range(5)}
