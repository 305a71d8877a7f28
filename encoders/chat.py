"""How a conversation about a picture is written for a language model that somebody else trained.

A language model's own chat template knows nothing of pictures. It is kept word for word, and reads messages whose
parts have been joined: ``<image>``, a line break, and the text. Around it, whatever would make the same question read
differently in training and in evaluation is fixed: today's date, a thinking mode, a second token at the beginning.

What training writes is the prompt, the answer, and the token that ends an answer (``answer_gap`` says whether a space
stands between the first two). ``settle`` holds that against the template's own writing of a whole conversation, and
mends the space and the last token where they differ. No token may hold both the prompt's end and the answer's
beginning, or nothing of the answer is left to be learnt and scored: ``answer_tokens`` is where both rooms find it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spatial.errors import CheckpointError

IMAGE = "<image>"

VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
"""System prompt of Vicuna v1.1 and later."""

_PARTS = (
    "{%- if message['content'] is string -%}{%- set text = message['content'] -%}{%- else -%}"
    "{%- set joined = namespace(images='', text='') -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}{%- set joined.images = joined.images ~ '<image>\\n' -%}"
    "{%- else -%}{%- set joined.text = joined.text ~ part['text'] -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- set text = joined.images ~ joined.text -%}{%- endif -%}"
)
"""Sets ``text`` to the content of ``message``, pictures first."""

LLAVA_TEMPLATE = (
    "{%- for message in messages -%}" + _PARTS + "{%- if message['role'] == 'system' -%}{{ text ~ ' ' }}"
    "{%- elif message['role'] == 'user' -%}{{ 'USER: ' ~ text ~ ' ' }}"
    "{%- else -%}{{ 'ASSISTANT:' }}{%- generation -%}{{ ' ' ~ text ~ eos_token }}{%- endgeneration -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"
)
"""``USER: <image>\\n{text} ASSISTANT:`` and then ``{answer}`` with a leading space and the end token: LLaVA-1.5."""

VICUNA_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' -%}{{ '" + VICUNA_SYSTEM.replace("'", "\\'") + " ' }}{%- endif -%}"
) + LLAVA_TEMPLATE
"""The same after Vicuna's system prompt, for a language model without a template of its own."""

_LEAD = "{%- if message['role'] == 'assistant' -%}{%- set text = ' ' ~ text -%}{%- endif -%}"

_DATE = "01 January 2025"


_NO_START = "{%- set bos_token = '' -%}"


def wrap(template: str, spaced: bool = False, starts: bool = True) -> str:
    """Return a language model's chat template made to read messages with pictures, the same on every day.

    Args:
        template: of the language model.
        spaced: write a space before every answer.
        starts: the tokenizer begins every text with the beginning-of-text token, so the template must not.
    """
    frozen = _NO_START if starts else ""
    if "strftime_now" in template:
        frozen += "{%- macro strftime_now(format) -%}" + _DATE + "{%- endmacro -%}"
    if "enable_thinking" in template:
        frozen += "{%- set enable_thinking = false -%}"
    return (
        frozen
        + "{%- set flat = namespace(messages=[]) -%}"
        + "{%- for message in messages -%}"
        + _PARTS
        + (_LEAD if spaced else "")
        + "{%- set flat.messages = flat.messages + [dict(message, content=text)] -%}"
        + "{%- endfor -%}"
        + "{%- set messages = flat.messages -%}{{ '' }}"  # so that white space that the template begins with stays
        + template
    )


def trimmed(template: str) -> str:
    """Return a template whose prompt does not end in spaces: most tokenizers join a space to the word after it.

    One that marks what the assistant says is left as it is, since the marks count from the beginning of the text.
    """
    if re.search(r"\{%-?\s*generation\b", template):
        return template
    return (
        "{%- set written -%}{{ '' }}"
        + template.removesuffix("\n")  # as Jinja drops it at the end of a template
        + "{{ '' }}{%- endset -%}{{ written.rstrip(' ') if add_generation_prompt else written }}"
    )


def answer_gap(prompt: str) -> str:
    """Return what stands between a prompt and its answer: a space, unless the prompt ends in white space."""
    return "" if prompt[-1:].isspace() else " "


def answer_tokens(prompt: Sequence[int], whole: Sequence[int], answer: str) -> list[int]:
    """Return the token ids of an answer: what prompt and answer together have beyond the prompt.

    Args:
        prompt: token ids of the prompt alone.
        whole: of prompt, gap and answer.
        answer: for the error.

    Raises:
        CheckpointError: a token reaches across the border, or the answer has none.
    """
    if list(whole[: len(prompt)]) != list(prompt) or len(whole) == len(prompt):
        raise CheckpointError(
            f"the tokenizer merges the end of the prompt with the answer {answer!r}; "
            "end the checkpoint's chat template in a token of its own"
        )
    return list(whole[len(prompt) :])


@dataclass(frozen=True)
class Chat:
    """How conversations are written.

    Attributes:
        template: Jinja, for the processor.
        end: the token that ends an answer, "" if the template writes none there.
        note: what a user should know, or "".
    """

    template: str
    end: str
    note: str = ""


def settle(tokenizer: Any, llava: bool) -> Chat:
    """Choose the chat template that fits a base.

    Args:
        tokenizer: of the base, ``<image>`` already in it. It is not changed.
        llava: whether the base is a LLaVA.
    """
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default")
    starts = _writes_start(tokenizer)
    if llava:
        told_apart = own and _render(tokenizer, own)[0] != _render(tokenizer, LLAVA_TEMPLATE)[0]
        own = _NO_START + "{{ '' }}" + own if told_apart and starts else own
        found = _fit(tokenizer, own, trimmed(own)) if told_apart else None
        return found or Chat(LLAVA_TEMPLATE, tokenizer.eos_token, "LLaVA-1.5's conversation")
    if not own:
        return Chat(VICUNA_TEMPLATE, tokenizer.eos_token, "no chat template in the base: Vicuna's conversation")
    plain = wrap(own, starts=starts)
    found = _fit(tokenizer, plain, wrap(own, spaced=True, starts=starts), trimmed(plain))
    refused = "its chat template does not write a prompt as it begins the whole conversation: Vicuna's is used"
    return found or Chat(VICUNA_TEMPLATE, tokenizer.eos_token, refused)


def _writes_start(tokenizer: Any) -> bool:
    """Tell whether the tokenizer itself puts the beginning-of-text token before a text."""
    ids = tokenizer("a")["input_ids"]
    return tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id]


_ANSWER = "Yes"
_ANSWERS = (_ANSWER, "no", "true", "left", "4")
"""Beginnings of answers: some that tokenizers know as whole words."""


def _fit(tokenizer: Any, *templates: str) -> Chat | None:
    """Return the first of the templates that writes what training writes, in the same tokens."""
    for candidate in templates:
        prompt, whole = _render(tokenizer, candidate)
        start = f"{prompt}{answer_gap(prompt)}{_ANSWER}"
        if prompt.count(IMAGE) == 1 and whole.startswith(start) and _has_border(tokenizer, prompt):
            return Chat(candidate, _first_special(tokenizer, whole[len(start) :]), "the base's own chat template")
    return None


def _has_border(tokenizer: Any, prompt: str) -> bool:
    """Tell whether a prompt's last token stays the same, whatever answer follows."""
    texts = [prompt, *(f"{prompt}{answer_gap(prompt)}{answer}" for answer in _ANSWERS)]
    alone, *followed = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return all(ids[: len(alone)] == alone and len(ids) > len(alone) for ids in followed)


def _render(tokenizer: Any, template: str) -> tuple[str, str]:
    """Return the prompt and the whole conversation of a question about a picture; empty if the template fails."""
    from jinja2 import TemplateError

    question = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is it red?"}]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": _ANSWER}]}
    try:
        prompt = tokenizer.apply_chat_template(
            [question], chat_template=template, tokenize=False, add_generation_prompt=True
        )
        whole = tokenizer.apply_chat_template([question, answer], chat_template=template, tokenize=False)
    except (TemplateError, TypeError, ValueError):
        return "", ""
    return prompt, whole


def _first_special(tokenizer: Any, text: str) -> str:
    """Return the special token that a text starts with, or ""."""
    tokens = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
    return max((token for token in tokens if token and text.startswith(token)), key=len, default="")
