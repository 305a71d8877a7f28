"""Which part of the model a parameter belongs to, and how many there are of each.

Parameter paths are a contract (see ``encoders.modeling``): freezing, saving, adapters and these counts match their
prefixes.
"""

from collections import defaultdict
from collections.abc import Sequence

from rich.table import Table
from torch import nn

TOWER, PROJECTOR, LANGUAGE = "vision_tower", "multi_modal_projector", "language_model"

_WRAPPERS = ("base_model", "model")
"""What stands before the name of a part, in PEFT's models and in Transformers' own."""


def is_under(name: str, modules: Sequence[str]) -> bool:
    """Tell whether a parameter lies in, or is, one of the modules, whose paths may be given from anywhere on."""
    return any(f".{module}." in f".{name}." for module in modules)


def component_of(name: str, projector: Sequence[str] = (PROJECTOR,)) -> str:
    """Return the part of the model that a parameter belongs to; adapters and each encoder count by themselves.

    Args:
        name: path of the parameter.
        projector: modules between encoder and language model; ours is one, other models may have several.
    """
    parts = name.split(".")
    if "lora_" in name:
        return "language_model LoRA"
    if between := [module for module in projector if is_under(name, [module])]:
        return between[0]
    if TOWER in parts:
        after = parts[parts.index(TOWER) + 1 :]
        named = [part for part in after[:2] if part not in ("encoders", "towers")]
        return f"{TOWER}.{named[0]}" if named else TOWER
    own = [part for part in parts if part not in _WRAPPERS]
    return next((part for part in (LANGUAGE, "lm_head") if part in parts), own[0])


def size_of(parameter: nn.Parameter) -> int:
    """Return how many numbers a parameter has; one that ZeRO-3 split is empty but knows its whole size."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def parameter_counts(model: nn.Module, projector: Sequence[str] = (PROJECTOR,)) -> dict[str, tuple[int, int]]:
    """Return (all, trainable) parameter counts by component. PEFT's frozen copy of a trained module is not counted."""
    counts: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for name, parameter in model.named_parameters():
        if ".original_module." in name:
            continue
        size = size_of(parameter)
        component = component_of(name, projector)
        everything, trainable = counts[component]
        counts[component] = (everything + size, trainable + size * parameter.requires_grad)
    return dict(counts)


def parameter_table(counts: dict[str, tuple[int, int]], rates: dict[str, float] | None = None) -> Table:
    """Return a table of parameters by component with their peak learning rates, for printing."""
    table = Table("component", "parameters", "trainable", "learning rate", title="what trains")
    for column in table.columns[1:]:
        column.justify = "right"
    for component, (everything, trainable) in counts.items():
        rate = f"{rates.get(component, rates['']):g}" if rates and trainable else "" if trainable else "frozen"
        table.add_row(component, f"{everything:,}", f"{trainable:,}", rate)
    totals = [f"{sum(column):,}" for column in zip(*counts.values(), strict=True)]
    table.add_row("total", *totals, "", style="bold")
    return table
