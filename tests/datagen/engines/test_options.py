"""Options: schedulers and LoRAs of few steps, devices, offload; what cannot be used is said before weights are read."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from datagen.config import EngineSettings
from datagen.engines import options
from datagen.engines.base import Order
from datagen.engines.painting import DiffusionEngine
from datagen.engines.registry import load_engine
from spatial.errors import CheckpointError, ConfigError


@pytest.fixture
def settings(sdxl: Path, union: Path) -> EngineSettings:
    return EngineSettings("sdxl-controlnet", str(sdxl), str(union), steps=2, size=64, device="cpu")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"dtype": "float61"}, "dtype is 'float61'; did you mean 'float16'"),
    ({"offload": "disk"}, "offload is 'disk'"),
    ({"offload": "model"}, "offload is 'model', from a GPU, and the device is the cpu; set offload none"),
    ({"device": "gpu"}, "device 'gpu' cannot be used here; use 'auto' or 'cpu'"),
    ({"device": "cuda:99"}, "device 'cuda:99' cannot be used here"),
    ({"batch_size": 0}, "batch_size must be a positive number, not 0"),
    ({"steps": -1}, "steps must be a positive number"),
    ({"size": -5}, "size must be a positive number"),
    ({"control_start": 0.6, "control_end": 0.6}, "control_start and control_end must rise within 0..1"),
    ({"control_end": 1.5}, "control_start and control_end must rise within 0..1"),
    ({"control_strength": 0.0}, "to paint without, set without_control true"),
    ({"strength": 1.2, "per_object": True}, "strength must be above 0 and at most 1"),
    ({"strength": 0.4, "per_object": True}, "2 steps at strength 0.4 are none; raise steps or strength"),
]


@pytest.mark.parametrize(("changed", "message"), BAD, ids=lambda value: str(value)[:30])
def test_a_setting_that_cannot_be_used_is_said_before_weights_are_looked_for(
    settings: EngineSettings, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_engine(replace(settings, model="no/where/at/all", **changed))


def test_a_single_step_is_enough_where_nothing_is_repainted(
    settings: EngineSettings, sdxl: Path, group: list[Order]
) -> None:
    assert load_engine(replace(settings, steps=1)).paint(group[:1])[0].pixels.std() > 5
    with pytest.raises(ConfigError, match=r"1 steps at strength 0.6 are none"):
        load_engine(EngineSettings("img2img", str(sdxl), steps=1, device="cpu"))


def test_without_diffusers_the_mend_is_named(settings: EngineSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"needs diffusers; run: scripts/setup\.sh"):
        load_engine(settings)


SCHEDULERS = [
    ("EulerDiscreteScheduler(timestep_spacing='trailing')", "EulerDiscreteScheduler"),
    ("LCMScheduler", "LCMScheduler"),
    pytest.param("TCDScheduler", "TCDScheduler", marks=pytest.mark.slow),
    pytest.param(
        "DPMSolverMultistepScheduler(use_karras_sigmas=True)", "DPMSolverMultistepScheduler", marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize(("text", "name"), SCHEDULERS)
def test_schedulers_of_few_steps_paint_and_keep_the_weights_own_noise(
    settings: EngineSettings, group: list[Order], text: str, name: str
) -> None:
    own = load_engine(settings)
    engine = load_engine(replace(settings, scheduler=text))
    facts, kept = engine.provenance["scheduler"], own.provenance["scheduler"]
    assert facts["class"] == name and facts["beta_schedule"] == kept["beta_schedule"] == "scaled_linear"
    painted, usual = engine.paint(group[:1])[0], own.paint(group[:1])[0]
    assert painted.pixels.std() > 5 and (painted.pixels != usual.pixels).any()
    if "trailing" in text:
        assert (facts["timestep_spacing"], kept["timestep_spacing"]) == ("trailing", "leading")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EulerDiscretScheduler", "diffusers has no scheduler 'EulerDiscretScheduler'; did you mean 'EulerDiscrete"),
        ("AutoencoderKL", "diffusers has no scheduler 'AutoencoderKL'"),
        ("FlowMatchEulerDiscreteScheduler", "does not fit weights made for EulerDiscreteScheduler"),
        ("LCMScheduler(timestep_spacin='x')", "has no setting 'timestep_spacin'; did you mean 'timestep_spacing'"),
        ("LCMScheduler(", "write a name, or Name"),
        ("__import__('os').system('x')", "write a name, or Name"),
    ],
)
def test_a_scheduler_that_cannot_be_used_is_refused(settings: EngineSettings, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        load_engine(replace(settings, scheduler=text))


def save_lora(folder: Path, model: Path, scale: float = 3.0) -> Path:
    """Save a LoRA of the checkpoint's UNet, in the layout of diffusers."""
    from diffusers import StableDiffusionXLPipeline

    weights = load_file(model / "unet" / "diffusion_pytorch_model.safetensors")
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for name in (name for name in sorted(weights) if name.endswith(("to_v.weight", "to_out.0.weight"))):
        out, into = weights[name].shape
        tensors[name.replace("weight", "lora_A.weight")] = scale * torch.randn(2, into, generator=generator)
        tensors[name.replace("weight", "lora_B.weight")] = torch.randn(out, 2, generator=generator)
    StableDiffusionXLPipeline.save_lora_weights(folder, unet_lora_layers=tensors, weight_name="few-steps.safetensors")
    return folder / "few-steps.safetensors"


def test_a_lora_is_merged_for_every_pipeline_and_named_by_its_hash(
    settings: EngineSettings, sdxl: Path, group: list[Order], tmp_path: Path
) -> None:
    file = save_lora(tmp_path / "lora", sdxl)
    settings = replace(settings, per_object=True)
    plain, tuned, nothing = (
        load_engine(replace(settings, loras=loras))
        for loras in ([], [str(file.parent)], [str(save_lora(tmp_path / "zero", sdxl, scale=0.0))])
    )
    pictures = [engine.paint(group[:1])[0].pixels.astype(int) for engine in (plain, tuned, nothing)]
    assert np.abs(pictures[0] - pictures[1]).max() > 1 >= np.abs(pictures[0] - pictures[2]).max()
    (facts,) = tuned.provenance["loras"]
    assert list(facts["sha256"]) == ["few-steps.safetensors"] and plain.provenance["loras"] == []


def test_a_file_that_is_no_lora_of_these_weights_is_refused(
    settings: EngineSettings, sdxl: Path, union: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"is no LoRA of a StableDiffusionXLPipeline|changes nothing"):
        load_engine(replace(settings, loras=[str(union / "diffusion_pytorch_model.safetensors")]))
    other = tmp_path / "other.safetensors"
    save_file({"unet.x.lora_A.weight": torch.ones(2, 3), "unet.x.lora_B.weight": torch.ones(3, 2)}, other)
    with pytest.raises(CheckpointError, match=r"is no LoRA of a StableDiffusionXLPipeline|changes nothing"):
        load_engine(replace(settings, loras=[str(other)]))
    shutil.copy(other, tmp_path / "second.safetensors")
    with pytest.raises(CheckpointError, match=r"has 2 safetensors files; name the one that is meant"):
        load_engine(replace(settings, loras=[str(tmp_path)]))


class Placed:
    """Stands for a pipeline and notes how it is placed; a GPU is not at hand."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def to(self, device: torch.device) -> None:
        self.asked.append(("to", str(device)))

    def enable_model_cpu_offload(self, device: torch.device) -> None:
        self.asked.append(("model", str(device)))

    def enable_sequential_cpu_offload(self, device: torch.device) -> None:
        self.asked.append(("sequential", str(device)))


@pytest.mark.parametrize(("offload", "how"), [("none", "to"), ("model", "model"), ("sequential", "sequential")])
def test_pipelines_are_placed_or_offloaded_as_asked_for(
    settings: EngineSettings, offload: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "empty", lambda _, device: SimpleNamespace(device=torch.device(device)))
    pipeline = Placed()
    options.place(pipeline, replace(settings, offload=offload, device="cuda:1"))
    assert pipeline.asked == [(how, "cuda:1")]


@pytest.mark.gpu
@pytest.mark.parametrize("offload", options.OFFLOADS)
def test_on_a_gpu_every_way_of_offloading_paints_the_same(
    settings: EngineSettings, group: list[Order], offload: str
) -> None:
    on_cpu = load_engine(replace(settings, per_object=True)).paint(group)
    on_gpu = load_engine(replace(settings, per_object=True, device="cuda", offload=offload)).paint(group)
    for one, two in zip(on_cpu, on_gpu, strict=True):
        assert np.abs(one.pixels.astype(int) - two.pixels.astype(int)).mean() < 2


def test_z_image_is_not_offloaded_by_modules_that_two_networks_share() -> None:
    with pytest.raises(ConfigError, match="share modules; set offload model, not sequential"):
        load_engine(EngineSettings("z-image", offload="sequential"))


def test_a_batch_that_does_not_fit_the_gpu_says_what_to_lower(group: list[Order]) -> None:
    def full(*_: object) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(
        ConfigError, match="2 pictures of 64x64 do not fit the GPU; lower batch_size or size, or set offload"
    ):
        DiffusionEngine(full, 64, 4, {}).paint(group)
