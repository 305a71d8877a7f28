"""``vsre gallery``: one page that needs nothing from elsewhere, shows the data, and says what it leaves out."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import ConfigError, RecordError
from spatial.records import ImageRow, Record
from vsre.cli import main
from vsre.config import GalleryConfig
from vsre.gallery.groups import FACETS
from vsre.gallery.run import write_gallery

VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """The elements of a page, and which of them were not closed in their place."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.misplaced: list[str] = []
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.misplaced.append(tag)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(renders: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of all groups of the renders."""
    return Page(write_gallery(GalleryConfig(str(renders), str(tmp_path_factory.mktemp("page")), per_relation=0)))


def test_the_page_is_whole_and_loads_nothing(page: Page) -> None:
    assert page.misplaced == [] and page.open == []
    sources = [attributes.get("src") or attributes.get("href") or "" for _, attributes in page.elements]
    assert all(source.startswith(("data:", "#")) for source in sources if source)
    assert not re.search(r"url\(|@import|https?://", page.text)


def test_every_group_shows_its_images_with_what_they_show_and_their_objects(page: Page, renders: Path) -> None:
    data = DatasetFolder(renders)
    stored = [image for image in page.all("img") if "data-pass" not in image]
    assert len(stored) == len(data.images) == 8
    dense = {r.caption for r in data.records if (r.task, r.topic) == ("caption", "scene")}
    assert {image["alt"] for image in stored} == dense
    assert len(page.all("svg")) == 8
    assert len(page.all("g")) == sum(len(row.objects) for row in data.images.values())
    for row in data.images.values():
        assert all(f">{item.colour} {item.name}</text>" in page.text for item in row.objects)


def test_statements_say_true_or_false_of_each_image(page: Page, renders: Path) -> None:
    records = [r for r in DatasetFolder(renders).records if r.task == "statement"]
    for answer in ("true", "false"):
        assert page.text.count(f"&nbsp;{answer}</span>") == sum(r.answer == answer for r in records)
    for record in records:
        assert html.escape(record.caption) in page.text


def test_passes_are_listed_once_and_drawn_for_every_image(page: Page) -> None:
    drawn = [image["data-pass"] for image in page.all("img") if "data-pass" in image]
    names = ["depth", "ids", "parts", "normals", "edges", "masks"]
    assert [drawn.count(name) for name in names] == [8] * 6 and len(drawn) == 48
    assert re.findall(r"<option>(\w+)</option>", page.text) == names


def test_filters_have_labels_and_the_numbers_of_the_groups(page: Page) -> None:
    groups = [json.loads(str(group["data-facets"])) for group in page.all("article")]
    assert len(groups) == 4
    for name in FACETS:
        assert f'<select name="{name}" data-facet>' in page.text
        for value in {value for group in groups for value in group[name]}:
            number = sum(value in group[name] for group in groups)
            assert f'<option value="{html.escape(value)}">{html.escape(value)} ({number})</option>' in page.text
    labelled = re.findall(r"<label[^>]*>.*?</label>", page.text, flags=re.DOTALL)
    fields = [tag for tag, attributes in page.elements if tag in ("select", "input")]
    assert len(labelled) == len(fields)


def test_the_same_settings_give_the_same_bytes(page: Page, renders: Path, tmp_path: Path) -> None:
    assert write_gallery(GalleryConfig(str(renders), str(tmp_path), per_relation=0)).read_text() == page.text


def test_a_sample_says_so_and_holds_every_relation(renders: Path, tmp_path: Path) -> None:
    sample = Page(write_gallery(GalleryConfig(str(renders), str(tmp_path), per_relation=1, passes=False)))
    assert "A sample: 2 of the 4 groups of the dataset, up to 1 for each relation, drawn with seed 0." in sample.text
    found = {name for group in sample.all("article") for name in json.loads(str(group["data-facets"]))["relation"]}
    assert found == {"left of", "right of", "on", "off"}
    assert not [image for image in sample.all("img") if "data-pass" in image]


def test_a_full_page_stops_and_says_what_is_missing(renders: Path, page: Page, tmp_path: Path) -> None:
    frame = len(page.text) - sum(map(len, re.findall(r"<article.*?</article>", page.text, flags=re.DOTALL)))
    limit = (len(page.text) - frame) / 2 / 2**20
    cut = Page(write_gallery(GalleryConfig(str(renders), str(tmp_path), per_relation=0, max_mib=limit)))
    shown = len(cut.all("article"))
    assert 1 <= shown < 4
    assert f"{4 - shown} of the 4 groups drawn did not fit" in cut.text
    assert len(cut.text) - frame <= limit * 2**20 + 500
    tiny = Page(write_gallery(GalleryConfig(str(renders), str(tmp_path), max_mib=0.001)))
    assert len(tiny.all("article")) == 1


def test_photos_have_boxes_and_no_passes_and_their_text_is_escaped(photos: Path, tmp_path: Path) -> None:
    shown = Page(write_gallery(GalleryConfig(str(photos), str(tmp_path))))
    assert shown.misplaced == [] and len(shown.all("article")) == 3 and len(shown.all("img")) == 4
    assert len(shown.all("svg")) == 1 and "The cat is at the left side of the &lt;sofa&gt;." in shown.text
    assert "<sofa>" not in shown.text and "COCO photo" in shown.text
    assert "Records of images that are not in the folder, left out: 1." in shown.text


def test_an_image_that_cannot_be_decoded_leaves_the_others(photos: Path, tmp_path: Path) -> None:
    rows = list(DatasetFolder(photos).images.values())
    broken = ImageRow("broken", rows[0].image[:40], 64, 48, "vsr")
    write_shard(tmp_path / "data", 0, [broken, rows[1]], [])
    shown = Page(write_gallery(GalleryConfig(str(tmp_path / "data"), sheet=str(tmp_path / "sheets"))))
    assert len(shown.all("article")) == 1
    assert "Group broken is left out: image broken cannot be decoded" in shown.text
    write_shard(tmp_path / "data", 0, [broken], [])
    with pytest.raises(RecordError, match=r"no group of .* can be shown: Group broken"):
        write_gallery(GalleryConfig(str(tmp_path / "data")))


def test_the_page_lies_in_the_dataset_folder_unless_told_otherwise(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = list(DatasetFolder(photos).images.values())[:1]
    write_shard(tmp_path / "data", 0, rows, [])
    assert main(["gallery", "data"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "data/gallery.html"
    assert main(["gallery", "--out=elsewhere", "data"]) == 0
    assert (tmp_path / "elsewhere" / "gallery.html").read_text() == (tmp_path / "data" / "gallery.html").read_text()
    assert DatasetFolder(tmp_path / "data").content_hash() and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "data is empty"),
        ({"data": "nowhere"}, "dataset folder nowhere does not exist"),
        ({"data": "d", "per_relation": -1}, "per_relation must be 0 or more, not -1"),
        ({"data": "d", "limit": -2}, "limit must be 0 or more"),
        ({"data": "d", "max_mib": 0.0}, "max_mib must be more than 0"),
    ],
)
def test_a_wrong_setting_is_said_in_one_line(settings: dict[str, str], message: str) -> None:
    with pytest.raises((ConfigError, RecordError), match=re.escape(message)) as error:
        write_gallery(GalleryConfig(**settings))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written_is_named(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file cannot be written .* another --out"):
        write_gallery(GalleryConfig(str(photos), str(tmp_path / "file")))
    with pytest.raises(ConfigError, match=r"file cannot be written .* another --sheet"):
        write_gallery(GalleryConfig(str(photos), str(tmp_path), str(tmp_path / "file")))


def test_a_dataset_without_images_is_said(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [], [Record("gone", "", "", "statement", "presence", "There is a cup.", "true")])
    with pytest.raises(RecordError, match="holds no image"):
        write_gallery(GalleryConfig(str(tmp_path)))
