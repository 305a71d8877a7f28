"""Settings of ``vsre build-model``, ``cache-features`` and ``merge``. Standard library only: ``--help`` stays fast."""

from dataclasses import dataclass, field


@dataclass
class TowerSettings:
    """Where one encoder's weights come from, and which of its features are used.

    Attributes:
        weights: hub id, directory, or an original file of OpenCLIP or segment-anything. For "clip" on a LLaVA, its own
            tower if empty.
        feature_layer: index into the hidden states (0: the embeddings, -1: after the last layer). -1 if left out; for
            "clip" on a LLaVA that LLaVA's own, which is -2 for LLaVA-1.5.
        keep_cls: keep the class token. No if left out; for "clip" on a LLaVA as it does.
        image_size: side of the encoder's input in pixels; that of its configuration if 0.
    """

    weights: str = ""
    feature_layer: int | None = None
    keep_cls: bool | None = None
    image_size: int = 0


@dataclass
class BuildConfig:
    """A model, built once and then always loaded from disk.

    Attributes:
        out: directory to create.
        preset: sizes of all parts, with random weights ("tiny", which it is where there is no base either).
        base: hub id or directory of a LLaVA-1.5 or of a language model; instead of a preset. Of a model of ours,
            ``encoders`` are those that it keeps, and the settings below are its own (``encoders.subset``).
        encoders: names from ``ENCODERS``, in the order in which their tokens or channels are joined.
        towers: by encoder: where its weights come from.
        fusion: "sequence" (tokens one after the other, as in VSRE), "channel" (one token per place; the fast one),
            "interleave", "add" or "resampler".
        aligner: "linear" or "mlp<k>x_gelu": k linear layers with GELU between (LLaVA-1.5: 2, VSRE's figure: 3).
        aligners: the same for single encoders, by name.
        layer_norm: norm features before the projector; LLaVA-1.5 and VSRE's figure do without.
        gates: encoders whose contribution is multiplied by a learned scalar that starts at 0.
        conv_adapters: encoders whose grid a convolution adapter shrinks first; if left out the preset's, or SAM.
        resampler_tokens: visual tokens of one image under fusion "resampler".
        resampler_layers: cross-attention layers of the same.
        canvas_size: side of the square canvas in pixels; 0 means the preset's, or the largest input of the encoders.
        canvas_mode: "pad" (the whole picture, padded to a square) or "crop" (its middle square, as LLaVA-1.5 in
            Transformers sees it).
        dtype: of the weights: "float32", "bfloat16", "float16", or "auto" (the base's; float32 for a preset).
        random: take only sizes from base and towers, and draw the weights: for tests and planning.
        seed: seed of the weights that are drawn.
    """

    out: str = "checkpoints/tiny-init"
    preset: str = ""
    base: str = ""
    encoders: list[str] = field(default_factory=lambda: ["clip", "siglip", "dinov2", "sam"])
    towers: dict[str, TowerSettings] = field(default_factory=dict)
    fusion: str = "sequence"
    aligner: str = "mlp2x_gelu"
    aligners: dict[str, str] = field(default_factory=dict)
    layer_norm: bool = True
    gates: list[str] = field(default_factory=list)
    conv_adapters: list[str] | None = None
    resampler_tokens: int = 64
    resampler_layers: int = 2
    canvas_size: int = 0
    canvas_mode: str = "pad"
    dtype: str = "auto"
    random: bool = False
    seed: int = 0


@dataclass
class CacheFeaturesConfig:
    """Features of a model's frozen encoders, computed once and kept on disk for training.

    Attributes:
        model: checkpoint directory, or a PEFT adapter directory.
        data: dataset folders whose images are computed.
        out: folder of the features; it may hold those of other models, settings and images too.
        encoders: encoders to compute; empty: all of the model.
        dtype: "float32", "bfloat16" or "float16", in which towers compute and features are kept; "auto": that of the
            checkpoint, but float32 for float16 without a GPU. Training takes float32, and bfloat16 under trainer.bf16.
        batch_size: images in one forward pass.
        device: "cpu", "cuda", ...; empty takes the GPU where there is one.
    """

    model: str = "tiny-base"
    data: list[str] = field(default_factory=list)
    out: str = "data/features"
    encoders: list[str] = field(default_factory=list)
    dtype: str = "auto"
    batch_size: int = 16
    device: str = ""


@dataclass
class MergeConfig:
    """An adapter that shall become a whole checkpoint.

    Attributes:
        adapter: adapter directory, whose base may be an adapter itself; a whole checkpoint only to get its code.
            May be given without its name.
        out: directory to create; the adapter's name and "-merged" if empty.
        with_code: write the Python files beside the weights that let Transformers load them without this repository,
            where remote code is trusted (docs/merge.md).
        dtype: "float32", "bfloat16" or "float16"; that of the base if empty or "auto".
        max_shard_size: largest weight file, such as "5GB"; as Transformers has it if empty.
    """

    adapter: str
    out: str = ""
    with_code: bool = False
    dtype: str = ""
    max_shard_size: str = ""
