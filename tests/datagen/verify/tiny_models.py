"""Published detectors, depth estimators and other judges at tiny size, with random weights and their own processors."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPVisionConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Owlv2Config,
    Owlv2ForObjectDetection,
    Owlv2Processor,
    PreTrainedTokenizerFast,
    SwinConfig,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

CPU = torch.device("cpu")
WORDS = tuple(re.findall(r"\S+", "a an photo of cup book horse oven yes no is it the true that left right . ?"))
SMALL: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
PICTURES = [
    np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    for seed, shape in enumerate([(64, 64, 3), (48, 80, 3), (64, 64, 3)])
]


def tokenizer(special: dict[str, str], ends: tuple[str, str], **settings: Any) -> PreTrainedTokenizerFast:
    vocabulary = {word: index for index, word in enumerate([*special.values(), *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk_token"]))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if ends[0]:
        made.post_processor = processors.TemplateProcessing(
            single=f"{ends[0]} $A {ends[1]}", special_tokens=[(end, vocabulary[end]) for end in ends]
        )
    return PreTrainedTokenizerFast(tokenizer_object=made, **special, **settings)


def saved(folder: Path, *parts: Any) -> Path:
    for part in parts:
        part.save_pretrained(folder)
    return folder


def owlv2(folder: Path) -> Path:
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    words = {**SMALL, "vocab_size": 40, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2}
    sight = {**SMALL, "image_size": 64, "patch_size": 16}
    config = Owlv2Config(text_config={**words, "pad_token_id": 3}, vision_config=sight, projection_dim=16)
    processor = Owlv2Processor(
        Owlv2ImageProcessorPil(size={"height": 64, "width": 64}),
        tokenizer(special, ("<s>", "</s>"), model_max_length=16),
    )
    return saved(folder, Owlv2ForObjectDetection(config), processor)


def grounding_dino(folder: Path) -> Path:
    special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    names = ["input_ids", "token_type_ids", "attention_mask"]
    swin = {"image_size": 64, "embed_dim": 8, "depths": [1] * 4, "num_heads": [1, 1, 2, 2], "window_size": 4}
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(**swin, out_features=["stage2", "stage3", "stage4"]),
        text_config={**SMALL, "model_type": "bert", "vocab_size": 40, "max_position_embeddings": 64},
        d_model=32,
        **{f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in DEFORMABLE.items()},
        num_queries=12,
    )
    size = {"shortest_edge": 128, "longest_edge": 192}
    words = tokenizer(special, ("[CLS]", "[SEP]"), model_input_names=names)
    processor = GroundingDinoProcessor(GroundingDinoImageProcessorPil(size=size), words)
    return saved(folder, GroundingDinoForObjectDetection(config), processor)


DEFORMABLE = {"layers": 2, "attention_heads": 2, "ffn_dim": 16, "n_points": 2}


def depth_anything(folder: Path, kind: str = "relative") -> Path:
    sight = {"image_size": 56, "patch_size": 14, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    stages = [f"stage{number}" for number in range(1, 5)]
    backbone = Dinov2Config(**sight, mlp_ratio=1, out_features=stages, reshape_hidden_states=False)
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8] * 4,
        fusion_hidden_size=8,
        head_hidden_size=8,
        depth_estimation_type=kind,
        max_depth=10 if kind == "metric" else 1,
    )
    torch.manual_seed(0)
    size = {"height": 56, "width": 56}
    processor = DPTImageProcessorPil(size=size, keep_aspect_ratio=True, ensure_multiple_of=14, do_pad=False)
    return saved(folder, DepthAnythingForDepthEstimation(config), processor)


def llava(folder: Path) -> Path:
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    words = tokenizer(special, ("", ""), extra_special_tokens={"image_token": "<image>"})
    image = words.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**SMALL, image_size=32, patch_size=16),
        text_config=LlamaConfig(**SMALL, vocab_size=60, pad_token_id=3),
        image_token_index=image,
        vision_feature_layer=-1,
    )
    pixels = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    template = (
        "{% for message in messages %}{% for part in message['content'] %}"
        "{{ '<image> ' if part['type'] == 'image' else part['text'] }}{% endfor %}{% endfor %}"
    )
    processor = LlavaProcessor(
        pixels,
        words,
        patch_size=16,
        vision_feature_select_strategy="default",
        chat_template=template,
        num_additional_image_tokens=1,
    )
    return saved(folder, LlavaForConditionalGeneration(config), processor)


def classifier(folder: Path, labels: tuple[str, str] = ("normal", "nsfw")) -> Path:
    config = ViTConfig(**SMALL, image_size=32, patch_size=16, id2label=dict(enumerate(labels)))
    return saved(folder, ViTForImageClassification(config), ViTImageProcessorPil(size={"height": 32, "width": 32}))


MAKERS = {"owlv2": owlv2, "grounding-dino": grounding_dino, "depth-anything": depth_anything}
