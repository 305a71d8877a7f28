"""Load a trained or freshly built model, or say in one line why the directory cannot be used.

Transformers fills weights that a file lacks with random numbers and a warning; a model that is partly random still
answers, and its scores look like a result. Here every missing or misshapen weight is an error.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open

from encoders.configuration import VsreConfig
from encoders.finite_weights import check_finite
from encoders.modeling import VsreForConditionalGeneration
from encoders.parameters import PROJECTOR
from encoders.processing import VsreProcessor
from encoders.register import register
from encoders.source_files import cached_folder, check_complete, check_safetensors, missing_model, read_description
from spatial.errors import CheckpointError, first_line

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

ADAPTER_FILE = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

OTHER_MODELS = "docs/other-models.md"
"""What is done with models of other families, and how."""

_COPY = "copy the directory again"

Model = TypeVar("Model", bound="PreTrainedModel")


def load_model(
    path: str | Path, dtype: torch.dtype | None = None, quantization: Any = None
) -> tuple[VsreForConditionalGeneration, VsreProcessor]:
    """Load a checkpoint directory, or a PEFT adapter directory merged into its base, in evaluation mode.

    Args:
        path: what ``build-model`` or ``train`` wrote. An adapter's base may be given relative to the adapter
            directory or to the working directory, and may be an adapter itself.
        dtype: of the weights; by default as saved, but float32 for float16 without a GPU, where it would be slow.
        quantization: as ``from_pretrained`` of Transformers takes it; for a whole model only.

    Raises:
        CheckpointError: the directory is absent, of another architecture, incomplete or damaged, or an adapter that
            would have to be merged into quantised weights.
    """
    register()
    folder = Path(path)
    if not folder.is_dir():
        raise missing_model(folder)
    model = _load_weights(folder, dtype, quantization)
    processor = load_processor(folder)
    _check_processor(processor, model.config, folder)
    return model.eval(), processor


def load_adapter(model: VsreForConditionalGeneration, path: str | Path) -> tuple["PeftModel", VsreProcessor]:
    """Put an adapter directory on its base, unmerged, to go on training it.

    What trains is in float32 and has the very values of the directory, whatever the number format of the base.

    Args:
        model: of ``base_of(path)``, changed in place.
        path: of the adapter.

    Raises:
        CheckpointError: the adapter is incomplete or damaged.
    """
    folder = Path(path)
    model.get_submodule(f"model.{PROJECTOR}").float()  # PEFT would round what it loads to the format of the base
    adapted = _adapt(model, folder, trainable=True)
    # PEFT writes the base as the adapter names it: relative to a directory in which the next one will not lie.
    adapted.peft_config["default"].base_model_name_or_path = str(base_of(folder))
    processor = load_processor(folder)
    _check_processor(processor, model.config, folder)
    return adapted, processor


def _load_weights(folder: Path, dtype: torch.dtype | None, quantization: Any) -> VsreForConditionalGeneration:
    if is_adapter(folder) and quantization is not None:
        raise CheckpointError(f"adapter {folder} cannot be merged into a quantised base; merge it first: 'vsre merge'")
    return load_merged(folder, lambda base: _load_base(base, dtype, quantization))


def load_merged(folder: Path, load_base: Callable[[Path], Model]) -> Model:
    """Return a whole model, or that of an adapter directory merged into its base.

    Args:
        folder: of a model or an adapter.
        load_base: returns the model in a directory.

    Raises:
        CheckpointError: a base is missing, or an adapter is incomplete or damaged.
    """
    *adapters, base = lineage(folder)
    model = load_base(base)
    for adapter in reversed(adapters):
        model = _merge_adapter(model, adapter)
        model.name_or_path = model.config._name_or_path = str(adapter)  # what an adapter trained on top names as base
    return model


def is_adapter(path: str | Path) -> bool:
    """Tell whether a directory holds a PEFT adapter, and no whole model."""
    return (Path(path) / ADAPTER_FILE).is_file()


def lineage(folder: Path) -> list[Path]:
    """Return an adapter's directory, its base's, and so on, down to the directory of a whole model.

    Raises:
        CheckpointError: a base is missing, or is the adapter itself.
    """
    found, seen = [folder], {folder.resolve()}
    while is_adapter(found[-1]):
        base = base_of(found[-1])
        if base.resolve() in seen:
            raise CheckpointError(
                f"adapter {found[-1]} comes back to {base} as its base; "
                f"correct base_model_name_or_path in {found[-1] / ADAPTER_FILE}"
            )
        seen.add(base.resolve())
        found.append(base)
    return found


def base_of(folder: Path) -> Path:
    """Return the directory of an adapter's base.

    It is named relative to the adapter or to the working directory, or by a hub id whose files are on this machine.

    Raises:
        CheckpointError: it is missing.
    """
    adapter = folder / ADAPTER_FILE
    named = str(read_description(adapter, _COPY).get("base_model_name_or_path") or "")
    for candidate in (folder / named, Path(named)):  # an absolute path stays itself in both
        if named and candidate.is_dir():
            return candidate
    if cached := cached_folder(named):
        return cached
    fetch = f", or run 'hf download {named}'" if named.count("/") == 1 else ""
    raise CheckpointError(
        f"the base {named!r} of adapter {folder} is missing; correct base_model_name_or_path in {adapter}{fetch}"
    )


def read_config(path: str | Path) -> VsreConfig:
    """Return the configuration of a checkpoint or adapter directory; no weights are read.

    Raises:
        CheckpointError: the directory is absent or not a model of ours.
        ConfigError: the configuration is of a model that cannot be.
    """
    folder = lineage(Path(path))[-1]
    _check_kind(folder)
    config: VsreConfig = VsreConfig.from_pretrained(folder, local_files_only=True)
    return config


def _check_kind(folder: Path) -> None:
    config_file = folder / "config.json"
    if not config_file.is_file():
        begun = "; its training is not finished: give the same 'vsre train' command again"
        mend = begun if (folder / "checkpoints").is_dir() else "; give a directory that 'vsre' wrote"
        raise CheckpointError(f"{folder} has no config.json and no {ADAPTER_FILE}{mend}")
    kind = read_description(config_file, _COPY).get("model_type")
    if kind != VsreConfig.model_type:
        raise CheckpointError(
            f"{folder} holds a model of type {kind!r}, not 'vsre'; build one with 'vsre build-model', or see"
            f" {OTHER_MODELS}"
        )


def _load_base(folder: Path, dtype: torch.dtype | None, quantization: Any = None) -> VsreForConditionalGeneration:
    _check_kind(folder)
    check_safetensors(folder)
    quantized = {} if quantization is None else {"quantization_config": quantization}
    options = {"output_loading_info": True, "local_files_only": True, "use_safetensors": True} | quantized
    try:
        model, info = VsreForConditionalGeneration.from_pretrained(folder, dtype=dtype or "auto", **options)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} cannot be loaded ({first_line(error)}); copy or build it again") from error
    check_complete(info, folder, "copy or build it again")
    check_finite(model, folder)
    return without_slow_halves(model) if dtype is None else model


def without_slow_halves(model: Model) -> Model:
    """Return the model, in float32 if it is in float16 and there is no GPU, where that would be slow."""
    if model.dtype == torch.float16 and not torch.cuda.is_available():
        model.float()
    return model


def _merge_adapter(model: Model, folder: Path) -> Model:
    """Add the adapter to the weights: the result is the plain class, as fast as the base."""
    merged: Model = _adapt(model, folder).merge_and_unload()
    return merged


def _adapt(model: "PreTrainedModel", folder: Path, trainable: bool = False) -> "PeftModel":
    """Put an adapter on the model, all of it.

    Raises:
        CheckpointError: it lacks weights, or cannot be read.
    """
    from peft import PeftModel, get_peft_model_state_dict

    if not (folder / ADAPTER_WEIGHTS).is_file():  # PEFT would read adapter_model.bin, which can hold code
        raise CheckpointError(f"adapter {folder} has no {ADAPTER_WEIGHTS}; copy the directory again or train it again")
    try:
        adapted = PeftModel.from_pretrained(model, folder, is_trainable=trainable)
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as weights:
            found = set(weights.keys())
    except KeyError as error:  # PEFT looks up the projector's weights without asking whether they are there
        raise CheckpointError(f"adapter {folder} lacks weights, the first is {error}; train it again") from error
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"adapter {folder} cannot be loaded ({first_line(error)}); train it again") from error
    # Left to itself, PEFT would ask the model hub whether the base's vocabulary is larger.
    missing = sorted(set(get_peft_model_state_dict(adapted, save_embedding_layers=False)) - found)
    if missing:
        raise CheckpointError(
            f"adapter {folder} lacks {len(missing)} weights, the first is {missing[0]}; train it again"
        )
    check_finite(adapted, folder)
    return adapted


def load_processor(folder: Path) -> VsreProcessor:
    """Return the processor of a checkpoint or adapter directory, or of its base.

    Raises:
        CheckpointError: there is none.
    """
    register()
    folders = lineage(folder)
    folder = next((each for each in folders if (each / "processor_config.json").is_file()), folders[-1])
    try:
        processor: VsreProcessor = VsreProcessor.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # JSON of another shape fails anywhere, and tokenizers has no kinds of errors
        raise CheckpointError(f"{folder} has no processor ({first_line(error)}); copy it from the base") from error
    return processor


def _check_processor(processor: VsreProcessor, config: VsreConfig, folder: Path) -> None:
    """Make sure that what the processor makes is what the model takes."""
    size, side = processor.image_processor.size, config.vision.canvas_size
    if processor.num_image_tokens != config.num_image_tokens:
        raise CheckpointError(
            f"{folder}: the processor makes {processor.num_image_tokens} image tokens but the model needs "
            f"{config.num_image_tokens}; set num_image_tokens in processor_config.json"
        )
    if not (size["height"] == size["width"] == side):
        shown = f"{size['width']}x{size['height']}"
        raise CheckpointError(
            f"{folder}: the processor makes canvases of {shown} pixels but the model has {side}x{side}; "
            "set size of the image_processor in processor_config.json"
        )
    if processor.image_token_id != config.image_token_id:
        raise CheckpointError(
            f"{folder}: <image> is token {processor.image_token_id} of the tokenizer but {config.image_token_id} in "
            "config.json; copy the tokenizer's files from the base, or correct image_token_index"
        )
    if processor.chat_template:
        _check_template(processor, folder)


def _check_template(processor: VsreProcessor, folder: Path) -> None:
    """Make sure that questions can be put into the chat template, which is a program of the checkpoint."""
    question = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is it red?"}]}
    try:
        processor.apply_chat_template([question], add_generation_prompt=True, tokenize=False)
    except Exception as error:  # jinja2 refuses what reaches beyond the message, and runs whatever else it says
        raise CheckpointError(
            f"{folder}: the chat template cannot be used ({first_line(error)}); copy it from the base"
        ) from error
