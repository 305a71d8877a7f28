"""A BLIP for visual question answering with some thousand weights, written to disk as Transformers writes it."""

from pathlib import Path

import torch
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForQuestionAnswering,
    BlipImageProcessorPil,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
)

_WORDS = (
    "does this hold ? yes no true false the a red cup is left right of on under in front behind blue book where . or"
)
_LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789,:!'\""]
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def write_blip(folder: Path, kind: type = BlipForQuestionAnswering) -> Path:
    """Write a model with random weights, large enough for the picture to matter."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(folder)
    pixels = BlipImageProcessorPil(size={"height": 32, "width": 32})
    BlipProcessor(pixels, tokenizer).save_pretrained(folder)
    text = BlipTextConfig(
        **_SIZES,
        encoder_hidden_size=32,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.convert_tokens_to_ids("[DEC]"),
        pad_token_id=tokenizer.pad_token_id,
        sep_token_id=tokenizer.sep_token_id,
        eos_token_id=tokenizer.sep_token_id,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        projection_dim=32,
    )
    vision = BlipVisionConfig(**_SIZES, image_size=32, patch_size=8, projection_dim=32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = kind(BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), image_text_hidden_size=16))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return folder


def _tokenizer(folder: Path) -> BertTokenizer:
    words = folder / "words.txt"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]
    words.write_text("\n".join(dict.fromkeys([*special, *_WORDS.split(), *_LETTERS, *(f"##{x}" for x in _LETTERS)])))
    tokenizer = BertTokenizer(str(words), additional_special_tokens=["[DEC]"])
    words.unlink()
    return tokenizer
