"""Small models of every kind that can be taken apart, and two prompts of equal length for each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    BlipConfig,
    BlipForQuestionAnswering,
    BlipTextConfig,
    BlipVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLForConditionalGeneration

from eval.interpret.capture import Captured, capture
from eval.interpret.cross import CrossStack
from eval.interpret.decoders import DecoderStack
from eval.interpret.pairs import Pair as MinimalPair
from eval.interpret.pairs import Side
from eval.interpret.prepare import Prepared
from eval.interpret.stack import Prompt, Stack
from spatial.templates import Prompt as Asked

SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
}
IMAGE, LENGTH = 6, 14
"""Image tokens are 1 to 6 of 14."""


@dataclass(frozen=True)
class Pair:
    """A model and two prompts, which differ in the picture (and in nothing else)."""

    stack: Stack
    clean: Prompt
    corrupt: Prompt
    runs: tuple[Captured, Captured]


def randomised(model: Any, seed: int = 0) -> Any:
    """Return the model with weights large enough that everything matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.15 * torch.randn(weight.shape, generator=generator))
    return model.eval()


def decoder_model(kind: str) -> Any:
    """Return a decoder: as many key-value heads as heads, fewer, with biases, or with norms of queries and keys."""
    torch.manual_seed(0)
    if kind == "llama":
        return randomised(LlamaForCausalLM(LlamaConfig(**SIZES, attn_implementation="sdpa")))
    if kind == "grouped":
        config = LlamaConfig(**SIZES, num_key_value_heads=2, attn_implementation="sdpa")
        return randomised(LlamaForCausalLM(config))
    if kind == "qwen2":
        config = Qwen2Config(**SIZES, num_key_value_heads=2, attn_implementation="sdpa")
        return randomised(Qwen2ForCausalLM(config))
    if kind == "qwen3":
        config = Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=12, attn_implementation="sdpa")
        return randomised(Qwen3ForCausalLM(config))
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    text = SIZES | {"num_key_value_heads": 2, "rope_parameters": rope}
    vision = {"depth": 1, "embed_dim": 8, "hidden_size": 32, "num_heads": 2, "patch_size": 4, "mlp_ratio": 2}
    config = Qwen2VLConfig(text_config=text, vision_config=vision, attn_implementation="sdpa")
    return randomised(Qwen2VLForConditionalGeneration(config))


def decoder_pair(kind: str) -> Pair:
    """Return a pair of prompts of a decoder whose image tokens differ."""
    stack = DecoderStack(decoder_model(kind))
    generator = torch.Generator().manual_seed(1)
    words_TD = 0.8 * torch.randn(LENGTH, 32, generator=generator)
    prompts = []
    for _ in range(2):
        states_TD = words_TD.clone()
        states_TD[1 : 1 + IMAGE] = torch.randn(IMAGE, 32, generator=generator)
        prompts.append(stack.begin(states_TD, mrope_positions() if kind == "qwen2_vl" else None))
    return Pair(stack, *prompts, (capture(stack, prompts[0]), capture(stack, prompts[1])))


def mrope_positions() -> Tensor:
    """Positions (3, T) of one word, an image of two rows and three columns, and words."""
    time = torch.tensor([0, *[1] * 6, *range(4, 11)])
    row = torch.tensor([0, 1, 1, 1, 2, 2, 2, *range(4, 11)])
    column = torch.tensor([0, 1, 2, 3, 1, 2, 3, *range(4, 11)])
    return torch.stack([time, row, column])


def cross_pair() -> Pair:
    """Return a pair of prompts of a BLIP whose pictures differ."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    text = BlipTextConfig(
        **sizes, encoder_hidden_size=32, vocab_size=40, bos_token_id=1, sep_token_id=2, pad_token_id=0
    )
    vision = BlipVisionConfig(**sizes, image_size=32, patch_size=8)
    torch.manual_seed(0)
    config = BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), image_text_hidden_size=16)
    stack = CrossStack(randomised(BlipForQuestionAnswering(config)))
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 40, (9,), generator=generator)
    prompts = [stack.begin(ids, torch.randn(17, 32, generator=generator)) for _ in range(2)]
    with torch.no_grad():
        return Pair(stack, *prompts, (capture(stack, prompts[0]), capture(stack, prompts[1])))


def prepared_of(causal: Pair) -> Prepared:
    """Return a pair of a decoder as one that asks about two things, whose boxes are not known."""
    side = Side("a", Asked([{"content": [{}, {"text": "words"}]}], (), "", {}))
    about = MinimalPair("image", side, side, ("yes", "no"), "left of", "Projective", "g")
    roles = {"image": tuple(range(1, 1 + IMAGE)), "subject": (8, 9), "object": (11,), "last": (13,)}
    return Prepared(about, causal.clean, causal.corrupt, (5, 9), roles, roles, 1 + IMAGE)


PAIRS: dict[str, Callable[[], Pair]] = {
    **{kind: (lambda kind=kind: decoder_pair(kind)) for kind in ("llama", "grouped", "qwen2", "qwen3", "qwen2_vl")},
    "blip": cross_pair,
}


@pytest.fixture(scope="session", params=list(PAIRS))
def pair(request: pytest.FixtureRequest) -> Pair:
    with torch.no_grad():
        return PAIRS[request.param]()


@pytest.fixture(scope="session", params=["grouped", "qwen2_vl"])
def causal(request: pytest.FixtureRequest) -> Pair:
    with torch.no_grad():
        return PAIRS[request.param]()


@pytest.fixture(scope="session")
def blip() -> Pair:
    with torch.no_grad():
        return cross_pair()
