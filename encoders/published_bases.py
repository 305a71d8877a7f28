"""Sizes of published bases, so that a model can be planned, or built with random weights, without downloading one.

Facts of each checkpoint's config.json; what is left out has the default of Transformers' class.
"""

from typing import Any

_CLIP_L_336 = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 336,
    "projection_dim": 768,
}

_LLAMA_13B = {"hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40}


def _llava(**text: Any) -> dict[str, Any]:
    text = {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, **text}
    return {
        "model_type": "llava",
        "vision_config": {"model_type": "clip_vision_model"} | _CLIP_L_336,
        "text_config": text,
        "dtype": "float16",
    }


_SMOLLM2: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "tie_word_embeddings": True,
    "dtype": "bfloat16",
}

PUBLISHED_BASES: dict[str, dict[str, Any]] = {
    "llava-hf/llava-1.5-7b-hf": _llava(),
    "llava-hf/llava-1.5-13b-hf": _llava(**_LLAMA_13B),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": {
        **_SMOLLM2,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "rope_theta": 130000,
    },
    "HuggingFaceTB/SmolLM2-135M-Instruct": {
        **_SMOLLM2,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "rope_theta": 100000,
    },
    "meta-llama/Meta-Llama-3-8B-Instruct": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
        "rope_theta": 500000,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 128000,
        "eos_token_id": 128009,
        "dtype": "bfloat16",
    },
}
