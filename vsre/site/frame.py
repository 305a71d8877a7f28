"""The frame of a report's pages: one navigation for all, one folder with all that they need."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment

from spatial.files import atomic
from vsre import __version__
from vsre.pages import NAVIGATION, template_environment

ASSETS, STYLE, SCRIPT, PLOTLY = "assets", "site.css", "site.js", "plotly.min.js"
"""Folder beside the pages, and what lies in it."""

OWN = ("scores", "answers", "data", "training", "attention", "explanation", "provenance")
"""Pages beside the first one; those that a report does not have any more are removed."""


@dataclass(frozen=True)
class Page:
    """A page of the site.

    Attributes:
        file: its name in the folder.
        title: in the navigation, and its heading.
        template: "scores" is ``site_scores.html.j2``; "" of a page that is copied.
        about: what it shows, in a clause; "" of the first page.
        content: what its template needs.
        copied: a page that another command wrote, which only gets the navigation.
    """

    file: str
    title: str
    template: str
    about: str
    content: Mapping[str, Any] = field(default_factory=dict)
    copied: Path | None = None


def write_site(out: Path, title: str, pages: Sequence[Page]) -> None:
    """Write pages, and what they need, into a folder.

    Args:
        out: the folder.
        title: of the site.
        pages: in the order of the navigation; the first is the one to open.

    Raises:
        OSError: the folder cannot be written.
    """
    from plotly.offline import get_plotlyjs

    templates = template_environment()
    texts = {page.file: _text(templates, title, pages, page) for page in pages}
    texts |= {f"{ASSETS}/{name}": templates.get_template(name).render() for name in (STYLE, SCRIPT)}
    texts[f"{ASSETS}/{PLOTLY}"] = get_plotlyjs()
    for name in {f"{own}.html" for own in OWN} - set(texts):
        (out / name).unlink(missing_ok=True)
    for name, text in texts.items():
        with atomic(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _text(templates: Environment, title: str, pages: Sequence[Page], page: Page) -> str:
    if page.copied:
        navigation = templates.get_template("_navigation.html.j2").render(pages=pages, page=page)
        parts = NAVIGATION.split("...")
        place = re.compile(".*?".join(map(re.escape, parts)), re.DOTALL)
        return place.sub(lambda _: navigation.join(parts), page.copied.read_text(encoding="utf-8"), count=1)
    frame = {"title": title, "pages": pages, "page": page, "version": __version__}
    return templates.get_template(f"site_{page.template}.html.j2").render(**frame, **page.content)
