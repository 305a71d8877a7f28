"""Pushing to the hub, with a hub that only notes what it is sent."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from datagen.config import ExportConfig, ImportConfig
from datagen.export.run import export, import_folder
from spatial.dataset import DatasetFolder
from spatial.errors import UserError


def run(dataset: Path, to: str, out: Path, **settings: Any) -> Path:
    return export(ExportConfig(str(dataset), to, str(out), **settings))


class FakeHub:
    """Takes what would go to the hub."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, Any]] = []
        monkeypatch.setattr("huggingface_hub.HfApi.create_repo", self._create_repo)
        monkeypatch.setattr("huggingface_hub.HfApi.upload_file", self._upload_file)
        monkeypatch.setattr("datasets.DatasetDict.push_to_hub", self._push_to_hub)

    def _create_repo(self, repo_id: str, **settings: Any) -> Any:
        self.calls.append(("create", settings))
        return type("Url", (), {"repo_id": f"me/{repo_id}"})

    def _upload_file(self, path_or_fileobj: bytes, path_in_repo: str, repo_id: str, **settings: Any) -> None:
        self.calls.append((f"{repo_id}/{path_in_repo}", path_or_fileobj.decode()))

    def _push_to_hub(self, repo_id: str) -> None:
        self.calls.append(("push", repo_id))


def test_pushing_sends_the_card_first_and_then_the_rows(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub(monkeypatch)
    out = run(rendered, "datasets", tmp_path / "out", push_to="relations", private=True)
    files = ["me/relations/README.md", "me/relations/vsre.json"]
    assert [name for name, _ in hub.calls] == ["create", *files, "push"]
    assert hub.calls[0][1] == {"repo_type": "dataset", "private": True, "exist_ok": True}
    assert hub.calls[2][1] == (out / "vsre.json").read_text()
    assert hub.calls[3][1] == "me/relations"
    card, local = hub.calls[1][1], (out / "README.md").read_text()
    assert "configs:" in local and "configs:" not in card
    assert card.split("---")[-1] and "# Spatial relations" in card and "license: cc0-1.0" in card
    run(rendered, "datasets", out, push_to="relations")
    assert len(hub.calls) == 8


def test_what_was_pushed_comes_back(rendered: Path, tmp_path: Path) -> None:
    from datasets import load_dataset, load_from_disk

    out = run(rendered, "datasets", tmp_path / "out")
    parquet = {split: str(tmp_path / f"{split}.parquet") for split in ("train",)}
    for split, rows in load_from_disk(str(out)).items():
        rows.to_parquet(parquet[split])  # as the hub keeps them
    loaded = load_dataset("parquet", data_files=parquet, cache_dir=str(tmp_path / "cache"))
    loaded.save_to_disk(str(tmp_path / "down"))
    shutil.copy(out / "vsre.json", tmp_path / "down")
    back = import_folder(ImportConfig(str(tmp_path / "down"), str(tmp_path / "back")))
    assert DatasetFolder(back).content_hash() == DatasetFolder(rendered).content_hash()
    assert dict(DatasetFolder(back).images) == dict(DatasetFolder(rendered).images)


def test_a_hub_that_cannot_be_reached_is_one_line_and_the_export_is_kept(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeHub(monkeypatch)

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", offline)
    with pytest.raises(UserError, match=r"cannot push .* \(no route to host\); log in with 'hf auth login'"):
        run(rendered, "datasets", tmp_path / "out", push_to="relations")
    assert (tmp_path / "out" / "vsre.json").is_file()
