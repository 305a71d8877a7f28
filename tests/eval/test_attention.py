"""The intervention touches one row, restores the model, and refuses models that it would not reach."""

from typing import Any

import pytest
import torch

from eval.attention import RULES, changed_image_attention, scaled, tempered
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
    with changed_image_attention(llava.get_decoder(), "scale", columns, torch.tensor([[1.5], [1.5]])):
        changed = llava(**batch).logits
    real = batch["attention_mask"].bool()
    real[:, -1] = False
    assert torch.equal(plain[real], changed[real])
    assert not torch.allclose(plain[:, -1], changed[:, -1], atol=1e-3)
    assert torch.equal(llava(**batch).logits, plain)


@torch.inference_mode()
def test_alpha_one_is_the_plain_model_up_to_rounding(llava: Any) -> None:
    batch = inputs(llava, 1)
    plain = llava(**batch).logits
    for rule, nothing in (("scale", 1.0), ("temper", 1.0), ("raise", 0.0)):
        factor = torch.full((2, 1), nothing)
        with changed_image_attention(llava.get_decoder(), rule, image_columns(llava, 1), factor):
            changed = llava(**batch).logits
        assert torch.allclose(plain[:, -1], changed[:, -1], atol=1e-5)


def test_a_model_that_is_not_reached_is_named(llava: Any) -> None:
    with (
        pytest.raises(CheckpointError, match="3 of 3 layers"),
        changed_image_attention(llava.get_decoder(), "scale", torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 1)),
    ):
        pass


def test_an_error_inside_restores_the_attention(llava: Any) -> None:
    image, factor = torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 1)
    with pytest.raises(KeyError), changed_image_attention(llava.get_decoder(), "scale", image, factor):
        raise KeyError
    assert llava.get_decoder().config._attn_implementation == "sdpa"


def test_each_rule_leaves_text_bit_equal_and_changes_the_image_as_it_says() -> None:
    logits, image = torch.randn(2, 3, 1, 5), torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 1, 0]]).bool()[:, None, None]
    factor = torch.tensor([0.5, 2.0])[:, None, None, None]
    for rule in RULES.values():
        changed = rule(logits, image, factor)
        text = ~image.expand_as(logits)
        assert torch.equal(changed[text], logits[text])
    assert torch.equal(scaled(logits, image, factor)[0, ..., 1:3], logits[0, ..., 1:3] * 0.5)
    assert torch.equal(
        RULES["raise"](logits, image, factor)[1, ..., 3], logits[1, ..., 3] + 2 * logits[1, ..., 3].abs()
    )


def test_tempering_keeps_the_attention_of_the_image_as_a_whole() -> None:
    logits, image = 3 * torch.randn(4, 2, 3, 9), torch.rand(4, 1, 1, 9) < 0.5
    image[..., 0], image[..., 1] = True, False
    factor = torch.tensor([0.3, 1.0, 2.0, 5.0])[:, None, None, None]
    before, after = (x.softmax(-1) * image for x in (logits, tempered(logits, image, factor)))
    assert torch.allclose(before.sum(-1), after.sum(-1), atol=1e-6)
    assert torch.allclose(before[1], after[1], atol=1e-6) and not torch.allclose(before[2], after[2], atol=1e-2)


def test_a_prompt_without_an_image_has_nothing_to_change(llava: Any) -> None:
    with (
        pytest.raises(ValueError, match="without an image"),
        changed_image_attention(llava.get_decoder(), "scale", torch.zeros(2, 5).bool(), torch.ones(2, 1)),
    ):
        pass
