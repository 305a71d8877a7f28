"""Image-text models of other families with some thousand weights, written to disk as Transformers writes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessorPil,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipProcessor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    OPTConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen2VLProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    SiglipVisionConfig,
    T5Config,
)

from encoders.family_load import VIDEO, without_video
from tests.encoders.tiny_bases import SIZES, byte_tokenizer, llama_tokenizer

_TEXT: dict[str, Any] = {**SIZES, "tie_word_embeddings": False}
_VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
_EYE = {**_VIT, "image_size": 32, "patch_size": 8}
_LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789.,?:"]

QWEN_CHAT = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The form of Qwen2.5-VL's."""

CHATML_PARTS = QWEN_CHAT.replace("<|vision_start|><|image_pad|><|vision_end|>", "<image>\n")

LLAVA_NEXT_CHAT = (
    "{% for message in messages %}[INST] {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %} [/INST]{% endfor %}"
)
"""The form of LLaVA-1.6's on Mistral."""

LLAVA_CHAT = LLAVA_NEXT_CHAT.replace("[INST] ", "USER: ").replace(" [/INST]", " ASSISTANT:")


def _qwen(folder: Path, version: str) -> Any:
    tokenizer = byte_tokenizer(QWEN_CHAT)
    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer.add_tokens(marks, special_tokens=True)
    start, end, image, video = tokenizer.convert_tokens_to_ids(marks)
    eye = {"depth": 2, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    classes: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
        "qwen2_vl": (
            Qwen2VLConfig,
            Qwen2VLForConditionalGeneration,
            Qwen2VLProcessor,
            {"embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2},
        ),
        "qwen2_5_vl": (
            Qwen2_5_VLConfig,
            Qwen2_5_VLForConditionalGeneration,
            Qwen2_5_VLProcessor,
            {"hidden_size": 16, "intermediate_size": 32, "out_hidden_size": 32, "window_size": 16}
            | {"fullatt_block_indexes": [1]},
        ),
        "qwen3_vl": (
            Qwen3VLConfig,
            Qwen3VLForConditionalGeneration,
            Qwen3VLProcessor,
            {"hidden_size": 16, "intermediate_size": 32, "out_hidden_size": 32, "num_position_embeddings": 64}
            | {"deepstack_visual_indexes": [0]},
        ),
    }
    settings, model, kind, special = classes[version]
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
    config = settings(
        text_config=_TEXT
        | {"vocab_size": len(tokenizer), "rope_parameters": rope, "eos_token_id": tokenizer.eos_token_id}
        | {"bos_token_id": None, "pad_token_id": tokenizer.pad_token_id}
        | ({"head_dim": 16} if version == "qwen3_vl" else {}),
        vision_config=eye | special,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    pixels = Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, temporal_patch_size=2, size={"shortest_edge": 64, "longest_edge": 32 * 32}
    )
    processor: Any = without_video(kind)(pixels, tokenizer, chat_template=QWEN_CHAT)
    processor.video_settings = {"video_processor_type": f"{kind.__name__.removesuffix('Processor')}VideoProcessor"}
    if version == "qwen2_5_vl":
        processor.video_settings = {"video_processor_type": "Qwen2VLVideoProcessor"}
    processor.save_pretrained(folder)
    assert VIDEO in json.loads((folder / "processor_config.json").read_text())
    return lambda: model(config)


def _llava_next(folder: Path) -> Any:
    tokenizer = _with_image(llama_tokenizer())
    tiles = [[64, 32], [32, 64]]
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**_EYE, projection_dim=16).to_dict(),
        text_config=LlamaConfig(**_TEXT, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id).to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=tiles,
    )
    pixels = LlavaNextImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=tiles
    )
    LlavaNextProcessor(
        pixels,
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_NEXT_CHAT,
    ).save_pretrained(folder)
    return lambda: LlavaNextForConditionalGeneration(config)


def _llava(folder: Path) -> Any:
    tokenizer = _with_image(llama_tokenizer())
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**_EYE, projection_dim=16),
        text_config=LlamaConfig(**_TEXT, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
    )
    LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT,
    ).save_pretrained(folder)
    return lambda: LlavaForConditionalGeneration(config)


def _llava_onevision(folder: Path) -> Any:
    chat = CHATML_PARTS
    tokenizer = byte_tokenizer(chat)
    tokenizer.add_tokens(["<image>", "<video>"], special_tokens=True)
    tiles = [[32, 32], [32, 64], [64, 32]]
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**_EYE).to_dict(),
        text_config=Qwen2Config(**_TEXT, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id).to_dict(),
        image_grid_pinpoints=tiles,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
    )
    pixels = LlavaOnevisionImageProcessorPil(size={"height": 32, "width": 32}, image_grid_pinpoints=tiles)
    kind: Any = without_video(LlavaOnevisionProcessor)
    processor = kind(pixels, tokenizer, num_image_tokens=16, vision_feature_select_strategy="full", chat_template=chat)
    processor.video_settings = {"video_processor_type": "LlavaOnevisionVideoProcessor"}
    processor.save_pretrained(folder)
    return lambda: LlavaOnevisionForConditionalGeneration(config)


def _blip2(folder: Path, language: str) -> Any:
    if language == "opt":
        tokenizer: Any = byte_tokenizer(None, eos_token="</s>", bos_token="</s>", pad_token="<pad>")
    else:  # another byte-level one: it only has to end a text with its eos, as T5's does
        tokenizer = llama_tokenizer(pad_token="<pad>", add_eos_token=True)
        tokenizer.add_bos_token, tokenizer.add_eos_token = False, True
    processor = Blip2Processor(_blip_pixels(), tokenizer, num_query_tokens=4)
    processor.save_pretrained(folder)
    image = tokenizer.convert_tokens_to_ids("<image>")
    if language == "opt":
        text: Any = OPTConfig(
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            ffn_dim=48,
            word_embed_proj_dim=32,
            max_position_embeddings=256,
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.convert_tokens_to_ids("\u010a"),  # a line break ends an answer, as in the published
        )
    else:
        text = T5Config(
            d_model=32,
            d_kv=16,
            d_ff=48,
            num_layers=2,
            num_heads=2,
            vocab_size=len(tokenizer),
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
        )
    config = Blip2Config(
        vision_config=_EYE,
        qformer_config=_q_former(100),
        text_config=text.to_dict(),
        num_query_tokens=4,
        image_token_index=image,
    )
    return lambda: Blip2ForConditionalGeneration(config)


def _instructblip(folder: Path) -> Any:
    words = folder / "words.txt"
    words.write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS, *(f"##{x}" for x in _LETTERS)])
    )
    questions = BertTokenizer(str(words))
    words.unlink()
    tokenizer = llama_tokenizer(pad_token="<pad>")
    processor = InstructBlipProcessor(_blip_pixels(), tokenizer, questions, num_query_tokens=4)
    processor.save_pretrained(folder)
    text = LlamaConfig(**_TEXT, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    config = InstructBlipConfig(
        vision_config=_EYE,
        qformer_config=_q_former(len(questions)),
        text_config=text.to_dict(),
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return lambda: InstructBlipForConditionalGeneration(config)


def _q_former(words: int) -> dict[str, Any]:
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return {**_VIT, **dropout, "encoder_hidden_size": 16, "vocab_size": words, "cross_attention_frequency": 2}


def _blip_pixels() -> BlipImageProcessorPil:
    return BlipImageProcessorPil(size={"height": 32, "width": 32})


def _with_image(tokenizer: Any) -> Any:
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    return tokenizer


TINY: dict[str, Callable[[Path], Any]] = {
    "qwen2_5_vl": lambda folder: _qwen(folder, "qwen2_5_vl"),
    "llava_next": _llava_next,
    "blip-2": lambda folder: _blip2(folder, "opt"),
    "instructblip": _instructblip,
    "llava": _llava,
    "qwen2_vl": lambda folder: _qwen(folder, "qwen2_vl"),
    "qwen3_vl": lambda folder: _qwen(folder, "qwen3_vl"),
    "blip-2-t5": lambda folder: _blip2(folder, "t5"),
}
"""Functions that save a processor and return one that makes the model, by family."""


NOT_KNOWN: dict[str, Callable[[Path], Any]] = {"llava_onevision": _llava_onevision}
"""A family that the package does not know, for the tests to add."""


def write_family(name: str, folder: Path) -> Path:
    """Write a model with random weights, large enough for the picture to matter."""
    folder.mkdir(parents=True, exist_ok=True)
    make = (TINY | NOT_KNOWN)[name](folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = make()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder
