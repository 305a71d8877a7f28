"""Models whose weights are elsewhere, or of several number formats: offloaded, quantised, mixed."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from torch import Tensor, nn

from encoders import FUSIONS, VSRE_ENCODERS
from encoders.build import assemble
from encoders.modeling import VsreForConditionalGeneration
from tests.encoders.conftest import MINI, WORDS

every_mode = pytest.mark.parametrize("fusion", list(FUSIONS))


def built(fusion: str, **projector: Any) -> VsreForConditionalGeneration:
    """Return a model of all encoders with gates that are open."""
    sizes = deepcopy(MINI)
    sizes["projector"] |= {"gates": ["sam", "siglip"], **projector}
    model, _ = assemble(sizes, VSRE_ENCODERS, fusion, WORDS, seed=0)
    with torch.no_grad():
        for gate in model.model.multi_modal_projector.gates.values():
            gate.fill_(0.7)
    return model


def inputs_of(model: VsreForConditionalGeneration) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.full((1, model.config.num_image_tokens + 2), model.config.image_token_index)
    ids[:, -2:] = 7
    canvas = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=generator)
    return {"input_ids": ids, "pixel_values": canvas}


@every_mode
def test_an_offloaded_model_answers_as_it_did(fusion: str) -> None:
    model = built(fusion)
    expected = model(**inputs_of(model)).logits
    cpu_offload(model, execution_device=torch.device("cpu"))
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert torch.equal(model(**inputs_of(model)).logits, expected)


@every_mode
@pytest.mark.parametrize("high", ["norms", "adapters", "rest"])
def test_parts_of_the_projector_may_have_number_formats_of_their_own(fusion: str, high: str) -> None:
    model = built(fusion, conv_adapters=["sam"])
    expected = model(**inputs_of(model)).logits
    model.to(torch.bfloat16)
    projector = model.model.multi_modal_projector
    for name, part in projector.named_children():
        if high == name or (high == "rest" and name not in ("norms", "adapters")):
            part.float()
    logits = model(**inputs_of(model)).logits
    assert len({parameter.dtype for parameter in projector.parameters()}) == 2
    assert (logits.float() - expected).abs().max() < 0.1 * expected.abs().max()


class Eighth(nn.Module):
    """A linear layer as quantisation leaves it: bytes come first, a deviation says what they stand for."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        scale = linear.weight.detach().abs().max() / 127
        self.weight = nn.Parameter((linear.weight.detach() / scale + 128).round().to(torch.uint8), requires_grad=False)
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        assert x.is_floating_point()
        return nn.functional.linear(x, ((self.weight.float() - 128) * self.scale).to(x.dtype), self.bias.to(x.dtype))


def quantise(module: nn.Module) -> None:
    for owner in list(module.modules()):
        for name, part in list(owner.named_children()):
            if isinstance(part, nn.Linear):
                setattr(owner, name, Eighth(part))


@every_mode
@pytest.mark.parametrize("layer_norm", [True, False])
def test_features_are_never_rounded_to_the_integers_of_a_quantised_layer(fusion: str, layer_norm: bool) -> None:
    model = built(fusion, layer_norm=layer_norm, gates=[])
    projector = model.model.multi_modal_projector
    inputs = inputs_of(model)
    expected = model.get_image_features(inputs["pixel_values"]).pooler_output[0]
    quantise(projector)
    assert any(not parameter.is_floating_point() for parameter in projector.parameters())
    found = model.get_image_features(inputs["pixel_values"]).pooler_output[0]
    assert (found - expected).abs().max() < 0.1 * expected.abs().max()


def test_values_of_encoders_learn() -> None:
    model = built("resampler")
    projector = model.model.multi_modal_projector
    model.get_image_features(inputs_of(model)["pixel_values"]).pooler_output[0].sum().backward()
    for values in (projector.gates, projector.kinds):
        assert all(value.grad is not None and value.grad.any() for value in values.values())
