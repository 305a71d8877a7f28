"""Run an evaluation: ask every question once per reading, store the answers, score them.

The run directory holds ``predictions/part-*.parquet`` (what has been computed so far, by whatever configurations),
``predictions.parquet`` (the rows of this configuration) and ``results.json``. A killed run goes on where it stopped, in
however many processes (``eval.shares``).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from encoders.device import usable_device
from encoders.model_hash import model_hash
from encoders.source_files import checkpoint_folder
from eval.answering import Run
from eval.benchmarks import read_benchmark
from eval.config import EvalConfig
from eval.decoders import Decoder, Reading, decode, format_decoder, parse_decoder, readings_of
from eval.families import FAMILIES
from eval.families.opening import check_asked, check_canvas, kind_of, open_model
from eval.images import ImageFeatures
from eval.leakage import check_leakage
from eval.plan import check_questions, plan_items
from eval.predictions import PartFiles, Prediction, write_predictions
from eval.results import INTERVAL, print_tables, summarise
from eval.shares import launched_together, own_share
from eval.unseen import Vocabulary, warn_of_unseen
from spatial.dataset import RecordSet
from spatial.errors import ConfigError, RecordError
from spatial.files import write_json


def evaluate(config: EvalConfig) -> Path:
    """Evaluate a model and return the run directory; one of several processes answers its share.

    Raises:
        ConfigError: a setting that cannot be used.
        RecordError: the records cannot be read, none is left, or none could be answered.
        CheckpointError: the model cannot be used.
    """
    with launched_together() as wait_for_all:
        return _evaluate(config, wait_for_all)


def _evaluate(config: EvalConfig, wait_for_all: Callable[[], None]) -> Path:
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
    unseen = warn_of_unseen(Vocabulary(model, processor.tokenizer, folder), folder.name, records.records)
    features = ImageFeatures(model, processor, records.images, see)
    parts = PartFiles(Path(config.out) / "predictions")
    scorer = FAMILIES[kind].scorer(model, processor, config.max_new_tokens, config.max_tokens)
    run = Run(name, canvas, config, readings, scorer, features, parts)
    share = own_share(config)
    run.answer_share(items, share)
    wait_for_all()
    if not share.first or not run.complete(items, share):
        return Path(config.out)
    answered = [replace(row, image_file=records.files.get(row.image_id, "")) for row in run.answer(items)]
    predictions = answered + _unreadable(records, config, readings, name, canvas)
    facts = {"model_hash": name, "model_type": kind, "canvas": canvas, "leakage": leakage, "unseen": unseen}
    return _finish(config, decoders, predictions, facts)


def check_settings(config: EvalConfig) -> list[Decoder]:
    """Check what can be checked without model and data, and return the decoders.

    Raises:
        ConfigError: a setting that cannot be used.
    """
    check_questions(config)
    check_canvas(config.canvas)
    for name, value in (("batch_size", config.batch_size), ("bootstrap", config.bootstrap), ("world", config.world)):
        if value < 1:
            raise ConfigError(f"{name} is {value}; use a positive number")
    if not 0 <= config.rank < config.world:
        raise ConfigError(f"rank must be in 0..{config.world - 1}, not {config.rank}")
    if config.max_tokens < 0:
        raise ConfigError(f"max_tokens is {config.max_tokens}; use a positive number, or 0 for no bound")
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
    settings = asdict(config) | {"decoders": [format_decoder(decoder) for decoder in decoders]}
    results = facts | {"interval": INTERVAL, "config": settings, "scores": scores}
    write_json(out / "results.json", results)
    if all(row.failed for row in predictions):
        raise RecordError(f"no question could be answered; the first: {predictions[0].failed}; see {out}/results.json")
    print_tables([run for run in scores if run["decoder"] in asked])
    for name in sorted(asked):
        failures = [row.failed for row in predictions if row.decoder == name]
        if failures and all(failures):
            raise RecordError(f"{name} answered no question; the first: {failures[0]}; see {out}/results.json")
    return out
