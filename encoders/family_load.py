"""Load a model of another family with its processor, or say in one line why the directory cannot be used.

Only safetensors are read and no code of the directory runs. A weight that is missing is an error, since Transformers
would fill it with random numbers.

Processors that also take video need torchvision, for the video alone. Without torchvision they are loaded without that
part; what the directory says of it is kept when the processor is saved, so that others find it complete.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import GENERATION_CONFIG_NAME, is_torchvision_available

from encoders.finite_weights import check_finite
from encoders.load import lineage, load_merged, without_slow_halves
from encoders.source_files import check_complete, check_safetensors, read_description
from spatial.errors import CheckpointError, first_line

VIDEO = "video_processor"

_COPY = "copy the directory again"


def load_family(
    folder: Path, dtype: torch.dtype | None = None, kind: Any = AutoModelForImageTextToText
) -> tuple[PreTrainedModel, Any]:
    """Return the model in a directory, adapters merged into their base, and its processor.

    Args:
        folder: of a model, or of a PEFT adapter.
        dtype: of the weights; by default as saved, but float32 for float16 without a GPU, where it would be slow.
        kind: a class with ``from_pretrained``.

    Raises:
        CheckpointError: the directory is incomplete or damaged, or its weights are no safetensors.
    """
    model = load_merged(folder, lambda base: _load_whole(base, dtype, kind))
    return model.eval(), load_processor(folder, model)


def _load_whole(folder: Path, dtype: torch.dtype | None, kind: Any) -> PreTrainedModel:
    check_safetensors(folder)
    try:
        model, info = kind.from_pretrained(
            folder,
            dtype=dtype or "auto",
            output_loading_info=True,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"{folder} cannot be loaded ({first_line(error)}); it needs config.json and .safetensors files"
        ) from error
    check_complete(info, folder, _COPY)
    check_finite(model, folder)
    return without_slow_halves(model) if dtype is None else model


def load_meta(folder: Path) -> PreTrainedModel:
    """Return the model that a directory describes on the meta device, without weights.

    Raises:
        CheckpointError: its settings cannot be read.
    """
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForImageTextToText.from_config(config)
        if (folder / GENERATION_CONFIG_NAME).is_file():
            model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} cannot be read ({first_line(error)}); {_COPY}") from error
    return model


def load_processor(folder: Path, model: PreTrainedModel) -> Any:
    """Return the processor of a model or adapter directory, or of the adapter's base.

    Raises:
        CheckpointError: there is none.
    """
    folders = lineage(folder)
    folder = next((each for each in folders if any(each.glob("*processor_config.json"))), folders[-1])
    kind: type[ProcessorMixin] | None = PROCESSOR_MAPPING.get(type(model.config), None)
    try:
        if kind is None or is_torchvision_available() or VIDEO not in kind.get_attributes():
            return AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        processor: Any = without_video(kind).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # as of our own models
        raise CheckpointError(f"{folder} has no processor ({first_line(error)}); copy it from the hub") from error
    nested = read_description(folder / "processor_config.json", _COPY).get(VIDEO)
    processor.video_settings = nested or read_description(folder / "video_preprocessor_config.json", _COPY)
    return processor


def without_video(kind: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """Return the processor class for pictures and text alone, under the same name."""

    def get_attributes(cls: Any) -> list[str]:
        return [name for name in kind.get_attributes() if name != VIDEO]

    def to_dict(self: Any) -> dict[str, Any]:
        settings = getattr(self, "video_settings", None)
        return kind.to_dict(self) | ({VIDEO: settings} if settings else {})

    return type(kind.__name__, (kind,), {"get_attributes": classmethod(get_attributes), "to_dict": to_dict})
