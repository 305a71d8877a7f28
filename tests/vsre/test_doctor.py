"""The doctor tells a healthy installation from the breakages that it knows, and names the mend."""

import hashlib
import shutil
from pathlib import Path

import pytest

import spatial.shipped
import vsre.assets
import vsre.roots
from spatial.errors import CheckpointError, UserError
from spatial.shipped import check_intact, damaged_files, shipped_folder
from vsre.assets import resolve_model
from vsre.cli import main
from vsre.config import DoctorConfig
from vsre.doctor import compiled_part_loads, examine, facts, low_disk
from vsre.roots import ROOT, foreign_packages


def test_this_installation_has_one_root() -> None:
    assert foreign_packages() == []


def test_a_package_from_elsewhere_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from vsre.cli import main

    monkeypatch.setattr(vsre.roots, "ROOT", tmp_path)
    lines = foreign_packages()
    assert len(lines) == 6
    assert str(ROOT / "spatial") in lines[0] and "pip install -e" in lines[0]
    assert main(["--help"]) == 2
    assert "package 'spatial'" in capsys.readouterr().err


def test_the_doctor_reports_versions_and_disk(capsys: pytest.CaptureFixture[str]) -> None:
    examine(DoctorConfig(free_gib=0.0))
    shown = capsys.readouterr().out
    assert "torch build" in shown and "disk free" in shown and "no problem found" in shown
    names = [name for name, _ in facts()]
    assert len(names) == len(set(names))


def test_a_full_disk_is_a_problem(tmp_path: Path) -> None:
    assert low_disk(tmp_path, 0.0) == []
    assert "free some" in low_disk(tmp_path, 1e9)[0]
    with pytest.raises(UserError, match="1 problem"):
        examine(DoctorConfig(free_gib=1e9))


def test_a_torchvision_that_cannot_be_loaded_is_told_from_a_good_one(tmp_path: Path) -> None:
    def refuse(path: str) -> object:
        raise OSError("libc10_cuda.so: cannot open shared object file")

    assert not compiled_part_loads(tmp_path)
    (tmp_path / "_C.so").touch()
    assert not compiled_part_loads(tmp_path, refuse)
    assert compiled_part_loads(tmp_path, lambda path: None)


def test_a_damaged_shipped_file_is_named(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    assert "SHA256SUMS is missing" in damaged_files(tmp_path)[0]
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(b'weights').hexdigest()}  model.safetensors\n")
    assert damaged_files(tmp_path) == []
    weights.write_bytes(b"other")
    assert str(weights) in damaged_files(tmp_path)[0]


def test_shipped_models_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vsre.assets, "ASSETS", tmp_path)
    (tmp_path / "tiny-base").mkdir()
    (tmp_path / "tiny-base" / "SHA256SUMS").touch()
    assert resolve_model("tiny-base") == str(tmp_path / "tiny-base")
    assert resolve_model("checkpoints/mine") == "checkpoints/mine"
    with pytest.raises(CheckpointError, match="did you mean 'tiny-base'"):
        resolve_model("tiny-bse")


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped models in place of them."""
    copied = tmp_path / "assets"
    shutil.copytree(spatial.shipped.ASSETS, copied)
    for module in (vsre.assets, spatial.shipped):
        monkeypatch.setattr(module, "ASSETS", copied)
    return copied


@pytest.mark.parametrize("name", ["tiny-base/model.safetensors", "tiny-base/tokenizer.json"])
def test_a_flipped_byte_of_a_shipped_model_stops_a_command_with_one_line(
    shipped: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((shipped / name).read_bytes())
    data[len(data) // 2] ^= 1
    (shipped / name).write_bytes(data)
    assert main(["eval", "--model", "tiny-base", "--data.path", str(shipped)]) == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and f"{shipped / name} differs from its checksum; restore it with 'git checkout" in error


def test_a_flipped_byte_of_a_verifier_or_painter_is_told_where_it_is_loaded(shipped: Path) -> None:
    for name, weights in (("tiny-verifier", "model.safetensors"), ("tiny-depth", "unet/config.json")):
        assert shipped_folder(name) == shipped / name
        check_intact.cache_clear()
        (shipped / name / weights).write_bytes(b"x" + (shipped / name / weights).read_bytes()[1:])
        with pytest.raises(CheckpointError, match="differs from its checksum"):
            shipped_folder(name)


def test_a_damaged_base_is_told_where_its_shipped_adapter_is_asked_for(shipped: Path) -> None:
    assert resolve_model("tiny-expert") == str(shipped / "tiny-expert")
    check_intact.cache_clear()
    weights = shipped / "tiny-base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match=r"tiny-base/model\.safetensors differs from its checksum"):
        resolve_model("tiny-expert")
