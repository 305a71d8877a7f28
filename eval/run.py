"""Run an evaluation: ask every question once per reading, store the answers, score them.

The run directory holds ``predictions/part-*.parquet`` (what has been computed so far, by whatever configurations),
``predictions.parquet`` (the rows of this configuration) and ``results.json``. A killed run goes on where it stopped.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from encoders.device import usable_device
from encoders.model_hash import model_hash
from encoders.source_files import checkpoint_folder
from eval.benchmarks import read_benchmark
from eval.config import EvalConfig
from eval.decoders import Decoder, Greedy, Reading, decode, format_decoder, parse_decoder, readings_of
from eval.families import FAMILIES
from eval.families.opening import check_asked, check_canvas, kind_of, open_model
from eval.images import ImageFeatures, contrast_key
from eval.leakage import check_leakage
from eval.parsing import contains_answer, contains_verdict, parse_answer
from eval.plan import Item, check_names, plan_batches, plan_items
from eval.predictions import Key, PartFiles, Prediction, write_predictions
from eval.results import INTERVAL, print_tables, summarise
from eval.scoring import AnyScorer, Pictures, Question, Scores
from spatial.dataset import RecordSet
from spatial.errors import ConfigError, RecordError
from spatial.files import write_json
from spatial.relations import RELATIONS
from spatial.scene import digest

FLUSH_SECONDS = 10.0
"""How much work a killed run may lose."""


def evaluate(config: EvalConfig) -> Path:
    """Evaluate a model and return the run directory.

    Raises:
        ConfigError: a setting that cannot be used.
        RecordError: the records cannot be read, none is left, or none could be answered.
        CheckpointError: the model cannot be used.
    """
    decoders = check_settings(config)
    readings = readings_of(decoders)
    device = usable_device(config.device)
    folder = checkpoint_folder(config.model)
    kind = kind_of(folder)
    check_asked(kind, readings, config.canvas)
    records = read_benchmark(config.data)
    model, processor, see, canvas = open_model(folder, kind, config.canvas, device)
    name = model_hash(folder)
    leakage = check_leakage(str(folder), config.data)
    items = plan_items(records.records, config, processor, records.images)
    features = ImageFeatures(model, processor, records.images, see)
    parts = PartFiles(Path(config.out) / "predictions")
    scorer = FAMILIES[kind].scorer(model, processor, config.max_new_tokens)
    run = Run(name, canvas, config, readings, scorer, features, parts)
    predictions = run.answer(items) + _unreadable(records, config, readings, name, canvas)
    facts = {"model_hash": name, "model_type": kind, "canvas": canvas, "leakage": leakage}
    return _finish(config, decoders, predictions, facts)


def neutral_choice(options: Sequence[str], logprobs: Sequence[float], text: str, seed: int) -> str:
    """Return the most likely option; among equals, the first in an order that knows nothing of the answer.

    The order depends on the prompt's text and the option only, so a scorer without preference picks the same answer on
    both images of a pair, and is right on one of them.
    """
    best = max(logprobs)
    equals = [option for option, value in zip(options, logprobs, strict=True) if value == best]
    return min(equals, key=lambda option: digest(f"{seed}\n{text}\n{option}"))


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
        """Return the row of every item in every reading, computing those that are not stored."""
        self._score_missing(plan_batches(items, self.config.batch_size))
        rows = []
        for item, reading in product(items, self.readings):
            key = self._key(item, reading)
            if item.failed:
                rows.append(self._row(item, reading, failed=item.failed))
            else:
                rows.append(self.failed[key] if key in self.failed else self.stored[key])
        return rows

    def _score_missing(self, batches: list[dict[Question, list[Item]]]) -> None:
        pending: list[Prediction] = []
        flushed = time.monotonic()
        try:
            total = sum(map(len, batches))
            with tqdm(total=total, unit="question", desc="evaluate", disable=not self.parts) as bar:
                for batch in batches:
                    readings = [reading for reading in self.readings if self._missing(batch, reading)]
                    if readings:
                        pending += self._score(batch, readings)
                    bar.update(len(batch))
                    if time.monotonic() - flushed > FLUSH_SECONDS:
                        written, pending, flushed = pending, [], time.monotonic()
                        self._store(written)
        finally:
            self._store(pending)

    def _store(self, rows: list[Prediction]) -> None:
        if self.parts:
            self.parts.append(rows)

    def _missing(self, batch: dict[Question, list[Item]], reading: Reading) -> bool:
        return not all(self._is_stored(item, reading) for items in batch.values() for item in items)

    def _is_stored(self, item: Item, reading: Reading) -> bool:
        row = self.stored.get(self._key(item, reading))
        return row is not None and row.question == self._question(item)

    def _score(self, batch: dict[Question, list[Item]], readings: list[Reading]) -> list[Prediction]:
        """Score a batch; keep and return its new rows. Failures are kept aside, so that the next run tries again."""
        shown, unseen = self._pictures(list(batch), readings)
        scores = self._forward(shown, list(dict.fromkeys([Greedy(), *readings]))) if shown else {}
        new = []
        for (question, items), reading in product(batch.items(), readings):
            for item in items:
                if question in unseen:
                    row = self._row(item, reading, failed=unseen[question])
                else:
                    row = self._row(item, reading, scores[reading][question], scores[Greedy()][question].confidence)
                if row.failed:
                    self.failed[row.key] = row
                elif not self._is_stored(item, reading):
                    self.stored[row.key] = row
                    new.append(row)
        return new

    def _pictures(
        self, questions: Sequence[Question], readings: Sequence[Reading]
    ) -> tuple[dict[Question, Pictures], dict[Question, str]]:
        """Return what each question is shown, by kind of picture, and of those that cannot be shown why."""
        kinds = dict.fromkeys(["image", *(reading.contrast for reading in readings if reading.contrast)])
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
        try:
            scores = self.scorer.score(list(shown), list(shown.values()), readings)
        except torch.OutOfMemoryError as error:
            raise ConfigError(f"a batch of {len(shown)} questions does not fit in memory; lower batch_size") from error
        return {reading: dict(zip(shown, values, strict=True)) for reading, values in scores.items()}

    def _key(self, item: Item, reading: Reading) -> Key:
        name = format_decoder(reading)
        return (self.name, item.record.record_id, item.template, name, item.image_mode, self.canvas)

    def _question(self, item: Item) -> str:
        """Return the hash of what is asked; a stored answer without the words that are wanted now does not count.

        What ends them is no part of the model's hash, as it changes words alone.
        """
        words = self.config.max_new_tokens
        return digest(f"{item.question_hash}\n{words}\n{sorted(self.scorer.ends())}") if words else item.question_hash

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
            question=self._question(item),
            canvas=self.canvas,
        )


def _verdict(item: Item, text: str) -> bool:
    if item.record.task == "statement":
        return contains_verdict(text, item.answer == item.question.options[0])
    return contains_answer(text, item.answer)


def check_settings(config: EvalConfig) -> list[Decoder]:
    """Check what can be checked without model and data, and return the decoders.

    Raises:
        ConfigError: a setting that cannot be used.
    """
    check_names(config)
    check_canvas(config.canvas)
    for name, value in (("batch_size", config.batch_size), ("bootstrap", config.bootstrap)):
        if value < 1:
            raise ConfigError(f"{name} is {value}; use a positive number")
    return [parse_decoder(text) for text in dict.fromkeys(config.decoders)]


def _unreadable(
    records: RecordSet, config: EvalConfig, readings: Sequence[Reading], name: str, canvas: str
) -> list[Prediction]:
    """One failed row per reading and image mode for each row that the reader could not use."""
    return [
        Prediction(name, failed.name, "", "", "", format_decoder(reading), mode, failed=failed.reason, canvas=canvas)
        for failed, reading, mode in product(records.failed, readings, config.image_modes)
    ]


def _finish(config: EvalConfig, decoders: list[Decoder], stored: list[Prediction], facts: dict[str, Any]) -> Path:
    """Read every decoder's answers from the stored rows; write predictions and results, print the tables."""
    out = Path(config.out)
    asked = {format_decoder(decoder) for decoder in decoders}
    predictions = [row for decoder in decoders for row in decode(decoder, stored)]
    predictions += [row for row in stored if row.decoder not in asked]
    write_predictions(out / "predictions.parquet", predictions)
    scores = summarise(predictions, config.bootstrap, config.seed)
    results = facts | {"interval": INTERVAL, "config": asdict(config), "scores": scores}
    write_json(out / "results.json", results)
    print_tables([run for run in scores if run["decoder"] in asked])
    if all(row.failed for row in predictions):
        raise RecordError(f"no question could be answered; the first: {predictions[0].failed}; see {out}/results.json")
    return out
