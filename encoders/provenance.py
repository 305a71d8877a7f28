"""What a built model consists of: for each part, how many parameters, and where they come from."""

from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from encoders.configuration import VsreConfig
from encoders.modeling import VsreForConditionalGeneration
from encoders.parameters import PROJECTOR, component_of


@dataclass(frozen=True)
class Part:
    """One line of the table.

    Attributes:
        component: see ``component_of``; each aligner of the projector counts by itself.
        parameters: how many.
        weights: where they come from.
        dtype: theirs.
        bytes: on disk; 0 where they are those of another part (a head tied to the embeddings).
    """

    component: str
    parameters: int
    weights: str
    dtype: str
    bytes: int


def parts_of(
    model: VsreForConditionalGeneration, origins: Mapping[str, str], drawn: Set[str] | None, seed: int
) -> list[Part]:
    """Return the parts of a model.

    Args:
        model: built.
        origins: where weights come from, by the prefix of their names.
        drawn: names of the parameters that were drawn from the seed, None for all.
        seed: that they were drawn from.
    """
    sizes: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for name, parameter in model.named_parameters():
        taken = drawn is not None and name not in drawn
        origin = next((origin for prefix, origin in origins.items() if taken and name.startswith(prefix)), "")
        key = (_component(name), origin or f"random, seed {seed}", str(parameter.dtype).removeprefix("torch."))
        sizes[key][0] += parameter.numel()
        sizes[key][1] += parameter.nbytes
    return [Part(name, count, weights, dtype, size) for (name, weights, dtype), (count, size) in sizes.items()]


def provenance(parts: list[Part], config: VsreConfig, notes: list[str]) -> dict[str, Any]:
    """Return the same as a mapping, for ``build.json``."""
    return {"parts": [asdict(part) for part in parts], "visual_tokens": visual_tokens(config), "notes": notes}


def visual_tokens(config: VsreConfig) -> dict[str, int]:
    """Return the visual tokens of one image, in all and as each encoder's branch gives them to the fusion."""
    return {"total": config.num_image_tokens} | {name: branch.tokens for name, branch in config.branches().items()}


def parts_table(parts: list[Part], config: VsreConfig) -> Table:
    """Return the parts for printing."""
    dtypes = ", ".join(sorted({part.dtype for part in parts}))
    table = Table(title=f"what was built ({dtypes})", box=SIMPLE)
    table.add_column("component", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("weights", overflow="fold")
    table.add_column("tokens", justify="right", no_wrap=True)
    table.add_column("on disk", justify="right", no_wrap=True)
    tokens = {f"vision_tower.{name}": f"{count:,}" for name, count in visual_tokens(config).items()}
    for part in parts:
        shown = tokens.pop(part.component, "")
        table.add_row(part.component, f"{part.parameters:,}", part.weights, shown, _size(part.bytes))
    parameters, size = sum(part.parameters for part in parts), sum(part.bytes for part in parts)
    fused = f"{config.num_image_tokens:,}"
    table.add_row("total", f"{parameters:,}", f"fusion {config.fusion}", fused, _size(size), style="bold")
    return table


def _component(name: str) -> str:
    """Return the part of the model; the aligner of each encoder by itself, since each may come from elsewhere."""
    component = component_of(name)
    after = name.partition(f"{PROJECTOR}.")[2].split(".")
    return f"{PROJECTOR}.{after[1]}" if component == PROJECTOR and after[0] == "aligners" else component


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
