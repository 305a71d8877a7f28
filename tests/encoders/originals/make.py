"""Make the tiny originals: models of OpenCLIP and segment-anything themselves, with the features that they compute.

    python tests/encoders/originals/make.py

needs the extra ``originals`` and writes one safetensors file per model beside this script: "weights/NAME" as in the
original file, "input" (normalised pixels), "features" after the last layer and, for OpenCLIP, "before" the last.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

FOLDER = Path(__file__).parent

OPENCLIP: dict[str, dict[str, Any]] = {
    name: {
        "embed_dim": 8,
        "vision_cfg": {
            "image_size": 16,
            "layers": 2,
            "width": 16,
            "head_width": 8,
            "mlp_ratio": 2.5,
            "patch_size": 4,
        },
        "text_cfg": {"context_length": 4, "vocab_size": 12, "width": 8, "heads": 1, "layers": 1},
        "quick_gelu": name == "openclip-quickgelu",
    }
    for name in ("openclip-gelu", "openclip-quickgelu")
}


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Move every parameter away from zero and one, so that none can be forgotten."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def openclip(name: str) -> Any:
    """Return a tiny CLIP of OpenCLIP."""
    from open_clip import CLIP

    return randomise(CLIP(**OPENCLIP[name]), seed=len(name))


@torch.no_grad()
def openclip_features(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the tokens [B, N, C] before and after the last layer of the visual tower."""
    seen: list[Tensor] = []
    for block in model.visual.transformer.resblocks:
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    model.encode_image(pixels)
    return seen[-2], seen[-1]


def sam() -> Any:
    """Return a tiny SAM: windows of 3 on a grid of 5, so that they are padded, and one layer that sees everything."""
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    encoder = ImageEncoderViT(
        depth=3,
        embed_dim=16,
        img_size=20,
        mlp_ratio=2,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        num_heads=2,
        patch_size=4,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=(1,),
        window_size=3,
        out_chans=8,
    )
    prompts = PromptEncoder(embed_dim=8, image_embedding_size=(5, 5), input_image_size=(20, 20), mask_in_chans=4)
    transformer = TwoWayTransformer(depth=1, embedding_dim=8, mlp_dim=8, num_heads=2)
    masks = MaskDecoder(transformer_dim=8, transformer=transformer, iou_head_depth=2, iou_head_hidden_dim=4)
    return randomise(Sam(encoder, prompts, masks), seed=5)


def pixels(side: int) -> Tensor:
    """Return normalised pixels [2, 3, side, side]."""
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))


def main() -> None:
    """Write the fixtures."""
    for name, model_cfg in OPENCLIP.items():
        model = openclip(name)
        before, features = openclip_features(model, pixels(16))
        tensors = {"input": pixels(16), "before": before, "features": features}
        _write(name, model, tensors, "visual.", {"model_cfg": json.dumps(model_cfg)})
    model = sam()
    with torch.no_grad():
        features = model.image_encoder(pixels(20)).flatten(2).transpose(1, 2)
    _write("sam", model, {"input": pixels(20), "features": features}, "image_encoder.", {})


def _write(name: str, model: nn.Module, tensors: dict[str, Tensor], tower: str, metadata: dict[str, str]) -> None:
    """Write a fixture with the tower's weights and a few of the others, which a reader must leave alone."""
    state = model.state_dict()
    others = [key for key in state if not key.startswith(tower)][:3]
    weights = {f"weights/{key}": value for key, value in state.items() if key.startswith(tower) or key in others}
    contiguous = {key: value.contiguous().clone() for key, value in {**weights, **tensors}.items()}
    path = FOLDER / f"{name}.safetensors"
    save_file(contiguous, path, metadata=metadata)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
