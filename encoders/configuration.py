"""The two configurations: the fused tower's, and that of the whole model.

Everything that a checkpoint needs to be rebuilt is here: which encoders in which order, their own sub-configurations,
how they are fused, and therefore how many visual tokens one image becomes.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import transformers
from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, LlavaConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from encoders.registry import ENCODERS
from spatial.errors import ConfigError, nearest


@dataclass(frozen=True)
class TowerPlan:
    """What the rest of the model needs to know about one tower.

    Attributes:
        config: the encoder's own Transformers configuration.
        feature_layer: index into the hidden states (0: the embeddings, -1: after the last layer).
        keep_cls: whether the class token is kept as the first token.
        image_size: side of the encoder's square input, in pixels.
        grid: patches along one side.
        width: channels of the features.
    """

    config: PreTrainedConfig
    feature_layer: int
    keep_cls: bool
    image_size: int
    grid: int
    width: int

    @property
    def tokens(self) -> int:
        """Tokens that the tower gives for one image."""
        return self.grid * self.grid + int(self.keep_cls)


@strict
class FusedVisionConfig(PreTrainedConfig):
    """Several vision encoders that look at one canvas.

    Attributes:
        encoders: names from ``ENCODERS``, in fusion order; all of them by default.
        towers: per name ``{"config": {...}, "feature_layer": -1, "keep_cls": False}``; what is left out has the
            default shown, and an empty "config" means the default size of the encoder's class. The input size of an
            encoder is ``image_size`` of its "config". Entries of encoders that are not in ``encoders`` are kept
            but unused, so that a subset of a checkpoint is one changed list.
        canvas_size: side of the square uint8 canvas, in pixels; 0 means the largest input among the encoders.
    """

    model_type = "vsre_vision"

    encoders: list[str] | None = None
    towers: dict[str, Any] | None = None
    canvas_size: int = 0

    def __post_init__(self, **kwargs: Any) -> None:
        self.encoders = list(ENCODERS) if self.encoders is None else list(self.encoders)
        self.towers = dict(self.towers or {})
        for name in self.encoders:
            if name not in ENCODERS:
                raise ConfigError(
                    f"unknown encoder {name!r}, choose from {', '.join(ENCODERS)}{nearest(name, ENCODERS)}"
                )
        if not self.encoders or len(set(self.encoders)) != len(self.encoders):
            raise ConfigError(f"encoders must name each encoder once and at least one, not {self.encoders}")
        self.canvas_size = self.canvas_size or max(plan.image_size for plan in self.plans().values())
        super().__post_init__(**kwargs)

    def plan(self, name: str) -> TowerPlan:
        """Return what is known about the tower ``name``.

        Raises:
            ConfigError: a feature layer or class token that this encoder does not have.
        """
        encoder, entry = ENCODERS[name], (self.towers or {}).get(name, {})
        config = getattr(transformers, encoder.config_class)(**{**entry.get("config", {}), **encoder.fixed})
        layer, keep_cls = entry.get("feature_layer", -1), entry.get("keep_cls", False)
        if keep_cls and not encoder.has_cls:
            raise ConfigError(f"encoder {name!r} has no class token; set keep_cls to false")
        if name == "sam" and layer != -1:
            raise ConfigError(f"encoder 'sam' has features only after its neck; set feature_layer to -1, not {layer}")
        if not -config.num_hidden_layers <= layer <= config.num_hidden_layers:
            raise ConfigError(
                f"encoder {name!r} has {config.num_hidden_layers} layers; feature_layer {layer} is not one"
            )
        return TowerPlan(
            config=config,
            feature_layer=layer,
            keep_cls=keep_cls,
            image_size=config.image_size,
            grid=config.image_size // config.patch_size,
            width=getattr(config, encoder.width),
        )

    def plans(self) -> dict[str, TowerPlan]:
        """Return the plan of every tower in fusion order."""
        return {name: self.plan(name) for name in self.encoders or []}

    @property
    def hidden_size(self) -> int:
        """Channels of all towers together."""
        return sum(plan.width for plan in self.plans().values())

    @property
    def image_size(self) -> int:
        """Side of the canvas, under the name that other tools look for."""
        return self.canvas_size


@strict
class VsreConfig(LlavaConfig):
    """A LLaVA-shaped model whose vision tower is a ``FusedVisionConfig``.

    Attributes:
        fusion: name from ``FUSIONS``.
        aligner: "linear" or "mlp<k>x_gelu": k linear layers with GELU between (LLaVA-1.5: 2, VSRE's figure: 3).
        encoder_dropout: probability with which training blanks each encoder for a whole batch, never all of them.
    """

    model_type = "vsre"
    sub_configs_defaults: ClassVar[dict[str, SubConfigSpec]] = {
        "vision_config": SubConfigSpec(config_class=FusedVisionConfig),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
    }

    fusion: str = "sequence"
    aligner: str = "mlp2x_gelu"
    encoder_dropout: float = 0.0
    # The towers already return the wanted layer without the class token; these two say so to inherited code.
    vision_feature_layer: int | list[int] = -1
    vision_feature_select_strategy: str = "full"

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.image_seq_length = self.num_image_tokens

    @property
    def vision(self) -> FusedVisionConfig:
        """The tower's configuration, as what it is once the configuration is built."""
        return cast(FusedVisionConfig, self.vision_config)

    @property
    def text(self) -> Any:
        """The language model's configuration."""
        return self.text_config

    @property
    def num_image_tokens(self) -> int:
        """Visual tokens of one image: how often the processor repeats ``<image>``.

        Raises:
            ConfigError: an unknown fusion mode, or one that cannot fuse these towers.
        """
        from encoders.fusion import FUSIONS

        if self.fusion not in FUSIONS:
            raise ConfigError(
                f"unknown fusion {self.fusion!r}, choose from {', '.join(FUSIONS)}{nearest(self.fusion, FUSIONS)}"
            )
        return FUSIONS[self.fusion].token_count(self.vision.plans())
