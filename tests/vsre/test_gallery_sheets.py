"""Contact sheets: every image at full size, pixel for pixel, under the name of its relation."""

from pathlib import Path

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from spatial.dataset import DatasetFolder
from spatial.records import decode_image
from vsre.config import GalleryConfig
from vsre.gallery import sheets
from vsre.gallery.groups import SampleGroup, by_group, sample_group
from vsre.gallery.run import write_gallery
from vsre.gallery.sheets import draw_group, write_sheets


def samples(folder: Path) -> list[SampleGroup]:
    """Return all groups of a dataset folder."""
    data = DatasetFolder(folder)
    return [sample_group(key, records, data.images) for key, records in by_group(data.records, data.images)[0].items()]


def holds(sheet: np.ndarray, part: np.ndarray) -> bool:
    """Tell whether a picture (H, W, 3) holds another one pixel for pixel."""
    rows = sliding_window_view(sheet, (1, part.shape[1], 3))[:, :, 0, 0]
    starts = np.argwhere((rows == part[0]).all((-1, -2)))
    height = part.shape[0]
    return any(np.array_equal(sheet[y : y + height, x : x + part.shape[1]], part) for y, x in starts)


def test_each_relation_has_a_sheet_with_its_images_at_full_size(renders: Path, tmp_path: Path) -> None:
    groups = samples(renders)
    paths = write_sheets(tmp_path, groups, 0)
    assert [path.name for path in paths] == ["left-of.png", "off.png", "on.png", "right-of.png"]
    for path in paths:
        sheet = np.asarray(Image.open(path))
        relation = path.stem.replace("-", " ")
        for group in groups:
            for member in group.members:
                image = np.asarray(decode_image(member.image.image, ""))
                assert holds(sheet, image) == (relation in group.relations)


def test_many_groups_go_on_further_sheets(renders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "GROUPS_PER_SHEET", 1)
    names = [path.name for path in write_sheets(tmp_path, samples(renders), 0)]
    assert names == [f"{name}{part}.png" for name in ("left-of", "off", "on", "right-of") for part in ("", "-2")]


def test_a_sheet_has_as_many_groups_as_were_asked_for(renders: Path, tmp_path: Path) -> None:
    one, two = (Image.open(write_sheets(tmp_path / str(number), samples(renders), number)[0]).size for number in (1, 2))
    assert one[0] < two[0]


def test_true_and_false_stand_under_the_images_they_are_said_of(renders: Path) -> None:
    group = next(group for group in samples(renders) if group.relations[0] == "on")
    block = np.asarray(draw_group(group, "on"))
    below = block[sheets.LINE + group.members[0].image.height :]
    columns = [below[:, place * sheets.ANSWER_WIDTH :][:, : sheets.ANSWER_WIDTH] for place in (0, 1)]
    colours = [sheets.ANSWER_COLOURS[row.answers[place][0].text] for row in group.rows[:1] for place in (0, 1)]
    assert set(colours) == set(sheets.ANSWER_COLOURS.values())
    for column, colour in zip(columns, colours, strict=True):
        other = next(value for value in sheets.ANSWER_COLOURS.values() if value != colour)
        assert (column == colour).all(-1).any() and not (column == other).all(-1).any()


def test_photos_and_questions_without_a_relation_have_sheets_too(photos: Path, tmp_path: Path) -> None:
    write_gallery(GalleryConfig(str(photos), str(tmp_path), sheet=str(tmp_path / "sheets")))
    names = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert names == ["at-the-left-side-of.png", "no-relation.png"]
