"""A tokenizer whose tokens are whole words: with a closed vocabulary, one word is one token.

That keeps the tiny models small (some hundred rows of embeddings), and every word of a sentence is one place to look
at or to exchange when the model is explained.
"""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("<pad>", "<unk>", "<eos>", "<image>")
"""Their ids are 0, 1, 2, 3 whatever the words are."""

PUNCTUATION = (".", ",", "?", "!", ":", ";", "'", '"', "-", "(", ")", "/")

_PROMPT_WORDS = ("user", "assistant")


def build_tokenizer(words: Iterable[str], max_length: int = 2048) -> PreTrainedTokenizerFast:
    """Build a lower-casing word tokenizer; entries of several words or with punctuation are split as text is.

    Args:
        words: the vocabulary, in any order; the ids depend only on the set of words.
        max_length: longest sequence that the language model accepts, in tokens.
    """
    normaliser = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    splitter = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")])
    pieces = {
        piece
        for word in (*words, *_PROMPT_WORDS)
        for piece, _ in splitter.pre_tokenize_str(normaliser.normalize_str(word))
    }
    tokens = [*SPECIAL_TOKENS, *PUNCTUATION, *sorted(pieces - set(PUNCTUATION))]
    tokenizer = Tokenizer(models.WordLevel({token: index for index, token in enumerate(tokens)}, unk_token="<unk>"))
    tokenizer.normalizer = normaliser
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.Sequence(
        [decoders.WordPiece(prefix="##", cleanup=True), decoders.Fuse(), decoders.Replace(" :", ":")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<eos>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
