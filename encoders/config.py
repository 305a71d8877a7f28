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
