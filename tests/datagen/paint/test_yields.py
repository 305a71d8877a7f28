"""The yield table: shares, intervals and VISOR counted from rows, and nothing divided by nothing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from datagen.card import write_card
from datagen.config import DatagenConfig, ExportConfig, ImportConfig, YieldConfig
from datagen.export.run import export, import_folder
from datagen.paint.run import run_painted
from datagen.paint.stages import Parts
from datagen.paint.yield_run import count_yield, named_runs, painted_rows, show_yield
from datagen.paint.yield_show import card_lines, cells, tables, visor_text
from datagen.paint.yields import ALL, PARTNER, Attempted, Visor, attempted, yields
from datagen.verify.base import Verdict
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError
from spatial.proportion import Proportion, wilson

PRESENT, ABSENT = Verdict("presence", "passed"), Verdict("presence", "failed", "missing")
HOLDS, BROKEN = Verdict("relation", "passed"), Verdict("relation", "failed", "contradicted")
UNREAD = Verdict("relation", "skipped", "needs poses")
MOVED = Verdict("layout", "failed", "moved")

RIGHT, WRONG, GONE = (PRESENT, HOLDS), (PRESENT, BROKEN), (ABSENT, Verdict("relation", "skipped", "not found"))


def row(
    verdicts: tuple[Verdict, ...], kept: bool = False, spec: str = "s", number: int = 0, relation: str = "on"
) -> Attempted:
    """Return a painted picture."""
    return Attempted(relation, "engine", True, spec, number, verdicts, kept)


def test_each_column_counts_what_it_says() -> None:
    rows = [row(RIGHT, True), row(RIGHT, True), row(RIGHT), row((PRESENT, MOVED, HOLDS)), row(WRONG), row(GONE)]
    rows += [row((PRESENT, UNREAD), True)]
    line, total = yields(rows, {("", "on", "engine", True): 12.0})
    assert (line.relation, total.relation) == ("on", ALL)
    assert line.attempts == 7
    assert line.objects == Proportion(6, 7)
    assert line.unconditional == Proportion(4, 6) and line.unread == 1
    assert line.conditional == Proportion(4, 5)
    assert line.passed == Proportion(4, 7) and line.accepted == Proportion(3, 7)
    assert line.reasons == {"layout: moved": 1, PARTNER: 1, "presence: missing": 1, "relation: contradicted": 1}
    assert line.seconds == 4.0
    assert line.objects.ci95 == wilson(6 / 7, 7)


def test_what_could_not_be_read_even_if_it_were_right_is_in_no_visor_column() -> None:
    rows = [replace(row(verdicts), readable=False) for verdicts in (RIGHT, GONE, (PRESENT, UNREAD))] + [row(GONE)]
    line, _ = yields(rows)
    assert line.unread == 3 and line.unconditional == Proportion(0, 1) and line.conditional == Proportion(0, 0)
    assert line.objects == Proportion(2, 4), "objects are counted all the same"


def test_visor_n_is_of_the_first_four_pictures_of_specs_that_have_four() -> None:
    answers = {"a": "rrrr", "b": "rrgw", "c": "gggg", "d": "rrr", "e": "ggggrrrr"}
    verdicts = {"r": RIGHT, "w": WRONG, "g": GONE}
    rows = [
        row(verdicts[letter], spec=spec, number=number)
        for spec, letters in answers.items()
        for number, letter in enumerate(letters)
    ]
    line, _ = yields(list(reversed(rows)))
    assert line.visor == Visor((Proportion(2, 4), Proportion(2, 4), Proportion(1, 4), Proportion(1, 4)))
    assert yields(rows[:3])[0].visor == Visor()


def test_specs_that_visor_n_leaves_out_are_counted() -> None:
    answers = {"a": "rrrr", "b": "rurr", "c": "rurrr", "d": "rrrru", "e": "uuu"}
    verdicts = {"r": RIGHT, "u": (PRESENT, UNREAD)}
    rows = [
        row(verdicts[letter], spec=spec, number=number)
        for spec, letters in answers.items()
        for number, letter in enumerate(letters)
    ]
    line, _ = yields(rows)
    assert line.visor == Visor((Proportion(2, 2),) * 4, unread=2), (
        "the first four count, not the first four that were read"
    )
    assert "100.0 / 100.0 / 100.0 / 100.0 (of 2, 2 unread)" in cells(line)
    assert line.as_json()["visor_4"]["of"] == line.as_json()["visor_specs_unread"] == 2
    [nothing] = {visor_text(it.visor) for it in yields([it for it in rows if it.spec == "b"])}
    assert nothing == "- (1 unread)"


def test_with_nothing_found_or_accepted_nothing_is_divided_by_nothing() -> None:
    line, total = yields([row(GONE), row(GONE)], {("", "on", "engine", True): 3.0})
    assert line.conditional == Proportion(0, 0) and line.conditional.value is None and line.conditional.ci95 is None
    assert line.seconds is None and total.accepted.ci95 == wilson(0.0, 2)
    assert yields([]) == [] and card_lines([]) == []
    shown = json.dumps(line.as_json(), allow_nan=False)
    assert json.loads(shown)["visor_conditional"] == {"count": 0, "of": 0, "share": None, "ci95": None}
    console = Console(width=200, record=True, file=None)
    with console.capture():
        console.print(*tables([line, total]))


def test_with_and_without_control_are_lines_of_their_own() -> None:
    without = replace(row(GONE), control=False)
    lines = yields([row(RIGHT, True), without, replace(without, engine="another")])
    assert [(line.engine, line.control, line.relation) for line in lines] == [
        ("another", False, "on"),
        ("another", False, ALL),
        ("engine", True, "on"),
        ("engine", True, ALL),
        ("engine", False, "on"),
        ("engine", False, ALL),
    ]
    assert any("engine, prompt alone" in line for line in card_lines(lines))


pictures = st.builds(
    row,
    st.sampled_from([RIGHT, WRONG, GONE, (PRESENT, UNREAD), (PRESENT, MOVED, HOLDS), ()]),
    spec=st.sampled_from("abc"),
    number=st.integers(0, 5),
    relation=st.sampled_from(["on", "under"]),
)


@given(st.lists(pictures, min_size=1), st.randoms())
def test_lines_add_up_and_do_not_depend_on_the_order_of_rows(rows: list[Attempted], random: object) -> None:
    kept = [replace(it, kept=it.passed and it.spec == "a") for it in rows]
    lines = yields(kept)
    *each, total = lines
    assert total.attempts == sum(line.attempts for line in each) == len(kept)
    for line in lines:
        assert line.accepted.count + sum(line.reasons.values()) == line.attempts
        assert line.accepted.count <= line.passed.count <= line.objects.count
        assert line.conditional.count == line.unconditional.count <= line.objects.count
        assert line.unconditional.total + line.unread == line.attempts
        assert list(line.visor.shares) == sorted(line.visor.shares, key=lambda share: -share.count)
    if len({(it.spec, it.number, it.relation) for it in kept}) == len(kept):
        random.shuffle(kept)  # type: ignore[attr-defined]
        assert yields(kept) == lines


def test_what_no_engine_painted_is_not_counted(painted: Path) -> None:
    assert attempted('{"relation": "on"}', "{}", True) is None
    rows = list(painted_rows(painted))
    assert (
        len(rows) == 48 and sum(it.kept for it in rows) == json.loads((painted / "yield.json").read_text())["accepted"]
    )


def test_the_table_is_written_again_from_what_is_stored(painted: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(painted, tmp_path / "copy"))
    first = (folder / "yield.json").read_text()
    (folder / "yield.json").unlink()
    (folder / "yield.png").unlink()
    assert show_yield(YieldConfig(str(folder))).read_text() == first
    assert (folder / "yield.png").stat().st_size > 1000
    for damaged in ("[{}]", "{", "[1]"):
        next(iter(sorted((folder / "times").iterdir()))).write_text(damaged)
        rows = json.loads(show_yield(YieldConfig(str(folder))).read_text())["rows"]
        assert all(line["seconds_per_accepted"] is None for line in rows)
    shutil.rmtree(folder / "times")
    content = json.loads(show_yield(YieldConfig(str(folder))).read_text())
    assert all(line["seconds_per_accepted"] is None for line in content["rows"])
    assert content["attempts"] == 48


@pytest.mark.slow
def test_runs_with_and_without_control_stand_in_one_table(
    small: DatagenConfig, parts: Parts, painted: Path, tmp_path: Path
) -> None:
    without = run_painted(replace(small, engine=replace(small.engine, without_control=True)), parts)
    assert without
    folder = Path(shutil.copytree(painted, tmp_path / "copy"))
    content = json.loads(show_yield(YieldConfig(str(folder), [str(without)])).read_text())
    totals = {line["control"]: line for line in content["rows"] if line["relation"] == ALL}
    assert totals[True]["attempts"] == totals[False]["attempts"] == 48
    for control, place in ((True, folder), (False, without)):
        assert totals[control]["accepted"]["count"] == len(DatasetFolder(place).images)


def test_runs_of_one_engine_in_one_table_stay_apart(painted: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(painted, tmp_path / "other" / painted.name))
    for path in (other / "times").iterdir():
        path.unlink()
    alone = count_yield([painted])
    lines = count_yield([painted, other])
    first, second = lines[: len(alone)], lines[len(alone) :]
    assert {line.run for line in first} == {f"{painted.parent.name}/{painted.name}"}
    assert {line.run for line in second} == {f"other/{painted.name}"}
    assert [replace(line, run="") for line in first] == alone, "the seconds of one run do not depend on the other's"
    assert [replace(line, run="") for line in second] == [replace(line, seconds=None) for line in alone]
    assert [str(table.title).split(": what")[0] for table in tables(lines)[::2]] == [
        f"{painted.parent.name}/{painted.name}: copyist",
        f"other/{painted.name}: copyist",
    ]


def test_a_folder_that_is_named_twice_is_not_counted_twice(painted: Path) -> None:
    assert named_runs([Path("a/b")]) == {"": Path("a/b")}
    assert list(named_runs([Path("x/b"), Path("y/b"), Path("c")])) == ["x/b", "y/b", f"{Path.cwd().name}/c"]
    with pytest.raises(ConfigError, match="is named twice"):
        show_yield(YieldConfig(str(painted), [f"{painted}/../{painted.name}"]))


def test_the_card_shows_yields_and_not_what_depends_on_the_machine(painted: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(painted, tmp_path / "copy"))
    text = (folder / "README.md").read_text()
    assert "## Yield" in text and "| all relations | 48 |" in text and "partner: rejected" in text
    assert "s/accepted" not in text
    shutil.rmtree(folder / "times")
    write_card(folder)
    assert (folder / "README.md").read_text() == text


def test_a_folder_of_renders_has_no_yield(rendered: Path) -> None:
    with pytest.raises(RecordError, match=r"was painted; name a folder"):
        show_yield(YieldConfig(str(rendered)))
    assert "## Yield" not in (rendered / "README.md").read_text()


def test_what_was_imported_without_its_rejected_pictures_has_no_yield(painted: Path, tmp_path: Path) -> None:
    source = export(ExportConfig(str(painted), "webdataset", str(tmp_path / "export")))
    folder = import_folder(ImportConfig(str(source), str(tmp_path / "back")))
    assert "## Yield" in (source / "README.md").read_text() and "## Yield" not in (folder / "README.md").read_text()
    with pytest.raises(RecordError, match="was imported without the pictures that were rejected"):
        show_yield(YieldConfig(str(folder)))
