"""Z-Image under its control network: the whole picture by depth, then every object on its own if asked for.

Its network is one for all kinds of control and tells by the image which it is given, one at a time; it is given depth.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from datagen.config import EngineSettings
from datagen.engines.base import CONTROLLED, LOADED, Engine, EngineKind
from datagen.engines.controlled import Controlled, Controls, engine_of
from datagen.engines.loading import Control, Facts, Kit, kit_weights, load_kit
from datagen.engines.weights import Need
from spatial.errors import CheckpointError, ConfigError

TURBO = "Tongyi-MAI/Z-Image-Turbo"
UNION = "alibaba-pai/Z-Image-Turbo-Fun-Controlnet-Union-2.0/Z-Image-Turbo-Fun-Controlnet-Union-2.1.safetensors"

CONTROL = Control(
    "ZImageControlNetModel",
    UNION,
    f"fetch it: hf download {' '.join(UNION.rsplit('/', 1))} --local-dir DIR, then set control DIR/FILE",
)

FACTS = Facts(
    need=Need(
        ("ZImagePipeline", "ZImageControlNetPipeline", "ZImageControlNetInpaintPipeline"),
        {
            "transformer": ("ZImageTransformer2DModel",),
            "vae": ("AutoencoderKL",),
            "text_encoder": (),
            "tokenizer": (),
            "scheduler": (),
        },
        f"fetch Z-Image: hf download {TURBO} --local-dir DIR, then set model DIR",
    ),
    default=TURBO,
    licence="Apache-2.0 (Z-Image-Turbo and its Fun ControlNet Union)",
    steps=8,
    guidance=0.0,
    control=CONTROL,
)


def load(settings: EngineSettings) -> Engine:
    """Return the engine.

    Raises:
        ConfigError: a setting cannot be used.
        CheckpointError: weights are missing, incomplete or of another engine.
    """
    if settings.offload == "sequential" and not settings.without_control:
        raise ConfigError("z-image's control network and transformer share modules; set offload model, not sequential")
    kit = load_kit(settings, FACTS)
    _check(kit)
    return engine_of(_painter(kit), kit)


def _painter(kit: Kit) -> Controlled:
    settings = kit.settings
    if settings.without_control:
        return Controlled(settings, kit.pipeline("ZImagePipeline"), _told)
    whole = kit.pipeline("ZImageControlNetPipeline")
    by_object = kit.pipeline("ZImageControlNetInpaintPipeline") if settings.per_object else None
    return Controlled(settings, whole, _told, ("depth",), by_object)


def _told(controls: Sequence[Controls]) -> dict[str, Any]:
    return {"control_image": [images["depth"] for images in controls]}


def _check(kit: Kit) -> None:
    """Check that transformer and control network fit each other and this use.

    Raises:
        CheckpointError: they do not.
    """
    network, transformer = kit.parts.get("controlnet"), kit.parts["transformer"]
    if network is None:
        return
    if network.config.dim != transformer.config.dim:
        raise CheckpointError(
            "the control network is made for another transformer; set control to one for these weights"
        )
    if kit.settings.per_object and network.config.control_in_dim == transformer.in_channels:
        raise CheckpointError(
            "the control network is of the first version, which cannot repaint objects; set per_object false, or "
            f"{CONTROL.mend}"
        )


KIND = EngineKind(
    takes=frozenset({"depth", "mask", "prompt"}),
    licence=FACTS.licence,
    load=load,
    default_model=TURBO,
    seconds=1.5,
    default_control=UNION,
    settings=LOADED | CONTROLLED | {"per_object"},
    weights=partial(kit_weights, facts=FACTS),
)
