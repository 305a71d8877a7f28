"""Token ids of what is said about an image: questions, answers, and which of them are learnt.

A prompt is written by the processor's chat template, once per turn, exactly as it will be asked: all turns before, the
question, and the template's beginning of an answer. What is learnt is the answer and the token that ends it. For later
turns, the template must write the earlier ones as they were asked and answered; one that does not (that leaves out
what was thought before, or trims) is refused, for such turns would be learnt in words that are never asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from encoders.chat import answer_gap, answer_tokens
from spatial.errors import CheckpointError
from spatial.templates import Prompt
from training.examples import Dialogue


@dataclass(frozen=True)
class Statement:
    """Token ids of one statement after the image, and which are supervised.

    Attributes:
        ids: tokens.
        supervised: how many at the end (the last answer and its eos).
        earlier: start and end of the earlier answers with their eos, in a conversation of several turns.
    """

    ids: list[int]
    supervised: int
    earlier: tuple[tuple[int, int], ...] = ()


Chat = list[dict[str, Any]]


def tokenise(processor: Any, told: Sequence[Prompt | Dialogue]) -> tuple[str, list[Statement]]:
    """Return the text of the prefix, image token included, and what is said after it.

    Args:
        processor: as ``training.collate.PrefixCollator`` takes it.
        told: about pictures, or without any.

    Returns:
        "" as prefix where nothing is about a picture. What is not about one has the tokens of its whole text, with
        those that the tokenizer begins a text with.

    Raises:
        CheckpointError: a token reaches across the border of a prompt and its answer, or the template writes earlier
            turns in another way than when they were asked.
    """
    turns = [_turns(prompt) for prompt in told]
    pictured = [_is_pictured(prompt) for prompt, each in zip(told, turns, strict=True) for _ in each]
    chats, answers = [chat for each in turns for chat, _ in each], [answer for each in turns for _, answer in each]
    texts: list[str] = processor.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
    prefix = _prefix([text for text, seen in zip(texts, pictured, strict=True) if seen], processor.image_token)
    # The image token stays in front while tokenising: some tokenizers treat the start of a text differently.
    image = processor.image_token
    questions = [image + text.partition(image)[2] if seen else text for text, seen in zip(texts, pictured, strict=True)]
    whole = [f"{asked}{answer_gap(asked)}{answer}" for asked, answer in zip(questions, answers, strict=True)]
    encoded = _encode(processor.tokenizer, [*questions, *whole], [*pictured, *pictured])
    spoken = list(zip(encoded[: len(whole)], encoded[len(whole) :], answers, strict=True))
    ends = [0, *accumulate(map(len, turns))]
    eos = processor.tokenizer.eos_token_id
    return prefix, [
        _statement(spoken[start:end], eos, int(pictured[start]), prompt)
        for (start, end), prompt in zip(pairwise(ends), told, strict=True)
    ]


def measure(processor: Any, told: Sequence[Prompt | Dialogue]) -> list[int]:
    """Return how many tokens ``tokenise`` would find in each, in less time: turns are not told apart."""
    last = [_turns(prompt)[-1] for prompt in told]
    pictured = [_is_pictured(prompt) for prompt in told]
    image = processor.image_token
    texts: list[str] = processor.apply_chat_template(
        [chat for chat, _ in last], add_generation_prompt=True, tokenize=False
    )
    asked = [image + text.partition(image)[2] if seen else text for text, seen in zip(texts, pictured, strict=True)]
    whole = [f"{text}{answer_gap(text)}{answer}" for text, (_, answer) in zip(asked, last, strict=True)]
    ids = _encode(processor.tokenizer, whole, pictured)
    return [len(row) + 1 - seen for row, seen in zip(ids, pictured, strict=True)]  # eos, and the image's place


def _turns(prompt: Prompt | Dialogue) -> list[tuple[Chat, str]]:
    """Return each question with what was said before it, and its answer."""
    if not isinstance(prompt, Dialogue):
        return [(prompt.messages, prompt.answer)]
    said: Chat = []
    turns = []
    for question, answer in prompt.turns:
        picture = [{"type": "image"}] if prompt.pictured and not said else []
        asked = [*said, {"role": "user", "content": [*picture, {"type": "text", "text": question}]}]
        turns.append((asked, answer))
        said = [*asked, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]
    return turns


def _is_pictured(prompt: Prompt | Dialogue) -> bool:
    return not isinstance(prompt, Dialogue) or prompt.pictured


def _prefix(texts: Sequence[str], image: str) -> str:
    """Return what all prompts about pictures begin with, up to their image token; "" if there are none."""
    parts = [text.partition(image) for text in texts]
    if len({before for before, _, _ in parts}) > 1 or not all(found for _, found, _ in parts):
        raise ValueError("the chat template must put the image first; correct the processor's chat template")
    return parts[0][0] + image if parts else ""


def _encode(tokenizer: Any, texts: Sequence[str], pictured: Sequence[bool]) -> list[list[int]]:
    """Return token ids; texts without a picture stand alone, and get what the tokenizer begins a text with."""
    encoded: dict[int, list[int]] = {}
    for seen in set(pictured):
        rows = [row for row, this in enumerate(pictured) if this == seen]
        ids = tokenizer([texts[row] for row in rows], add_special_tokens=not seen, return_attention_mask=False)
        encoded |= dict(zip(rows, ids["input_ids"], strict=True))
    return [encoded[row] for row in range(len(texts))]


def _statement(
    spoken: Sequence[tuple[list[int], list[int], str]], eos: int, skipped: int, prompt: Prompt | Dialogue
) -> Statement:
    """Return the tokens of one prompt's turns, each given as prompt, prompt with answer, and the answer's text.

    Args:
        spoken: turns; each contains all before it.
        eos: ends an answer.
        skipped: tokens at the beginning that belong to the prefix.
        prompt: for the error.
    """
    spans: list[tuple[int, int]] = []
    before: list[int] = []
    for asked, whole, answer in spoken:
        if asked[: len(before)] != before:
            raise CheckpointError(
                f"the chat template does not write the earlier turns of {getattr(prompt, 'name', '')!r} as they were"
                " asked and answered; correct the checkpoint's chat template, or split conversations into single turns"
            )
        answer_tokens(asked, whole, answer)
        before = [*whole, eos]
        spans.append((len(asked) - skipped, len(before) - skipped))
    *earlier, (start, end) = spans
    return Statement(before[skipped:], end - start, tuple(earlier))
