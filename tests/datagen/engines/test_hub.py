"""Weights are found in folders, and by name in the hub's cache, with their revision; what is not to be had is said."""

from pathlib import Path
from typing import Any

import pytest

from datagen.config import EngineSettings
from datagen.engines.hub import HUB_NAME
from datagen.engines.registry import ENGINES, load_engine
from spatial.errors import CheckpointError

from .conftest import COMMIT, put_in_cache


def settings(model: Path | str, union: Path | str, **changed: Any) -> EngineSettings:
    return EngineSettings("sdxl-controlnet", str(model), str(union), steps=2, size=64, device="cpu", **changed)


@pytest.mark.parametrize("name", ["./weights", "/no/where", "weights", "a/b/c"])
def test_a_folder_that_is_not_there_is_said_so(union: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"weights {name} are not there; correct the path"):
        load_engine(settings(name, union))


def test_a_folder_has_no_revision(sdxl: Path, union: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a folder, which has no revision v2; leave revision away"):
        load_engine(settings(sdxl, union, revision="v2"))


def test_offline_a_hub_name_that_is_not_cached_says_how_to_fetch_it(union: Path, offline: Path) -> None:
    with pytest.raises(CheckpointError) as raised:
        load_engine(settings("me/my-sdxl@v1", union))
    assert "HF_HUB_OFFLINE is set" in str(raised.value)
    assert str(raised.value).endswith("run: hf download me/my-sdxl --local-dir DIR; then name DIR")


def test_offline_a_folder_that_is_built_like_a_hub_name_is_no_download(union: Path, offline: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not there; correct .*hf download OWNER/NAME --local-dir weights/sdxl$"):
        load_engine(settings("weights/sdxl", union))


def test_offline_a_hub_name_is_read_from_the_cache_with_its_revision(sdxl: Path, union: Path, offline: Path) -> None:
    put_in_cache(offline, "me/sdxl", sdxl)
    put_in_cache(offline, "me/union", union)
    facts = load_engine(settings("me/sdxl", f"me/union@{COMMIT}")).provenance
    assert facts["weights"]["revision"] == facts["control_weights"]["revision"] == COMMIT
    assert facts["weights"]["name"] == "me/sdxl" and len(facts["weights"]["sha256"]) == 4


def test_full_precision_is_fetched_where_the_hub_has_no_half(
    sdxl: Path, union: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(name: str, **given: Any) -> str:
        asked.append((name, given.get("variant"), given["revision"], given["use_safetensors"]))
        assert given["trust_remote_code"] is False
        if given.get("variant"):
            raise ValueError("You are trying to load model files of the `variant=fp16`, but no such ... are available.")
        return str(sdxl)

    monkeypatch.setattr("diffusers.DiffusionPipeline.download", download)
    engine = load_engine(settings("me/sdxl", union, dtype="bfloat16", revision="v2"))
    assert asked == [("me/sdxl", "fp16", "v2", True), ("me/sdxl", None, "v2", True)]
    assert engine.provenance["weights"]["name"] == "me/sdxl"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a/b", ("a/b", None, None)),
        ("a/b@main", ("a/b", None, "main")),
        ("a-1/b.2/c/d.safetensors", ("a-1/b.2", "/c/d.safetensors", None)),
        ("a/b/c.safetensors@v2", ("a/b", "/c.safetensors", "v2")),
        ("a/b/c", None),
        ("a", None),
    ],
)
def test_hub_names_are_taken_apart(name: str, parts: tuple[str | None, ...] | None) -> None:
    match = HUB_NAME.fullmatch(name)
    assert (match and match.groups()) == parts


def test_the_licence_of_the_engines_own_weights_is_known(sdxl: Path, union: Path, offline: Path) -> None:
    kind = ENGINES["sdxl-controlnet"]
    put_in_cache(offline, kind.default_model, sdxl)
    assert load_engine(settings("", union)).provenance["licence"] == f"{kind.licence}; control: not stated"
    put_in_cache(offline, "xinsir/controlnet-union-sdxl-1.0", union)
    assert load_engine(settings("", "")).provenance["licence"] == kind.licence
