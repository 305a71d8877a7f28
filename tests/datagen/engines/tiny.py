"""Pipelines of diffusers' own classes, tiny and random, saved as their publishers save the large ones."""

from pathlib import Path
from typing import Any

CHAT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"

LETTERS = "abcdefghijklmnopqrstuvwxyz,.'0123456789-"


def clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    words = [*LETTERS, *(letter + "</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer({word: index for index, word in enumerate(words)}, [], model_max_length=77)


def qwen_tokenizer() -> Any:
    from transformers import Qwen2Tokenizer

    words = [*LETTERS, *LETTERS.upper(), "Ġ", "<|endoftext|>"]
    tokenizer = Qwen2Tokenizer({word: index for index, word in enumerate(dict.fromkeys(words))}, [])
    tokenizer.chat_template = CHAT
    return tokenizer


def random_weights(model: Any) -> Any:
    """Fill also what starts at zero, or control would change nothing, and what starts as it happens to be in memory."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.isfinite().all() or parameter.abs().max() == 0 or parameter.ndim < 2:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise if parameter.ndim > 1 else 1 + 0.1 * noise)
    return model


def vae(latents: int, kind: str = "AutoencoderKL", **further: Any) -> Any:
    """Return an autoencoder that makes cells of 8 pixels, as the large ones."""
    import diffusers

    return getattr(diffusers, kind)(
        block_out_channels=(4, 4, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=latents,
        norm_num_groups=4,
        sample_size=32,
        **further,
    )


UNET = {
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "attention_head_dim": (2, 2),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "transformer_layers_per_block": 1,
    "projection_class_embeddings_input_dim": 64,
    "cross_attention_dim": 32,
}


def save_sdxl(folder: Path, channels: int = 4) -> Path:
    """Save SDXL; ``channels`` is 9 for a model of inpainting alone."""
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=16,
        bos_token_id=len(tokenizer) - 2,
        eos_token_id=len(tokenizer) - 1,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=vae(4),
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer,
        tokenizer_2=clip_tokenizer(),
        unet=UNet2DConditionModel(
            in_channels=channels, sample_size=8, up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **UNET
        ),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
    )
    pipeline.save_pretrained(folder)
    return folder


def save_union(folder: Path, **changed: Any) -> Path:
    """Save a ControlNet Union that fits ``save_sdxl``."""
    import torch
    from diffusers import ControlNetUnionModel

    torch.manual_seed(1)
    sizes = {"num_trans_channel": 8, "num_proj_channel": 8, "num_trans_head": 2}
    embedding = {"conditioning_embedding_out_channels": (4, 4, 8, 8)}
    network = ControlNetUnionModel(**{**UNET, **sizes, **embedding, **changed})
    random_weights(network)
    with torch.no_grad():
        for parameter in network.controlnet_cond_embedding.parameters():
            parameter.mul_(3)  # random layers let little of a control image through
    network.save_pretrained(folder)
    return folder


def save_zimage(folder: Path) -> Path:
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    text = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
    )
    transformer = ZImageTransformer2DModel(
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[8, 4, 4],
        axes_lens=[1024, 32, 32],
    )
    pipeline = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(16, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=Qwen3Model(text),
        tokenizer=tokenizer,
        transformer=random_weights(transformer),
    )
    pipeline.save_pretrained(folder)
    return folder


def save_flux2_klein(folder: Path) -> Path:
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    transformer, text = klein_network(), klein_text(len(tokenizer))
    pipeline = Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(4, "AutoencoderKLFlux2"),
        text_encoder=text,
        tokenizer=tokenizer,
        transformer=transformer,
        is_distilled=True,
    )
    pipeline.save_pretrained(folder)
    return folder


def klein_network() -> Any:
    from diffusers import Flux2Transformer2DModel

    return Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        timestep_guidance_channels=256,
        axes_dims_rope=[4, 4, 4, 4],
        guidance_embeds=False,
    )


def klein_text(words: int) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=words,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=28,  # the pipeline reads the layers 9, 18 and 27
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=512,
    )
    return Qwen3ForCausalLM(config)


def save_zimage_control(folder: Path, version: int = 2) -> Path:
    """Save a control network that fits ``save_zimage``; that of the first version cannot inpaint."""
    import torch
    from diffusers import ZImageControlNetModel

    torch.manual_seed(1)
    network = ZImageControlNetModel(
        control_layers_places=[0, 1],
        control_refiner_layers_places=[0],
        control_in_dim=16 if version == 1 else 33,
        dim=32,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
    )
    random_weights(network).save_pretrained(folder)
    return folder
