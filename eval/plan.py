"""From records to questions: every record in every template and image mode, in a fixed order of batches.

Records that ask the same question of the same image share one pass through the model, so identical questions get
identical scores; without the image that makes a model exactly as good as chance on balanced groups. Batches depend
on the configuration alone, not on what an earlier run has done, so a resumed run computes the very same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.config import EvalConfig
from eval.images import IMAGE_MODES, shown_image, shuffled_images
from eval.scoring import Question
from spatial.errors import ConfigError, nearest
from spatial.records import Record
from spatial.scene import digest
from spatial.templates import TEMPLATES, render, templates_for


@dataclass(frozen=True)
class Item:
    """A record, asked with one template in one image mode; ``failed`` says why it cannot be asked, or is empty."""

    record: Record
    template: str
    image_mode: str
    question: Question
    answer: str
    failed: str = ""

    @property
    def question_hash(self) -> str:
        """Hash of what the model is shown."""
        return digest("\n".join([self.question.image, self.question.text, *self.question.options]))


def check_names(config: EvalConfig) -> None:
    """Check templates and image modes before a model is loaded.

    Raises:
        ConfigError: an unknown name, with the nearest known one.
    """
    for name in config.templates:
        if name not in TEMPLATES:
            raise ConfigError(f"unknown template {name!r}{nearest(name, TEMPLATES)}")
    for mode in config.image_modes:
        if mode not in IMAGE_MODES:
            known = ", ".join(IMAGE_MODES)
            raise ConfigError(f"unknown image mode {mode!r}; known: {known}{nearest(mode, IMAGE_MODES)}")
    if not (config.image_modes and config.decoders):
        raise ConfigError("image_modes and decoders must not be empty; use [image] and [greedy]")


def plan_items(records: Sequence[Record], config: EvalConfig, processor: Any) -> list[Item]:
    """Return every question of a run, by image mode, record and template.

    Raises:
        ConfigError: the templates that were asked for suit none of a task's records, or images cannot be shuffled.
    """
    names = {task: _templates(task, config.templates) for task in {record.task for record in records}}
    partners = shuffled_images(records, config.seed) if "shuffled" in config.image_modes else {}
    items = []
    for record in records:
        for template in names[record.task]:
            text, options, answer, failed = _put(record, template, config.seed, processor)
            for mode in config.image_modes:
                question = Question(shown_image(record, mode, partners), text, options)
                items.append(Item(record, template, mode, question, answer, failed))
    return items


def plan_batches(items: Sequence[Item], batch_size: int) -> list[dict[Question, list[Item]]]:
    """Group askable items by question, and questions into batches sorted by image."""
    asked: dict[Question, list[Item]] = {}
    for item in items:
        if not item.failed:
            asked.setdefault(item.question, []).append(item)
    order = sorted(asked, key=lambda question: (question.image, question.text, question.options))
    return [
        {question: asked[question] for question in order[start : start + batch_size]}
        for start in range(0, len(order), batch_size)
    ]


def _templates(task: str, chosen: list[str]) -> list[str]:
    suiting = templates_for(task)
    kept = [name for name in suiting if name in chosen] if chosen else suiting
    if not kept:
        reason = f"none of the templates {', '.join(chosen)} suits" if chosen else "no template suits"
        mend = f"add one of {', '.join(suiting[:3])} or" if suiting else "so"
        raise ConfigError(f"{reason} task {task!r}; {mend} leave the task out of data.tasks")
    return kept


def _put(record: Record, template: str, seed: int, processor: Any) -> tuple[str, tuple[str, ...], str, str]:
    """Return the prompt text, the options, the right one, and why the record cannot be asked so, or ""."""
    try:
        prompt = render(record, TEMPLATES[template], seed)
    except ValueError as error:
        return "", (), "", str(error)
    text = processor.apply_chat_template(prompt.messages, add_generation_prompt=True, tokenize=False)
    return text, prompt.options, prompt.answer, _unaskable(prompt.options, prompt.answer)


def _unaskable(options: tuple[str, ...], answer: str) -> str:
    if len(set(options)) < 2:
        return "has no answer options to compare; leave its task out of data.tasks"
    if answer not in options:
        return f"answer {answer!r} is not among its options {', '.join(options)}"
    return ""
