"""What a training step costs in floating-point operations, so that a log can say how much of a device is used.

    model FLOPs = 4 N_frozen T + 6 N_trainable T + attention + encoders forward

Two operations per multiply-add. A weight costs each token a forward pass (2) and the gradient of its input (2), and one
that learns also its own gradient (2). Elementwise work does not count. The output layer scores supervised positions
only (``training.trainer``), so its T is their number. The projector's T is not the language model's: its forward pass
is counted on the meta device and taken threefold. Attention is 4 per pair, layer and channel forward, and twice that
backward.

*Model* FLOPs are those that the result needs: real tokens, and the pairs that the mask lets see each other. Hardware
FLOPs are those that are computed: padding too, the whole square of a row, and layers again that checkpointing forgot.
The former is what MFU is made of (PaLM, arXiv 2204.02311, appendix B), the latter HFU.

Nothing here reads a weight: a model on the meta device, quantised, or split by ZeRO-3 has the same counts.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations import deepspeed as integration

from encoders.configuration import VsreConfig
from encoders.flops import projector_flops, tower_flops
from encoders.modeling import VsreForConditionalGeneration
from encoders.parameters import PROJECTOR, TOWER
from training.collate import IGNORED
from training.config import LoraSettings, Stage
from training.stages import prepare_stage

FORMULA = "model FLOPs = 4 N_frozen T + 6 N_trainable T + attention + encoders forward"

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = 2, 2, 2
"""FLOPs of a weight for each token that it multiplies."""

PEAKS: dict[str, float] = {
    "B200": 2250,
    "MI300X": 1307,
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "H200": 989,
    "A100": 312,
    "L40S": 362,
    "RTX 6000 Ada": 364,
    "RTX A6000": 155,
    "RTX 4090": 165,
    "RTX 3090": 71,
    "V100": 125,
}
"""Peak TFLOP/s of dense bfloat16 products with float32 sums (V100, which has none: float16), by a part of the device's
name, longer names first. From the makers' data sheets; figures "with sparsity" are twice these."""


@dataclass(frozen=True)
class Costs:
    """What one token, pair or image costs a model.

    Attributes:
        frozen: weights of the language model's layers that stay as they are.
        trainable: those that learn, adapters too.
        head: weights of the output layer.
        head_learns: whether it does.
        attention: forward FLOPs of a pair of positions, over all layers.
        projector: forward FLOPs for one image.
        projector_learns: whether it does.
        encoders: forward FLOPs for one image.
        encoders_learn: whether they do.
        missing: what is not counted, in words; "" if nothing is.
    """

    frozen: float
    trainable: float
    head: float
    head_learns: bool
    attention: float
    projector: float = 0.0
    projector_learns: bool = False
    encoders: float = 0.0
    encoders_learn: bool = False
    missing: str = ""


@dataclass(frozen=True)
class Work:
    """How much of everything there is in one batch, or in several together.

    Attributes:
        tokens: without padding.
        padded: with padding.
        pairs: of a position and one that it sees.
        square: pairs that are computed: the square of each row's padded length.
        supervised: positions that the output layer scores.
        images: that pass through the projector.
        encoded: that pass through the encoders; fewer where features are cached.
    """

    tokens: float
    padded: float
    pairs: float
    square: float
    supervised: float
    images: float
    encoded: float


def passes(learns: bool, again: bool = False) -> float:
    """Return what a training step costs a part of the model, in forward passes.

    Args:
        learns: whether its weights do.
        again: whether checkpointing computes it a second time.
    """
    return (FORWARD + INPUT_GRADIENT + WEIGHT_GRADIENT * learns) / FORWARD + again


def model_flops(costs: Costs, work: Work) -> float:
    """Return the FLOPs that a training step on ``work`` needs."""
    return _flops(costs, work, work.tokens, work.pairs, again=False)


def hardware_flops(costs: Costs, work: Work, checkpointing: bool = False) -> float:
    """Return the FLOPs that it computes: with padding, the whole square, and what checkpointing computes again."""
    return _flops(costs, work, work.padded, work.square, again=checkpointing)


def _flops(costs: Costs, work: Work, tokens: float, pairs: float, again: bool) -> float:
    layers = costs.frozen * passes(False, again) + costs.trainable * passes(True, again)
    attention = costs.attention * passes(True, again)  # both factors of its products have gradients
    encoders = costs.encoders * (passes(True, again) if costs.encoders_learn else 1.0)
    return (
        FORWARD * layers * tokens
        + attention * pairs
        + FORWARD * costs.head * passes(costs.head_learns) * work.supervised
        + costs.projector * passes(costs.projector_learns) * work.images
        + encoders * work.encoded
    )


def costs_of(model: nn.Module) -> Costs | None:
    """Return what a language model with images costs, ours or another family's; ``None`` for any other module.

    Adapters are counted as they are. Of another family's encoders and projector nothing is known but their weights;
    they are left out, and ``missing`` says so. Of experts, those that a token is sent to are counted.
    """
    unwrap: Any = getattr(model, "get_base_model", None)
    base: Any = unwrap() if unwrap else model
    if not all(hasattr(base, name) for name in ("config", "get_decoder", "get_output_embeddings")):
        return None
    head = base.get_output_embeddings()
    if head is None:
        return None
    text = base.config.get_text_config()
    frozen, trainable = _weights_under(base.get_decoder(), text)
    head_frozen, head_trainable = _weights_under(head, text)
    counted = Costs(
        frozen=frozen,
        trainable=trainable,
        head=head_frozen + head_trainable,
        head_learns=head_trainable > 0,
        attention=4.0 * text.num_hidden_layers * _attention_width(text),
    )
    if not isinstance(base, VsreForConditionalGeneration):
        seeing = any(name in type(base.config).sub_configs for name in ("vision_config", "audio_config"))
        return replace(counted, missing="encoders and projector" if seeing else "")
    return replace(counted, **_vision_costs(base))


def planned_model(config: VsreConfig, stage: Stage, lora: LoraSettings, encoders: Collection[str] = ()) -> nn.Module:
    """Return the model of a stage on the meta device: names, shapes and ``requires_grad``, no weights."""
    with torch.device("meta"):
        return prepare_stage(VsreForConditionalGeneration(deepcopy(config)), stage, lora, encoders)


def work_of(batch: Mapping[str, Any]) -> Tensor:
    """Return the fields of ``Work`` for one batch, in order, on the batch's device, without waiting for it.

    A packed token sees as many positions as its own position says and itself, because positions restart behind the
    prefix (``training.collate``); a token of a plain row sees all before it and itself. ``Work(*vector.tolist())``.
    """
    ids: Tensor = batch["input_ids"]
    rows, width = ids.shape
    mask, positions = batch.get("attention_mask"), batch.get("position_ids")
    if mask is not None and mask.ndim == 4 and positions is not None:
        last = (positions > 0).sum()  # all but the first token of each row; padding is at position 0
        tokens, pairs = last + rows, positions.sum() + last + rows
    elif mask is not None and mask.ndim == 2:
        lengths = mask.sum(dim=1)
        tokens, pairs = lengths.sum(), (lengths * (lengths + 1) // 2).sum()
    else:
        tokens = torch.full((), rows * width, device=ids.device)
        pairs = tokens * (width + 1) // 2
    supervised = (batch["labels"][:, 1:] != IGNORED).sum()
    pixels, features = batch.get("pixel_values"), batch.get("encoder_features")
    seen = batch.get("image_grid_thw", pixels)  # Qwen's processor puts the patches of all images in one row
    encoded = len(seen) if seen is not None else 0
    images = len(next(iter(features.values()))) if features else encoded
    known = [torch.full((), size, device=ids.device) for size in (rows * width, rows * width**2, images, encoded)]
    padded, square, projected, viewed = known  # filled there: a copy from the host would wait
    return torch.stack([tokens, padded, pairs, square, supervised, projected, viewed])


def peak_flops(device: str, tflops: float = 0.0) -> float | None:
    """Return a device's peak in FLOP/s: ``tflops`` if given, else that of its name; ``None`` if that is unknown."""
    known = sorted(PEAKS, key=len, reverse=True)
    found = tflops or next((PEAKS[name] for name in known if name.lower() in device.lower()), 0.0)
    return found * 1e12 or None


def _weights_under(root: nn.Module, text: Any) -> tuple[float, float]:
    """Return the weights that multiply a token on its way through a module: those that stay, and those that learn."""
    totals = [0.0, 0.0]
    for name, module in root.named_modules():
        if "original_module" not in name.split("."):  # PEFT's frozen copy of a module that learns
            for size, learns in _weights(module):
                totals[learns] += size * _active_share(module, text)
    return totals[0], totals[1]


def _weights(module: nn.Module) -> Iterator[tuple[float, bool]]:
    """Yield (size, whether it learns) of each of a module's own matrices; tables that are looked up cost nothing.

    A layer's sizes come from its widths: quantised and split weights have other shapes, or none.
    """
    if isinstance(module, nn.Embedding):
        return
    widths = [getattr(module, name, None) for name in ("in_features", "out_features")]
    weight = getattr(module, "weight", None)
    if isinstance(weight, nn.Parameter) and all(isinstance(width, int) for width in widths):
        if not hasattr(module, "base_layer"):  # an adapter's wrapper shows the weight of the layer inside it
            yield float(widths[0] * widths[1]), weight.requires_grad  # type: ignore[operator]
        return
    for parameter in module.parameters(recurse=False):
        shape = getattr(parameter, "ds_shape", parameter.shape)
        if len(shape) >= 2:
            yield float(getattr(parameter, "ds_numel", parameter.numel())), parameter.requires_grad


def _active_share(module: nn.Module, text: Any) -> float:
    """Return the part of a module's weights that a token meets: of a table of experts, those that it is sent to."""
    experts = next((n for n in ("num_experts", "num_local_experts", "n_routed_experts") if getattr(text, n, None)), "")
    if not experts or not any(parameter.ndim == 3 for parameter in module.parameters(recurse=False)):
        return 1.0
    return (getattr(text, "num_experts_per_tok", None) or 1) / getattr(text, experts)


def _attention_width(text: Any) -> int:
    heads = text.num_attention_heads
    return heads * (getattr(text, "head_dim", None) or text.hidden_size // heads)


def _vision_costs(base: VsreForConditionalGeneration) -> dict[str, Any]:
    """Return what an image costs one of our models; encoders that a step leaves out are not computed."""
    learns = dict.fromkeys((PROJECTOR, TOWER), False)
    for name, parameter in base.named_parameters():
        for part in learns:
            learns[part] |= parameter.requires_grad and part in name.split(".")
    projector, encoders = _image_flops(base.config.to_json_string(use_diff=False))
    return {
        "projector": projector,
        "projector_learns": learns[PROJECTOR],
        "encoders": encoders * (1.0 - base.config.encoder_dropout),
        "encoders_learn": learns[TOWER],
    }


@cache
def _image_flops(config: str) -> tuple[float, float]:
    """Return the forward FLOPs of projector and encoders for one image, of a configuration as JSON."""
    read = VsreConfig.from_dict(json.loads(config))
    with _unsplit():
        return float(projector_flops(read)), float(sum(tower_flops(read.vision).values()))


@contextmanager
def _unsplit() -> Iterator[None]:
    """Build models whole; under ZeRO-3, Transformers splits every model as it is built."""
    found = integration._hf_deepspeed_config_weak_ref
    integration._hf_deepspeed_config_weak_ref = None
    try:
        yield
    finally:
        integration._hf_deepspeed_config_weak_ref = found
