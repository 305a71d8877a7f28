"""The gallery in a browser: filters that are kept in the address, passes, boxes, phones, and colours one can read."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from spatial.dataset import DatasetFolder
from vsre.config import GalleryConfig
from vsre.gallery.run import write_gallery
from vsre.pages import TEMPLATES
from vsre.site.chart import PALETTE

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), "")
needs_browser = pytest.mark.skipif(not BROWSER, reason=f"none of {', '.join(BROWSERS)} is installed")

PROBE = """<script id="probe">
(async () => {
  const form = document.getElementById("filters"), found = {};
  const set = (name, value) => {
    const field = form.elements[name];
    if (field.type === "checkbox") field.checked = value; else field.value = value;
    form.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const visible = () => [...document.querySelectorAll("article.group")].filter((e) => e.checkVisibility());
  const keys = () => visible().map((e) => e.dataset.key).sort();
  const look = () => ({ keys: keys(), hash: location.hash, count: document.getElementById("count").textContent });
  const opacity = () => getComputedStyle(document.querySelector("svg.boxes")).opacity;
  const seen = () => [...document.querySelectorAll(".picture img")].filter((e) => e.checkVisibility());
  const settle = () => new Promise((done) => setTimeout(done, 50));
  found.start = look();
  set("relation", "left of"); found.relation = look();
  found.left = [...form.elements.category.options].map((option) => option.textContent);
  set("q", "no such words"); found.nothing = look();
  found.message = document.getElementById("nothing").checkVisibility();
  form.reset(); await settle(); found.reset = look();
  set("pass", "depth"); found.depth = [...new Set(seen().map((image) => image.dataset.pass))];
  found.legend = document.querySelector(".legend").textContent;
  set("pass", ""); found.stored = seen().filter((image) => image.dataset.pass).length;
  found.before = opacity(); set("boxes", true); found.after = opacity(); set("boxes", false);
  set("topic", "statement: count");
  found.rows = [...new Set([...document.querySelectorAll("tr[data-topic]")].filter((e) => e.checkVisibility())
    .map((row) => row.dataset.topic))];
  location.hash = "#" + new URLSearchParams({ relation: "on", q: "WORD" }); await settle(); found.linked = look();
  found.fields = [form.elements.relation.value, form.elements.q.value, form.elements.topic.value];
  found.focusable = [...form.elements].every((field) => field.tabIndex === 0);
  const phone = document.createElement("iframe"), copy = document.documentElement.cloneNode(true);
  copy.querySelector("#probe").remove();
  Object.assign(phone, { width: 390, height: 800, srcdoc: `<!doctype html>${copy.outerHTML}` });
  await new Promise((done) => { phone.onload = done; document.body.append(phone); });
  const inner = phone.contentDocument;
  for (const figure of inner.querySelectorAll("figure")) figure.style.setProperty("--w", 128);
  const tops = (row) => [...row.children].map((e) => e.getBoundingClientRect().top);
  found.phone = { window: phone.contentWindow.innerWidth, page: inner.documentElement.scrollWidth,
    panel: inner.getElementById("panel").open, tops: [...inner.querySelectorAll(".members")].map(tops) };
  phone.remove();
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(found);
  document.body.append(result);
  console.error("the probe is done");
})();
</script>"""


def browse(profile: Path, page: Path, state: dict[str, str]) -> tuple[str, list[str]]:
    """Open a page and return its elements after its scripts ran, and its console's lines."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,900"]
    options += [f"--user-data-dir={profile}", "--virtual-time-budget=5000", "--enable-logging=stderr", "--dump-dom"]
    command = [BROWSER, *options, f"{page.as_uri()}#{urlencode(state)}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return result.stdout, [line for line in result.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def page(renders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of all groups of the renders."""
    return write_gallery(GalleryConfig(str(renders), str(tmp_path_factory.mktemp("page")), per_relation=0))


@pytest.fixture(scope="module")
def probed(page: Path, word: str) -> dict[str, Any]:
    """What a script found that used the page, and looked at it in a frame as narrow as a phone."""
    text = page.read_text(encoding="utf-8").replace("</body>", f"{PROBE.replace('WORD', word.upper())}</body>")
    copy = page.with_name("probed.html")
    copy.write_text(text, encoding="utf-8")
    dom, console = browse(page.parent / "profile", copy, {})
    assert len(console) == 1 and "the probe is done" in console[0], (
        "the console's lines are seen, and there is no other"
    )
    match = re.search(r'<pre id="result">(.*?)</pre>', dom, flags=re.DOTALL)
    assert match
    found: dict[str, Any] = json.loads(html.unescape(match[1]))
    return found


def keys_of(renders: Path, relation: str, word: str = "") -> list[str]:
    """Return the groups that state a relation and hold a word, from the data."""
    records = DatasetFolder(renders).records
    stated = {record.group_id for record in records if (record.task, record.relation) == ("statement", relation)}
    told = {record.group_id for record in records if word in f"{record.caption} {record.answer}"}
    return sorted(stated & told)


@pytest.fixture(scope="module")
def word(renders: Path) -> str:
    """A word that one of the groups about "on" holds, and the other does not."""
    records = DatasetFolder(renders).records
    nouns = sorted({noun for record in records for noun in record.concepts})
    return next(noun for noun in nouns if len(keys_of(renders, "on", noun)) == 1)


@needs_browser
def test_an_address_with_filters_opens_on_them(page: Path, renders: Path, tmp_path: Path) -> None:
    dom, console = browse(tmp_path, page, {"relation": "on", "boxes": "1", "pass": "ids"})
    assert console == []
    articles = re.findall(r"<article [^>]*>", dom)
    shown = [re.findall(r'data-key="(\w+)"', tag)[0] for tag in articles if not re.search(r'hidden=""', tag)]
    assert len(articles) == 4 and sorted(shown) == keys_of(renders, "on")
    assert '<p id="count" role="status">2 of 4 groups</p>' in dom
    assert '<body class="boxed"' in dom and "ids: one colour per label" in dom


@needs_browser
def test_filters_narrow_the_page_and_are_kept_in_the_address(probed: dict[str, Any], renders: Path) -> None:
    everything = probed["start"]["keys"]
    assert len(everything) == 4 and probed["start"]["hash"] == ""
    relation = probed["relation"]
    assert relation["hash"] == "#relation=left+of" and relation["count"] == "2 of 4 groups"
    assert relation["keys"] == keys_of(renders, "left of")
    assert probed["left"] == ["all (2)", "Directional (0)", "Projective (2)", "Topological (0)"]
    assert probed["nothing"]["keys"] == [] and probed["nothing"]["count"] == "0 of 4 groups" and probed["message"]
    assert probed["reset"] == {"keys": everything, "hash": "", "count": "4 of 4 groups"}


@needs_browser
def test_a_changed_address_changes_the_filters(probed: dict[str, Any], renders: Path, word: str) -> None:
    assert probed["fields"] == ["on", word.upper(), ""]
    assert probed["linked"]["keys"] == keys_of(renders, "on", word)


@needs_browser
def test_passes_boxes_and_topics_are_shown_when_asked_for(probed: dict[str, Any]) -> None:
    assert probed["depth"] == ["depth"] and re.match(r"depth: [\d.]+ is white, [\d.]+ is black", probed["legend"])
    assert probed["stored"] == 0
    assert (probed["before"], probed["after"]) == ("0", "1")
    assert probed["rows"] == ["statement: count"]


@needs_browser
def test_on_a_phone_nothing_overflows_and_images_stay_side_by_side(probed: dict[str, Any]) -> None:
    phone = probed["phone"]
    assert phone["window"] == 390 and phone["page"] <= 390 and not phone["panel"]
    assert len(phone["tops"]) == 4 and all(len(tops) == 2 and 0 < tops[0] == tops[1] for tops in phone["tops"])
    assert probed["focusable"]


def colours(text: str) -> dict[str, tuple[float, ...]]:
    """Return the colours that a style sheet names, as RGB in 0..1."""
    named = {}
    for name, digits in re.findall(r"--(\w+): #([0-9a-f]{3,6})\b", text):
        full = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
        named[name] = tuple(int(full[place : place + 2], 16) / 255 for place in (0, 2, 4))
    return named


def contrast(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2)."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_has_contrast_in_both_modes(mode: str) -> None:
    light, _, dark = (TEMPLATES / "_style.css").read_text(encoding="utf-8").partition("prefers-color-scheme: dark")
    named = colours(light) | (colours(dark) if mode == "dark" else {})
    for text in ("ink", "soft", "right", "wrong", "link"):
        assert contrast(named[text], named["paper"]) >= 4.5 and contrast(named[text], named["pale"]) >= 4.5
    for answer, share in (("right", 0.14), ("wrong", 0.10)):
        pairs = zip(named[answer], named["paper"], strict=True)
        tinted = tuple(share * over + (1 - share) * under for over, under in pairs)
        assert contrast(named[answer], tinted) >= 4.5 and contrast(named["soft"], tinted) >= 4.5
    for mark in colours("".join(f"--{place}: {colour};" for place, colour in enumerate(PALETTE))).values():
        assert contrast(mark, named["paper"]) >= 3
