"""HTML pages from the templates beside this file; everything that came from data is escaped."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from spatial.errors import ConfigError

TEMPLATES = Path(__file__).parent / "templates"

GALLERY_PAGE = "gallery.html"
"""The file that ``vsre gallery`` writes, and that a report links."""

NAVIGATION = "<!-- navigation -->...<!-- end of navigation -->"
"""Where a page that is copied into a report gets the report's navigation."""


@contextmanager
def writing(folder: Path, setting: str) -> Iterator[None]:
    """Say of what cannot be written which setting mends it.

    Raises:
        ConfigError: instead of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}); pass another --{setting}") from error


def template_environment() -> Environment:
    """Return the templates with the filters that they use."""
    templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    templates.filters["unbroken"] = unbroken
    return templates


def unbroken(text: str) -> str:
    """Return a text in which no line ends within "48.6 to 51.2", "< 0.001" or "n = 40"."""
    return re.sub(r"(?<=\d) to (?=-?\d)|(?<=<) (?=\d)|(?<=\bn) = ", lambda found: found[0].replace(" ", "\u00a0"), text)
