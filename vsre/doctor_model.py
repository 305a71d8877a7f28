"""``vsre doctor --model``: what a model costs and whether it fits together, without loading a weight.

Everything is counted on the meta device from the configuration: visual tokens, parameters, forward FLOPs of every
part, the memory of the weights, and the room that is left for text.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from encoders.build import planned_config
from encoders.configuration import VsreConfig
from encoders.flops import language_flops, projector_flops, tower_flops
from encoders.load import read_config
from encoders.modeling import VsreForConditionalGeneration
from encoders.parameters import LANGUAGE, PROJECTOR, TOWER, parameter_counts
from vsre.settings import find_config, from_mapping, load_settings

TEXT_TOKENS = 64
"""Length of a question and its answer, for the figure of the language model."""


def examine_model(model: str) -> list[str]:
    """Print the tables of a model and return what is wrong with it.

    Args:
        model: directory of a checkpoint or adapter, or settings file of ``vsre build-model``.

    Raises:
        CheckpointError: the directory is not a model of ours.
        ConfigError: it describes a model that cannot be.
    """
    config = model_config(model)
    with torch.device("meta"):
        counts = {name: count for name, (count, _) in parameter_counts(VsreForConditionalGeneration(config)).items()}
    flops = tower_flops(config.vision)
    console = Console()
    console.print(encoder_table(config, counts, flops))
    console.print(part_table(config, counts, sum(flops.values())))
    return problems(config)


def model_config(model: str) -> VsreConfig:
    """Return the configuration of a checkpoint directory, or of what a settings file would build."""
    if Path(model).suffix not in (".yaml", ".yml"):
        return read_config(model)
    return planned_config(from_mapping("build-model", load_settings(find_config(model), "build-model")))


def problems(config: VsreConfig) -> list[str]:
    """Return a line if an image leaves the language model little room for text."""
    room = config.text.max_position_embeddings - config.num_image_tokens
    if room >= TEXT_TOKENS:
        return []
    return [
        f"one image is {config.num_image_tokens} tokens, and the language model was made for "
        f"{config.text.max_position_embeddings}; mend: another fusion or fewer encoders"
    ]


def encoder_table(config: VsreConfig, counts: dict[str, int], flops: dict[str, int]) -> Table:
    """Return a table of the encoders: input, features, parameters, FLOPs, and tokens that enter the fusion.

    FLOPs stand there twice: as the tower is built, up to its feature layer, and of the whole encoder as published.
    """
    cut = [name for name, plan in config.vision.plans().items() if plan.feature_layer != -1]
    whole = flops | tower_flops(config.vision, cut, whole=True)
    unit, scale = _unit(whole.values())
    title = f"canvas of {config.vision.canvas_size} pixels: {config.num_image_tokens} visual tokens ({config.fusion})"
    table = Table(title=title)
    for column in ("encoder", "input", "features", "layer", "M params", unit, "whole", "tokens"):
        table.add_column(column, justify="left" if column == "encoder" else "right")
    for name, branch in config.branches().items():
        plan = branch.plan
        cells = (f"{plan.image_size}", f"{plan.tokens}x{plan.width}", str(plan.feature_layer))
        costs = (f"{flops[name] / scale:.3f}", f"{whole[name] / scale:.3f}")
        table.add_row(name, *cells, _millions(counts[f"{TOWER}.{name}"]), *costs, f"{branch.tokens}")
    total = sum(count for name, count in counts.items() if name.startswith(TOWER))
    sums = (f"{sum(flops.values()) / scale:.3f}", f"{sum(whole.values()) / scale:.3f}")
    table.add_section()
    table.add_row("all", "", "", "", _millions(total), *sums, "", style="bold")
    return table


def part_table(config: VsreConfig, counts: dict[str, int], towers: int) -> Table:
    """Return a table of towers, projector and language model: parameters, memory in bfloat16, FLOPs of one prompt."""
    tokens = config.num_image_tokens + TEXT_TOKENS
    flops = {TOWER: towers, PROJECTOR: projector_flops(config), LANGUAGE: language_flops(config, tokens)}
    unit, scale = _unit(flops.values())
    title = f"one image and {TEXT_TOKENS} tokens of text: {tokens} tokens"
    table = Table("part", "M params", "GiB in bfloat16", unit, "share", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for part, cost in flops.items():
        kinds = (part, "lm_head") if part == LANGUAGE else (part,)
        parameters = sum(count for name, count in counts.items() if name.split(".")[0] in kinds)
        share = f"{cost / sum(flops.values()):.1%}"
        table.add_row(part, _millions(parameters), f"{2 * parameters / 2**30:.2f}", f"{cost / scale:.3f}", share)
    return table


def _unit(flops: Iterable[int]) -> tuple[str, float]:
    return ("TFLOP", 1e12) if max(flops) >= 1e10 else ("GFLOP", 1e9)


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:,.1f}"
