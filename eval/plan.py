"""From records to questions: every record in every template and image mode, in a fixed order of batches.

Records that ask the same question of the same image share one pass through the model, so identical questions get
identical scores; without the image that makes a model exactly as good as chance on balanced groups. Batches depend
on the configuration alone, not on what an earlier run has done, so a resumed run computes the very same numbers.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eval.config import EvalConfig
from eval.images import IMAGE_MODES, shown_image, shuffled_images
from eval.packing import packed
from eval.scoring import Question
from spatial.errors import ConfigError, check_known
from spatial.records import ImageObject, ImageRow, Record
from spatial.scene import digest
from spatial.templates import TEMPLATES, Prompt, choose_templates, render, templates_for

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """A record, asked with one template in one image mode; ``failed`` says why it cannot be asked, or is empty."""

    record: Record
    template: str
    image_mode: str
    question: Question
    answer: str
    failed: str = ""

    @cached_property
    def question_hash(self) -> str:
        """Hash of what the model is shown."""
        return digest("\n".join([self.question.image, self.question.text, *self.question.options]))


def check_questions(config: EvalConfig) -> None:
    """Check templates and image modes before a model is loaded.

    Raises:
        ConfigError: an unknown name, with the nearest known one.
    """
    choose_templates(config.templates)
    for mode in config.image_modes:
        check_known("image mode", mode, IMAGE_MODES)
    if not (config.image_modes and config.decoders):
        raise ConfigError("image_modes and decoders must not be empty; use [image] and [greedy]")


def plan_items(
    records: Sequence[Record], config: EvalConfig, processor: Any, images: Mapping[str, ImageRow] | None = None
) -> list[Item]:
    """Return every question of a run, by image mode, record and template.

    A record is asked with those of the templates that suit it. One that none suits is asked with the first and fails.

    Args:
        records: what is asked about.
        config: the run.
        processor: with a chat template.
        images: by identifier; templates that name boxes take them from here.

    Raises:
        ConfigError: the templates that were asked for suit none of a task's records, or images cannot be shuffled.
    """
    chosen = choose_templates(config.templates)
    names = {task: _templates(task, chosen, config.templates) for task in {record.task for record in records}}
    partners = shuffled_images(records, config.seed) if "shuffled" in config.image_modes else {}
    boxes = _Objects(images or {}, any(TEMPLATES[name].needs_objects for part in names.values() for name in part))
    unsuited: Counter[str] = Counter()
    items = []
    for record in records:
        put = {name: _put(record, name, config.seed, boxes.of(record)) for name in names[record.task]}
        suiting = {name: prompt for name, prompt in put.items() if isinstance(prompt, Prompt)}
        unsuited.update(put.keys() - suiting.keys() if suiting else ())
        for template in suiting or list(put)[:1]:
            text, options, answer, failed = _asked(put[template], processor)
            for mode in config.image_modes:
                question = Question(shown_image(record, mode, partners), text, options)
                items.append(Item(record, template, mode, question, answer, failed))
    if unsuited:
        most = max(unsuited.values())
        _log.info("%d templates do not suit every record (up to %d of %d)", len(unsuited), most, len(records))
    return items


def plan_batches(items: Sequence[Item], batch_size: int) -> list[dict[Question, list[Item]]]:
    """Group askable items by question, and questions into batches that leave those about one image together.

    Images with equally many questions, of about equal length, stand side by side, so that little is padded; the largest
    come first, so that what does not fit in memory shows at once.
    """
    asked: dict[Question, list[Item]] = {}
    for item in items:
        if not item.failed:
            asked.setdefault(item.question, []).append(item)
    of_image: dict[str, list[Question]] = {}
    for question in sorted(asked, key=lambda question: (len(question.text), question.text, question.options)):
        of_image.setdefault(question.image, []).append(question)
    units = sorted(of_image.values(), key=lambda own: (-len(own), -len(own[-1].text), own[-1].image))
    batches = packed(units, lambda questions: len(questions) <= batch_size)
    return [{question: asked[question] for question in batch} for batch in batches]


class _Objects:
    """The objects of a record's image, read only where a template needs them."""

    def __init__(self, images: Mapping[str, ImageRow], needed: bool) -> None:
        self._images, self._needed = images, needed
        self._latest: tuple[str, Sequence[ImageObject]] = ("", ())

    def of(self, record: Record) -> Sequence[ImageObject]:
        if not self._needed or record.image_id not in self._images:
            return ()
        if self._latest[0] != record.image_id:
            self._latest = (record.image_id, self._images[record.image_id].objects)
        return self._latest[1]


def _templates(task: str, chosen: list[str], asked_for: list[str]) -> list[str]:
    kept = [name for name in chosen if TEMPLATES[name].task == task]
    if not kept:
        suiting = templates_for(task)
        reason = f"none of the templates {', '.join(asked_for)} suits" if asked_for else "no template suits"
        mend = f"add one of {', '.join(suiting[:3])} or" if suiting else "so"
        raise ConfigError(f"{reason} task {task!r}; {mend} leave the task out of data.tasks")
    return kept


def _put(record: Record, template: str, seed: int, objects: Sequence[ImageObject]) -> Prompt | str:
    """Return the record in a template's words, or why it cannot be put so."""
    try:
        return render(record, TEMPLATES[template], seed, objects)
    except ValueError as error:
        return f"{error} (template {template})"


def _asked(prompt: Prompt | str, processor: Any) -> tuple[str, tuple[str, ...], str, str]:
    """Return the text for the model, the options, the right one, and why the record cannot be asked so, or ""."""
    if isinstance(prompt, str):
        return "", (), "", prompt
    text = processor.apply_chat_template(prompt.messages, add_generation_prompt=True, tokenize=False)
    return text, prompt.options, prompt.answer, _unaskable(prompt.options, prompt.answer)


def _unaskable(options: tuple[str, ...], answer: str) -> str:
    if len(set(options)) < 2:
        return "has no answer options to compare; leave its task out of data.tasks"
    if answer not in options:
        return f"answer {answer!r} is not among its options {', '.join(options)}"
    return ""
