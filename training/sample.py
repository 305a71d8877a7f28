"""The first micro-batches of a run that is not started: what they hold in tokens, and their first row as text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from encoders.load import load_processor
from spatial.errors import RecordError, UserError
from training import plan
from training.collate import PrefixCollator
from training.config import TrainConfig
from training.cost import Work, work_of
from training.examples import Example
from training.first_row import row_text
from training.parts import mixture_text, pool_of
from training.sources import open_sources

BATCHES = 4
"""How many micro-batches are made to count tokens."""


@dataclass
class Sample:
    """What was found of data and tokenizer.

    Attributes:
        images: that an epoch shows; ``None`` if the data cannot be read.
        records: eligible ones, over all images.
        made_of: what an epoch shows of each part of weighed data.
        work: of a micro-batch on average; ``None`` if no batch can be made.
        image_tokens: of an image, on average.
        first: the first examples, as many as fit into a micro-batch.
        row: the first row as text.
        notes: what is missing, and what is done about it.
    """

    images: int | None = None
    records: int | None = None
    made_of: str = ""
    work: Work | None = None
    image_tokens: float = 0.0
    first: Sequence[Example] = ()
    row: Any = None
    notes: list[str] = field(default_factory=list)


def look(config: TrainConfig, settings: plan.Settings, make_collator: Callable[[], Any] | None = None) -> Sample:
    """Read what there is of data and processor, and make the first micro-batches.

    Args:
        config: of the run.
        settings: of its Trainer.
        make_collator: makes the collator of another family; ``None``: the model is of ours.
    """
    sample = Sample()
    try:
        sources = open_sources(config)
        pool = pool_of(config, sources)
    except RecordError as error:
        sample.notes.append(f"no data yet: {error}")
        return sample
    sample.images = len(pool)
    sample.records = sum(part.record_count for part in pool.datasets)
    sample.made_of = mixture_text(sources, pool.datasets)
    try:
        collator = make_collator() if make_collator else PrefixCollator(load_processor(Path(config.model)))
    except UserError as error:
        sample.first = [pool[0]]
        sample.notes.append(f"no tokenizer yet, so that tokens are guessed: {error}")
        return sample
    _count(sample, pool, collator, settings.batch)
    return sample


def _count(sample: Sample, pool: Any, collator: Any, size: int) -> None:
    """Make micro-batches, and note what they hold; a batch is one of ``training.collate`` or ``training.rows``."""
    token = getattr(collator, "image_token", None) or collator.processor.image_token_id
    taken = range(min(len(pool), BATCHES * size))
    works, tokens, shown_images = [], 0, 0
    for first in taken[::size]:
        shown = [pool[index] for index in taken[first : first + size]]
        batch = collator(shown)
        works.append(work_of(batch))
        tokens += int((batch["input_ids"] == token).sum())
        shown_images += int(works[-1][-1])
        if not sample.first:
            sample.first = shown
            # The answers of an encoder-decoder are in another row, and are shown as they are in the data.
            if batch["labels"].shape == batch["input_ids"].shape:
                sample.row = row_text(batch, collator.tokenizer, token)
    total = torch.stack(works).sum(0).tolist()
    sample.work = Work(*(value * size / len(taken) for value in total))
    sample.image_tokens = tokens / max(1, shown_images)
