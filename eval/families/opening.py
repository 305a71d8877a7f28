"""From the name of a model to one that can be asked: its family, what it cannot do, its weights, its canvas."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from encoders.canvas import CANVAS_MODES
from encoders.load import lineage
from encoders.source_files import read_description
from eval.decoders import Reading, format_decoder
from eval.families import FAMILIES
from eval.families.family import Family
from eval.images import See, padded_first
from spatial.errors import CheckpointError, ConfigError, check_known, nearest

AS_PROCESSOR = "processor"
"""The canvas of other families that is none: their own processor makes of a picture what it makes."""


def check_canvas(canvas: str) -> None:
    """Check the name of a canvas, as far as it can be without knowing the model.

    Raises:
        ConfigError: no kind of model has it.
    """
    if canvas:
        check_known("canvas mode", canvas, (*CANVAS_MODES, AS_PROCESSOR))


def kind_of(folder: Path) -> str:
    """Return the ``model_type`` of a model, or of an adapter's base, as a name of ``FAMILIES``.

    Raises:
        CheckpointError: it is another one.
    """
    base = lineage(folder)[-1]
    config = read_description(base / "config.json", "copy the directory again")
    kind = str(config.get("model_type", "vsre"))  # what else is wrong, the loader of our own models says
    if kind in FAMILIES:
        return kind
    code = "; the code that it brings is not run" if "auto_map" in config else ""
    raise CheckpointError(
        f"{base} is of type {kind!r}, which evaluation does not know{code}; known are {', '.join(sorted(FAMILIES))}"
        f"{nearest(kind, FAMILIES)}; docs/extending.md shows how one is added"
    )


def check_asked(kind: str, readings: Iterable[Reading], canvas: str) -> None:
    """Refuse, before weights are read, what a kind of model cannot do.

    Raises:
        ConfigError: a reading or a canvas.
    """
    family = FAMILIES[kind]
    known = tuple(CANVAS_MODES) if family.own_canvas else (AS_PROCESSOR, "pad")
    if canvas and canvas not in known:
        raise ConfigError(f"canvas {canvas!r} is not for models of type {kind!r}; choose from {', '.join(known)}")
    for reading in readings:
        if not isinstance(reading, family.reads):
            name = format_decoder(reading)
            raise ConfigError(f"decoder {name!r} cannot read a model of type {kind!r}: {family.unread}")


def open_model(folder: Path, kind: str, canvas: str, device: torch.device) -> tuple[Any, Any, See, str]:
    """Return the model on a device, its processor, how it sees pictures, and the canvas in use.

    Args:
        folder: of a model or adapter.
        kind: of it.
        canvas: as asked for; "" for what the checkpoint says.
        device: where it shall compute.

    Raises:
        CheckpointError: the directory cannot be used, or questions cannot be written for want of a chat template.
    """
    family = FAMILIES[kind]
    model, processor = family.load(folder)
    _set_template(family, model, processor, folder)
    network: torch.nn.Module = model
    network.to(device).eval()
    if family.own_canvas:
        processor.image_processor.mode = canvas or processor.image_processor.mode
        return model, processor, family.see, processor.image_processor.mode
    see = padded_first(family.see) if canvas == "pad" else family.see
    return model, processor, see, canvas or AS_PROCESSOR


def _set_template(family: Family, model: Any, processor: Any, folder: Path) -> None:
    if getattr(processor, "chat_template", None):
        return
    language = model.config.get_text_config().model_type
    if language not in family.templates:
        raise CheckpointError(f"{folder} has no chat template; copy chat_template.jinja (or .json) from the hub")
    processor.chat_template = family.templates[language]
