"""What a training step holds on one device, estimated from counts before anything is loaded.

    weights      frozen weights, and those that learn
    gradients    of those that learn, in their number format
    optimizer    AdamW's two moments, and a master copy where DeepSpeed keeps one
    activations  per token and layer what backward needs; with checkpointing one vector a layer, and one layer whole
    logits       of supervised positions: as computed, in float32, and their gradient

ZeRO divides over the processes: stage 1 the optimizer, 2 gradients too, 3 weights too. Not in it: the allocator's
fragments, kernels' work space and the runtime itself (on a GPU 1 to 2 GB together), and buckets of communication.
"""

from dataclasses import dataclass

MOMENTS = 2
"""Vectors that AdamW keeps of each parameter, in float32."""

NORMS, WIDTHS, WIDTHS_OF_MLP = 4.0, 6.0, 4.0
"""What backward needs of a Llama-like layer, in vectors of a token. Inputs and outputs of both norms, in float32
whatever the rest is in; queries, keys and values, rotated copies, the attention's result; and, as wide as the MLP is
inside, gate, its activation, up, and their product. Within 10 % of what autograd keeps of layers that learn, and of
frozen ones with LoRA (tests); frozen layers without adapters keep a third less."""


@dataclass(frozen=True)
class Memory:
    """Bytes on one device.

    Attributes:
        weights: all of them.
        gradients: of what learns.
        optimizer: moments and master copy.
        activations: kept for backward, logits included.
    """

    weights: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def total(self) -> float:
        """All together: the peak, which is at the beginning of the backward pass."""
        return self.weights + self.gradients + self.optimizer + self.activations


@dataclass(frozen=True)
class Depth:
    """Sizes of a language model that activations depend on.

    Attributes:
        layers: how many.
        width: of the hidden vectors.
        inner: of the vectors inside the MLP.
        vocabulary: entries that the output layer scores.
    """

    layers: int
    width: int
    inner: int
    vocabulary: int


def estimate_memory(
    frozen: float,
    trainable: float,
    depth: Depth,
    tokens: float,
    supervised: float,
    frozen_bytes: float = 4.0,
    trainable_bytes: float = 4.0,
    activation_bytes: float = 4.0,
    master_copy: bool = False,
    checkpointing: bool = False,
    zero_stage: int = 0,
    world: int = 1,
) -> Memory:
    """Estimate a step's memory on one of ``world`` devices.

    Args:
        frozen: parameters that stay, encoders and embeddings too.
        trainable: parameters that learn.
        depth: of the language model.
        tokens: of one micro-batch of one device, with padding.
        supervised: positions of it that the output layer scores.
        frozen_bytes: per frozen parameter: 4 for float32, 2 for bfloat16, about 0.53 in 4 bits.
        trainable_bytes: the same of those that learn, and of their gradients; 4 with us, 2 under DeepSpeed's bf16.
        activation_bytes: per number in the forward pass; 2 with ``trainer.bf16``.
        master_copy: whether the optimizer keeps a float32 copy of what it trains, as DeepSpeed's bf16 does.
        checkpointing: whether layers are computed again in the backward pass.
        zero_stage: of DeepSpeed; 0 without.
        world: processes.
    """
    divided = [world if zero_stage >= stage else 1 for stage in (1, 2, 3)]
    return Memory(
        weights=(frozen * frozen_bytes + trainable * trainable_bytes) / divided[2],
        gradients=trainable * trainable_bytes / divided[1],
        optimizer=trainable * 4.0 * (MOMENTS + master_copy) / divided[0],
        activations=activation_memory(depth, tokens, supervised, activation_bytes, checkpointing),
    )


def activation_memory(
    depth: Depth, tokens: float, supervised: float, activation_bytes: float, checkpointing: bool = False
) -> float:
    """Return the bytes that a forward pass keeps for the backward pass; it is the same for every stage of ZeRO."""
    norms = NORMS * depth.width * 4.0
    layer = tokens * (norms + activation_bytes * (WIDTHS * depth.width + WIDTHS_OF_MLP * depth.inner))
    kept = layer + depth.layers * tokens * activation_bytes * depth.width if checkpointing else depth.layers * layer
    return kept + tokens * norms / 2 + supervised * depth.vocabulary * (activation_bytes + 2 * 4.0)
