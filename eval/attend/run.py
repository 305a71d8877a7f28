"""``vsre attend``: where the last prompt token looks, before and after what decoders do to its attention.

The output folder gets ``attention.parquet`` (a row per question, decoder and layer), ``heads.parquet`` (means per
reading, layer and head), ``results.json`` (means with intervals) and ``share.png``, ``overlap.png``,
``confidence.png`` and ``maps.png``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from encoders.device import usable_device
from encoders.model_hash import model_hash
from encoders.source_files import checkpoint_folder
from eval.answering import Run
from eval.attend import show
from eval.attend.figures import best_layer, confidence_figures, layer_figures
from eval.attend.maps import Panel, choose_examples, draw_maps
from eval.attend.overlap import PLACES, Sight, canvas_geometry, check_kind
from eval.attend.record import Recorder
from eval.attend.table import TARGETS, Answers, Measures, Name, answers_of, attention_table, chosen_reading
from eval.benchmarks import read_benchmark
from eval.config import AttendConfig, EvalConfig
from eval.decoders import Decoder, Dola, Reading, Vcd, format_decoder, readings_of
from eval.families.opening import check_asked, kind_of, open_model
from eval.images import ImageFeatures
from eval.plan import Item, plan_batches, plan_items
from eval.results import INTERVAL
from eval.run import check_settings
from eval.terminal import wide_console
from spatial.dataset import RecordSet
from spatial.errors import ConfigError, RecordError
from spatial.files import atomic, write_json

BY_RANKS = "AUROC over cells of the picture; attention is the mean over heads"


def attend(config: AttendConfig) -> Path:
    """Look at the attention of a model, and return the output folder.

    Raises:
        ConfigError: a setting that cannot be used.
        RecordError: the records cannot be read, or none could be answered.
        CheckpointError: the model cannot be used, or it is not known where its image tokens look.
    """
    asked = _questions(config)
    decoders = _check(config, asked)
    readings = readings_of(decoders)
    folder = checkpoint_folder(config.model)
    kind = kind_of(folder)
    check_kind(kind)
    check_asked(kind, readings, config.canvas)
    device = usable_device(config.device)
    records = read_benchmark(config.data)
    model, processor, see, canvas = open_model(folder, kind, config.canvas, device)
    _check_layer(config.layer, model.get_decoder().config.num_hidden_layers)
    sight = Sight(PLACES[kind](model), *canvas_geometry(model, processor, canvas))
    items = plan_items(records.records, asked, processor, records.images)
    batches = plan_batches(items, config.batch_size)
    examples = choose_examples(items, records.images, config.examples, config.seed)
    measures = Measures(
        sight, records.images, {key: found for batch in batches for key, found in batch.items()}, examples
    )
    recorder = Recorder(model, processor, measures.keep)
    features = ImageFeatures(model, processor, records.images, see)
    name = model_hash(folder)
    run = Run(name, canvas, asked, readings, recorder, features)
    answers = answers_of(_answered(run, batches, items), readings)
    facts = {"config": asdict(config), "model_hash": name, "model_type": kind, "canvas": canvas}
    return _finish(config, decoders, answers, measures, examples, records, facts)


def _questions(config: AttendConfig) -> EvalConfig:
    """Return the evaluation whose questions are asked; the plain model is always among its decoders."""
    return EvalConfig(
        model=config.model,
        data=config.data,
        out=config.out,
        templates=config.templates,
        decoders=["greedy", *config.decoders],
        canvas=config.canvas,
        batch_size=config.batch_size,
        seed=config.seed,
        bootstrap=config.bootstrap,
        device=config.device,
    )


def _check(config: AttendConfig, asked: EvalConfig) -> list[Decoder]:
    decoders = list(dict.fromkeys(check_settings(asked)))
    for decoder in decoders:
        if isinstance(decoder, Vcd | Dola):
            raise ConfigError(
                f"decoder {format_decoder(decoder)!r} changes no attention, and has the maps of 'greedy'; choose from "
                "scale, temper, pai and adaptvis"
            )
    for name, least in (("examples", 0), ("layer", -1)):
        if getattr(config, name) < least:
            raise ConfigError(f"{name} is {getattr(config, name)}; use {least} or more")
    return decoders


def _check_layer(layer: int, layers: int) -> None:
    if layer >= layers:
        raise ConfigError(f"layer is {layer}, and the model has {layers}, counted from 0; use -1 for the best")


def _answered(run: Run, batches: Sequence[Mapping[Any, Sequence[Item]]], items: Sequence[Item]) -> list[Any]:
    """Return the row of every question in every reading; those that cannot be asked are failed rows."""
    rows = run.answer([item for item in items if item.failed])
    with tqdm(total=sum(map(len, batches)), unit="question", desc="attend") as bar:
        for batch in batches:
            rows += run.answer([item for found in batch.values() for item in found])
            bar.update(len(batch))
    return rows


def _finish(
    config: AttendConfig,
    decoders: Sequence[Decoder],
    answers: Answers,
    measures: Measures,
    examples: Mapping[Name, Item],
    records: RecordSet,
    facts: dict[str, Any],
) -> Path:
    """Write tables, figures and pictures, and print the tables."""
    out = Path(config.out)
    failed = {row.record_id: row.failed for rows in answers.values() for row in rows.values() if row.failed}
    failed |= {row.name: row.reason for row in records.failed}
    table = attention_table(decoders, answers, measures)
    if table.empty:
        raise RecordError(f"no question could be answered; the first: {next(iter(failed.values()), 'there is none')}")
    _write(table, out / "attention.parquet")
    _write(measures.head_table(), out / "heads.parquet")
    layers = layer_figures(table, config.bootstrap, config.seed)
    confidence = confidence_figures(table, config.bootstrap, config.seed)
    best, why = best_layer(layers["greedy"]["all"])
    layer = best if config.layer < 0 else config.layer
    image, prompt = (sum(counts) for counts in zip(*measures.tokens.values(), strict=True))
    found = facts | {
        "interval": INTERVAL,
        "overlap": BY_RANKS,
        "data": _counts(table, measures) | {"failed": failed},
        "image_tokens": image / len(measures.tokens),
        "image_share_of_prompt": image / prompt,
        "layers": layers,
        "confidence": confidence,
        "maps": {"layer": layer, "chosen": f"best {why}" if config.layer < 0 else "as asked"},
    }
    write_json(out / "results.json", found)
    show.draw_share(layers, image / prompt, out / "share.png")
    show.draw_overlap(layers, out / "overlap.png")
    show.draw_confidence(confidence, out / "confidence.png")
    _draw_examples(decoders, answers, measures, examples, table, found["maps"], out / "maps.png")
    _print(layers, confidence["greedy"], found["data"])
    for name in dict.fromkeys(map(format_decoder, decoders)):
        if name not in layers:
            print(f"{name} answers with none of its readings alone, so that no attention is its own")
    return out


def _counts(table: pd.DataFrame, measures: Measures) -> dict[str, Any]:
    """Return how many questions there are, and how many have no overlap, by target and reason."""
    undefined: dict[str, dict[str, int]] = {target: {} for target in TARGETS}
    for (target, reason), count in sorted(measures.undefined.items()):
        undefined[target][reason] = count
    return {
        "questions": len(table[["record_id", "template"]].drop_duplicates()),
        "images": int(table.image_id.nunique()),
        "undefined_overlap": undefined,
    }


def _draw_examples(
    decoders: Sequence[Decoder],
    answers: Answers,
    measures: Measures,
    examples: Mapping[Name, Item],
    table: pd.DataFrame,
    chosen: Mapping[str, Any],
    path: Path,
) -> None:
    """Draw the maps of the examples that were answered, at one layer."""
    layer = chosen["layer"]
    at_layer = table[table.layer == layer].set_index(["record_id", "template", "decoder"])
    drawn = []
    for name, item in examples.items():
        panels = []
        for decoder in decoders if (*name, "greedy") in at_layer.index else ():
            reading = chosen_reading(decoder, answers[name])
            if reading is None:
                continue
            row = at_layer.loc[(*name, format_decoder(decoder))]
            panels.append(
                Panel(measures.maps[name, reading][layer], _title(decoder, reading, answers[name], row), row.correct)
            )
        if panels:
            drawn.append((item, measures.images[item.record.image_id], panels))
    if not drawn:
        path.unlink(missing_ok=True)
        return
    caption = (
        f"Attention of the last prompt token on the picture, layer {layer} ({chosen['chosen']}), mean over heads; one "
        "scale per row. Green titles: answered rightly, red: wrongly. Attention is not explanation."
    )
    draw_maps(drawn, measures.sight, caption, path)


def _title(decoder: Decoder, reading: Reading, rows: Mapping[Reading, Any], row: Any) -> str:
    name = format_decoder(decoder)
    used = format_decoder(reading)
    via = f"\nby {used}" if used != name else ""
    known = "-" if pd.isna(row.auroc_either) else f"{row.auroc_either:.2f}"
    return f"{name}{via}: {rows[reading].predicted}\nshare {row.image_share:.2f}, AUROC {known}"


def _print(layers: show.Layers, confidence: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    console = wide_console()
    console.print(show.layer_table(layers))
    console.print(show.confidence_table(dict(confidence)))
    for target, reasons in data["undefined_overlap"].items():
        for reason, count in reasons.items():
            console.print(f"no overlap with {target}: {count} of {data['questions']} questions, {reason}")
    if data["failed"]:
        first, reason = next(iter(data["failed"].items()))
        console.print(f"{len(data['failed'])} records failed; the first, {first}: {reason}")


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        table.to_parquet(temporary, index=False)
