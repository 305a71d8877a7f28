"""HTML pages from the templates beside this file; everything that came from data is escaped."""

from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"

GALLERY_PAGE = "gallery.html"
"""The file that ``vsre gallery`` writes, and that a report links."""

NAVIGATION = "<!-- navigation -->...<!-- end of navigation -->"
"""Where a page that is copied into a report gets the report's navigation."""


def template_environment() -> Environment:
    """Return the templates with the filters that they use."""
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    templates.filters |= {"percent": _percent, "interval": _interval}
    return templates


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"  # noqa: RUF001 - an en dash in the page


def _interval(ends: Any) -> Markup:
    return Markup("") if not ends else Markup(escape(f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"))
