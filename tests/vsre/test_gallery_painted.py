"""The gallery of painted data: accepted and rejected groups, each picture beside its render with its verdicts."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datagen.claim import REJECTED
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import RecordError
from vsre.config import GalleryConfig
from vsre.gallery.painted import ACCEPTED, pool_of
from vsre.gallery.run import write_gallery


def articles(page: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """Return facets and HTML of the groups of a page."""
    found = re.findall(
        r'<article [^>]*data-key="(\w+)" data-facets=\'([^\']*)\'>(.*?)</article>', page.read_text(), flags=re.DOTALL
    )
    return {key: (json.loads(facets), html) for key, facets, html in found}


@pytest.fixture(scope="module")
def page(painted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of all groups of a painted dataset."""
    return write_gallery(GalleryConfig(str(painted), str(tmp_path_factory.mktemp("page")), per_relation=0))


def test_accepted_and_rejected_groups_are_shown_with_their_verdicts(page: Path, painted: Path) -> None:
    shown, pool = articles(page), pool_of(DatasetFolder(painted))
    assert set(shown) == set(pool.painted) and len(shown) == 24
    for key, (facets, html) in shown.items():
        group = pool.painted[key]
        assert facets["verdict"] == [group.verdict] and facets["relation"]
        assert html.count("its render") == html.count('<div class="beside">') == len(group.names) == 2
        assert ("✗ presence" in html or "✗ relation" in html) == (group.verdict == REJECTED)
        assert set(facets["reason"]) <= {"presence: missing", "relation: contradicted", "partner: rejected"}
        assert bool(facets["reason"]) == (group.verdict == REJECTED)
        assert "Photo" in html or "photo" in html, "what was asked for stands below the picture"


def test_the_page_counts_what_was_rejected_too(page: Path, painted: Path) -> None:
    text, pool = page.read_text(), pool_of(DatasetFolder(painted))
    assert "All 24 groups of the dataset." in text
    for verdict in (ACCEPTED, REJECTED):
        number = sum(group.verdict == verdict for group in pool.painted.values())
        assert f'<tr><th scope="row">{verdict}</th><td>{number}</td><td>{number}</td></tr>' in text


def test_a_sample_has_as_many_rejected_as_accepted_groups_of_each_relation(painted: Path, tmp_path: Path) -> None:
    shown = articles(write_gallery(GalleryConfig(str(painted), str(tmp_path), per_relation=1, passes=False)))
    verdicts = [facets["verdict"][0] for facets, _ in shown.values()]
    assert verdicts.count(ACCEPTED) == verdicts.count(REJECTED) == 2
    assert 'class="beside"' not in "".join(html for _, html in shown.values()), "nothing is drawn again"


def test_renders_have_no_filter_by_verdict(renders: Path, tmp_path: Path) -> None:
    text = write_gallery(GalleryConfig(str(renders), str(tmp_path))).read_text()
    assert 'name="verdict"' not in text and 'name="reason"' not in text


def test_verdicts_that_cannot_be_read_are_named(painted: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(painted, tmp_path / "copy"))
    data = DatasetFolder(folder)
    rows = [replace(row, verdicts='{"presence": 1}') for row in data.read_images(0)]
    write_shard(folder, 0, rows, data.read_records(0))
    with pytest.raises(RecordError, match=r"verdicts .* cannot be read"):
        write_gallery(GalleryConfig(str(folder), str(tmp_path / "page")))


def test_what_was_rejected_of_a_shard_that_is_not_finished_is_not_shown(painted: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(painted, tmp_path / "copy"))
    (folder / "records" / "shard-00001.parquet").unlink()
    again = {
        json.loads(text)["painted"]["group"] for text in DatasetFolder(painted).read_column(1, "images", "provenance")
    }
    left = DatasetFolder(folder / REJECTED).read_column(1, "images", "provenance")
    again |= {json.loads(text)["painted"]["group"] for text in left}
    pool = pool_of(DatasetFolder(folder))
    assert left and set(pool.painted) == set(pool_of(DatasetFolder(painted)).painted) - again
    assert {record.group_id for record in pool.records} <= set(pool.painted)
    assert len(articles(write_gallery(GalleryConfig(str(folder), per_relation=0, passes=False)))) == 24 - len(again)
    for shard in (0, 2, 3):
        (folder / REJECTED / "records" / f"shard-{shard:05d}.parquet").unlink()
    assert {group.verdict for group in pool_of(DatasetFolder(folder)).painted.values()} == {ACCEPTED}


def test_pictures_with_the_same_pixels_keep_their_own_verdicts(painted: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(painted, tmp_path / "copy"))
    taken = DatasetFolder(folder).read_images(0)[0]
    data = DatasetFolder(folder / REJECTED)
    first, second, *others = data.read_images(0)
    verdicts = '{"duplicate":{"status":"failed","reason":"same pixels"},"presence":{"status":"passed"}}'
    twins = [replace(it, image_id=taken.image_id, image=taken.image, verdicts=verdicts) for it in (first, second)]
    groups = [json.loads(it.provenance)["painted"]["group"] for it in (first, second)]
    missing = '{"presence":{"status":"failed","reason":"missing"}}'
    twins[1] = replace(twins[1], verdicts=missing, provenance=twins[1].provenance.replace(groups[1], "f" * 32))
    write_shard(folder / REJECTED, 0, [*twins, *others], [])
    shown = articles(write_gallery(GalleryConfig(str(folder), per_relation=0, passes=False)))
    assert "✗ duplicate" in shown[groups[0]][1] and shown[groups[0]][0]["reason"] == ["duplicate: same pixels"]
    assert "✗ presence" in shown["f" * 32][1] and "✗ duplicate" not in shown["f" * 32][1]
    accepted = json.loads(taken.provenance)["painted"]["group"]
    assert shown[accepted][0]["verdict"] == [ACCEPTED]
    assert "✗ presence" not in shown[accepted][1] and "✗ duplicate" not in shown[accepted][1]
