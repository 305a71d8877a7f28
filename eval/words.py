"""Prompts and answers in tokens, as a chat model reads them."""

from typing import Any

from encoders.chat import answer_gap, answer_tokens


class Words:
    """Turns texts into tokens, each once.

    Args:
        tokenizer: of the model.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._kept: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a prompt."""
        if text not in self._kept:
            self._kept[text] = list(self.tokenizer(text, add_special_tokens=self.starts(text))["input_ids"])
        return self._kept[text]

    def starts(self, text: str) -> bool:
        """Tell whether the tokenizer may add its special tokens.

        A chat template that already wrote the beginning-of-text token must not get a second one.
        """
        start = self.tokenizer.bos_token
        return not (start and text.startswith(start))

    def places(self, text: str) -> list[tuple[int, int]]:
        """Return for each token of a prompt the characters (from, to) that it stands for.

        Raises:
            NotImplementedError: the tokenizer cannot tell, as one written in Python.
        """
        made = self.tokenizer(text, add_special_tokens=self.starts(text), return_offsets_mapping=True)
        return [(int(start), int(end)) for start, end in made["offset_mapping"]]

    def answer(self, text: str, option: str) -> list[int]:
        """Return the token ids of an answer as they follow a prompt.

        They are what the tokens of prompt and answer together have beyond the prompt's, since a tokenizer may encode
        a word on its own differently.

        Raises:
            CheckpointError: no token of the answer is its own.
        """
        return answer_tokens(self.encode(text), self.encode(text + answer_gap(text) + option), option)

    def forget(self) -> None:
        """Keep no text any longer."""
        self._kept.clear()
