"""A checkpoint that is wrong or incomplete is refused in one line with the mend, before anything is painted."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from datagen.config import EngineSettings
from datagen.engines import loading
from datagen.engines.base import Order
from datagen.engines.registry import load_engine
from datagen.engines.weights import Part, load_part
from spatial.errors import CheckpointError

from . import tiny

UNET = Path("unet") / "diffusion_pytorch_model.safetensors"
Break = Callable[[Path], Any]


@pytest.fixture
def model(sdxl: Path, tmp_path: Path) -> Path:
    """Return a copy of the checkpoint, to be broken."""
    return Path(shutil.copytree(sdxl, tmp_path / "model"))


def settings(model: Path | str, union: Path | str, **changed: Any) -> EngineSettings:
    return EngineSettings("sdxl-controlnet", str(model), str(union), steps=2, size=64, device="cpu", **changed)


def change_index(folder: Path, **entries: Any) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def only_pickled(folder: Path) -> None:
    weights = folder / UNET
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()


def in_shards(folder: Path, lose: str = "") -> None:
    """Part the UNet's weights into two files, and lose one of them if asked to."""
    whole = folder / UNET
    tensors = load_file(whole)
    names = sorted(tensors)
    files = {f"diffusion_pytorch_model-0000{k + 1}-of-00002.safetensors": names[k::2] for k in range(2)}
    for file, part in files.items():
        if file != lose:
            save_file({name: tensors[name] for name in part}, whole.with_name(file), {"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in files.items() for name in part}}
    whole.with_name("diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    whole.unlink()


SECOND = "diffusion_pytorch_model-00002-of-00002.safetensors"

BROKEN: dict[str, tuple[Break, str]] = {
    "no index": (
        lambda folder: (folder / "model_index.json").unlink(),
        "is no diffusers pipeline: it has no model_index",
    ),
    "index cut": (lambda folder: (folder / "model_index.json").write_text("{"), "model_index.json cannot be read"),
    "other pipeline": (
        lambda folder: change_index(folder, _class_name="FluxPipeline"),
        "holds a FluxPipeline, not a StableDiffusionXLPipeline",
    ),
    "part null": (lambda folder: change_index(folder, text_encoder=[None, None]), "has no text_encoder"),
    "part of another class": (
        lambda folder: change_index(folder, vae=["diffusers", "AutoencoderTiny"]),
        "vae is of class AutoencoderTiny, not AutoencoderKL",
    ),
    "own code": (
        lambda folder: change_index(folder, unet=["my_unet", "UNet2DConditionModel"]),
        "the code of a checkpoint is never run",
    ),
    "chosen by the checkpoint": (
        lambda folder: change_index(folder, tokenizer=["transformers", "AutoTokenizer"]),
        "tokenizer is of class AutoTokenizer, which lets the checkpoint choose the code",
    ),
    "own pipeline": (
        lambda folder: change_index(folder, _class_name=["pipeline", "StableDiffusionXLPipeline"]),
        "holds a ['pipeline', 'StableDiffusionXLPipeline'], not a",
    ),
    "part missing": (lambda folder: shutil.rmtree(folder / "vae"), "vae is missing"),
    "config missing": (
        lambda folder: (folder / "unet" / "config.json").unlink(),
        "unet is not complete: it has no config",
    ),
    "weights missing": (lambda folder: (folder / UNET).unlink(), "unet has no weights"),
    "weights cut off": (lambda folder: cut(folder / UNET), "is broken or cut off"),
    "pickled": (only_pickled, "only pickled weights, which are never read"),
    "shard missing": (lambda folder: in_shards(folder, lose=SECOND), f"{SECOND} is missing, which"),
    "no scheduler": (lambda folder: shutil.rmtree(folder / "scheduler"), "scheduler is missing"),
    "no vocabulary": (
        lambda folder: [
            path.unlink() for path in (folder / "tokenizer_2").glob("*o*.json") if "config" not in path.name
        ],
        "tokenizer_2 has neither tokenizer.json nor vocab.json",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_missing_is_named_with_the_mend_before_anything_is_loaded(
    model: Path, union: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks, message = BROKEN[kind]
    breaks(model)
    monkeypatch.setattr(loading, "load_part", lambda *_: pytest.fail("a part was loaded"))
    with pytest.raises(CheckpointError) as raised:
        load_engine(settings(model, union))
    text = str(raised.value)
    assert message in text and "\n" not in text and "hf download stabilityai/stable-diffusion-xl-base-1.0" in text


def drop_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / UNET)
    tensors.pop("conv_out.weight")
    save_file(tensors, folder / UNET, {"format": "pt"})


def reshape_a_tensor(folder: Path) -> None:
    tensors = load_file(folder / UNET)
    tensors["conv_out.weight"] = torch.zeros(4, 4, 3, 3)
    save_file(tensors, folder / UNET, {"format": "pt"})


def drop_of_text(folder: Path) -> None:
    path = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    tensors.pop(next(name for name in tensors if "final_layer_norm.weight" in name))
    save_file(tensors, path, {"format": "pt"})


@pytest.mark.parametrize("breaks", [drop_a_tensor, reshape_a_tensor, drop_of_text])
def test_weights_that_do_not_fill_their_model_are_refused(model: Path, union: Path, breaks: Break) -> None:
    breaks(model)
    with pytest.raises(
        CheckpointError, match=r"lacks 1 weights, the first is|cannot be loaded as UNet2DConditionModel"
    ) as raised:
        load_engine(settings(model, union))
    assert "\n" not in str(raised.value)


def test_weights_in_shards_are_read(model: Path, union: Path, group: list[Order]) -> None:
    whole = load_engine(settings(model, union)).paint(group[:1])[0]
    in_shards(model)
    engine = load_engine(settings(model, union))
    assert sum(name.startswith("unet/") for name in engine.provenance["weights"]["sha256"]) == 2
    assert (engine.paint(group[:1])[0].pixels == whole.pixels).all()


@pytest.mark.slow
def test_half_precision_is_read_where_it_is_asked_for_and_there(model: Path, union: Path) -> None:
    full = model / UNET
    half = {name: tensor.half() for name, tensor in load_file(full).items()}
    save_file(half, full.with_name("diffusion_pytorch_model.fp16.safetensors"), {"format": "pt"})
    read = {
        dtype: sorted(load_engine(settings(model, union, dtype=dtype)).provenance["weights"]["sha256"])
        for dtype in ("float32", "bfloat16")
    }
    assert UNET.as_posix() in read["float32"] and "unet/diffusion_pytorch_model.fp16.safetensors" in read["bfloat16"]
    full.unlink()
    engine = load_engine(settings(model, union))
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in engine.provenance["weights"]["sha256"]


def test_provenance_has_the_sha256_of_every_file_that_was_read(sdxl: Path, union: Path) -> None:
    stated = load_engine(settings(sdxl, union)).provenance["weights"]["sha256"]
    assert stated == {name: sha256((sdxl / name).read_bytes()).hexdigest() for name in stated} and len(stated) == 4


def test_the_licence_of_weights_of_ones_own_is_read_off_their_card(model: Path, union: Path) -> None:
    assert load_engine(settings(model, union)).provenance["licence"] == "model: not stated; control: not stated"
    (model / "README.md").write_text("---\nlicense: mit\ntags: [x]\n---\n# Mine\n")
    assert load_engine(settings(model, union)).provenance["licence"] == "model: mit; control: not stated"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"num_control_type": 3}, "knows 3 kinds of control, not depth and edges"),
        ({"cross_attention_dim": 16}, "made for another UNet"),
    ],
)
def test_a_control_network_that_does_not_fit_is_refused(
    sdxl: Path, tmp_path: Path, changed: dict[str, int], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_engine(settings(sdxl, tiny.save_union(tmp_path / "control", **changed)))


def test_another_model_is_no_control_network(sdxl: Path, zimage_control: Path) -> None:
    with pytest.raises(
        CheckpointError, match="holds a ZImageControlNetModel, not a ControlNetUnionModel; fetch it: hf"
    ):
        load_engine(settings(sdxl, zimage_control))
    with pytest.raises(
        CheckpointError, match=r"is no ControlNetUnionModel: it has no config.json; fetch it: hf download"
    ):
        load_engine(settings(sdxl, sdxl))


def test_a_model_for_inpainting_alone_does_not_paint_scenes(union: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match="the UNet takes 9 channels, as one for inpainting alone does; fetch SDXL"
    ):
        load_engine(settings(tiny.save_sdxl(tmp_path / "model", channels=9), union))


def test_the_first_z_image_control_network_paints_wholes_but_no_objects(
    zimage: Path, tmp_path: Path, group: list[Order]
) -> None:
    control = tiny.save_zimage_control(tmp_path / "first", version=1)
    given = EngineSettings("z-image", str(zimage), str(control), steps=2, size=64, device="cpu")
    assert load_engine(given).paint(group[:1])[0].pixels.std() > 5
    given.per_object = True
    with pytest.raises(
        CheckpointError, match="of the first version, which cannot repaint objects; set per_object false"
    ):
        load_engine(given)


def test_a_control_network_in_one_file_is_read_with_its_config_beside_it(
    zimage: Path, zimage_control: Path, tmp_path: Path, group: list[Order], offline: Path
) -> None:
    file = tmp_path / "Union-2.1.safetensors"
    shutil.copy(zimage_control / "diffusion_pytorch_model.safetensors", file)
    given = EngineSettings("z-image", str(zimage), str(zimage_control), steps=2, size=64, device="cpu")
    folder = load_engine(given).paint(group[:1])[0]
    given.control = str(file)
    with pytest.raises(CheckpointError, match=r"put the config.json of its diffusers version beside it"):
        load_engine(given)
    shutil.copy(zimage_control / "config.json", tmp_path)
    engine = load_engine(given)
    assert (engine.paint(group[:1])[0].pixels == folder.pixels).all()
    assert list(engine.provenance["control_weights"]["sha256"]) == [file.name]
    tensors = load_file(file)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 weights, the first is|cannot be loaded"):
        load_engine(given)


def test_a_pipelines_own_control_network_is_taken(model: Path, union: Path) -> None:
    shutil.copytree(union, model / "controlnet")
    change_index(
        model, _class_name="StableDiffusionXLControlNetUnionPipeline", controlnet=["diffusers", "ControlNetUnionModel"]
    )
    facts = load_engine(settings(model, "")).provenance["control_weights"]
    assert (
        facts["sha256"]["diffusion_pytorch_model.safetensors"]
        == sha256((union / "diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()
    )


@pytest.mark.parametrize("name", ["pipeline", "utils", "NoSuchModel"])
def test_what_is_no_class_of_its_library_is_no_part(model: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=f"transformers has no class {name}"):
        load_part(Part("text_encoder", "transformers", name, model / "text_encoder"), None)


def test_every_part_is_loaded_from_safetensors_alone_and_without_its_own_code(
    model: Path, union: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers
    import transformers

    told: dict[str, dict[str, Any]] = {}

    def listen(known: type) -> None:
        load = known.from_pretrained.__func__  # type: ignore[attr-defined]

        def spy(cls: type, *given: Any, **options: Any) -> Any:
            told.setdefault(cls.__name__, options)
            return load(cls, *given, **options)

        monkeypatch.setattr(known, "from_pretrained", classmethod(spy))

    weighed = [diffusers.UNet2DConditionModel, diffusers.AutoencoderKL, diffusers.ControlNetUnionModel]
    weighed += [transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection]
    bare = [transformers.CLIPTokenizer, diffusers.EulerDiscreteScheduler]
    for known in [*weighed, *bare]:
        listen(known)
    load_engine(settings(model, union))
    assert set(told) == {known.__name__ for known in [*weighed, *bare]}
    assert all(options["trust_remote_code"] is False for options in told.values())
    assert all(told[known.__name__]["use_safetensors"] is True for known in weighed)
