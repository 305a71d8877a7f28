"""A model with some of its encoders only, cut out of a model of ours that has more.

What the other encoders contribute is left out as encoder dropout leaves it out in training: their features are zero.
Where encoders are joined on one grid ("channel", "add") zeros still come out of norms and aligners as constants; these
are added to a bias, so that the cut model computes exactly what the whole one computes without those encoders. In
"sequence", "interleave" and "resampler" the language model or the queries no longer see their tokens at all.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoders.assemble import Assembled, dtype_of, materialise
from encoders.config import BuildConfig
from encoders.configuration import VsreConfig
from encoders.fusion import ChannelFusion
from encoders.load import ADAPTER_FILE, load_model
from encoders.modeling import VsreForConditionalGeneration
from encoders.processing import VsreProcessor
from encoders.projector import FusionProjector
from encoders.source_files import read_description
from spatial.errors import ConfigError, nearest

_PROJECTOR = "model.multi_modal_projector."
_OF_ENCODERS = (
    "model.vision_tower.towers.",
    *(_PROJECTOR + part for part in ("aligners.", "norms.", "adapters.", "gates.", "inputs.", "kinds.")),
)
"""Prefixes of weights that belong to one encoder, whose name follows."""


def is_ours(base: str) -> bool:
    """Tell whether a base is a checkpoint or an adapter of ours."""
    folder = Path(base)
    if not base or (folder / ADAPTER_FILE).is_file():
        return bool(base)
    return read_description(folder / "config.json", "copy it again").get("model_type") == VsreConfig.model_type


def assemble_subset(config: BuildConfig) -> Assembled:
    """Make the model that has some encoders of ``config.base``, a checkpoint or adapter of ours.

    Raises:
        ConfigError: settings that a trained model has decided already, or an encoder that cannot be left out.
        CheckpointError: the base cannot be loaded.
    """
    check_subset(config)
    model, processor = load_model(config.base, dtype_of(config.dtype))
    whole = model.config
    kept = subset_config(whole, config.encoders)
    weights = subset_weights(model, config.encoders)
    if kept.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    generation, dtype = model.generation_config, model.dtype
    cut, drawn = materialise(kept, weights, dtype, config.seed)
    cut.generation_config = generation
    smaller = VsreProcessor(
        processor.image_processor,
        processor.tokenizer,
        chat_template=processor.chat_template,
        num_image_tokens=kept.num_image_tokens,
    )
    left_out = [name for name in whole.vision.plans() if name not in config.encoders]
    note = f"left out of the base: {', '.join(left_out)}" if left_out else "all encoders of the base are kept"
    return Assembled(cut, smaller, {"": Path(config.base).resolve().name}, drawn, [note])


def check_subset(config: BuildConfig) -> None:
    """Refuse settings that the base has decided already.

    Raises:
        ConfigError: there is one.
    """
    free = {"out", "base", "encoders", "dtype", "seed"}
    default = BuildConfig()
    for entry in fields(BuildConfig):
        if entry.name not in free and getattr(config, entry.name) != getattr(default, entry.name):
            raise ConfigError(
                f"base {config.base} is a model of ours, which decides '{entry.name}'; remove it: only 'encoders', "
                "'dtype' and 'out' can be given"
            )


def subset_config(config: VsreConfig, encoders: Sequence[str]) -> VsreConfig:
    """Return the configuration of the model that is left; geometry and canvas stay as they are.

    Raises:
        ConfigError: an encoder is not in the model, none is left, or the first one's grid is not that of the first
            one now, on which the others are brought.
    """
    known = list(config.vision.plans())
    for name in encoders:
        if name not in known:
            raise ConfigError(f"the base has no encoder {name!r}, it has {', '.join(known)}{nearest(name, known)}")
    if not encoders:
        raise ConfigError(f"no encoder would be left; name some of {', '.join(known)} in 'encoders'")
    branches = config.branches()
    if config.fusion in ("channel", "add") and branches[encoders[0]].grid != branches[known[0]].grid:
        raise ConfigError(
            f"fusion {config.fusion!r} was trained on the grid of {known[0]!r}, {branches[known[0]].grid} cells wide, "
            f"and {encoders[0]!r} has {branches[encoders[0]].grid}; keep {known[0]!r} as the first encoder"
        )
    kept = deepcopy(config.to_dict())
    vision = kept["vision_config"]
    vision |= {"encoders": list(encoders), "towers": {name: vision["towers"][name] for name in encoders}}
    for setting in ("gates", "conv_adapters"):
        kept[setting] = [name for name in kept[setting] or [] if name in encoders]
    kept["aligners"] = {name: kind for name, kind in (kept["aligners"] or {}).items() if name in encoders}
    kept.pop("image_seq_length", None)
    cut: VsreConfig = VsreConfig.from_dict(kept)
    return cut


def subset_weights(model: VsreForConditionalGeneration, encoders: Sequence[str]) -> dict[str, Tensor]:
    """Return the weights of the model that is left, by name; those that did not change are not copied."""
    weights = {name: value for name, value in model.state_dict().items() if _is_kept(name, encoders)}
    projector = model.model.multi_modal_projector
    if isinstance(projector, ChannelFusion):
        weights |= _joined(projector, encoders)
    elif model.config.fusion == "add":
        weights |= _summed(projector, encoders)
    return weights


def _is_kept(name: str, encoders: Sequence[str]) -> bool:
    prefix = next((prefix for prefix in _OF_ENCODERS if name.startswith(prefix)), None)
    return prefix is None or name.removeprefix(prefix).split(".")[0] in encoders


@torch.no_grad()
def _joined(projector: ChannelFusion, encoders: Sequence[str]) -> dict[str, Tensor]:
    """Return the first layer of the common aligner: the columns of the encoders, and the others' constants as bias."""
    layer: Any = projector.aligner[0]
    sizes = [branch.channels for branch in projector.branches.values()]
    columns = dict(zip(projector.branches, layer.weight.split(sizes, dim=1), strict=True))
    bias = layer.bias + sum(
        columns[name] @ value.to(layer.weight) for name, value in _constants(projector, encoders).items()
    )
    prefix = f"{_PROJECTOR}aligner.0."
    return {f"{prefix}weight": torch.cat([columns[name] for name in encoders], dim=1), f"{prefix}bias": bias}


@torch.no_grad()
def _summed(projector: Any, encoders: Sequence[str]) -> dict[str, Tensor]:
    """Return the last bias of the first aligner, with what the aligners of the others make of nothing."""
    gates = projector.gates
    constants = [
        projector.gated(name, projector.aligners[name](value.to(projector.aligners[name][0].weight)))
        for name, value in _constants(projector, encoders, gated=False).items()
    ]
    first = encoders[0]
    last = len(projector.aligners[first]) - 1
    if not constants:
        return {}
    if first in gates:
        raise ConfigError(f"the gate of {first!r} stands before what the others add; put an encoder without one first")
    name = f"{_PROJECTOR}aligners.{first}.{last}.bias"
    return {name: projector.aligners[first][last].bias + sum(constants)}


def _constants(projector: FusionProjector, encoders: Sequence[str], gated: bool = True) -> Mapping[str, Tensor]:
    """Return what comes of zero features at every place, [channels], of the encoders that are left out.

    Raises:
        ConfigError: it is not the same at every place.
    """
    found = {}
    for name, branch in projector.branches.items():
        if name in encoders:
            continue
        if name in projector.norms and name in projector.adapters:
            raise ConfigError(f"encoder {name!r} cannot be left out: its convolutions follow a norm; keep it")
        norm: Any = dict(projector.norms.items()).get(name)  # a ModuleDict has no get
        value = torch.zeros(branch.channels) if norm is None else norm.bias.detach()
        found[name] = projector.gated(name, value) if gated else value
    return found
