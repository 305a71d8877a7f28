"""How long rows are: those that no model of this size takes are refused, and rows of like length go together.

``trainer.train_sampling_strategy: group_by_length`` is Transformers': batches of rows that are about equally long,
drawn from large random portions of the data, so that less is padded. Rows are drawn anew in every epoch here, so that
lengths are estimates by characters; and the order is drawn of the seed and the epoch alone, where Transformers' draws
it of a generator that a resumed run would find in another state.
"""

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers.trainer_pt_utils import LengthGroupedSampler

from spatial.errors import RecordError
from spatial.files import write_json
from spatial.records import Record
from spatial.slots import slot_names
from spatial.templates import TEMPLATES
from training.collate import Sizes, too_long
from training.conversation_file import ConversationFile
from training.conversations import dialogue
from training.examples import Dialogue, Examples
from training.turns import measure, tokenise

TOO_LONG = "too-long.json"
"""Names of rows that no model of this size takes, in ``out``, with their tokens."""

LONGEST = 1_000
"""Records of a task that are put into words to see whether they are too long."""

_AT_ONCE, MANY = 256, 10_000

_WORDING_BYTES = max(len(template.text.encode()) for template in TEMPLATES.values())
_SLOTS = max(len(list(slot_names(template.text))) for template in TEMPLATES.values())
_SLOT_BYTES = 256
"""What a slot can hold beside parts of the record: boxes, or all number words."""


class GroupedOrder(LengthGroupedSampler):
    """The order of an epoch, rows of like length side by side.

    Args:
        batch_size: rows of one optimizer step, over all ranks, so that as many rows make the same steps on any number.
        lengths: of all rows, about.
        seed: of the draws.
        epoch: tells which epoch begins, counted from 0.
    """

    def __init__(self, batch_size: int, lengths: list[int], seed: int, epoch: Callable[[], int]) -> None:
        super().__init__(batch_size, lengths=lengths)
        self._seed, self._epoch = seed, epoch

    def __iter__(self) -> Iterator[int]:
        """Draw the order."""
        drawn = np.random.SeedSequence((self._seed, self._epoch())).generate_state(1, np.uint64)[0]
        self.generator = torch.Generator().manual_seed(int(drawn >> np.uint64(1)))
        yield from super().__iter__()


def check_lengths(file: ConversationFile, processor: Any, sizes: Sizes, out: Path) -> None:
    """Refuse conversations that are longer than the model takes, before any is trained on; nothing is ever cut.

    Only rows are tokenised that could be too long: no token is less than a byte.

    Args:
        file: of conversations.
        processor: of the model.
        sizes: of the model.
        out: folder where the names of all that are too long are left.

    Raises:
        RecordError: some are too long; tells how many, and the first.
    """
    pictured = np.array([bool(name) for name in file.image_names()])
    prefix = np.where(pictured, prefix_tokens(processor, sizes), 0)
    once, twice = measure(processor, [Dialogue("", (("a", "a"),) * turns) for turns in (1, 2)])
    most = prefix + once + (twice - once) * (file.turns() - 1) + file.text_bytes()
    doubtful = np.flatnonzero(most > sizes.positions)
    found: list[tuple[str, int, int]] = []  # several rows may have one name
    with tqdm(total=len(doubtful), desc="lengths", unit="row", disable=None if len(doubtful) > MANY else True) as bar:
        for start in range(0, len(doubtful), _AT_ONCE):
            rows = doubtful[start : start + _AT_ONCE].tolist()
            told = [dialogue(file.row(row)) for row in rows]
            for row, talk, text in zip(rows, told, measure(processor, told), strict=True):
                if prefix[row] + text > sizes.positions:
                    found.append((talk.name, int(prefix[row]) + text, int(prefix[row])))
            bar.update(len(rows))
    if found:
        name, length, before = found[0]
        write_json(out / TOO_LONG, {name: length for name, length, _ in found})
        raise RecordError(
            f"{file.path}: {too_long(f'row {name!r}', length, before, sizes.positions)}"
            f" ({len(found)} of {len(file)} rows are too long; {out / TOO_LONG} names them)"
        )


def check_records(examples: Examples, processor: Any, sizes: Sizes, out: Path) -> None:
    """Refuse records that are longer than the model takes in one of their templates, before any is trained on.

    Only the longest of those that could be too long are put into words, ``LONGEST`` of each task: with millions of
    records this takes seconds. What passes and is too long nevertheless, the collator refuses.

    Args:
        examples: the records.
        processor: of the model.
        sizes: of the model.
        out: folder where the names of those that are too long are left.

    Raises:
        RecordError: some are too long; tells how many were found, and the first.
    """
    before = prefix_tokens(processor, sizes)
    (around,) = measure(processor, [Dialogue("", (("a", "a"),))])
    room = sizes.positions - before - around
    found: dict[str, int] = {}
    for record in _doubtful(examples, room):
        told = [prompt for prompt in examples.wordings(record) if _bytes(prompt.text, prompt.answer) > room]
        lengths = [before + text for text in measure(processor, told)] if told else [0]
        if max(lengths) > sizes.positions:
            found[record.record_id] = max(lengths)
    if found:
        name, length = next(iter(found.items()))
        write_json(out / TOO_LONG, found)
        raise RecordError(
            f"{too_long(f'record {name}', length, before, sizes.positions)}"
            f" ({len(found)} records are too long in one of their templates; {out / TOO_LONG} names them)"
        )


def _doubtful(examples: Examples, room: int) -> Iterator[Record]:
    """Yield the records whose words may take more than so many bytes, the longest of each task."""
    heaps: dict[str, list[tuple[int, str, Record]]] = {}
    for record in examples.records():
        size = _bytes(record.caption, record.answer, *record.options)
        if _WORDING_BYTES + _SLOTS * (size + _SLOT_BYTES) > room:
            heap = heaps.setdefault(record.task, [])
            push = heapq.heappush if len(heap) < LONGEST else heapq.heappushpop
            push(heap, (size, record.record_id, record))
    for heap in heaps.values():
        yield from (record for _, _, record in sorted(heap, key=lambda entry: entry[:2], reverse=True))


def _bytes(*texts: str) -> int:
    return sum(len(text.encode()) for text in texts)


def prefix_tokens(processor: Any, sizes: Sizes) -> int:
    """Return how many tokens stand before the text of a row with a picture."""
    prefix, _ = tokenise(processor, [Dialogue("", (("a", "a"),))])
    return len(processor.tokenizer(prefix)["input_ids"]) - 1 + sizes.image_tokens
