"""``vsre objects``: every object is shown with what is declared of it, those of the user first."""

import re
from pathlib import Path

import pytest
from PIL import Image

from datagen.assets import ASSETS, LIBRARY
from vsre import objects
from vsre.cli import main
from vsre.objects import PER_SHEET, TILE, portraits, row_of


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave three objects in the library."""
    for name in set(ASSETS) - {"bed", "bowl", "chair"}:
        monkeypatch.delitem(ASSETS, name)


def _box_obj(folder: Path) -> None:
    corners = [(x, y, z) for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    quads = [(1, 3, 4, 2), (5, 6, 8, 7), (1, 2, 6, 5), (3, 7, 8, 4), (1, 5, 7, 3), (2, 4, 8, 6)]
    lines = [f"v {x} {y} {z}" for x, y, z in corners] + [f"f {' '.join(map(str, quad))}" for quad in quads]
    folder.mkdir()
    (folder / "crate.obj").write_text("\n".join(lines) + "\n")
    (folder / "crate.yaml").write_text(
        "{name: crate, file: crate.obj, size: [1, 1, 1], up: z, front: -y, top: 1.0, under: 0}"
    )


def test_the_page_has_a_row_and_a_picture_of_every_object(few: None, tmp_path: Path) -> None:
    pytest.importorskip("trimesh")
    _box_obj(tmp_path / "own")
    out = tmp_path / "page"
    assert main(["objects", "--out", str(out), "--assets", str(tmp_path / "own")]) == 0
    page = (out / "objects.html").read_text(encoding="utf-8")
    rows = re.findall(r'<tr id="([^"]+)">.*?src="(data:image/png[^"]+)".*?</td><td>(\w*)</td>', page)
    assert [(name, group) for name, _, group in rows] == [
        ("crate", "yours"),
        ("bed", ""),
        ("bowl", ""),
        ("chair", "core"),
    ]
    assert len({picture for _, picture, _ in rows}) == 4
    sheet = Image.open(out / "objects-1.png")
    assert sheet.width > 8 * TILE and not (out / "objects-2.png").exists()
    assert "crate" not in ASSETS


def test_a_row_says_what_is_declared() -> None:
    row = row_of(LIBRARY["bed"], "")
    bed = LIBRARY["bed"]
    assert row.front == "yes" and row.support == f"at {bed.top:.0%} of its height" and "headboard" in row.parts
    assert row.below == f"to {bed.under:.0%} of its height"
    assert row_of(LIBRARY["bowl"], "").cavity.endswith("open at the top")
    assert row_of(LIBRARY["dining table"], "").long_axis == "width"


@pytest.mark.parametrize("name", ["person", "knife", "dining table"])
def test_a_portrait_holds_the_whole_object(name: str) -> None:
    """Nothing at the rim of a tile differs from an empty one's floor and sky by more than a shadow does."""
    strip = portraits(name)
    assert strip.size == (4 * TILE, TILE)
    for left in range(0, 4 * TILE, TILE):
        tile = strip.crop((left, 0, left + TILE, TILE)).convert("HSV")
        rim = [tile.getpixel((x, y)) for x in range(TILE) for y in (0, TILE - 1)]
        rim += [tile.getpixel((x, y)) for x in (0, TILE - 1) for y in range(TILE)]
        assert max(saturation for _, saturation, _ in rim) < 120


def test_objects_are_spread_over_sheets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(objects, "PER_SHEET", 3)
    monkeypatch.setattr(objects, "portraits", lambda name: Image.new("RGB", (4 * TILE, TILE)))
    assert main(["objects", "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.glob("objects-*.png"))) == -(-len(ASSETS) // 3) and PER_SHEET == 20


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["objects", "--assets", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["objects", "--asets", "x"]) == 2
    assert "did you mean 'assets'" in capsys.readouterr().err
