"""The doctor's tables of a model: the published figures of VSRE's encoders, and what does not fit together."""

from pathlib import Path
from typing import Any

import pytest

from encoders.configuration import FusedVisionConfig, VsreConfig
from encoders.flops import language_flops, projector_flops, tower_flops
from spatial.errors import CheckpointError, UserError
from vsre.config import DoctorConfig
from vsre.doctor import examine
from vsre.doctor_model import model_config

CLIP = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
SIGLIP = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
TOWERS: dict[str, Any] = {
    "clip": {"config": {**CLIP, "image_size": 336, "patch_size": 14}, "feature_layer": -2},
    "siglip": {"config": {**SIGLIP, "image_size": 384, "patch_size": 14}},
    "dinov2": {"config": {"image_size": 518, "patch_size": 14}, "image_size": 224},
}
LLAMA_7B = {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096}
"""Llama's defaults are the sizes of its 7B model."""


def paper(**changes: Any) -> VsreConfig:
    """Return the model of the VSRE paper on LLaVA-1.5 7B."""
    settings = {"aligner": "mlp3x_gelu", "layer_norm": False, **changes}
    return VsreConfig(vision_config={"towers": TOWERS}, text_config=LLAMA_7B, **settings)


def test_the_encoders_of_the_paper_cost_what_was_published() -> None:
    config = paper().vision
    whole = tower_flops(config, whole=True)
    published = {"clip": 0.382, "siglip": 0.670, "dinov2": 0.046, "sam": 0.972}
    assert {name: flops / 1e12 for name, flops in whole.items()} == pytest.approx(published, rel=0.02)
    (cut,) = tower_flops(config, ["clip"]).values()
    assert cut / whole["clip"] == pytest.approx(23 / 24, rel=0.002), "the layer after the feature layer is not built"


def test_the_language_model_costs_what_was_published() -> None:
    assert language_flops(paper(), 700) / 1e12 == pytest.approx(9.51, rel=0.01)


def test_a_projector_costs_two_flops_per_weight_and_token() -> None:
    config = VsreConfig(
        vision_config=FusedVisionConfig(encoders=["clip"], towers=TOWERS).to_dict(), text_config=LLAMA_7B
    )
    assert projector_flops(config) == 2 * 576 * (1024 * 4096 + 4096 * 4096)


def test_the_tables_of_a_checkpoint_need_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paper().save_pretrained(tmp_path)
    examine(DoctorConfig(free_gib=0.0, model=str(tmp_path)))
    shown = capsys.readouterr().out
    for figure in ("1817 visual tokens", "576x1024", "729x1152", "256x768", "4096x256", "0.382", "0.972", "6,738"):
        assert figure in shown, figure


@pytest.mark.parametrize(
    "name,tokens",
    [("vsre-7b", 1817), ("vsre-13b", 1817), ("vsre-channel-7b", 576), ("llava-1.5-7b", 576), ("tiny", 64)],
)
def test_shipped_settings_can_be_counted_without_any_file(name: str, tokens: int) -> None:
    assert model_config(f"configs/model/{name}.yaml").num_image_tokens == tokens


def test_a_picture_that_leaves_no_room_for_text_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "max_position_embeddings": 60}
    towers = {"clip": {"config": {"image_size": 32, "patch_size": 4, "hidden_size": 24, "num_hidden_layers": 1}}}
    VsreConfig(
        vision_config={"encoders": ["clip"], "towers": towers},
        text_config=text | {"num_attention_heads": 2, "vocab_size": 50},
    ).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="1 problem"):
        examine(DoctorConfig(free_gib=0.0, model=str(tmp_path)))
    assert "one image is 64 tokens" in capsys.readouterr().out


def test_a_directory_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        examine(DoctorConfig(free_gib=0.0, model=str(tmp_path)))
