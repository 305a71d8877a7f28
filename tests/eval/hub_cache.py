"""A hub cache of a test's own, from which nothing leads out."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest


def in_cache(folder: Path, hub_id: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a copy of a directory into a cache, and let that be the only place where a hub id is looked for."""
    home = cache / f"models--{hub_id.replace('/', '--')}"
    shutil.copytree(folder, home / "snapshots" / "abc")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
