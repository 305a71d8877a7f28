"""Answer questions: in batches, what is not known yet, with what is computed stored as it comes.

A row is known if it is stored, in whatever run that was, or has failed in this one. Failures are not stored, so that
the next run tries again.
"""

import math
import time
from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from tqdm import tqdm

from eval.config import EvalConfig
from eval.decoders import Greedy, Reading, format_decoder
from eval.images import ImageFeatures, contrast_key
from eval.methods import method_hash
from eval.packing import image_kinds
from eval.parsing import contains_answer, contains_verdict, parse_answer
from eval.plan import Item, plan_batches
from eval.predictions import Key, PartFiles, Prediction
from eval.scoring import AnyScorer, Pictures, Question, Scores
from eval.shares import Share
from spatial.errors import ConfigError
from spatial.relations import RELATIONS
from spatial.scene import digest

FLUSH_SECONDS = 10.0
"""How much work a killed run may lose."""


class Run:
    """What one evaluation needs to answer questions, and its stored predictions; none are stored without ``parts``."""

    def __init__(
        self,
        name: str,
        canvas: str,
        config: EvalConfig,
        readings: Sequence[Reading],
        scorer: AnyScorer,
        features: ImageFeatures,
        parts: PartFiles | None = None,
    ) -> None:
        self.name = name
        self.canvas = canvas
        self.config = config
        self.readings = readings
        self.scorer = scorer
        self.features = features
        self.parts = parts
        self.stored = parts.read() if parts else {}
        self.failed: dict[Key, Prediction] = {}

    def answer(self, items: Sequence[Item]) -> list[Prediction]:
        """Return the row of every item in every reading, computing those that are not known."""
        self._score_missing(plan_batches(items, self.config.batch_size))
        return [self._known(item, reading) for item, reading in product(items, self.readings)]  # type: ignore[misc]

    def answer_share(self, items: Sequence[Item], share: Share) -> None:
        """Answer the batches of a share, and store their rows where the other processes find them."""
        batches = plan_batches(items, self.config.batch_size)[share.index :: share.count]
        if share.first and self.parts:
            self._tell_stored(items)
        self._score_missing(batches, share.first)
        if self.parts and share.count > 1:
            self.parts.keep_failed(list(self.failed.values()), share.index, share.count)

    def _tell_stored(self, items: Sequence[Item]) -> None:
        asked = [(item, reading) for item in items if not item.failed for reading in self.readings]
        known = sum(self._known(item, reading) is not None for item, reading in asked)
        if known:
            print(f"{known:,} of {len(asked):,} answers are stored in {self.config.out} and are not asked for again")

    def complete(self, items: Sequence[Item], share: Share) -> bool:
        """Take up what other processes have answered; return False, and say so, where other jobs have more to do."""
        if self.parts and share.count > 1:
            self.stored |= self.parts.read()
            self.failed = self.parts.read_failed(share.count) | self.failed
        if self.config.world == 1:
            return True
        answered = sum(None not in [self._known(item, reading) for reading in self.readings] for item in items)
        if answered < len(items):
            then = (
                f"the last of {self.config.world} jobs writes the results, or the same command without rank and world"
            )
            print(f"{answered:,} of {len(items):,} questions are answered in {self.config.out}; {then}")
        return answered == len(items)

    def _score_missing(self, batches: list[dict[Question, list[Item]]], shown: bool = True) -> None:
        """Score what is not known of batches, with a bar if shown."""
        wanted = {i: found for i, batch in enumerate(batches) if (found := self._missing(batch))}
        left, total = (sum(len(batches[i]) for i in numbers) for numbers in (wanted, range(len(batches))))
        hidden = not (self.parts and shown and wanted)
        pending: list[Prediction] = []
        flushed = time.monotonic()
        try:
            with tqdm(total=total, initial=total - left, unit="question", desc="evaluate", disable=hidden) as bar:
                for number, readings in wanted.items():
                    pending += self._score(batches[number], readings)
                    bar.update(len(batches[number]))
                    if time.monotonic() - flushed > FLUSH_SECONDS:
                        written, pending, flushed = pending, [], time.monotonic()
                        self._store(written)
        finally:
            self._store(pending)

    def _store(self, rows: list[Prediction]) -> None:
        if self.parts:
            self.parts.append(rows)

    def _missing(self, batch: dict[Question, list[Item]]) -> list[Reading]:
        """Return the readings in which a batch has something to answer."""
        items = [item for own in batch.values() for item in own]
        return [reading for reading in self.readings if not all(self._known(item, reading) for item in items)]

    def _known(self, item: Item, reading: Reading) -> Prediction | None:
        """Return the row of an item that is stored, or has failed in this run; a row of another question is none."""
        if item.failed:
            return self._row(item, reading, failed=item.failed)
        key, question = self._key(item, reading), self._question(item, reading)
        rows = (self.stored.get(key), self.failed.get(key))
        return next((row for row in rows if row is not None and row.question == question), None)

    def _score(self, batch: dict[Question, list[Item]], readings: list[Reading]) -> list[Prediction]:
        """Score a batch; keep and return its new rows. Failures are kept aside, so that the next run tries again."""
        try:
            shown, unseen = self._pictures(list(batch), readings)
            wanted = self._missing({question: batch[question] for question in shown})
            scores = self._forward(shown, list(dict.fromkeys([Greedy(), *readings]))) if wanted else {}
        except torch.OutOfMemoryError as error:
            said = f"a batch of {len(batch)} questions does not fit in memory"
            raise ConfigError(f"{said}; lower batch_size, or max_tokens to answer a batch in parts") from error
        new = []
        for (question, items), reading in product(batch.items(), readings):
            for item in items:
                if self._known(item, reading):
                    continue
                if question in unseen:
                    row = self._row(item, reading, failed=unseen[question])
                else:
                    row = self._row(item, reading, scores[reading][question], scores[Greedy()][question].confidence)
                if row.failed:
                    self.failed[row.key] = row
                else:
                    self.stored[row.key] = row
                    new.append(row)
        return new

    def _pictures(
        self, questions: Sequence[Question], readings: Sequence[Reading]
    ) -> tuple[dict[Question, Pictures], dict[Question, str]]:
        """Return what each question is shown, by kind of picture, and of those that cannot be shown why."""
        kinds = image_kinds(readings)
        keys = {question: {kind: contrast_key(question.image, kind) for kind in kinds} for question in questions}
        tokens = self.features.get([key for named in keys.values() for key in named.values()])
        shown: dict[Question, Pictures] = {}
        unseen = {}
        for question, named in keys.items():
            found = {kind: tokens[key] for kind, key in named.items()}
            broken = next((value for value in found.values() if isinstance(value, Exception)), None)
            if broken is None:
                shown[question] = found  # type: ignore[assignment]
            else:
                unseen[question] = str(broken)
        return shown, unseen

    def _forward(
        self, shown: dict[Question, Pictures], readings: list[Reading]
    ) -> dict[Reading, dict[Question, Scores]]:
        scores = self.scorer.score(list(shown), list(shown.values()), readings)
        return {reading: dict(zip(shown, values, strict=True)) for reading, values in scores.items()}

    def _key(self, item: Item, reading: Reading) -> Key:
        name = format_decoder(reading)
        return (self.name, item.record.record_id, item.template, name, item.image_mode, self.canvas)

    def _question(self, item: Item, reading: Reading) -> str:
        """Return the hash of what is asked, and how; a stored answer counts only where it is the same.

        What ends the words that are wanted is no part of the model's hash, as it changes words alone.
        """
        words = f"{self.config.max_new_tokens}\n{sorted(self.scorer.ends())}" if self.config.max_new_tokens else ""
        return digest(f"{item.question_hash}\n{words}\n{method_hash(reading)}")

    def _said(self, item: Item, text: str) -> dict[str, Any]:
        """Return what a written answer says, read in both ways."""
        subject, reference = (*item.record.concepts, "", "")[:2]
        found = parse_answer(text, item.question.options, subject, reference)
        return {
            "generated": text,
            "parsed": found.option,
            "outcome": found.outcome,
            "contained": _verdict(item, text),
        }

    def _row(
        self, item: Item, reading: Reading, scores: Scores | None = None, confidence: float = math.nan, failed: str = ""
    ) -> Prediction:
        record, question = item.record, item.question
        logprobs = scores.option_logprobs if scores else ()
        predicted = ""
        if any(math.isnan(value) or value == math.inf for value in logprobs):
            failed = "the model's log-probabilities are not finite"
        elif logprobs:
            predicted = neutral_choice(question.options, logprobs, question.text, self.config.seed)
        return Prediction(
            *self._key(item, reading)[:2],
            image_id=record.image_id,
            group_id=record.group_id,
            template=item.template,
            decoder=format_decoder(reading),
            image_mode=item.image_mode,
            task=record.task,
            topic=record.topic,
            relation=record.relation,
            category=RELATIONS[record.relation].category if record.relation else record.topic,
            caption=record.caption,
            negative_kind=record.negative_kind,
            options=question.options,
            answer=item.answer,
            option_logprobs=logprobs,
            confidence=confidence,
            answered=bool(scores and scores.answered),
            **(self._said(item, scores.generated) if scores and self.config.max_new_tokens else {}),
            predicted=predicted,
            correct=predicted != "" and predicted == item.answer,
            failed=failed,
            question=self._question(item, reading),
            canvas=self.canvas,
        )


def neutral_choice(options: Sequence[str], logprobs: Sequence[float], text: str, seed: int) -> str:
    """Return the most likely option; among equals, the first in an order that knows nothing of the answer.

    The order depends on the prompt's text and the option only, so a scorer without preference picks the same answer on
    both images of a pair, and is right on one of them.
    """
    best = max(logprobs)
    equals = [option for option, value in zip(options, logprobs, strict=True) if value == best]
    return min(equals, key=lambda option: digest(f"{seed}\n{text}\n{option}"))


def _verdict(item: Item, text: str) -> bool:
    if item.record.task == "statement":
        return contains_verdict(text, item.answer == item.question.options[0])
    return contains_answer(text, item.answer)
