"""Cached features are what the towers compute, belong to one model and geometry, and survive kills and damage."""

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoders import cache_build
from encoders.cache import FeatureCache
from encoders.cache_build import Share, build_features, cache_features
from encoders.cache_key import feature_keys
from encoders.config import CacheFeaturesConfig
from encoders.load import load_model
from encoders.tower import FusedVisionModel
from spatial.dataset import DatasetFolder, write_shard
from spatial.errors import CheckpointError, ConfigError, RecordError
from spatial.records import ImageRow, encode_png, image_id_of

IMAGES, PER_SHARD, ENCODERS = 10, 4, ("clip", "sam")
ROOT = Path(__file__).parents[2]

Opened = tuple[FeatureCache, list[str], FusedVisionModel, torch.Tensor]


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_build, "SHARD_IMAGES", PER_SHARD)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = []
    for seed in range(IMAGES):
        pixels = np.random.default_rng(seed).integers(0, 256, (20 + seed, 30, 3), dtype=np.uint8)
        rows.append(ImageRow(image_id_of(pixels), encode_png(pixels), 30, 20 + seed, "render"))
    write_shard(tmp_path / "data", 0, rows, [])
    return tmp_path / "data"


@pytest.fixture
def config(build: Any, data: Path, tmp_path: Path) -> CacheFeaturesConfig:
    save(build(ENCODERS), tmp_path / "model")
    out = str(tmp_path / "features")
    return CacheFeaturesConfig(str(tmp_path / "model"), [str(data)], out, batch_size=PER_SHARD, device="cpu")


def save(pair: Any, folder: Path) -> None:
    for part in pair:
        part.save_pretrained(folder)


def opened(config: CacheFeaturesConfig) -> Opened:
    """Return the cache as a reader has it, the images, the towers and the canvases of all images."""
    model, processor = load_model(config.model, None if config.dtype == "auto" else getattr(torch, config.dtype))
    vision = model.model.vision_tower
    images = DatasetFolder(config.data[0]).images
    pictures = [cache_build.decode_image(images[image].image, image) for image in images]
    canvases = processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
    mend = cache_build.build_command(config.model, config.data, config.out, config.dtype)
    return (
        FeatureCache(config.out, feature_keys(vision, processor.image_processor), mend),
        list(images),
        vision,
        canvases,
    )


def shards(config: CacheFeaturesConfig, encoder: str = "*") -> list[Path]:
    return sorted(Path(config.out).glob(f"{encoder}-*/*.safetensors"))


def state(config: CacheFeaturesConfig) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(config.out).rglob("*") if path.is_file()}


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Images that were decoded, in this test."""
    names: list[str] = []
    stock = cache_build.decode_image
    monkeypatch.setattr(cache_build, "decode_image", lambda data, name: names.append(name) or stock(data, name))
    return names


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_features_are_those_of_the_same_batch_bit_by_bit_and_of_others_nearly(
    config: CacheFeaturesConfig, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(config, dtype=dtype)
    cache_features(config)
    assert "10 images" in capsys.readouterr().out
    cache, images, vision, canvases = opened(config)
    assert len(shards(config)) == 3 * len(ENCODERS)
    for start in range(0, IMAGES, PER_SHARD):
        batch = slice(start, start + PER_SHARD)
        found, expected = cache.read(images[batch]), vision(canvases[batch])
        for name in ENCODERS:
            assert found[name].dtype == getattr(torch, dtype) and torch.equal(found[name], expected[name])
    if dtype == "float32":
        order = list(reversed(range(IMAGES)))
        whole = vision(canvases[order])
        for name, feature in cache.read([images[index] for index in order]).items():
            torch.testing.assert_close(feature, whole[name], atol=1e-5, rtol=0)


def test_cached_features_give_the_model_the_same_logits(config: CacheFeaturesConfig) -> None:
    cache_features(config)
    cache, images, _, canvases = opened(config)
    model, _ = load_model(config.model)
    ids = torch.full((PER_SHARD, model.config.num_image_tokens + 2), model.config.image_token_index)
    ids[:, -2:] = 7
    cached = model(input_ids=ids, encoder_features=cache.read(images[:PER_SHARD])).logits
    assert torch.equal(cached, model(input_ids=ids, pixel_values=canvases[:PER_SHARD]).logits)


def test_what_is_there_is_not_computed_again(config: CacheFeaturesConfig, decoded: list[str]) -> None:
    cache_features(replace(config, encoders=["sam"]))
    assert len(decoded) == IMAGES and not shards(config, "clip")
    before = state(config)
    cache_features(config)
    assert len(decoded) == 2 * IMAGES, "each picture is decoded once for all encoders that lack it"
    assert {path: time for path, time in state(config).items() if path in before} == before
    cache_features(config)
    assert len(decoded) == 2 * IMAGES


def test_a_killed_run_goes_on_where_it_was(config: CacheFeaturesConfig, tmp_path: Path, decoded: list[str]) -> None:
    script = f"""
import os, signal
from encoders import cache_build
from encoders.config import CacheFeaturesConfig
cache_build.SHARD_IMAGES = {PER_SHARD}
stock, calls = cache_build.write_features, []
def write(folder, key, images, features):
    calls.append(key.encoder)
    if calls.count("sam") == 2:
        (folder / ".half.safetensors.tmp").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    return stock(folder, key, images, features)
cache_build.write_features = write
cache_build.cache_features(CacheFeaturesConfig(**{config.__dict__!r}))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert len(shards(config, "clip")) == 2 and len(shards(config, "sam")) == 1
    before = state(config)
    cache_features(config)
    # The second shard of SAM is computed again; that of CLIP was finished.
    assert len(decoded) == IMAGES - PER_SHARD
    assert {path: state(config)[path] for path in before} == before
    cache, images, vision, canvases = opened(config)
    assert torch.equal(cache.read(images[4:8])["sam"], vision(canvases[4:8])["sam"])


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 7)


def cut_header(path: Path) -> None:
    os.truncate(path, 5)


def remove(path: Path) -> None:
    path.unlink()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (truncate, "is truncated or damaged"),
        (cut_header, "is truncated or damaged"),
        (remove, "lacks features of 'clip' for 4 of 10 images"),
        (flip, "are damaged"),
    ],
)
def test_a_damaged_shard_is_one_line_and_its_command_mends_it(
    config: CacheFeaturesConfig, decoded: list[str], harm: Callable[[Path], None], says: str
) -> None:
    cache_features(config)
    whole = opened(config)[0]
    images = opened(config)[1]
    expected = whole.read(images)
    victim = whole.encoders["clip"].rows[images[0]][0]
    harm(victim)
    before = state(config)
    cache = opened(config)[0]
    with pytest.raises(CheckpointError) as caught:
        cache.require(images)
        cache.read(images)
    text = one_line(caught)
    assert says in text and "run 'vsre cache-features --model" in text
    assert torch.equal(cache.read(images[4:])["clip"], expected["clip"][4:]), "nothing else is lost"

    from vsre.settings import parse

    decoded.clear()
    command = shlex.split(text.partition("run '")[2].replace("'\\''", "'").rstrip("'"))
    mended = replace(parse(command[1], command[2:]), batch_size=PER_SHARD, device="cpu")
    cache_features(mended)
    assert sorted(decoded) == sorted(images[:4])
    assert {path: time for path, time in state(config).items() if path in before and path != victim} == {
        path: time for path, time in before.items() if path != victim
    }
    found = opened(config)[0].read(images)
    assert all(torch.equal(found[name], expected[name]) for name in ENCODERS)


def test_a_shard_that_goes_while_it_is_read_is_one_line(config: CacheFeaturesConfig) -> None:
    cache_features(config)
    cache, images, _, _ = opened(config)
    shards(config, "clip")[0].unlink()
    with pytest.raises(CheckpointError, match="is missing; run"):
        cache.read(images)


def test_another_model_shares_only_what_is_the_same(config: CacheFeaturesConfig, build: Any, tmp_path: Path) -> None:
    cache_features(config)
    model, processor = build(ENCODERS)
    with torch.no_grad():
        next(model.model.vision_tower.towers["clip"].parameters()).view(-1)[0] += 1
        next(model.model.language_model.parameters()).add_(1)
    save((model, processor), tmp_path / "other")
    other = replace(config, model=str(tmp_path / "other"))
    cache, images, vision, canvases = opened(other)
    assert list(cache.missing(images)) == ["clip"]
    with pytest.raises(CheckpointError) as caught:
        cache.require(images)
    assert f"{config.out} has features of 'clip' only with other weights" in one_line(caught)
    cache_features(other)
    assert torch.equal(opened(other)[0].read(images[:4])["clip"], vision(canvases[:4])["clip"])
    assert not torch.equal(opened(config)[0].read(images[:4])["clip"], vision(canvases[:4])["clip"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda ip: setattr(ip, "mode", "crop"), "preprocessing.canvas.mode pad, not crop"),
        (lambda ip: setattr(ip, "pad_colour", [0, 0, 0]), "preprocessing.canvas.pad_colour"),
        (lambda ip: setattr(ip, "resample", 2), "preprocessing.canvas.resample 3, not 2"),
    ],
)
def test_another_geometry_is_never_used(
    config: CacheFeaturesConfig, build: Any, tmp_path: Path, change: Any, says: str
) -> None:
    cache_features(config)
    model, processor = build(ENCODERS)
    change(processor.image_processor)
    save((model, processor), tmp_path / "other")
    cache, images, _, _ = opened(replace(config, model=str(tmp_path / "other")))
    assert sorted(cache.missing(images)) == sorted(ENCODERS)
    with pytest.raises(CheckpointError) as caught:
        cache.require(images)
    assert says in one_line(caught)


@pytest.mark.parametrize("change", [{"mean": [0.1, 0.2, 0.3]}, {"resample": "bilinear"}, {"feature_layer": 1}])
def test_another_input_or_layer_of_one_tower_concerns_that_tower_alone(build: Any, change: dict[str, Any]) -> None:
    model, processor = build(ENCODERS)
    settings = model.config.vision.to_dict()
    settings["towers"]["clip"] |= change
    other = FusedVisionModel(type(model.config.vision)(**settings))
    other.load_state_dict(model.model.vision_tower.state_dict(), strict=False)
    keys, changed = (feature_keys(v, processor.image_processor) for v in (model.model.vision_tower, other))
    assert keys["sam"] == changed["sam"] and keys["clip"].folder != changed["clip"].folder


def test_a_subset_in_another_order_shares_the_features(config: CacheFeaturesConfig, build: Any) -> None:
    cache_features(config)
    vision = load_model(config.model)[0].model.vision_tower
    settings = vision.config.to_dict() | {"encoders": ["sam"]}
    subset = FusedVisionModel(type(vision.config)(**settings))
    subset.load_state_dict(vision.state_dict(), strict=False)
    cache = FeatureCache(config.out, feature_keys(subset, load_model(config.model)[1].image_processor))
    images = opened(config)[1]
    assert list(cache.read(images)) == ["sam"]


def test_the_key_is_readable(config: CacheFeaturesConfig) -> None:
    cache_features(config)
    for encoder in ENCODERS:
        (path,) = Path(config.out).glob(f"{encoder}-*/key.json")
        key = json.loads(path.read_text())
        assert key["encoder"] == encoder and key["dtype"] == "float32"
        assert key["preprocessing"]["canvas"]["size"] == {"height": 64, "width": 64}
        assert key["revision"].keys() >= {"weights", "config", "feature_layer", "keep_cls"}


def test_a_damaged_key_is_written_again(config: CacheFeaturesConfig) -> None:
    cache_features(config)
    (path,) = Path(config.out).glob("clip-*/key.json")
    whole = path.read_text()
    path.write_text(whole[:90])
    shards(config, "clip")[0].unlink()
    cache_features(config)
    assert path.read_text() == whole


def test_a_disk_without_room_is_refused_before_anything_is_written(
    config: CacheFeaturesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_build, "free_bytes", lambda _: 1000)
    with pytest.raises(CheckpointError, match="free; choose another folder") as caught:
        cache_features(config)
    one_line(caught)
    assert not Path(config.out).exists()


def test_a_disk_that_runs_full_keeps_what_is_finished(
    config: CacheFeaturesConfig, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    stock, written = Path.write_bytes, [0]

    def write(path: Path, content: bytes) -> int:
        written[0] += len(content)
        if written[0] > 25_000:
            stock(path, content[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return stock(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        cache_features(config)
    one_line(caught)
    kept = shards(config)
    assert kept and not list(Path(config.out).rglob(".*"))
    monkeypatch.setattr(Path, "write_bytes", stock)
    before = state(config)
    cache_features(config)
    assert {path: time for path, time in state(config).items() if path in before} == before
    cache, images, _, _ = opened(config)
    cache.read(images)


def test_a_folder_that_cannot_be_written_is_one_line(
    config: CacheFeaturesConfig, tmp_path: Path, decoded: list[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot be written") as caught:
        cache_features(replace(config, out=str(tmp_path / "file" / "features")))
    one_line(caught)
    assert not decoded, "it is found before anything is computed"


def test_reading_and_a_complete_folder_need_no_right_to_write(
    config: CacheFeaturesConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_features(config)
    before = state(config)
    folders = [path for path in Path(config.out).rglob("*") if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    cache, images, _, _ = opened(config)
    cache.read(images)
    cache_features(config)
    for folder in folders:
        folder.chmod(0o755)
    assert state(config) == before


def test_ranks_share_the_work_and_each_image_is_computed_once(
    config: CacheFeaturesConfig, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    parts = []
    for rank in (2, 0, 1):
        monkeypatch.setenv("RANK", str(rank))
        cache_features(config)
        parts.append(list(decoded))
        decoded.clear()
    images = opened(config)[1]
    assert [sorted(part) for part in parts] == [sorted(images[rank::3]) for rank in (2, 0, 1)]
    opened(config)[0].require(images)
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(ConfigError, match="RANK must be below WORLD_SIZE"):
        cache_features(config)


def test_two_builders_in_one_folder_do_not_harm_each_other(config: CacheFeaturesConfig) -> None:
    _, images, vision, canvases = opened(config)
    _, processor = load_model(config.model)
    source = DatasetFolder(config.data[0]).images
    failures: list[BaseException] = []

    def work(cache: FeatureCache, share: Share) -> None:
        try:
            build_features(cache, vision, processor.image_processor, source, images, share, PER_SHARD)
        except BaseException as error:
            failures.append(error)

    # All have looked at the empty folder before any begins; two do the same, one another part.
    caches = [opened(config)[0] for _ in range(3)]
    shares = [Share(), Share(), Share(1, 2)]
    threads = [threading.Thread(target=work, args=pair) for pair in zip(caches, shares, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    found = opened(config)[0].read(images)
    for name, expected in vision(canvases).items():
        torch.testing.assert_close(found[name], expected, atol=1e-5, rtol=0)


def test_a_broken_image_is_named(config: CacheFeaturesConfig, data: Path) -> None:
    rows = list(DatasetFolder(data).images.values())
    write_shard(data, 1, [replace(rows[0], image_id="broken", image=rows[0].image[:50])], [])
    with pytest.raises(RecordError, match="image broken cannot be decoded"):
        cache_features(config)


def test_features_that_overflow_are_refused(config: CacheFeaturesConfig, build: Any) -> None:
    model, processor = build(ENCODERS)
    with torch.no_grad():
        for parameter in model.model.vision_tower.towers["sam"].parameters():
            parameter.mul_(1e30)
    save((model, processor), Path(config.model))
    with pytest.raises(CheckpointError, match="features of 'sam' are not finite"):
        cache_features(config)


def test_mistakes_are_one_line(config: CacheFeaturesConfig) -> None:
    for change, says in (
        ({"encoders": ["clop"]}, "did you mean 'clip'"),
        ({"dtype": "bfloat15"}, "did you mean 'bfloat16'"),
        ({"data": []}, "no data"),
        ({"batch_size": 0}, "batch_size"),
        ({"device": "abacus"}, "cannot be used here"),
    ):
        with pytest.raises(ConfigError, match=says) as caught:
            cache_features(replace(config, **change))
        one_line(caught)
