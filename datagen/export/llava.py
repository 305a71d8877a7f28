"""LLaVA's conversations (Liu et al., 2023, arXiv 2304.08485): a JSON list of pictures with questions and answers.

``<split>.json`` has ``id``, ``image`` and ``conversations`` of turns from "human" and "gpt", the first with
``<image>``; pictures lie in ``images``, which trainers take as their image folder. The words come from templates, drawn
by seed and record, so they depend on nothing else. Carried: the picture and the words. Words do not give a record back,
so each conversation has its records under ``vsre``, in the order of the turns; for the rest see
``datagen.export.sidecar``. With ``copies``, a record is said in as many conversations, and each of them gives it back.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.config import ExportConfig
from datagen.export.rows import KEY, Fields, rest, restore
from datagen.export.sidecar import NAME, Ordered, picture_line, read_samples
from datagen.export.vsr import file_split
from spatial.errors import ConfigError, RecordError
from spatial.json_files import json_list, read_items
from spatial.records import ImageObject, Record
from spatial.stream import Sample
from spatial.templates import TEMPLATES, Prompt, choose_templates, render


@dataclass(frozen=True)
class Turn:
    """A record in the words of a template, by its name."""

    record: Record
    template: str
    prompt: Prompt


def check(config: ExportConfig) -> None:
    """Raise ConfigError unless the templates are known, and ``turns`` and ``copies`` possible."""
    choose_templates(config.templates)
    if config.turns < 0:
        raise ConfigError(f"turns must be 0 (all of an image) or more, not {config.turns}")
    if config.copies < 1:
        raise ConfigError(f"copies must be at least 1, not {config.copies}")


def write(samples: Iterator[Sample], folder: Path, config: ExportConfig) -> dict[str, int]:
    """Write all samples into ``folder``.

    Returns:
        "conversations", and how often a record was said in a template that it had been said in before, as "repeats".
    """
    chosen = choose_templates(config.templates)
    conversations = repeats = 0
    with ExitStack() as stack:
        images = stack.enter_context((folder / NAME).open("w", encoding="utf-8", newline="\n"))
        files: dict[str, Any] = {}
        for sample in samples:
            worded = [
                turns for record in sample.records if (turns := _word(record, sample.image.objects, chosen, config))
            ]
            repeats += sum(len(turns) - len({turn.template for turn in turns}) for turns in worded)
            picture, line = picture_line(folder, sample, {turns[0].record.record_id for turns in worded})
            images.write(line)
            for split, item in _conversations(worded, picture, config):
                if split not in files:
                    files[split] = stack.enter_context(json_list(folder / f"{split}.json"))
                files[split](item)
                conversations += 1
    return {"conversations": conversations, "repeats": repeats}


def read(folder: Path) -> Iterator[Sample]:
    """Yield the samples of a folder that ``write`` wrote.

    Raises:
        RecordError: a file is damaged, or conversations are out of order.
    """
    paths = sorted(path for path in folder.glob("*.json") if path.stem != KEY)
    yield from read_samples(folder, [(Ordered(str(path), read_items(path), "image"), _unpack) for path in paths])


def _word(record: Record, objects: Sequence[ImageObject], chosen: Sequence[str], config: ExportConfig) -> list[Turn]:
    """Return the record in the words of ``copies`` templates, or nothing if no template can say it.

    No template comes again before all that suit the record have come; then the order of options is drawn anew.
    """
    names = [name for name in chosen if TEMPLATES[name].task == record.task]
    random.Random(f"{config.seed}/{record.record_id}").shuffle(names)
    turns: list[Turn] = []
    for name in names:
        if len(turns) == config.copies:
            return turns
        try:
            turns.append(Turn(record, name, render(record, TEMPLATES[name], config.seed, objects)))
        except ValueError:  # the template does not suit the record
            continue
    suiting = [turn.template for turn in turns]
    for index in range(len(turns), config.copies if turns else 0):
        again, place = divmod(index, len(suiting))
        prompt = render(record, TEMPLATES[suiting[place]], config.seed + again, objects)
        turns.append(Turn(record, suiting[place], prompt))
    return turns


def _conversations(
    worded: Sequence[Sequence[Turn]], picture: str, config: ExportConfig
) -> Iterator[tuple[str, Fields]]:
    """Yield the conversations about an image, each with the split whose file it belongs to."""
    for split in dict.fromkeys(file_split(turns[0].record.split) for turns in worded):
        own = [turns for turns in worded if file_split(turns[0].record.split) == split]
        size = config.turns or len(own)
        for copy in range(config.copies):
            for start in range(0, len(own), size):
                yield split, _conversation([turns[copy] for turns in own[start : start + size]], picture, copy)


def _conversation(turns: Sequence[Turn], picture: str, copy: int) -> Fields:
    talk = []
    for turn in turns:
        talk += [{"from": "human", "value": turn.prompt.text}, {"from": "gpt", "value": turn.prompt.answer}]
    talk[0]["value"] = f"<image>\n{talk[0]['value']}"
    records = [rest(turn.record, {"image_id": turn.record.image_id}) for turn in turns]
    return {
        "id": turns[0].record.record_id + (f"-{copy}" if copy else ""),
        "image": picture,
        "conversations": talk,
        KEY: {"templates": [turn.template for turn in turns], "records": records},
    }


def _unpack(row: Fields, image_id: str, where: str) -> list[Record]:
    kept = row.get(KEY)
    if not isinstance(kept, dict) or not isinstance(kept.get("records"), list):
        raise RecordError(f"conversation {row.get('id')!r} of {where} has no records; export the dataset again")
    return [restore(Record, {"image_id": image_id}, item, where) for item in kept["records"]]
