"""LoRA on other people's image-text models: where each family keeps its parts, and what of them trains.

Any model that Transformers loads as image-text-to-text can learn from the same records, through its own processor
(VSRE's Table 2 tunes Qwen-VL, BLIP-2 and InstructBLIP). What differs is where its language model, its encoder and what
stands between them are, and how a question is written; a ``Family`` says that, by ``model_type``.

What stands between is trained whole, beside LoRA, as ``multi_modal_projector`` of ours is. In BLIP-2 and InstructBLIP
that is the Q-Former with its projection: both papers fine-tune it and leave the encoder or the language model as it is
(arXiv 2301.12597, 2305.06500). LoRA never goes into it.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import TrainingArguments, set_seed

from encoders.configuration import VsreConfig
from encoders.load import ADAPTER_FILE, lineage
from encoders.parameters import LANGUAGE, is_under
from encoders.source_files import read_description
from spatial.errors import CheckpointError, ConfigError
from training.adapters import with_lora
from training.config import FROM_NOTHING, FROZEN_TOWERS, LoraSettings, Stage, TrainConfig
from training.conversation_file import SUFFIXES
from training.stages import check_towers_frozen

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from training.rows import RowCollator


@dataclass(frozen=True)
class Family:
    """Where a kind of model keeps its parts. Paths count from anywhere on, as "visual.merger" in "model.visual.merger".

    Attributes:
        vision: the encoder; it is frozen.
        projector: modules and parameters between encoder and language model; they may lie in the encoder.
        language: the language model; LoRA goes here.
        prompt: how a question is written, with {text} where it stands; "" for the processor's chat template.
        unreached: regular expression of modules in the projector that no gradient reaches, with LAST for the number of
            the Q-Former's last layer. Several processes would wait for their gradients.
    """

    vision: str
    projector: tuple[str, ...]
    language: str = LANGUAGE
    prompt: str = ""
    unreached: str = ""


_Q_FORMER = ("qformer", "language_projection", "query_tokens")

FAMILIES: dict[str, Family] = {
    "llava": Family("vision_tower", ("multi_modal_projector",)),
    "llava_next": Family("vision_tower", ("multi_modal_projector",)),
    "qwen2_vl": Family("visual", ("visual.merger",)),
    "qwen2_5_vl": Family("visual", ("visual.merger",)),
    "qwen3_vl": Family("visual", ("visual.merger", "visual.deepstack_merger_list")),
    "blip-2": Family("vision_model", _Q_FORMER, prompt="Question: {text} Answer:"),
    "instructblip": Family(
        "vision_model",
        _Q_FORMER,
        prompt="{text}",
        unreached=r"qformer\.encoder\.layer\.LAST\.(intermediate|output)",  # of the text, whose outputs nobody reads
    ),
}
"""By ``model_type`` of config.json."""


def foreign_kind(config: TrainConfig) -> str:
    """Return the ``model_type`` that a run starts from if it is of a known family, "" for ours.

    Raises:
        CheckpointError: the family is not known.
        ConfigError: the directory is an adapter.
    """
    if not config.model or config.stage in FROM_NOTHING:
        return ""
    folder = lineage(Path(config.model))[-1]
    kind = read_description(folder / "config.json", "copy the directory again").get("model_type")
    if kind in (None, VsreConfig.model_type):
        return ""  # what is wrong with one of ours, its loader says
    if kind not in FAMILIES:
        raise CheckpointError(
            f"{folder} is of type {kind!r}, which training does not know; known are {VsreConfig.model_type!r} and "
            f"{', '.join(sorted(FAMILIES))}; docs/extending.md shows how one is added, in one line"
        )
    if (Path(config.model) / ADAPTER_FILE).exists():
        raise ConfigError(f"{config.model} is an adapter on a {kind!r}; start from its base, {folder}")
    return str(kind)


def check_family(config: TrainConfig) -> None:
    """Refuse, for other families, what only our models have.

    Raises:
        ConfigError: a setting that has no meaning there.
        CheckpointError: the family is not known.
    """
    kind = foreign_kind(config)
    if not kind:
        return
    if config.stage not in FROZEN_TOWERS:
        raise ConfigError(
            f"stage '{config.stage}' is of our own models; for a {kind!r}, choose {', '.join(FROZEN_TOWERS)}"
        )
    talks = [path for path in config.data if Path(path).suffix in SUFFIXES]
    if talks:
        raise ConfigError(f"a {kind!r} is trained on dataset folders; take {talks[0]} out of 'data'")
    if config.evaluate.every:
        raise ConfigError(f"'evaluate' scores our own models, not a {kind!r}; set evaluate.every to 0")
    for name in ("features", "encoder_dropout", "encoders", "quantize"):
        if getattr(config, name):
            raise ConfigError(f"{name!r} is of our own models; remove it to train a {kind!r}")


def check_family_chain(runs: Sequence[TrainConfig]) -> None:
    """Refuse, for other families, a stage after one that leaves an adapter.

    Raises:
        ConfigError: there is one.
    """
    kind = foreign_kind(runs[0])
    if kind and any(run.stage == "finetune" for run in runs[:-1]):
        raise ConfigError(f"a {kind!r} is not trained on from an adapter; let 'finetune' be the last of 'stages'")


def family_parts(
    config: TrainConfig, kind: str, arguments: TrainingArguments
) -> tuple["PreTrainedModel | PeftModel", "RowCollator"]:
    """Return a model of another family with the stage's parameters trainable, and the collator for it.

    With ``trainer.bf16`` the frozen part is held in bfloat16, and all that trains in float32; so is the rest of the
    projector, whose layers would otherwise meet two number formats.

    Raises:
        CheckpointError: the directory cannot be used.
    """
    from encoders.family_load import load_family
    from training.rows import RowCollator

    family = FAMILIES[kind]
    model, processor = load_family(Path(config.model), torch.bfloat16 if arguments.bf16 else torch.float32)
    collator = RowCollator(processor, model, family.prompt)
    if arguments.dataloader_num_workers:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive the fork of a worker
    set_seed(config.seed)  # LoRA matrices are drawn here
    trained = prepare_family(model, family, config.stage, config.lora)
    for name, parameter in trained.named_parameters():
        if parameter.requires_grad or is_under(name, family.projector):
            parameter.data = parameter.data.float()
    return trained, collator


def planned_family(config: TrainConfig, kind: str) -> tuple["PreTrainedModel | PeftModel", Callable[[], "RowCollator"]]:
    """Return the model of a stage on the meta device, and what makes its collator; no weights are read.

    Raises:
        CheckpointError: the directory cannot be used.
        ConfigError: as ``prepare_family`` does.
    """
    from encoders.family_load import load_meta, load_processor
    from training.rows import RowCollator

    folder, family = Path(config.model), FAMILIES[kind]
    model = load_meta(folder)

    def collator() -> RowCollator:
        return RowCollator(load_processor(folder, model), model, family.prompt)

    with torch.device("meta"):
        return prepare_family(model, family, config.stage, config.lora), collator


def prepare_family(
    model: "PreTrainedModel", family: Family, stage: Stage, lora: LoraSettings
) -> "PreTrainedModel | PeftModel":
    """Return the model with exactly the stage's parameters trainable; "finetune" wraps it with adapters.

    An adapter directory holds modules, so "finetune" leaves single parameters of the projector as they are.

    Raises:
        ConfigError: the language model has none of the layers that LoRA shall be put on.
    """
    nn.Module.requires_grad_(model, False)
    modules, parameters = projector_parts(model, family)
    trained: PreTrainedModel | PeftModel = model
    if stage == "finetune":
        trained = with_lora(model, lora, family.language, modules)
        for name, _ in trained.named_parameters():
            if "lora_" in name and is_under(name, family.projector):
                raise AssertionError(f"{name} is an adapter outside the language model")
    else:
        projector = [*modules, *parameters]
        for name, parameter in model.named_parameters():
            rest = not is_under(name, [family.vision]) and not is_under(name, family.projector)
            parameter.requires_grad_(is_under(name, projector) or (stage == "full" and rest))
    check_towers_frozen(trained, family.vision, modules)
    return trained


def projector_parts(model: nn.Module, family: Family) -> tuple[list[str], list[str]]:
    """Return whole paths of the modules, and of the single parameters, that train between encoder and language model.

    Raises:
        ConfigError: the model has no such part.
    """
    count = getattr(getattr(model.config, "qformer_config", None), "num_hidden_layers", 0)
    named = family.unreached.replace("LAST", str(count - 1))
    unreached = [name for name, _ in model.named_modules() if named and re.fullmatch(rf"(?:.*\.)?{named}", name)]
    modules, parameters = [], []
    for part in family.projector:
        found = [(name, module) for name, module in model.named_modules() if f".{name}".endswith(f".{part}")]
        single = [name for name, _ in model.named_parameters() if f".{name}".endswith(f".{part}")]
        if not found and not single:
            raise ConfigError(
                f"{type(model).__name__} has no {part!r}; correct its entry in training.families.FAMILIES"
            )
        parameters += single
        for name, module in found:
            modules += _reached(name, module, unreached)
    return modules, parameters


def _reached(name: str, module: nn.Module, unreached: Sequence[str]) -> list[str]:
    """Return the largest modules in a module that hold nothing unreached; PEFT cannot save a list of modules."""
    if name in unreached:
        return []
    if not isinstance(module, nn.ModuleList) and not any(other.startswith(f"{name}.") for other in unreached):
        return [name]
    return [
        found for child, inner in module.named_children() for found in _reached(f"{name}.{child}", inner, unreached)
    ]
