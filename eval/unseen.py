"""Which words a model has never seen.

A model of a closed vocabulary has one token for all words that are not in it, and would answer as surely as ever. The
tiny models' vocabulary has more words than they were trained on: the embeddings of the others are still as long as they
were made, as is that of the token for unknown words, which no text of ours holds.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from encoders.load import lineage
from spatial.records import Record
from spatial.shipped import ASSETS
from spatial.vocabulary import COLOURS, NOUNS

UNMOVED = 0.95
"""Share of the length of the embedding for unknown words from which on an embedding counts as not trained."""

NAMED = 20
"""Unseen words that a result lists, the most frequent ones."""

_log = logging.getLogger(__name__)


class Vocabulary:
    """The words of a model, and which of them it was trained on.

    Args:
        model: that is asked.
        tokenizer: of it.
        folder: that it was loaded from.

    Attributes:
        closed: whether it is one of the tiny models, which know few words and no photos.
    """

    def __init__(self, model: Any, tokenizer: Any, folder: Path) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.closed = lineage(folder)[-1].resolve().is_relative_to(ASSETS.resolve())

    def unseen(self, texts: Sequence[str]) -> list[list[str]]:
        """Return for each text its words that the model has never seen, in their order.

        Tokens with a meaning of their own are no words. A tokenizer that has no token for unknown words writes every
        word in pieces that it knows; then none is told.
        """
        if not (texts and self._unseen):
            return [[] for _ in texts]
        made = self.tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
        return [
            [text[start:end] for token, (start, end) in zip(tokens, places, strict=True) if token in self._unseen]
            for text, tokens, places in zip(texts, made["input_ids"], made["offset_mapping"], strict=True)
        ]

    def known_things(self) -> list[str]:
        """Return the nouns that one of the tiny models was trained on; none of another model."""
        if not self.closed:
            return []
        nouns = sorted(NOUNS)
        known = [noun for noun, unseen in zip(nouns, self.unseen(nouns), strict=True) if not unseen]
        parts = {word for noun in known if " " in noun for word in noun.split()}  # a teddy bear is no bear
        return [noun for noun in known if noun not in (*COLOURS, *parts)]

    @cached_property
    def advice(self) -> str:
        """What to ask with instead."""
        known = self.known_things()
        return f"it knows {', '.join(known)}" if known else "ask in other words"

    @cached_property
    def _unseen(self) -> set[int]:
        """The tokens that stand for words it was not trained on."""
        unknown = self.tokenizer.unk_token_id
        if unknown is None or not self.tokenizer.is_fast:
            return set()
        if not self.closed:
            return {unknown}
        lengths_V = self.model.get_input_embeddings().weight.detach().float().norm(dim=-1)
        unmoved = set((lengths_V >= UNMOVED * lengths_V[unknown]).nonzero().flatten().tolist())
        return (unmoved - set(self.tokenizer.all_special_ids)) | {unknown}


def warn_of_unseen(vocabulary: Vocabulary, name: str, records: Iterable[Record]) -> dict[str, Any] | None:
    """Warn where records hold words that the model has never seen, and return what the results say of it.

    Templates are not looked at: a model may follow a wording of which it does not know every word, and how far it does
    its accuracy over wordings tells.

    Args:
        vocabulary: of the model.
        name: of the model, for people.
        records: whose captions and options it is asked about.

    Returns:
        ``None`` if all words are known. ``records``: how many hold such words; ``of``: all; ``words``: in how many of
        them each stands, the ``NAMED`` most frequent.
    """
    asked = Counter("\n".join([record.caption, *record.options]) for record in records)
    words: Counter[str] = Counter()
    hit = 0
    for text, found in zip(asked, vocabulary.unseen(list(asked)), strict=True):
        hit += asked[text] if found else 0
        words.update(dict.fromkeys(found, asked[text]))
    if not hit:
        return None
    first = ", ".join(repr(word) for word, _ in words.most_common(5))
    more = f" and {len(words) - 5:,} other words" if len(words) > 5 else ""
    what = f"{hit:,} of the {asked.total():,} records, so that what it answers there means nothing"
    _log.warning("%s has never seen %s%s, which stand in %s; %s", name, first, more, what, vocabulary.advice)
    return {"records": hit, "of": asked.total(), "words": dict(words.most_common(NAMED))}
