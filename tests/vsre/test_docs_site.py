"""The documents make a whole site: every page is in its menu, links hold, and nothing is loaded from elsewhere."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.write_commands import HOMES, page
from tests.vsre.documents import PAGES
from vsre.commands import COMMANDS
from vsre.roots import ROOT
from vsre.settings import parse

OF_THE_ROOT = {"readme.md", "contributing.md"}
"""Pages that scripts/docs_site.py makes of README.md and CONTRIBUTING.md."""


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags (``!!python/name:``) say nothing about the menu."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)


def menu(entries: Any) -> Iterator[str]:
    """Yield the pages of a menu."""
    for entry in entries if isinstance(entries, list) else [entries]:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from menu(below)


def test_the_menu_names_every_page_once_and_no_other() -> None:
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)
    named = list(menu(settings["nav"]))
    assert len(named) == len(set(named))
    assert set(named) - OF_THE_ROOT == {path.name for path in PAGES if path.parent.name == "docs"}


def test_the_first_page_links_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "index.md").read_text()))
    assert linked == {path.name for path in PAGES if path.parent.name == "docs"} - {"index.md"}


def test_the_page_of_commands_says_what_the_code_says() -> None:
    written = (ROOT / "docs" / "commands.md").read_text()
    assert written == page(), "run: python scripts/write_commands.py"
    assert set(HOMES) <= set(COMMANDS)


def test_scripts_for_slurm_are_scripts_and_their_commands_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    scripts = re.findall(r"```slurm\n(.*?)```", (ROOT / "docs" / "cluster.md").read_text(), flags=re.DOTALL)
    assert len(scripts) == 4
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        (call,) = re.findall(r"^\.venv/bin/vsre (.*)$", script.replace("\\\n", ""), flags=re.MULTILINE)
        name, *arguments = (
            re.sub(r'"\$SLURM_ARRAY_TASK_ID"', "0", call).replace('"$SLURM_ARRAY_TASK_COUNT"', "2").split()
        )
        parse(name, arguments)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="mkdocs is not installed: make docs")
def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    for built in (tmp_path / "site").glob("*.html"):
        loaded = re.findall(
            r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"?(https?:[^\" >]+)", built.read_text()
        )
        assert not loaded, f"{built.name} loads {loaded}"
    shutil.rmtree(tmp_path / "site")
