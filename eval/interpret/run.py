"""``vsre interpret``: patch the sites of a model on minimal pairs, and say which of them carry the answer.

The output folder gets ``effects.parquet`` (a row per pair, direction and site), ``looks.parquet`` (where heads look),
``knockouts.parquet`` and ``confirmations.parquet`` (what exchanging heads, or cutting them off, does on other pairs),
``universality.parquet`` (how heads and places come out in every family of relations, mode and set of data),
``results.json`` (means with intervals, selected heads, functions) and pictures. A killed run goes on with the next
pair.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from encoders.device import usable_device
from encoders.source_files import checkpoint_folder
from eval.benchmarks import read_benchmark
from eval.config import InterpretConfig
from eval.families.opening import check_canvas
from eval.finite import finite
from eval.interpret.cards import draw_cards
from eval.interpret.compare import differences
from eval.interpret.confirm import Loss
from eval.interpret.controls import controls_of
from eval.interpret.cuts import cut
from eval.interpret.earlier import check_beside, check_same_model, effects_of_run, sets_of_data
from eval.interpret.effects import DIRECTIONS, Effect, Runs, Site, measure, run_both, sites_of
from eval.interpret.encoders import EncodedImages, measure_encoders
from eval.interpret.everywhere import everywhere
from eval.interpret.findings import findings
from eval.interpret.from_csv import read_pairs
from eval.interpret.from_records import pairs_of_records
from eval.interpret.functions import Look, Seen, look
from eval.interpret.held_out import Measured, cut_off_heads, exchange_heads
from eval.interpret.knockout import Knockout
from eval.interpret.opened import Opened, open_for
from eval.interpret.pairs import MODES, Pair, PairSet
from eval.interpret.plots import draw
from eval.interpret.prepare import Prepared, Unfit
from eval.interpret.roles import BY_OBJECT, IMAGE_PARTS, WORDS
from eval.interpret.show import print_findings
from eval.interpret.sites import HEADED, KINDS
from eval.interpret.summary import of_tier
from eval.interpret.table import Parts, write_rows
from eval.interpret.universal import Chosen
from spatial.errors import ConfigError, RecordError, nearest
from spatial.files import write_json
from spatial.records import Record

ROLES = (*WORDS, "image", *IMAGE_PARTS, *BY_OBJECT)
"""Roles whose tokens can be patched together."""

CONTROL_SHARE = 4
"""Of so many pairs one has controls."""


def interpret(config: InterpretConfig) -> Path:
    """Patch a model on minimal pairs, and return the output folder.

    Raises:
        ConfigError: a setting that cannot be used.
        RecordError: the records cannot be read, or no pair can be run.
        CheckpointError: the model cannot be used, or cannot be taken apart.
    """
    check(config)
    _check_earlier(config)  # what is missing is said before anything runs
    folder = checkpoint_folder(config.model)
    device = usable_device(config.device)
    pairs, records = find_pairs(config)
    opened = open_for(folder, config.canvas, device, pairs, records)
    check_same_model(config.beside, opened.name)
    sites = _sites(config, opened)
    settings = _settings(config, opened, sites)
    out = Path(config.out)
    effects, looks = Parts(out, Effect, settings), Parts(out, Look, settings)
    dropped = Counter(row.reason for row in pairs.failed)
    done = _measure_all(config, opened, pairs.pairs, sites, effects, looks, dropped)
    if not done:
        most = dropped.most_common(1)
        raise RecordError(f"none of {len(pairs.pairs)} pairs can be run; most often: {most[0][0] if most else 'none'}")
    kept = [pair.content for pair in done]
    rows, seen = effects.read(kept), looks.read(kept)
    write_rows(out / "effects.parquet", Effect, rows)
    write_rows(out / "looks.parquet", Look, seen)
    run = Measured(config, opened, out, settings, done, rows, seen)
    knocked, losses = exchange_heads(run), cut_off_heads(run)
    write_rows(out / "knockouts.parquet", Knockout, knocked)
    write_rows(out / "confirmations.parquet", Loss, losses)
    beside, chosen = _beside(config, rows, out)
    found = findings(config, rows, seen, knocked, losses) | beside
    facts = {"model_hash": opened.name, "model_type": opened.kind, "canvas": opened.canvas, "config": asdict(config)}
    write_json(out / "results.json", finite(facts | {"dropped": dict(dropped.most_common())} | found))
    draw(out, found, chosen)
    draw_cards(run, found)
    _print_dropped(dropped)
    print_findings(found)
    return out


def _print_dropped(dropped: Counter[str]) -> None:
    shown = [f"{count} because {reason}" for reason, count in dropped.most_common(3)]
    others = dropped.total() - sum(count for _, count in dropped.most_common(3))
    if shown:
        print(f"left out: {'; '.join([*shown, *([f'{others} for other reasons'] if others else [])])}")


def _check_earlier(config: InterpretConfig) -> None:
    """Check that the earlier runs that this one is seen beside are there.

    Raises:
        ConfigError: one is not, or is there twice, or has patched no single heads as this one will.
    """
    if config.against:
        effects_of_run(config.against, "against")
    sets_of_data(config.out, config.beside)
    check_beside(config.beside, config.head_roles[0] if config.head_roles else "", config.directions[0])


def _beside(config: InterpretConfig, effects: Sequence[Effect], out: Path) -> tuple[dict[str, Any], list[Chosen]]:
    """Return what the effects are beside those of other runs, and how each site came out in each condition."""
    folders = sets_of_data(config.out, config.beside)
    own, *others = folders
    sets = {own: effects} | {name: effects_of_run(folders[name], "beside") for name in others}
    counted = {name: of_tier(rows, config.tier) for name, rows in sets.items()}
    role = config.head_roles[0] if config.head_roles else ""
    found, rows = everywhere(counted, role, config.directions[0], config.bootstrap, config.seed)
    write_rows(out / "universality.parquet", Chosen, rows)
    if not config.against:
        return {"universality": found}, rows
    other = effects_of_run(config.against, "against")
    changed = differences(effects, other, config.tier, config.bootstrap, config.seed)
    return {"universality": found, "against": {"folder": config.against} | changed}, rows


def find_pairs(config: InterpretConfig) -> tuple[PairSet, list[Record]]:
    """Return the pairs of a run, controls among them, by group; and the records that they come from.

    Raises:
        ConfigError: a setting that cannot be used.
        RecordError: the data cannot be read, or has no pair.
    """
    if config.csv.path:
        return read_pairs(replace(config.csv, modes=[mode for mode in config.csv.modes if mode in config.modes])), []
    records = read_benchmark(config.data)
    found = pairs_of_records(records, config.templates, config.modes, config.pairs, config.seed)
    if not found.pairs:
        reasons = Counter(row.reason for row in found.failed).most_common(1)
        why = f"; most often: {reasons[0][0]}" if reasons else "; groups need two pictures and statements about them"
        raise RecordError(f"the data has no minimal pair{why}")
    pairs, images, failed = list(found.pairs), found.images, list(found.failed)
    if config.controls:
        own = controls_of(pairs[::CONTROL_SHARE], records, config.templates, config.seed)
        pairs, images = pairs + own.pairs, own.images
        failed += own.failed
    pairs.sort(key=lambda pair: (pair.group_id, pair.clean.image_id, pair.mode, pair.pair_id))
    return PairSet(pairs, images, failed), records.records


def _measure_all(
    config: InterpretConfig,
    opened: Opened,
    pairs: Sequence[Pair],
    sites: Sequence[Site],
    effects: Parts[Effect],
    looks: Parts[Look],
    dropped: Counter[str],
) -> list[Pair]:
    """Measure the pairs that are not done, and return all that can be run."""
    done = []
    for pair in tqdm(pairs, unit="pair", desc="interpret"):
        if not effects.has(pair.content):
            try:
                prepared, seen = opened.prepare(pair)
            except Unfit as error:
                dropped[str(error)] += 1
                continue
            rows, found = _measured(config, opened, prepared, seen, sites)
            looks.add(pair.content, found)
            effects.add(pair.content, rows)  # the last: a pair is done if its effects are there
        done.append(pair)
    return done


def _measured(
    config: InterpretConfig, opened: Opened, prepared: Prepared, seen: Seen | None, sites: Sequence[Site]
) -> tuple[list[Effect], list[Look]]:
    """Return all that is measured on one pair; on a control, what tells whether it behaves."""
    stack, runs = opened.stack, run_both(opened.stack, prepared)
    if prepared.pair.control:
        own = [site for site in sites if site.kind == "resid"]
        return measure(stack, prepared, runs, own, config.directions, config.window, config.rows), []
    rows = measure(stack, prepared, runs, sites, config.directions, config.window, config.rows, config.screen)
    rows += _encoders(config, opened, prepared, runs)
    rows += cut(stack, prepared, runs, config.window, config.rows) if config.cuts else []
    return rows, look(stack, prepared, runs, seen) if seen and prepared.pair.mode == "image" else []


def _encoders(config: InterpretConfig, opened: Opened, prepared: Prepared, runs: Runs) -> list[Effect]:
    """Return what exchanging each encoder's features does, where there are several and the pictures differ."""
    pair, seen = prepared.pair, opened.features
    if pair.mode != "image" or not isinstance(seen, EncodedImages) or not config.encoders:
        return []
    clean, corrupt = seen.of(pair.clean.image_id), seen.of(pair.corrupt.image_id)
    if len(clean) < 2:
        return []
    return measure_encoders(opened.stack, opened.model, prepared, runs, clean, corrupt, config.directions)


def _sites(config: InterpretConfig, opened: Opened) -> list[Site]:
    roles = config.roles or list(ROLES)
    return sites_of(opened.stack, [*config.kinds, *config.headed], roles, config.head_roles)


def _settings(config: InterpretConfig, opened: Opened, sites: Sequence[Site]) -> dict[str, Any]:
    """Return all that decides the numbers of a pair beside the pair itself."""
    return {
        "model": opened.name,
        "canvas": opened.canvas,
        "window": config.window,
        "directions": config.directions,
        "screen": config.screen,
        "encoders": config.encoders,
        "cuts": config.cuts,
        "sites": [asdict(site) for site in sites],
    }


def check(config: InterpretConfig) -> None:
    """Check what can be checked without model and data.

    Raises:
        ConfigError: a setting that cannot be used.
    """
    check_canvas(config.canvas)
    for name, given, known in (
        ("modes", config.modes, MODES),
        ("csv.modes", config.csv.modes, MODES),
        ("directions", config.directions, DIRECTIONS),
        ("kinds", config.kinds, tuple(kind for kind in KINDS if kind not in HEADED)),
        ("headed", config.headed, HEADED),
        ("roles", config.roles, ROLES),
        ("head_roles", config.head_roles, WORDS),
    ):
        for value in given:
            if value not in known:
                raise ConfigError(f"{name} has {value!r}; known: {', '.join(known)}{nearest(value, known)}")
    if not (config.modes and config.directions and (config.kinds or config.headed)):
        raise ConfigError("modes, directions, and one of kinds and headed must not be empty")
    if config.csv.path and not set(config.csv.modes) & set(config.modes):
        raise ConfigError(f"csv.modes {config.csv.modes} and modes {config.modes} have none in common; correct one")
    if config.headed and not config.head_roles:
        raise ConfigError("head_roles must not be empty where single heads are patched; use [last]")
    for name, least in (("pairs", 0), ("knockouts", 0), ("rows", 1), ("bootstrap", 1)):
        if getattr(config, name) < least:
            raise ConfigError(f"{name} is {getattr(config, name)}; use {least} or more")
    if config.window < 1 or config.window % 2 == 0:
        raise ConfigError(f"window is {config.window}; use an odd number")
    if not 0 <= config.tier <= 3:
        raise ConfigError(f"tier is {config.tier}; use 0, 1, 2 or 3")
