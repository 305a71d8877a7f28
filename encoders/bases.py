"""Read a base: a LLaVA-1.5 or a language model as Transformers saves it, from a directory or the hub.

Nothing is copied: what is returned are the tensors as they were loaded, under the names that they have in our model.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPVisionConfig,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from encoders.published_bases import PUBLISHED_BASES
from encoders.source_files import check_complete, locate
from encoders.sources import TowerSource, describe
from spatial.errors import CheckpointError, ConfigError, first_line

PROJECTOR = {"linear_1": "0", "linear_2": "2"}
"""LLaVA's names of the two linear layers, and those of our "mlp2x_gelu"."""


@dataclass
class Base:
    """What a base gives to a model.

    Attributes:
        origin: the base, for people.
        llava: whether it is a LLaVA.
        text: configuration of the language model.
        dtype: of its weights.
        weights: of the language model and its head, by name in our model; empty if only sizes were asked for.
        tower: LLaVA's own CLIP, not cut yet, if it has one.
        projector: LLaVA's own, by parameter name in our "mlp2x_gelu".
        feature_layer: hidden state that LLaVA's projector was trained on.
        keep_cls: whether LLaVA keeps the class token.
        generation: generation settings.
        image_token: LLaVA's, or -1.
        probe: token ids [1, L] to try the model on, none of them LLaVA's image token.
        logits: of the base for them, [1, L, V]; None if only sizes were asked for.
    """

    origin: str
    llava: bool
    text: Any
    dtype: torch.dtype
    weights: dict[str, Tensor] = field(default_factory=dict)
    tower: TowerSource | None = None
    projector: dict[str, Tensor] = field(default_factory=dict)
    feature_layer: int = -1
    keep_cls: bool = False
    generation: GenerationConfig | None = None
    image_token: int = -1
    probe: Tensor | None = None
    logits: Tensor | None = None


def read_base(source: str, dtype: torch.dtype | None = None, sizes_only: bool = False) -> Base:
    """Read a LLaVA-1.5 or a language model.

    Args:
        source: hub id or directory.
        dtype: to load the weights in; as they are saved by default.
        sizes_only: read the configuration and no weights.

    Raises:
        CheckpointError: there is none, or it is damaged or incomplete.
        ConfigError: it is something else, or has parts that our model has not.
    """
    config = _config(source, sizes_only)
    llava = isinstance(config, LlavaConfig) and config.model_type == "llava"
    if not llava and (type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or config.get_text_config() is not config):
        raise ConfigError(f"base {source} is a {config.model_type!r}, neither a LLaVA nor a language model")
    text = config.text_config if llava else config
    saved = dtype or getattr(config, "dtype", None) or getattr(text, "dtype", None) or torch.float32
    base = Base(_name(source), llava, text, saved)
    if llava:
        _read_llava_sizes(base, source, config)
    if not sizes_only:
        _read_weights(base, source, dtype)
    return base


def read_tokenizer(source: str) -> Any:
    """Return the fast tokenizer of a base.

    Raises:
        CheckpointError: it has none.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as error:  # JSON of another shape fails anywhere in Transformers
        raise _damaged(source, error) from error
    if not tokenizer.is_fast:
        raise CheckpointError(f"base {source} has no fast tokenizer; save it with one (tokenizer.json)")
    return tokenizer


def _config(source: str, sizes_only: bool) -> Any:
    if sizes_only and source in PUBLISHED_BASES and not Path(source).exists():
        return AutoConfig.for_model(**PUBLISHED_BASES[source])
    try:
        return AutoConfig.from_pretrained(locate(source).path, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(source, error) from error


def _name(source: str) -> str:
    """Return the name of a base, without the directories of this machine."""
    return Path(source).resolve().name if Path(source).exists() else source


def _damaged(source: str, error: Exception) -> CheckpointError:
    return CheckpointError(f"base {source} cannot be read ({first_line(error)}); download it again")


def _read_llava_sizes(base: Base, source: str, config: Any) -> None:
    if not isinstance(config.vision_feature_layer, int):
        raise ConfigError(f"base {base.origin} joins the features of several layers; use one that takes a single layer")
    base.text = deepcopy(config.text_config)
    base.text.tie_word_embeddings = config.tie_word_embeddings  # the whole model's, whatever its text part says
    base.feature_layer = config.vision_feature_layer
    base.keep_cls = config.vision_feature_select_strategy == "full"
    base.image_token = config.image_token_index
    if not isinstance(config.vision_config, CLIPVisionConfig):
        return
    entry: dict[str, Any] = {"config": PUBLISHED_BASES.get(source, {}).get("vision_config")}
    if Path(source).exists() or not entry["config"]:
        tower = describe(source)
        entry = {"config": tower.config, **tower.pixels}
    base.tower = TowerSource("clip", entry, {}, f"{base.origin} vision tower")


def _read_weights(base: Base, source: str, dtype: torch.dtype | None) -> None:
    loader = LlavaForConditionalGeneration if base.llava else AutoModelForCausalLM
    try:
        model, info = loader.from_pretrained(
            source, dtype=dtype or "auto", output_loading_info=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError, UnpicklingError) as error:
        raise _damaged(source, error) from error
    check_complete(info, f"base {base.origin}", "download it again")
    decoder = model.model.language_model if base.llava else model.base_model
    _check_parts(base, model, decoder)
    base.dtype = model.dtype
    base.generation = model.generation_config
    base.weights = {f"model.language_model.{name}": tensor for name, tensor in decoder.state_dict().items()}
    head = model.get_output_embeddings().weight
    # Transformers does not tie what the files hold two different tables of, whatever the settings say.
    base.text.tie_word_embeddings = head is model.get_input_embeddings().weight
    if not base.text.tie_word_embeddings:
        base.weights["lm_head.weight"] = head.detach()
    if base.llava:
        if base.tower:
            base.tower.weights.update(model.model.vision_tower.state_dict())
        if model.config.projector_hidden_act == "gelu":
            for name, tensor in model.model.multi_modal_projector.state_dict().items():
                layer, kind = name.split(".")
                base.projector[f"{PROJECTOR[layer]}.{kind}"] = tensor


def _check_parts(base: Base, model: Any, decoder: nn.Module) -> None:
    """Hold against the base what our model takes for granted: decoder, then one linear layer without a bias."""
    refused = f"base {base.origin} cannot be used:"
    expected = MODEL_MAPPING.get(type(base.text), None)
    if type(decoder) is not expected or not hasattr(decoder, "embed_tokens"):
        raise ConfigError(f"{refused} its decoder {type(decoder).__name__} is not one that AutoModel loads by itself")
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or head.bias is not None:
        raise ConfigError(f"{refused} its head is not a linear layer without bias")
    with torch.no_grad():
        base.probe = torch.tensor([[token for token in range(5) if token != base.image_token][:4]])
        base.logits = own = model(input_ids=base.probe).logits
        ours = head(decoder(input_ids=base.probe).last_hidden_state)
    if not torch.allclose(own, ours, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise ConfigError(f"{refused} {type(model).__name__} changes the logits after its head")


def is_own(tower: TowerSource, base: Base) -> bool:
    """Tell whether a tower is the base's own by its weights: LLaVA's is a CLIP that others publish too."""
    own = base.tower.weights if base.tower else {}
    return all(key in own and torch.equal(own[key].to(tensor.dtype), tensor) for key, tensor in tower.weights.items())


def check_text(model: Any, base: Base) -> None:
    """Hold the logits of the model on a base against the base's own: a head, a norm or a setting may have got lost.

    Raises:
        ConfigError: they differ.
    """
    if base.probe is None or base.logits is None or bool((base.probe == model.config.image_token_id).any()):
        return
    with torch.no_grad():
        ours = model(input_ids=base.probe).logits[..., : base.logits.shape[-1]]
    # A head with more rows may be multiplied in another order, and half precision rounds that visibly.
    own = base.logits.float().nan_to_num()
    allowed = max(1e-3, 8 * torch.finfo(base.dtype).eps) * own.abs().max().item()
    if not torch.allclose(own, ours.float().nan_to_num(), rtol=0, atol=allowed):
        raise ConfigError(f"base {base.origin} cannot be used: the model on it scores text differently")
