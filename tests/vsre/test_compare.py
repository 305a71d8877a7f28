"""Evaluations side by side: the pairs, their p-values, and the same tables on a page, in Markdown and in LaTeX."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eval.predictions import write_predictions
from eval.statistics import holm, mcnemar
from spatial.errors import ConfigError, RecordError
from vsre.cli import main
from vsre.compare import Row, compare_all, named, write_comparison
from vsre.compare_tables import escaped
from vsre.config import CompareConfig

from .test_report import predictions

ADAPTVIS = "adaptvis(a1=0.5,a2=1.2,beta=0.4)"


def write_run(folder: Path, right: dict[str, float]) -> str:
    rows = [row for decoder, share in right.items() for row in predictions(share, decoder, "image")]
    write_predictions(folder / "predictions.parquet", rows)
    (folder / "results.json").write_text(json.dumps({"config": {"decoders": list(right)}}))
    return str(folder)


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """A base at chance, little better with a decoder, and an expert."""
    base = write_run(tmp_path / "base", {"greedy": 0, ADAPTVIS: 0.2})
    return [base, write_run(tmp_path / "expert", {"greedy": 0.9, ADAPTVIS: 0.9})]


def test_every_two_rows_are_compared_and_adjusted_for_their_number(runs: list[str], tmp_path: Path) -> None:
    page = write_comparison(CompareConfig(runs, out=str(tmp_path / "out")))
    found = json.loads((page.parent / "comparison.json").read_text())
    assert list(found["rows"]) == ["base", "base+adaptvis", "expert", "expert+adaptvis"]
    pairs = {(pair["first"], pair["second"]): pair for pair in found["pairs"]}
    assert len(pairs) == 6
    best = pairs["base", "expert"]["found"]
    assert (best["n"], best["gained"], best["lost"]) == (40, 18, 0)
    assert best["p_value"] == pytest.approx(mcnemar([False] * 18 + [True] * 22, [True] * 40).p_value)
    assert best["difference"] == pytest.approx(0.45) and best["ci95"][0] < 0.45 < best["ci95"][1]
    adjusted = [pair["adjusted"] for pair in found["pairs"]]
    assert adjusted == pytest.approx(holm([pair["found"]["p_value"] for pair in found["pairs"]]))
    assert pairs["expert", "expert+adaptvis"]["adjusted"] == 1.0


def test_a_decoder_of_another_program_is_compared_by_its_name(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"greedy": 0, "median(low=0.5,high=2)": 0.5})
    page = write_comparison(CompareConfig([run], out=str(tmp_path / "out")))
    assert list(json.loads((page.parent / "comparison.json").read_text())["rows"]) == ["run", "run+median"]


def test_rows_without_a_question_in_common_are_not_adjusted_for() -> None:
    same = [Row(name, predictions(right, "greedy", "image"), {}) for name, right in (("base", 0), ("expert", 0.3))]
    elsewhere = [replace(row, template="other") for row in predictions(0.5, "greedy", "image")]
    alone, beside = compare_all(same), compare_all([*same, Row("other wording", elsewhere, {})])
    assert [pair.found["n"] for pair in beside] == [40, 0, 0]
    assert 0 < alone[0].adjusted == beside[0].adjusted < 0.1


def test_the_tables_say_the_same_on_the_page_and_as_text(runs: list[str], tmp_path: Path) -> None:
    page = write_comparison(CompareConfig(runs, names=["a & b", "c_d"], out=str(tmp_path)))
    html, markdown, latex = ((tmp_path / name).read_text() for name in (page.name, "comparison.md", "comparison.tex"))
    assert "+45.0*" in html and "+45.0*" in markdown and "+45.0*" in latex
    assert "a &amp; b" in html and "| a & b → c_d |" in markdown and r"a \& b $\rightarrow$ c\_d" in latex
    rows = [line.replace(r"\&", "") for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in rows} == {8}
    assert "left of" in html and "http" not in html


def test_folders_are_named_by_the_ends_of_their_paths(tmp_path: Path) -> None:
    folders = [str(tmp_path / "one" / "eval"), str(tmp_path / "two" / "eval")]
    assert list(named(CompareConfig(folders))) == ["one/eval", "two/eval"]
    assert list(named(CompareConfig([folders[0], "/elsewhere/other"]))) == ["eval", "other"]
    for names in (["a", "a", "b"], ["a", "a"], ["a"]):
        with pytest.raises(ConfigError, match=r"for 2 runs; give each its own"):
            named(CompareConfig(folders, names))


def test_mistakes_are_one_line(runs: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vsre compare A B"):
        write_comparison(CompareConfig([]))
    with pytest.raises(ConfigError, match="give each its own"):
        write_comparison(CompareConfig(runs, names=["one"]))
    alone = write_run(tmp_path / "alone", {"greedy": 0.5})
    with pytest.raises(ConfigError, match="nothing to compare"):
        write_comparison(CompareConfig([alone]))
    with pytest.raises(RecordError, match=r"there is no evaluation .*; did you mean 'alone'"):
        write_comparison(CompareConfig([alone, str(tmp_path / "alnoe")]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match="run the 'vsre eval' command"):
        write_comparison(CompareConfig([alone, str(tmp_path / "empty")]))


def test_the_command_takes_its_folders_without_a_name(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *runs, "--out", str(tmp_path / "out")]) == 0
    assert str(tmp_path / "out" / "index.html") in capsys.readouterr().out


def test_latex_takes_no_sign_for_a_command() -> None:
    assert escaped("50 % & $x_1$ {~^}\\") == (
        r"50 \% \& \$x\_1\$ \{\textasciitilde{}\textasciicircum{}\}\textbackslash{}"
    )
