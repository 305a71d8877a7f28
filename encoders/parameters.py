"""Which part of the model a parameter belongs to, and how many there are of each.

Parameter paths are a contract (see ``encoders.modeling``): freezing, saving, adapters and these counts match their
prefixes.
"""

from collections import defaultdict

from rich.table import Table
from torch import nn

TOWER, PROJECTOR, LANGUAGE = "vision_tower", "multi_modal_projector", "language_model"


def component_of(name: str) -> str:
    """Return the part of the model that a parameter belongs to; adapters and each encoder count by themselves."""
    parts = name.split(".")
    if "lora_" in name:
        return "language_model LoRA"
    if TOWER in parts:
        after = parts[parts.index(TOWER) + 1 :]
        named = [part for part in after[:2] if part not in ("encoders", "towers")]
        return f"{TOWER}.{named[0]}" if named else TOWER
    return next((part for part in (PROJECTOR, LANGUAGE, "lm_head") if part in parts), parts[0])


def parameter_counts(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Return (all, trainable) parameter counts by component. PEFT's frozen copy of a trained module is not counted."""
    counts: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for name, parameter in model.named_parameters():
        if ".original_module." in name:
            continue
        size = parameter.numel()
        everything, trainable = counts[component_of(name)]
        counts[component_of(name)] = (everything + size, trainable + size * parameter.requires_grad)
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
