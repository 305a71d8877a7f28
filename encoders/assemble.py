"""Put encoders and a fusion projector before a language model that is already trained.

Memory decides how: a model of 7 billion parameters is built on a machine that holds its weights once. The model is
made without storage, the loaded tensors become its parameters as they are, and only what is new is allocated and
drawn from the seed.
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from encoders.bases import Base, check_text, is_own, read_base
from encoders.config import BuildConfig, TowerSettings
from encoders.configuration import FusedVisionConfig, VsreConfig
from encoders.modeling import VsreForConditionalGeneration
from encoders.processing import VsreImageProcessor, VsreProcessor
from encoders.register import register
from encoders.registry import ENCODERS
from encoders.sizes import tower_sizes
from encoders.source_files import quiet_transformers
from encoders.sources import TowerSource, read_tower
from encoders.vocabulary import Vocabulary, base_vocabulary, grow
from spatial.errors import ConfigError, check_known

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

LANGUAGE, HEAD = "model.language_model.", "lm_head.weight"

TOWERS, ALIGNERS = "model.vision_tower.towers.", "model.multi_modal_projector.aligners."


@dataclass
class Assembled:
    """A model, and what to say about it.

    Attributes:
        model: with all its weights, in evaluation mode.
        processor: that fits it.
        origins: where weights come from, by the prefix of their names; everything else was drawn from the seed.
        drawn: names of the parameters that were drawn.
        notes: lines for people.
    """

    model: VsreForConditionalGeneration
    processor: VsreProcessor
    origins: dict[str, str] = field(default_factory=dict)
    drawn: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


def assemble_on_base(config: BuildConfig) -> Assembled:
    """Make the model that the settings describe on top of ``config.base``.

    Raises:
        ConfigError: the settings do not fit each other, the base or the weights.
        CheckpointError: weights cannot be read.
    """
    register()
    check_towers(config)
    base = read_base(config.base, dtype_of(config.dtype), config.random)
    towers = {name: _tower(name, config, base) for name in config.encoders}
    vocabulary = base_vocabulary(config.base, base, required=not config.random)
    model_config = configure(config, base, towers, vocabulary.rows, vocabulary.image_token)
    origins = {LANGUAGE: base.origin, HEAD: base.origin} if base.weights else {}
    weights = grow(base.weights, vocabulary.rows)
    notes = [*vocabulary.notes]
    for name, tower in towers.items():
        weights.update({f"{TOWERS}{name}.{key}": tensor for key, tensor in tower.weights.items()})
        if tower.weights:
            origins[f"{TOWERS}{name}."] = tower.origin
    aligner = _own_aligner(base, config, model_config)
    if aligner and not is_own(towers["clip"], base):
        aligner = {}
        other = towers["clip"].origin
        notes.append(f"the projector of the base is left out: it was trained on its own tower, not {other}")
    if aligner:
        weights.update(aligner)
        origins[f"{ALIGNERS}clip."] = f"{base.origin} projector"
        notes += _aligner_notes(base, model_config)
    base.weights, base.tower = {}, None
    model, drawn = materialise(model_config, weights, base.dtype, config.seed)
    check_text(model, base)
    model.generation_config = _generation(base.generation, vocabulary)
    side = model_config.vision.canvas_size
    processor = VsreProcessor(
        VsreImageProcessor(size={"height": side, "width": side}, mode=config.canvas_mode),
        vocabulary.tokenizer,
        chat_template=vocabulary.chat_template,
        num_image_tokens=model_config.num_image_tokens,
    )
    return Assembled(model, processor, origins, drawn, notes)


def dtype_of(name: str) -> torch.dtype | None:
    """Return the dtype of a name, None for "auto".

    Raises:
        ConfigError: another name.
    """
    check_known("dtype", name, ("auto", *DTYPES))
    return DTYPES.get(name)


def check_towers(config: BuildConfig) -> None:
    """Refuse settings for encoders that do not exist.

    Raises:
        ConfigError: there is such a setting.
    """
    for name in (*config.encoders, *config.towers):
        check_known("encoder", name, ENCODERS)


def plan(config: BuildConfig) -> VsreConfig:
    """Return the configuration of the model that would be built on ``config.base``, reading no weights.

    Sizes of published bases and encoders are known here, others come from their config.json. What the tokenizer may
    add to the vocabulary is left out.

    Raises:
        CheckpointError, ConfigError: as ``assemble_on_base``.
    """
    register()
    check_towers(config)
    base = read_base(config.base, dtype_of(config.dtype), sizes_only=True)
    sizes = replace(config, random=True)
    towers = {name: _tower(name, sizes, base) for name in config.encoders}
    image_token = base.image_token if base.llava else base.text.vocab_size - 1
    return configure(config, base, towers, base.text.vocab_size, image_token)


def configure(
    config: BuildConfig, base: Base, towers: dict[str, TowerSource], rows: int, image_token: int
) -> VsreConfig:
    """Return the configuration of the whole model."""
    text = deepcopy(base.text)
    text.vocab_size = max(text.vocab_size, rows)
    vision = FusedVisionConfig(
        encoders=list(config.encoders),
        towers={name: tower.entry for name, tower in towers.items()},
        canvas_size=config.canvas_size,
    )
    return VsreConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image_token,
        tie_word_embeddings=text.tie_word_embeddings,
        **projector_settings(config),
    )


def projector_settings(config: BuildConfig) -> dict[str, Any]:
    """Return what the settings say about the projector, as ``VsreConfig`` has it."""
    return {
        "fusion": config.fusion,
        "aligner": config.aligner,
        "aligners": config.aligners,
        "layer_norm": config.layer_norm,
        "gates": config.gates,
        "conv_adapters": config.conv_adapters,
        "resampler_tokens": config.resampler_tokens,
        "resampler_layers": config.resampler_layers,
    }


def materialise(
    config: VsreConfig, weights: dict[str, Tensor], dtype: torch.dtype, seed: int
) -> tuple[VsreForConditionalGeneration, set[str]]:
    """Make a model whose parameters are the given tensors themselves; what is missing is drawn from the seed.

    The global random state is left as it was. Tensors of another dtype are converted, one by one.

    Returns:
        The model in evaluation mode, and the names of the parameters that were drawn.

    Raises:
        ConfigError: a weight has no place in the model, or another shape.
    """
    with torch.random.fork_rng(devices=[]), quiet_transformers():  # the table says what is new
        torch.manual_seed(seed)
        model, info = VsreForConditionalGeneration.from_pretrained(
            None,
            config=config,
            state_dict=weights,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that it is reported below, in one line
        )
    wrong = sorted(str(key) for key in info["mismatched_keys"]) + sorted(info["unexpected_keys"])
    if wrong:
        raise ConfigError(f"{len(wrong)} weights do not fit the model, the first is {wrong[0]}")
    model.config._name_or_path = ""
    return model.eval(), set(info["missing_keys"])


def _tower(name: str, config: BuildConfig, base: Base) -> TowerSource:
    """Return the weights of one encoder: those of the settings, else the base's own."""
    settings = config.towers.get(name, TowerSettings())
    layer, keep_cls = settings.feature_layer, settings.keep_cls
    of_base = base.llava and name == "clip"
    layer = (base.feature_layer if of_base else -1) if layer is None else layer
    keep_cls = (base.keep_cls if of_base else False) if keep_cls is None else keep_cls
    if of_base and base.tower and not settings.weights:
        entry = dict(base.tower.entry, feature_layer=layer, keep_cls=keep_cls)
        if settings.image_size:
            entry["image_size"] = settings.image_size
        return replace(base.tower, entry=entry, weights=_cut(base.tower.weights, name, entry))
    if config.random:
        return TowerSource(name, tower_sizes(settings.weights, name, layer, keep_cls, settings.image_size), {}, "")
    if not settings.weights:
        raise ConfigError(
            f"encoder {name!r} has no weights; set towers.{name}.weights to a hub id, a directory or a file, "
            "or random to true"
        )
    return read_tower(settings.weights, name, layer, keep_cls, settings.image_size, base.dtype)


def _cut(weights: dict[str, Tensor], name: str, entry: dict[str, Any]) -> dict[str, Tensor]:
    """Leave out the layers after the feature layer, and the last norm."""
    from encoders.tower import build_tower

    plan = FusedVisionConfig(encoders=[name], towers={name: entry}).plan(name)
    with torch.device("meta"):
        kept = build_tower(ENCODERS[name], plan, None).state_dict().keys()
    return {key: tensor for key, tensor in weights.items() if key in kept}


def _own_aligner(base: Base, config: BuildConfig, built: VsreConfig) -> dict[str, Tensor]:
    """Return LLaVA's projector as the aligner of "clip", if all of it fits, else nothing."""
    if not base.projector or "clip" not in config.encoders or config.fusion not in ("sequence", "interleave", "add"):
        return {}
    branch = built.branches()["clip"]
    width = built.text.hidden_size
    expected = {
        "0.weight": (width, branch.channels),
        "2.weight": (width, width),
        "0.bias": (width,),
        "2.bias": (width,),
    }
    found = {name: tuple(tensor.shape) for name, tensor in base.projector.items()}
    if branch.aligner != "mlp2x_gelu" or found != expected:
        return {}
    return {f"{ALIGNERS}clip.{name}": tensor for name, tensor in base.projector.items()}


def _aligner_notes(base: Base, built: VsreConfig) -> Iterable[str]:
    plan = built.vision.plan("clip")
    if built.layer_norm:
        yield "the projector of the base now sees normed features; with layer_norm false it sees what it was trained on"
    if plan.feature_layer != base.feature_layer:
        yield f"the projector of the base was trained on layer {base.feature_layer}, not {plan.feature_layer}"


def _generation(settings: GenerationConfig | None, vocabulary: Vocabulary) -> GenerationConfig:
    """Return the base's generation settings, able to pad and to stop where an answer ends."""
    settings = deepcopy(settings) if settings else GenerationConfig()
    known = settings.eos_token_id
    ends = [known] if isinstance(known, int) else list(known or [])
    end = vocabulary.tokenizer.eos_token_id
    ends = list(dict.fromkeys([end, *ends]))
    settings.eos_token_id = ends[0] if len(ends) == 1 else ends
    if settings.pad_token_id is None:
        settings.pad_token_id = vocabulary.tokenizer.pad_token_id
    if settings.bos_token_id is None:
        settings.bos_token_id = vocabulary.tokenizer.bos_token_id
    if not settings.do_sample:  # some published settings contradict themselves, and could not be saved
        for name in ("temperature", "top_p", "top_k", "min_p", "typical_p"):
            setattr(settings, name, None)
    return settings
