"""Where LoRA goes: into the language model, never into a frozen encoder.

Encoders have layers called ``q_proj`` too, so PEFT's own "all-linear" or a plain list of names also adapts the towers;
those adapters would be frozen with the towers, or train what must not change. ``lora_config`` takes the same words and
anchors them, and always saves the projector beside the adapter, without which the adapter is of no use.

``encoders.frozen`` has the guard against configurations that were made without it.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from encoders.parameters import LANGUAGE, PROJECTOR
from spatial.errors import ConfigError, nearest

if TYPE_CHECKING:
    from peft import LoraConfig

ALL_LINEAR = "all-linear"

LORA_TARGETS = rf"(?:.*\.)?{LANGUAGE}\..*\.(?:q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""Full match on module names: all linear layers of a Llama-like language model except ``lm_head``."""

_HEAD = "lm_head"


def lora_config(
    model: nn.Module,
    targets: str | Sequence[str] = ALL_LINEAR,
    r: int = 128,
    alpha: int = 256,
    dropout: float = 0.05,
    language: str = LANGUAGE,
    projector: Sequence[str] = (PROJECTOR,),
    **settings: Any,
) -> "LoraConfig":
    """Return PEFT's configuration of LoRA on the language model, with the whole projector trained and saved beside it.

    Args:
        model: what will be adapted; its layers say what the targets can mean.
        targets: "all-linear"; a list of names, matched as PEFT matches them (the end of a layer's path); or a regular
            expression for whole paths. All mean layers of the language model only. ``lm_head`` is adapted only if it is
            in the list.
        r: rank.
        alpha: scale; the update is multiplied by ``alpha / r``.
        dropout: probability on the adapter's input.
        language: path of the language model, from anywhere on.
        projector: modules that are trained and saved whole.
        settings: other fields of ``peft.LoraConfig``.

    Raises:
        ConfigError: a target is no layer of the language model.
    """
    from peft import LoraConfig

    saved = [name for name in settings.pop("modules_to_save", None) or [] if name not in projector]
    return LoraConfig(
        r=r,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=target_pattern(model, targets, language),
        modules_to_save=[*projector, *saved],
        **{"task_type": "CAUSAL_LM", **settings},
    )


def target_pattern(model: nn.Module, targets: str | Sequence[str], language: str = LANGUAGE) -> str:
    """Return a regular expression whose full matches among the model's layers are the targets of the language model.

    Raises:
        ConfigError: a target is no layer of the language model.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    within = rf"(?=(?:.*\.)?{re.escape(language)}\.)"  # look-ahead that holds for the language model alone
    heads = [name for name in linear if name.rpartition(".")[2] == _HEAD] or [_HEAD]
    inside = [name for name in linear if re.match(within, name) and name not in heads]
    if isinstance(targets, str) and targets.lower() != ALL_LINEAR:
        return _anchored(within, targets, [name for name, _ in model.named_modules()])
    if isinstance(targets, str):
        if inside and all(re.fullmatch(LORA_TARGETS, name) for name in inside):
            return LORA_TARGETS
        targets = sorted({name.rpartition(".")[2] for name in inside})
    if not targets:
        raise ConfigError("LoRA finds nothing to adapt: the language model has no linear layers or targets is empty")
    for target in targets:
        if target != _HEAD and not any(name == target or name.endswith(f".{target}") for name in inside):
            known = sorted({name.rpartition(".")[2] for name in inside})
            hint = nearest(target, known)
            raise ConfigError(
                f"LoRA target {target!r} is no linear layer of the language model; choose from {', '.join(known)}{hint}"
            )
    named = "|".join(re.escape(target) for target in targets if target != _HEAD)
    patterns = [rf"{within}(?:.*\.)?(?:{named})"] * bool(named) + [
        re.escape(head) for head in heads if _HEAD in targets
    ]
    return "|".join(patterns)


def _anchored(within: str, pattern: str, names: Sequence[str]) -> str:
    anchored = f"{within}(?:{pattern})"
    try:
        found = any(re.fullmatch(anchored, name) for name in names)
    except re.error as error:
        raise ConfigError(
            f"LoRA target {pattern!r} is no regular expression ({error}); give a list of names"
        ) from error
    if not found:
        example = "model.language_model.layers.0.self_attn.q_proj"
        raise ConfigError(
            f"LoRA target {pattern!r} matches no whole path in the language model, such as {example}; "
            "give a list for names of layers"
        )
    return anchored
