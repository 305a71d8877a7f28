"""Language models and a LLaVA of some thousand weights, written to disk as Transformers writes the published ones."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaTokenizer,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MistralConfig,
    Qwen2Config,
    Qwen2Tokenizer,
    Qwen3Config,
    SmolLM3Config,
)

CORPUS = [
    "system user assistant USER: ASSISTANT: You are a helpful assistant.\n",
    "Is the red cup left of the blue book? Answer yes or no.\nYes No, it is true false\n\n",
    "A chat between a curious user and an artificial intelligence assistant.",
] * 3

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 48,
    "max_position_embeddings": 512,
}

CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The form of Qwen2's and SmolLM2's: a system prompt unless there is one, and a line break after every end."""

THINKING = (
    "{% for message in messages %}{% if message.role == 'assistant' and loop.last %}"
    "{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' + message.content + '<|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)
"""The form of Qwen3's and SmolLM3's: an empty thought before the last answer, in the prompt only if asked for."""

HEADERS = (
    "{{ bos_token }}{% if strftime_now is defined %}{% set today = strftime_now('%d %b %Y %H:%M:%S.%f') %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\nToday: ' + today + '<|eot_id|>' }}"
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
"""The form of Llama-3's: writes the beginning of text itself, and the date."""

BRACKETS = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
"""The form of Mistral's: no space before an answer."""


def byte_tokenizer(template: str | None, **tokens: Any) -> Qwen2Tokenizer:
    """Return a byte-level tokenizer, as Qwen and SmolLM have."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet))
    tokens = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "unk_token": None} | tokens
    return Qwen2Tokenizer(
        **_vocabulary(trained), extra_special_tokens=["<|im_start|>", "<|im_end|>"], chat_template=template, **tokens
    )


def llama_tokenizer(template: str | None = None, **tokens: Any) -> LlamaTokenizer:
    """Return a tokenizer with Llama's word marks and its beginning of text, and without a pad token."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=special))
    return LlamaTokenizer(**_vocabulary(trained), chat_template=template, add_bos_token=True, **tokens)


def _vocabulary(trained: Tokenizer) -> dict[str, Any]:
    import json

    content = json.loads(trained.to_str())["model"]
    return {"vocab": content["vocab"], "merges": [tuple(merge) for merge in content["merges"]]}


def language_model(folder: Path, kind: str = "llama", template: str | None = None, rows: int = 0) -> Path:
    """Write a language model: "llama", "mistral", "llama3" (untied), "qwen2", "smollm2" (tied), "qwen3", "smollm3"."""
    bytewise = kind in ("qwen2", "qwen3", "smollm2", "smollm3")
    if kind == "llama3":
        tokenizer: Any = byte_tokenizer(template, eos_token="<|eot_id|>", bos_token="<|begin_of_text|>", pad_token=None)
        tokenizer.add_tokens(["<|start_header_id|>", "<|end_header_id|>"], special_tokens=True)
        tokenizer.add_bos_token = True
    else:
        tokenizer = byte_tokenizer(template) if bytewise else llama_tokenizer(template)
    classes = {"qwen2": Qwen2Config, "qwen3": Qwen3Config, "mistral": MistralConfig, "smollm3": SmolLM3Config}
    config = classes.get(kind, LlamaConfig)(
        **SIZES,
        vocab_size=rows or len(tokenizer),
        tie_word_embeddings=bytewise,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = _random(lambda: AutoModelForCausalLM.from_config(config))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def llava(folder: Path) -> Path:
    """Write a LLaVA-1.5 with a pad token, ``<image>``, and more rows than tokens."""
    tokenizer = llama_tokenizer()
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=8,
            projection_dim=16,
        ),
        text_config=LlamaConfig(**SIZES, vocab_size=-(-len(tokenizer) // 64) * 64),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
    )
    model = _random(lambda: LlavaForConditionalGeneration(config))
    model.generation_config.temperature = 0.9  # as in the published settings of Vicuna, without do_sample
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 2, tokenizer.pad_token_id
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    model.generation_config.do_sample = True  # to be let save it
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _random(make: Any) -> Any:
    """Return a model whose weights are large enough for a wrong one to be seen in its logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = make()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(0.2 * torch.randn_like(parameter) + (parameter.ndim == 1) * 0.5)
    return model.eval()
