"""SDXL under a ControlNet Union: the whole picture by depth and edges, then every object on its own if asked for.

The union network takes several control images at once and is told their kinds by number (xinsir, ControlNetPlus).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from datagen.config import EngineSettings
from datagen.engines.base import CONTROLLED, LOADED, Engine, EngineKind
from datagen.engines.controlled import Controlled, Controls, engine_of
from datagen.engines.loading import Control, Facts, Kit, kit_weights, load_kit
from datagen.engines.weights import Need
from spatial.errors import CheckpointError

MODES = {"depth": 1, "edge": 3}
"""Kinds of control by their number in the union network: 1 is depth, 3 Canny and other thin lines."""

BASE = "stabilityai/stable-diffusion-xl-base-1.0"
UNION = "xinsir/controlnet-union-sdxl-1.0"

PARTS: Mapping[str, tuple[str, ...]] = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer": (),
    "tokenizer_2": (),
    "scheduler": (),
}

PIPELINES = (
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLInpaintPipeline",
    "StableDiffusionXLControlNetUnionPipeline",
    "StableDiffusionXLControlNetUnionInpaintPipeline",
)
"""Pipelines whose weights are those of SDXL."""

NEED = Need(PIPELINES, PARTS, f"fetch SDXL: hf download {BASE} --local-dir DIR, then set model DIR")

FACTS = Facts(
    need=NEED,
    default=BASE,
    licence="CreativeML Open RAIL++-M (SDXL base 1.0); Apache-2.0 (ControlNet Union)",
    steps=30,
    guidance=5.0,
    control=Control(
        "ControlNetUnionModel", UNION, f"fetch it: hf download {UNION} --local-dir DIR, then set control DIR"
    ),
)


def load(settings: EngineSettings) -> Engine:
    """Return the engine.

    Raises:
        ConfigError: a setting cannot be used.
        CheckpointError: weights are missing, incomplete or of another engine.
    """
    kit = load_kit(settings, FACTS, repaints=settings.per_object and not settings.without_control)
    _check(kit)
    return engine_of(_painter(kit), kit)


def _painter(kit: Kit) -> Controlled:
    settings = kit.settings
    if settings.without_control:
        return Controlled(settings, kit.pipeline("StableDiffusionXLPipeline"), _told)
    whole = kit.pipeline("StableDiffusionXLControlNetUnionPipeline")
    by_object = kit.pipeline("StableDiffusionXLControlNetUnionInpaintPipeline") if settings.per_object else None
    return Controlled(settings, whole, _told, tuple(MODES), by_object, {"strength": settings.strength})


def _told(controls: Sequence[Controls]) -> dict[str, Any]:
    """Hand over a list per kind of control, and the kinds."""
    images = [[images[name] for images in controls] for name in MODES]
    return {"control_image": images, "control_mode": list(MODES.values())}


def _check(kit: Kit) -> None:
    """Check that UNet and control network fit each other and this use.

    Raises:
        CheckpointError: they do not.
    """
    channels = kit.parts["unet"].config.in_channels
    if channels != 4:
        raise CheckpointError(f"the UNet takes {channels} channels, as one for inpainting alone does; {NEED.mend}")
    network = kit.parts.get("controlnet")
    if network is None:
        return
    if network.config.num_control_type <= max(MODES.values()):
        raise CheckpointError(
            f"the control network knows {network.config.num_control_type} kinds of control, not depth and edges"
        )
    if network.config.cross_attention_dim != kit.parts["unet"].config.cross_attention_dim:
        raise CheckpointError("the control network is made for another UNet; set control to one made for these weights")


KIND = EngineKind(
    takes=frozenset({"depth", "edge", "mask", "prompt"}),
    licence=FACTS.licence,
    load=load,
    default_model=BASE,
    seconds=3.0,
    default_control=UNION,
    settings=LOADED | CONTROLLED | {"per_object", "strength"},
    weights=partial(kit_weights, facts=FACTS),
)
