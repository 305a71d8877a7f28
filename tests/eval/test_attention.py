"""The intervention touches one row, restores the model, and refuses models that it would not reach."""

from typing import Any

import pytest
import torch

from eval.attention import scale_image_logits, scaled_image_attention
from spatial.errors import CheckpointError


def inputs(llava: Any, pad: int) -> dict[str, torch.Tensor]:
    """Two prompts, the first padded on the left by ``pad`` tokens."""
    image = llava.config.image_token_id
    ids = torch.tensor([[0] * pad + [3, 4] + [image] * 5 + [7] * (9 - pad), [3] + [image] * 6 + [8] * 9])
    mask = torch.ones_like(ids)
    mask[0, :pad] = 0
    embeds = llava.get_input_embeddings()(ids)
    return {"inputs_embeds": embeds, "attention_mask": mask, "position_ids": (mask.cumsum(-1) - 1).clamp(min=0)}


def image_columns(llava: Any, pad: int) -> torch.Tensor:
    columns = torch.zeros(2, 16, dtype=torch.bool)
    columns[0, pad + 2 : pad + 7] = True
    columns[1, 1:7] = True
    return columns


@torch.inference_mode()
def test_only_the_last_row_changes_also_with_left_padding(llava: Any) -> None:
    batch, columns = inputs(llava, 2), image_columns(llava, 2)
    plain = llava(**batch).logits
    with scaled_image_attention(llava.get_decoder(), columns, 1.5):
        scaled = llava(**batch).logits
    real = batch["attention_mask"].bool()
    real[:, -1] = False
    assert torch.equal(plain[real], scaled[real])
    assert not torch.allclose(plain[:, -1], scaled[:, -1], atol=1e-3)
    assert torch.equal(llava(**batch).logits, plain)


@torch.inference_mode()
def test_alpha_one_is_the_plain_model_up_to_rounding(llava: Any) -> None:
    batch = inputs(llava, 1)
    plain = llava(**batch).logits
    with scaled_image_attention(llava.get_decoder(), image_columns(llava, 1), 1.0):
        scaled = llava(**batch).logits
    assert torch.allclose(plain[:, -1], scaled[:, -1], atol=1e-5)


def test_a_model_that_is_not_reached_is_named(llava: Any) -> None:
    with (
        pytest.raises(CheckpointError, match="3 of 3 layers"),
        scaled_image_attention(llava.get_decoder(), torch.ones(1, 4, dtype=torch.bool), 2.0),
    ):
        pass


def test_an_error_inside_restores_the_attention(llava: Any) -> None:
    with pytest.raises(KeyError), scaled_image_attention(llava.get_decoder(), torch.ones(1, 4, dtype=torch.bool), 2.0):
        raise KeyError
    assert llava.get_decoder().config._attn_implementation == "sdpa"


def test_scaling_leaves_text_bit_equal_and_needs_an_image() -> None:
    logits, image = torch.randn(2, 3, 5), torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 1, 0]]).bool()
    scaled = scale_image_logits(logits, image, 0.5)
    assert torch.equal(scaled[~image[:, None].expand_as(scaled)], logits[~image[:, None].expand_as(logits)])
    assert torch.equal(scaled[0, :, 1:3], logits[0, :, 1:3] * 0.5)
    with pytest.raises(ValueError, match="without an image"):
        scale_image_logits(logits, torch.zeros(2, 5).bool(), 0.5)
