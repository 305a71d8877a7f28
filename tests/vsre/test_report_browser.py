"""The report's pages in a real browser, opened from disk: switches, filters, phones, paper, no message and no network.

Skipped where no Chromium or Chrome is installed.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from vsre.config import GalleryConfig
from vsre.gallery.run import write_gallery
from vsre.report import write_report

from .test_gallery_browser import BROWSER, needs_browser
from .test_report import evaluated as evaluated
from .test_report import settings

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; 'make setup-dev' does")

pytestmark = needs_browser

WIDTH = 360
"""Of a small phone, in CSS pixels."""

QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run")


@pytest.fixture(scope="module")
def site(
    evaluated: Path,
    renders: Path,
    attended: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A report with a gallery, attention and training beside two evaluations."""
    folder = tmp_path_factory.mktemp("browsed")
    write_gallery(GalleryConfig(str(renders), str(folder / "gallery"), passes=False))
    config = settings(evaluated, folder / "a report")
    config = replace(config, gallery=str(folder / "gallery"), attention={"expert": str(attended)})
    return write_report(config).parent


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    """A headless browser of the system; its profile is a folder that goes with it."""
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=BROWSER, args=list(QUIET))
        yield running
        running.close()


class Visit:
    """A page of the site in a window, and what went wrong in it."""

    def __init__(self, browser: "playwright.Browser", site: Path, width: int = 1280, colours: str = "light") -> None:
        self.site = site
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colours)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._note)

    def _note(self, request: "playwright.Request") -> None:
        if not request.url.startswith(("file://", "data:")):
            self.wrong.append(request.url)

    def open(self, name: str) -> "playwright.Page":
        """Go to a page."""
        self.page.goto((self.site / name).as_uri())
        return self.page


@pytest.fixture
def visit(browser: "playwright.Browser", site: Path) -> Iterator[Visit]:
    """A visit on a desktop, after which nothing must have gone wrong."""
    visiting = Visit(browser, site)
    yield visiting
    visiting.context.close()
    assert not visiting.wrong


def marks(page: "playwright.Page", chart: str) -> int:
    """Return how many marks a chart shows."""
    return page.locator(f"#{chart} .plot .scatterlayer .point").count()


def test_the_navigation_leads_through_all_pages(visit: Visit, site: Path) -> None:
    page = visit.open("index.html")
    names = page.locator("nav.site a").all_inner_texts()
    assert names == ["Overview", "Scores", "Answers", "Data", "Gallery", "Training", "Attention", "Provenance"]
    for name in names:
        page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()
        assert page.locator("nav.site a[aria-current=page]").inner_text() == name
        assert page.get_by_role("heading", level=1).count() == 1
        assert page.locator("main").count() == 1
        assert page.locator("img:not([alt])").count() == 0
        levels = [int(tag[1]) for tag in page.locator("h1, h2, h3").evaluate_all("all => all.map(one => one.tagName)")]
        assert all(after - before <= 1 for before, after in pairwise(levels))
    assert len(names) == len(list(site.glob("*.html")))


def test_a_switch_hides_a_model_and_the_rows_close_up(visit: Visit) -> None:
    page = visit.open("scores.html")
    switch = page.locator("#relations").get_by_role("button", name="base", exact=True)
    height = page.locator("#relations .plot").bounding_box()["height"]
    assert marks(page, "relations") == 4 and switch.get_attribute("aria-pressed") == "true"
    switch.focus()
    page.keyboard.press("Enter")
    assert marks(page, "relations") == 2 and switch.get_attribute("aria-pressed") == "false"
    assert page.locator("#relations .plot").bounding_box()["height"] < height
    page.locator("#relations").get_by_role("button", name="base+adaptvis").click()
    assert marks(page, "relations") == 4
    switch.click()
    assert marks(page, "relations") == 6


def test_pointing_at_a_mark_tells_its_interval_and_number(visit: Visit) -> None:
    page = visit.open("index.html")
    page.locator("#scores .plot .point").first.hover(force=True)
    said = page.locator("#scores .hoverlayer .hovertext").text_content()
    assert "50.0 (" in said and "n = 40" in said


def test_numbers_below_a_chart_unfold_with_the_keyboard(visit: Visit) -> None:
    page = visit.open("index.html")
    table = page.locator("#scores table")
    assert not table.is_visible()
    page.locator("#scores summary").focus()
    page.keyboard.press("Enter")
    assert table.is_visible() and table.locator("tbody tr").count() == 4
    page.reload()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_the_gallery_filters_in_the_report(visit: Visit) -> None:
    page = visit.open("gallery.html")
    shown = page.locator("article.group:visible")
    assert shown.count() == 4
    page.get_by_label("relation", exact=False).first.select_option("left of")
    assert 0 < shown.count() < 4 and page.locator("#count").inner_text() == f"{shown.count()} of 4 groups"
    page.get_by_role("button", name="Clear all").click()
    page.wait_for_function("document.getElementById('count').textContent.startsWith('4 of')")


def test_answers_are_filtered_by_relation_and_by_what_is_wrong(visit: Visit) -> None:
    page = visit.open("answers.html")
    shown = page.locator("article.example:visible")
    assert shown.count() == 40 and page.locator("#count").inner_text() == "40 of 40 statements"
    page.get_by_label("relation").select_option("above")
    assert shown.count() == 20
    page.get_by_label("answers").select_option("wrong: expert")
    assert shown.count() == 1 and "✗ wrong" in shown.inner_text()
    page.get_by_label("relation").select_option("left of")
    assert page.locator("#count").inner_text() == f"{shown.count()} of 40 statements"
    page.get_by_role("button", name="Clear all").click()
    page.wait_for_function("document.getElementById('count').textContent.startsWith('40 of')")


def test_a_picture_shows_its_objects_when_it_is_tapped(visit: Visit) -> None:
    page = visit.open("data.html")
    picture = page.locator(".example .picture").first
    picture.click()
    assert "pinned" in picture.get_attribute("class")


def test_no_page_is_wider_than_a_phone_also_in_the_dark(browser: "playwright.Browser", site: Path) -> None:
    visiting = Visit(browser, site, WIDTH, "dark")
    for path in sorted(site.glob("*.html")):
        page = visiting.open(path.name)
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH, path.name
        for plot in page.locator(".plot .main-svg:first-child").all():
            box = plot.bounding_box()
            assert box and box["x"] + box["width"] <= WIDTH
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
    visiting.context.close()
    assert not visiting.wrong


def test_paper_shows_what_is_folded_and_cuts_nothing(visit: Visit, tmp_path: Path) -> None:
    page = visit.open("index.html")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#scores table").is_visible() and not page.locator("nav.site").is_visible()
    assert page.locator("#scores .main-svg").first.bounding_box()["width"] <= 700
    assert page.locator("#scores .main-svg").first.bounding_box()["height"] <= 740
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_function("document.querySelector('#scores .main-svg').getBoundingClientRect().right < 800")
    assert page.locator("details[open]").count() == 0
    page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
