"""The two configurations: the fused tower's, and that of the whole model.

Everything that a checkpoint needs to be rebuilt is here: which encoders in which order, their own sub-configurations,
how they are fused, and therefore how many visual tokens one image becomes.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import transformers
from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, LlavaConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from encoders.registry import ENCODERS, VSRE_ENCODERS
from spatial.errors import ConfigError, check_known, first_line, nearest

TOWER_SETTINGS = ("config", "feature_layer", "keep_cls", "image_size", "mean", "std", "resample")
"""What an entry of ``FusedVisionConfig.towers`` may say."""


@dataclass(frozen=True)
class TowerPlan:
    """What the rest of the model needs to know about one tower.

    Attributes:
        config: the encoder's own Transformers configuration.
        feature_layer: index into the hidden states (0: the embeddings, -1: after the last layer).
        keep_cls: whether the class token is kept as the first token.
        image_size: side of the encoder's square input, in pixels; a whole number of patches.
        grid: patches along one side.
        width: channels of the features.
        mean: channel means of pixels scaled to 0..1.
        std: channel deviations of the same.
        resample: filter that makes the input from the canvas.
    """

    config: PreTrainedConfig
    feature_layer: int
    keep_cls: bool
    image_size: int
    grid: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resample: str

    @property
    def tokens(self) -> int:
        """Tokens that the tower gives for one image."""
        return self.grid * self.grid + int(self.keep_cls)


@strict
class FusedVisionConfig(PreTrainedConfig):
    """Several vision encoders that look at one canvas.

    Attributes:
        encoders: names from ``ENCODERS``, in fusion order; VSRE's four by default.
        towers: by name, some of: "config" (the encoder's own configuration; what it leaves out has the default of the
            encoder's class), "feature_layer" (-1), "keep_cls" (False), "image_size" (side of the encoder's input, that
            of its configuration by default; rounded down to whole patches), "mean", "std", "resample" (those of
            ``ENCODERS`` by default). Entries of encoders that are not in ``encoders`` are kept but unused, so that a
            subset of a checkpoint is one changed list.
        canvas_size: side of the square uint8 canvas, in pixels; 0 means the largest input among the encoders.
    """

    model_type = "vsre_vision"

    encoders: list[str] | None = None
    towers: dict[str, Any] | None = None
    canvas_size: int = 0

    def __post_init__(self, **kwargs: Any) -> None:
        self.encoders = list(VSRE_ENCODERS) if self.encoders is None else list(self.encoders)
        self.towers = dict(self.towers or {})
        for name in self.encoders:
            check_known("encoder", name, ENCODERS)
        if not self.encoders or len(set(self.encoders)) != len(self.encoders):
            raise ConfigError(f"encoders must name each encoder once and at least one, not {self.encoders}")
        if self.canvas_size < 0:
            raise ConfigError(f"canvas_size must be in pixels, or 0 for the largest input, not {self.canvas_size}")
        self.canvas_size = self.canvas_size or max(plan.image_size for plan in self.plans().values())
        super().__post_init__(**kwargs)

    def plan(self, name: str) -> TowerPlan:
        """Return what is known about the tower ``name``.

        Raises:
            ConfigError: an unknown setting, or one that this encoder cannot have.
        """
        encoder, entry = ENCODERS[name], (self.towers or {}).get(name, {})
        for key in entry:
            if key not in TOWER_SETTINGS:
                raise ConfigError(f"encoder {name!r} has no setting {key!r}{nearest(key, TOWER_SETTINGS)}")
        config = _own_config(name, entry.get("config", {}))
        layer, keep_cls = entry.get("feature_layer", -1), entry.get("keep_cls", False)
        if keep_cls and not encoder.has_cls:
            raise ConfigError(f"encoder {name!r} has no class token; set keep_cls to false")
        if name == "sam" and layer != -1:
            raise ConfigError(f"encoder 'sam' has features only after its neck; set feature_layer to -1, not {layer}")
        if not -config.num_hidden_layers <= layer <= config.num_hidden_layers:
            raise ConfigError(
                f"encoder {name!r} has {config.num_hidden_layers} layers; feature_layer {layer} is not one"
            )
        image_size = _image_size(name, config, entry.get("image_size", 0))
        mean, std = _statistics(name, entry)
        return TowerPlan(
            config=config,
            feature_layer=layer,
            keep_cls=keep_cls,
            image_size=image_size,
            grid=image_size // config.patch_size,
            width=getattr(config, encoder.width),
            mean=mean,
            std=std,
            resample=entry.get("resample", encoder.resample),
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


def _own_config(name: str, settings: dict[str, Any]) -> Any:
    """Return the encoder's own Transformers configuration."""
    encoder = ENCODERS[name]
    try:
        return getattr(transformers, encoder.config_class)(**{**settings, **encoder.fixed})
    except (StrictDataclassError, TypeError, ValueError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise ConfigError(f"encoder {name!r} cannot have these sizes: {first_line(cause)}") from error


def _image_size(name: str, config: Any, asked: int) -> int:
    """Return the side of an encoder's input in pixels: as asked, else that of its configuration, in whole patches.

    SigLIP so400m has patches of 14 pixels and inputs of 384, of which its convolution sees the first 378 only. With 378
    it sees the whole picture, by the same number of patches, and each patch is where ``places`` says that it is.
    """
    encoder = ENCODERS[name]
    own = config.patch_size * int(config.num_patches**0.5) if encoder.patches else config.image_size
    if asked and asked != own and not encoder.any_size:
        raise ConfigError(f"encoder {name!r} takes inputs of {own} pixels only; leave out image_size {asked}")
    side: int = asked or own
    if side < config.patch_size:
        raise ConfigError(f"encoder {name!r}: image_size {side} is less than one patch of {config.patch_size} pixels")
    return side // config.patch_size * config.patch_size


def _statistics(name: str, entry: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the means and deviations of a tower's pixels."""
    encoder = ENCODERS[name]
    mean, std = tuple(entry.get("mean", encoder.mean)), tuple(entry.get("std", encoder.std))
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ConfigError(f"encoder {name!r} needs three means and three positive deviations, not {mean} and {std}")
    return mean, std


@dataclass(frozen=True)
class Branch:
    """One encoder's way through the projector.

    Attributes:
        plan: of the tower.
        conv: whether SAM's convolution adapter shrinks the grid first (64x64x256 to 16x16x1024 in VSRE's Figure 3).
        gated: whether the branch is multiplied by a learned scalar that starts at 0.
        aligner: "linear" or "mlp<k>x_gelu".
        grid: side of the grid after the adapter.
        channels: after the adapter.
    """

    plan: TowerPlan
    conv: bool
    gated: bool
    aligner: str
    grid: int
    channels: int

    @property
    def tokens(self) -> int:
        """Tokens of one image that enter the aligner."""
        return self.grid * self.grid + int(self.plan.keep_cls)


CONV_SHRINK, CONV_WIDTH = 4, 1024
"""The convolution adapter divides the grid's side by this, and gives this many channels."""


@strict
class VsreConfig(LlavaConfig):
    """A LLaVA-shaped model whose vision tower is a ``FusedVisionConfig``.

    Attributes:
        fusion: name from ``FUSIONS``.
        aligner: "linear" or "mlp<k>x_gelu": k linear layers with GELU between (LLaVA-1.5: 2, VSRE's figure: 3).
        aligners: the same for single encoders, by name. One with a convolution adapter has "linear" unless it is here.
            Of use where every encoder has an aligner of its own: "sequence", "interleave" and "add".
        layer_norm: whether features are normed before the projector, because the scales of encoders differ widely;
            LLaVA-1.5 and VSRE's figure do without.
        gates: encoders whose contribution is multiplied by a learned scalar that starts at 0; under "add", joining
            them to a trained model changes nothing at first.
        conv_adapters: encoders whose grid a convolution adapter shrinks first; SAM by default.
        resampler_tokens: visual tokens of one image under fusion "resampler".
        resampler_layers: cross-attention layers of the same.
        encoder_dropout: probability with which training blanks each encoder for a whole batch, never all of them.
    """

    model_type = "vsre"
    sub_configs_defaults: ClassVar[dict[str, SubConfigSpec]] = {
        "vision_config": SubConfigSpec(config_class=FusedVisionConfig),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
    }

    fusion: str = "sequence"
    aligner: str = "mlp2x_gelu"
    aligners: dict[str, str] | None = None
    layer_norm: bool = True
    gates: list[str] | None = None
    conv_adapters: list[str] | None = None
    resampler_tokens: int = 64
    resampler_layers: int = 2
    encoder_dropout: float = 0.0
    # The towers already return the wanted layer without the class token; these two say so to inherited code.
    vision_feature_layer: int | list[int] = -1
    vision_feature_select_strategy: str = "full"

    def __post_init__(self, **kwargs: Any) -> None:
        self.aligners = dict(self.aligners or {})
        self.gates = list(self.gates or [])
        self.conv_adapters = ["sam"] if self.conv_adapters is None else list(self.conv_adapters)
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

    def branches(self) -> dict[str, Branch]:
        """Return each encoder's way through the projector, in fusion order.

        Raises:
            ConfigError: a setting names something that is no encoder, or an adapter does not fit its encoder.
        """
        for names in (self.aligners or {}, self.gates or [], self.conv_adapters or []):
            for name in names:
                check_known("encoder", name, ENCODERS)
        return {name: self._branch(name, plan) for name, plan in self.vision.plans().items()}

    def _branch(self, name: str, plan: TowerPlan) -> Branch:
        conv = name in (self.conv_adapters or [])
        if conv and (plan.keep_cls or plan.grid % CONV_SHRINK):
            reason = "a class token" if plan.keep_cls else f"a grid of {plan.grid}, no multiple of {CONV_SHRINK}"
            raise ConfigError(f"the convolution adapter cannot take {name!r} with {reason}; correct conv_adapters")
        return Branch(
            plan=plan,
            conv=conv,
            gated=name in (self.gates or []),
            aligner=(self.aligners or {}).get(name, "linear" if conv else self.aligner),
            grid=plan.grid // CONV_SHRINK if conv else plan.grid,
            channels=CONV_WIDTH if conv else plan.width,
        )

    @property
    def num_image_tokens(self) -> int:
        """Visual tokens of one image: how often the processor repeats ``<image>``.

        Raises:
            ConfigError: an unknown fusion mode, or one that cannot fuse these towers.
        """
        from encoders.fusion import FUSIONS

        check_known("fusion", self.fusion, FUSIONS)
        return FUSIONS[self.fusion].token_count(self)
