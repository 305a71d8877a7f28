"""Let the documents be right in two places: beside the code, as on GitHub, and as the site of ``make docs``.

MkDocs knows the files under ``docs/`` only, but pages link to README.md, CONTRIBUTING.md, settings files and the
licence as they lie in the repository. This hook (``hooks`` in mkdocs.yml) makes pages of the first two, copies the
other files that are linked, and turns the links round. Nothing is written outside the site.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]

PAGES = {"README.md": "readme.md", "CONTRIBUTING.md": "contributing.md"}
"""Documents beside ``docs/``, and their names in the site."""

LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(?=[)#])")
"""The target of a Markdown link or image that is no address and no place of the same page."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents of the root, and every file outside ``docs/`` that a document links to."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text()))
    for page in (
        *PAGES,
        *(f"docs/{file.src_uri}" for file in files.documentation_pages() if file.generated_by is None),
    ):
        for target in LINK.findall((ROOT / page).read_text()):
            path = _in_repository(page, target)
            outside = not path.startswith("docs/") and path not in PAGES
            if outside and (ROOT / path).is_file() and files.get_file_from_path(_in_site(path)) is None:
                files.append(File.generated(config, _in_site(path), content=(ROOT / path).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page to where the site has their targets."""
    sources = {name: source for source, name in PAGES.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    here = posixpath.dirname(page.file.src_uri)
    return LINK.sub(lambda link: posixpath.relpath(_in_site(_in_repository(source, link[1])), here or "."), markdown)


def _in_repository(page: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def _in_site(path: str) -> str:
    """Where a file of the repository is in the site; settings files and the licence are shown as text."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"repository/{path}.txt"
