"""What each way of fusing encoders promises about tokens, places, gates and adapters."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from encoders import FUSIONS, VSRE_ENCODERS
from encoders.aligners import ConvAdapter, build_aligner
from encoders.configuration import VsreConfig
from encoders.modeling import VsreForConditionalGeneration
from encoders.projector import FusionProjector, to_grid
from encoders.resampler import place_encoding
from spatial.errors import ConfigError
from tests.encoders.conftest import MINI

GRID = 4


def config_of(encoders: Sequence[str] = VSRE_ENCODERS, **settings: Any) -> VsreConfig:
    """Return the configuration of a tiny model; every grid is 4 x 4 unless ``towers`` says otherwise."""
    towers = {name: {"config": deepcopy(MINI["towers"][name])} for name in encoders}
    for name, changes in settings.pop("towers", {}).items():
        towers[name]["config"].update(changes)
    return VsreConfig(
        vision_config={"encoders": list(encoders), "towers": towers},
        text_config={"model_type": "llama", "vocab_size": 20, **MINI["text"]},
        **{"conv_adapters": [], **settings},
    )


def projector_of(config: VsreConfig) -> FusionProjector:
    """Return a projector with seeded weights, as a new model has it."""
    torch.manual_seed(0)
    projector: FusionProjector = VsreForConditionalGeneration(config).model.multi_modal_projector
    return projector.eval()


def features_of(config: VsreConfig, images: int = 2) -> dict[str, Tensor]:
    """Return random features."""
    generator = torch.Generator().manual_seed(1)
    plans = config.vision.plans()
    return {name: torch.randn(images, plan.tokens, plan.width, generator=generator) for name, plan in plans.items()}


@pytest.mark.parametrize("fusion", list(FUSIONS))
def test_there_is_a_place_for_every_token(fusion: str) -> None:
    config = config_of(fusion=fusion, resampler_tokens=7)
    tokens = projector_of(config)(features_of(config))
    assert tokens.shape == (2, config.num_image_tokens, 32)
    assert len(FUSIONS[fusion].places(config)) == config.num_image_tokens
    expected = {"sequence": 64, "interleave": 64, "resampler": 7}
    assert config.num_image_tokens == expected.get(fusion, 16)


def test_interleaved_tokens_of_a_place_are_neighbours() -> None:
    config = config_of(("clip", "siglip", "sam"), fusion="interleave")
    projector = projector_of(config)
    features = features_of(config)
    tokens, aligned = projector(features), projector.aligned(features)
    for offset, name in enumerate(config.vision.plans()):
        assert torch.equal(tokens[:, offset::3], aligned[name])
    assert FUSIONS["interleave"].places(config)[3:6] == [(GRID, 1)] * 3


def test_added_tokens_are_the_sum_of_the_encoders() -> None:
    config = config_of(("dinov2", "sam"), fusion="add")
    projector = projector_of(config)
    features = features_of(config)
    aligned = projector.aligned(features)
    torch.testing.assert_close(projector(features), aligned["dinov2"] + aligned["sam"])


@pytest.mark.parametrize("fusion", ["channel", "interleave", "add"])
def test_other_grids_are_brought_to_the_first(fusion: str) -> None:
    config = config_of(("clip", "sam"), fusion=fusion, towers={"sam": {"patch_size": 8}})
    features = features_of(config)
    marked = {name: torch.zeros_like(feature) for name, feature in features.items()}
    marked["sam"] = features["sam"].clone()
    marked["sam"].view(2, 8, 8, -1)[:, 4:6, 6:8] += 5  # cell (row 2, column 3) of the 4 x 4 grid
    plain = {**marked, "sam": features["sam"]}
    projector = projector_of(config)
    change = (projector(marked) - projector(plain)).abs().sum(-1)[0]
    places = FUSIONS[fusion].places(config)
    assert places[int(change.argmax())] == (GRID, 2 * GRID + 3)


def test_a_gated_encoder_adds_nothing_at_first_and_learns() -> None:
    config = config_of(("clip", "sam"), fusion="add", gates=["sam"])
    projector = projector_of(config)
    features = features_of(config)
    assert torch.equal(projector(features), projector.aligned(features)["clip"])
    projector(features).sum().backward()
    assert projector.gates["sam"].grad is not None and projector.gates["sam"].grad.abs() > 0
    assert set(projector.gates) == {"sam"}


def test_a_gate_is_zero_also_when_built_on_meta() -> None:
    config = config_of(("clip", "sam"), gates=["clip", "sam"], fusion="resampler")
    with torch.device("meta"):
        model = VsreForConditionalGeneration(config)
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.data.fill_(7.0)
    model._is_hf_initialized = False
    for module in model.modules():
        model._init_weights(module)
    projector = model.model.multi_modal_projector
    assert all(gate.item() == 0 for gate in projector.gates.values())
    assert 0 < projector.queries.std() < 0.1 and all(0 < kind.std() < 0.1 for kind in projector.kinds.values())


def test_sam_goes_through_the_convolutions_of_the_paper() -> None:
    adapter = ConvAdapter(256, 64)
    assert [tuple(conv.weight.shape) for conv in (adapter.conv1, adapter.conv2)] == [
        (512, 256, 3, 3),
        (1024, 512, 3, 3),
    ]
    with torch.no_grad():
        assert adapter(torch.randn(1, 4096, 256)).shape == (1, 256, 1024)
    config = config_of(("clip", "sam"), conv_adapters=["sam"], towers={"sam": {"patch_size": 8}})
    branch = config.branches()["sam"]
    assert (branch.grid, branch.channels, branch.tokens, branch.aligner) == (2, 1024, 4, "linear")
    projector = projector_of(config)
    assert projector(features_of(config)).shape[1] == config.num_image_tokens == 16 + 4
    assert FUSIONS["sequence"].places(config)[-1] == (2, 3)


def test_the_adapter_keeps_places() -> None:
    adapter = ConvAdapter(8, 16)
    features = torch.zeros(1, 256, 8)
    features.view(1, 16, 16, 8)[:, 9:11, 13:15] = 1.0  # inside cell (row 2, column 3) of the 4 x 4 grid
    with torch.no_grad():
        change = (adapter(features) - adapter(torch.zeros_like(features))).abs().sum(-1)[0]
    assert int(change.argmax()) == 2 * 4 + 3


def test_the_conv_adapter_is_on_for_sam_unless_switched_off() -> None:
    towers = {"sam": {"config": MINI["towers"]["sam"]}}
    text = {"model_type": "llama", "vocab_size": 20, **MINI["text"]}
    vision = {"encoders": ["sam"], "towers": towers}
    assert VsreConfig(vision_config=vision, text_config=text).num_image_tokens == 1
    assert VsreConfig(vision_config=vision, text_config=text, conv_adapters=[]).num_image_tokens == 16


def test_norms_can_be_left_out() -> None:
    config = config_of(("clip",), layer_norm=False)
    projector = projector_of(config)
    features = features_of(config)
    assert len(projector.norms) == 0
    assert torch.equal(projector(features), projector.aligners["clip"](features["clip"]))


def test_encoders_can_have_aligners_of_their_own() -> None:
    config = config_of(("clip", "siglip"), aligner="mlp3x_gelu", aligners={"clip": "mlp2x_gelu"})
    projector = projector_of(config)
    assert (len(projector.aligners["clip"]), len(projector.aligners["siglip"])) == (3, 5)
    assert len(build_aligner("mlp3x_gelu", 4, 8)) == 5 and len(build_aligner("linear", 4, 8)) == 1


def test_the_resampler_sees_every_token_of_every_encoder() -> None:
    config = config_of(fusion="resampler", resampler_tokens=3)
    projector = projector_of(config)
    features = {name: feature.requires_grad_() for name, feature in features_of(config).items()}
    projector(features).square().sum().backward()
    for name, feature in features.items():
        assert feature.grad is not None and (feature.grad.abs().sum(-1) > 0).all(), name


def test_the_resampler_tells_places_apart() -> None:
    config = config_of(("clip",), fusion="resampler", resampler_tokens=3)
    projector = projector_of(config)
    features = features_of(config)
    moved = {"clip": features["clip"].roll(1, dims=1)}
    assert not torch.allclose(projector(moved), projector(features), atol=1e-5)


def test_coordinates_do_not_depend_on_the_grid() -> None:
    coarse, fine = place_encoding(3, 32).view(3, 3, 32), place_encoding(9, 32).view(9, 9, 32)
    torch.testing.assert_close(coarse, fine[1::3, 1::3])
    assert place_encoding(24, 32).unique(dim=0).shape == (24 * 24, 32)


@pytest.mark.parametrize("fusion", ["channel", "interleave", "add"])
def test_a_class_token_has_no_place_on_a_grid(fusion: str) -> None:
    with pytest.raises(ConfigError, match="no place for the class token of 'clip'"):
        VsreConfig(vision_config={"towers": {"clip": {"keep_cls": True}}}, fusion=fusion)


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"gates": ["samm"]}, "did you mean 'sam'"),
        ({"aligners": {"clipp": "linear"}}, "did you mean 'clip'"),
        ({"conv_adapters": ["clip"], "towers": {"clip": {"patch_size": 6}}}, "no multiple of 4"),
        ({"fusion": "resampler", "resampler_tokens": 0}, "at least 1"),
    ],
)
def test_settings_that_cannot_work_say_so(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(**settings)


def test_the_fused_tokens_of_the_paper() -> None:
    """Full-size encoders need no memory for this: 576 + 729 + 256 + 256, and two class tokens."""
    sizes = {"clip": (336, 14), "siglip": (384, 14), "dinov2": (224, 14)}
    for keep, expected in ((False, 1817), (True, 1819)):
        towers: dict[str, Any] = {
            name: {"config": {"image_size": side, "patch_size": patch}} for name, (side, patch) in sizes.items()
        }
        towers["clip"]["keep_cls"] = towers["dinov2"]["keep_cls"] = keep
        assert VsreConfig(vision_config={"towers": towers}).num_image_tokens == expected


def test_interpolation_leaves_an_equal_grid_alone() -> None:
    feature = torch.randn(1, 16, 8)
    assert to_grid(feature, 4, 4) is feature
