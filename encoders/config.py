"""Settings of ``vsre build-model``. Only the standard library is imported here, so that ``--help`` stays fast."""

from dataclasses import dataclass, field


@dataclass
class BuildConfig:
    """A model with random weights, built once and then always loaded from disk.

    Attributes:
        out: directory to create.
        preset: sizes of all parts ("tiny").
        encoders: clip, siglip, dinov2, sam or fewer, in the order in which their tokens or channels are joined.
        fusion: "sequence" (tokens one after the other, as in VSRE) or "channel" (one token per place; the fast one).
        seed: seed of the random weights.
    """

    out: str = "checkpoints/tiny-init"
    preset: str = "tiny"
    encoders: list[str] = field(default_factory=lambda: ["clip", "siglip", "dinov2", "sam"])
    fusion: str = "sequence"
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
