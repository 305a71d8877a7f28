"""Load the models that judge: settings such as "owlv2=DIR" become objects, or one line says why they cannot.

Loaded here are directories as Transformers writes them, and names on its hub (fetched as Transformers does it, so
``HF_HUB_OFFLINE`` keeps it from asking). Only safetensors are read and no code that comes with a model is run. Weights
that a file lacks would be filled with random numbers and a warning; here that is an error.
"""

import os
from pathlib import Path
from typing import Any

from spatial.errors import CheckpointError, ConfigError, first_line, nearest

DOWNLOAD = "download it to a folder and name that, or unset HF_HUB_OFFLINE"


def split_name(setting: str, kinds: tuple[str, ...], what: str) -> tuple[str, str]:
    """Return kind and place of a setting such as "owlv2=DIR"; the place is "" where none is named.

    Raises:
        ConfigError: the kind is unknown; names the nearest.
    """
    kind, _, place = setting.partition("=")
    if kind not in kinds:
        raise ConfigError(f"{what} {kind!r} is unknown{nearest(kind, kinds)}; known: {', '.join(kinds)}")
    return kind, place


def check_place(place: str, types: tuple[str, ...], what: str) -> None:
    """Refuse a folder that is not there or holds another kind of model, before anything is loaded.

    A name on the hub ("google/owlv2-base-patch16-ensemble") that is no folder here is left to the hub.

    Args:
        place: folder or hub name.
        types: values of ``model_type`` in config.json that are taken; empty takes any.
        what: what asks for it, for the message.

    Raises:
        CheckpointError: the folder is missing or incomplete, or its model is of another type.
    """
    folder = Path(place)
    if not folder.is_dir():
        if place.count("/") != 1 or place.startswith((".", "/", "~")):
            raise CheckpointError(
                f"{what}: folder {place} does not exist; correct the path, or name a model on the hub"
            )
        return
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{what}: {folder} has no config.json; name the folder that holds it")
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"{what}: {folder} has no .safetensors file; download the weights in that format")
    found = model_type(folder)
    if types and found not in types:
        raise CheckpointError(f"{what}: {folder} holds a model of type {found!r}, not {' or '.join(map(repr, types))}")


def model_type(folder: Path) -> str:
    """Return ``model_type`` of a folder's config.json.

    Raises:
        CheckpointError: it cannot be read.
    """
    import json

    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / 'config.json'} cannot be read ({error}); copy the folder again") from error


def load_network(model_class: Any, place: str, what: str, device: Any) -> Any:
    """Return a network in evaluation mode on a device, in float32 on a CPU.

    Raises:
        CheckpointError: it cannot be had, or lacks weights.
    """
    import torch

    from encoders.source_files import check_complete

    try:
        network, info = model_class.from_pretrained(
            place, output_loading_info=True, use_safetensors=True, trust_remote_code=False
        )
    except Exception as error:  # Transformers raises whatever the file at hand made go wrong
        raise CheckpointError(f"{what}: {place} cannot be loaded ({first_line(error)}); {_mend(place)}") from error
    check_complete(info, f"{what}: {place}", "copy it again")
    network = network.float() if device.type == "cpu" and network.dtype != torch.float32 else network
    return network.to(device).eval()


def load_processor(processor_class: Any, place: str, what: str) -> Any:
    """Return what turns pictures and words into a network's inputs.

    Raises:
        CheckpointError: it cannot be had.
    """
    try:
        return processor_class.from_pretrained(place, trust_remote_code=False)
    except Exception as error:
        raise CheckpointError(
            f"{what}: {place} has no usable processor ({first_line(error)}); {_mend(place)}"
        ) from error


def _mend(place: str) -> str:
    if Path(place).is_dir():
        return "copy the folder again"
    return DOWNLOAD if os.environ.get("HF_HUB_OFFLINE") else "correct the name, or name a folder"
