"""``vsre audit``: probe a dataset folder for shortcuts, count its balances, and hold our predicates against VSR.

The output folder gets ``audit.json``, and with probes ``audit.png`` and ``features/``, the stored image features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from eval.audit import show
from eval.audit.agreement import agreement
from eval.audit.balance import Balance, check_balances
from eval.audit.folds import FAIL, PASS, UNCLEAR, Result, fold_of, held_out_scores, judge, repeats
from eval.audit.probes import PROBES, Probe, Statements, image_probes
from eval.benchmarks import VSR_ANNOTATIONS, check_names, limit_groups
from eval.config import AuditConfig
from eval.terminal import wide_console
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, RecordError
from spatial.files import write_json
from spatial.proportion import percent
from spatial.records import TOPICS, Record

INTERVAL = "95 %, BCa bootstrap over groups; Wilson where all groups agree; 50 % exactly where nothing was answered"


def audit(config: AuditConfig) -> Path:
    """Audit a dataset folder, our predicates, or both, and return the output folder.

    Raises:
        ConfigError: a setting that cannot be used.
        RecordError: data that cannot be read; or, under ``config.fail``, data that does not pass.
        CheckpointError: the model for the image probes cannot be used.
    """
    _check(config)
    out = Path(config.out)
    console = wide_console()
    found: dict[str, Any] = {"config": asdict(config)}
    if config.data:
        found |= audit_folder(config)
        console.print(show.probe_table(found["probes"]), show.balance_table(found["balances"]))
        show.draw_probes(found["probes"], out / "audit.png")
    else:
        (out / "audit.png").unlink(missing_ok=True)
    if config.coco:
        found["agreement"] = agreement(Path(config.coco), Path(config.vsr) if config.vsr else VSR_ANNOTATIONS)
        console.print(*show.agreement_tables(found["agreement"]))
    write_json(out / "audit.json", found)
    if config.data:
        _announce(found, config, out)
    return out


def audit_folder(config: AuditConfig) -> dict[str, Any]:
    """Return the part of ``audit.json`` that is about the dataset folder."""
    folder = DatasetFolder(config.data)
    records = read_records(folder, config.topics)
    balances = check_balances(records)
    statements = limit_groups([record for record in records if record.task == "statement"], config.limit)
    probes = dict(PROBES)
    if config.model:
        # torch takes seconds to import, and the text probes do without.
        from eval.audit.features import pooled_features

        wanted = [record.image_id for record in statements]
        cache = Path(config.out) / "features"
        probes |= image_probes(pooled_features(config.model, folder.images, wanted, cache, config.batch_size))
    results = score_probes(probes, statements, config)
    return {
        "verdict": overall(results, balances),
        "data": {
            "content_hash": folder.content_hash(),
            "statements": len(statements),
            "groups": len({record.group_id for record in statements}),
            "images": len({record.image_id for record in statements}),
        },
        "interval": INTERVAL,
        "probes": {name: asdict(result) for name, result in results.items()},
        "balances": [asdict(balance) for balance in balances],
    }


def read_records(folder: DatasetFolder, topics: Sequence[str]) -> list[Record]:
    """Return the distinct statements and choices about ``topics`` (about anything if there are none).

    Raises:
        RecordError: there is no true/false statement among them.
    """
    distinct = {record.record_id: record for record in folder.records}.values()
    kept = [r for r in distinct if r.task in ("statement", "choice") and (not topics or r.topic in topics)]
    if not any(record.task == "statement" for record in kept):
        raise RecordError(
            f"{folder.path} has no true/false statement about {', '.join(topics) or 'anything'}; widen --topics, "
            "or make the data with 'statements: true'"
        )
    return kept


def score_probes(probes: Mapping[str, Probe], statements: Statements, config: AuditConfig) -> dict[str, Result]:
    """Return what each probe reaches on groups that it has not learned from."""
    folds = fold_of(statements, config.folds, config.seed)
    repeated = repeats(statements, folds)
    results = {}
    with tqdm(total=len(probes) * config.folds, unit="fit", desc="probes") as bar:
        for name, probe in probes.items():
            scores = np.zeros(len(statements))
            for fold in range(config.folds):
                scores[folds == fold] = held_out_scores(probe, statements, folds, fold)
                bar.update()
            results[name] = judge(scores, statements, repeated, config.bootstrap, config.seed)
    return results


def overall(results: Mapping[str, Result], balances: Sequence[Balance]) -> str:
    """Return "fail" where a probe fails or a balance is broken, "unclear" where a probe is, else "pass"."""
    verdicts = {result.verdict for result in results.values()}
    if FAIL in verdicts or any(balance.violations for balance in balances):
        return FAIL
    return UNCLEAR if UNCLEAR in verdicts else PASS


def _announce(found: Mapping[str, Any], config: AuditConfig, out: Path) -> None:
    """Print the verdict and its reasons; under ``config.fail``, anything but a pass is an error."""
    reasons = [
        f"{name} {percent(row['accuracy'])} %" for name, row in found["probes"].items() if row["verdict"] != PASS
    ]
    reasons += [f"not so: {row['rule']} ({len(row['violations'])})" for row in found["balances"] if row["violations"]]
    line = f"{config.data}: {found['verdict']}{': ' if reasons else ''}{'; '.join(reasons)}"
    if config.fail and found["verdict"] != PASS:
        raise RecordError(f"audit of {line}; see {out / 'audit.json'}")
    print(f"audit of {line}")


def _check(config: AuditConfig) -> None:
    if not (config.data or config.coco):
        raise ConfigError("there is nothing to audit; name a dataset folder, or --coco FILE for our predicates")
    if config.vsr and not config.coco:
        raise ConfigError("vsr is given without coco; name the COCO-format file with the photos' boxes by --coco FILE")
    for name, least in (("folds", 2), ("bootstrap", 1), ("batch_size", 1), ("limit", 0)):
        if getattr(config, name) < least:
            raise ConfigError(f"{name} is {getattr(config, name)}; use {least} or more")
    check_names("topics", config.topics, TOPICS)
