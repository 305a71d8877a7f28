"""Towers of full size, planned from the facts of their publication alone."""

import pytest
import torch
from transformers.initialization import no_init_weights

from encoders import ENCODERS
from encoders.configuration import FusedVisionConfig, VsreConfig
from encoders.modeling import VsreModel
from encoders.published import PUBLISHED, VSRE_TOWERS, published_entry
from encoders.tower import FusedVisionModel
from spatial.errors import ConfigError

FACTS: dict[str, tuple[int, int, float]] = {
    # Patches per side at the published input size, channels, millions of parameters of the whole vision encoder less
    # last norm, pooling head and mask token.
    "openai/clip-vit-large-patch14-336": (24, 1024, 303.5),
    "openai/clip-vit-large-patch14": (16, 1024, 303.2),
    "google/siglip-so400m-patch14-384": (27, 1152, 413.0),
    "google/siglip2-so400m-patch14-384": (27, 1152, 413.0),
    "google/siglip2-so400m-patch16-naflex": (16, 1152, 412.6),
    "facebook/dinov2-base": (16, 768, 86.6),
    "facebook/dinov2-large": (16, 1024, 304.4),
    "facebook/dinov2-with-registers-base": (16, 768, 86.6),
    "facebook/dinov3-vitb16-pretrain-lvd1689m": (14, 768, 85.7),
    "facebook/dinov3-vitl16-pretrain-lvd1689m": (14, 1024, 303.1),
    "facebook/sam-vit-base": (64, 256, 89.7),
    "facebook/sam-vit-large": (64, 256, 308.3),
    "facebook/sam-vit-huge": (64, 256, 637.0),
}


def fused(*hub_ids: str, keep_cls: bool = False) -> FusedVisionConfig:
    entries = dict(published_entry(hub_id) for hub_id in hub_ids)
    if keep_cls:
        entries = {name: entry | {"keep_cls": name in ("clip", "dinov2")} for name, entry in entries.items()}
    return FusedVisionConfig(encoders=list(entries), towers=entries)


LARGER = [hub_id for hub_id in PUBLISHED if "huge" in hub_id or ("large" in hub_id and "336" not in hub_id)]


@pytest.mark.parametrize(
    "hub_id", [pytest.param(hub_id, marks=[pytest.mark.slow] * (hub_id in LARGER)) for hub_id in PUBLISHED]
)
def test_a_published_tower_has_the_published_shape(hub_id: str) -> None:
    name, entry = published_entry(hub_id)
    grid, width, millions = FACTS[hub_id]
    with torch.device("meta"):
        model = FusedVisionModel(fused(hub_id))
        side = model.config.canvas_size
        features = model(torch.zeros(1, 3, side, side, dtype=torch.uint8))[name]
    assert features.shape == (1, grid**2, width)
    assert model.num_parameters() / 1e6 == pytest.approx(millions, abs=0.06)
    assert published_entry(hub_id)[1] == entry and published_entry(hub_id)[1] is not entry


def test_the_four_of_vsre_become_the_papers_number_of_tokens() -> None:
    text = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 1, "num_attention_heads": 32}
    kept = VsreConfig(vision_config=fused(*VSRE_TOWERS, keep_cls=True).to_dict(), text_config=text)
    assert kept.num_image_tokens == 1819
    config = VsreConfig(vision_config=fused(*VSRE_TOWERS).to_dict(), text_config=text)
    assert config.num_image_tokens == 1817
    with torch.device("meta"):
        model = VsreModel(config)
        visual = model.get_image_features(torch.zeros(1, 3, 1024, 1024, dtype=torch.uint8)).pooler_output
    assert [tuple(each.shape) for each in visual] == [(1817, 4096)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "hub_id,shape", list(zip(VSRE_TOWERS, [(577, 1024), (729, 1152), (257, 768), (64 * 64, 256)], strict=True))
)
@torch.no_grad()
def test_the_four_of_vsre_run_at_full_size(hub_id: str, shape: tuple[int, int]) -> None:
    canvas = torch.randint(0, 256, (1, 3, 1024, 1024), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    name, _ = published_entry(hub_id)
    with no_init_weights():  # drawing a billion numbers as each class wants them takes minutes
        model = FusedVisionModel(fused(hub_id, keep_cls=True)).eval()
    for parameter in model.parameters():
        parameter.uniform_(-0.03, 0.03)
    features = model(canvas)[name]
    assert features.shape == (1, *shape) and torch.isfinite(features).all() and features.std() > 0
    if name == "sam":
        assert features.transpose(1, 2).unflatten(2, (64, 64)).shape == (1, 256, 64, 64)
    if ENCODERS[name].has_cls:
        model.plans = fused(hub_id).plans()  # the same weights, without the class token
        assert torch.equal(model(canvas)[name], features[:, 1:])


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'facebook/dinov2-base'"):
        published_entry("facebook/dinov2-bse")
