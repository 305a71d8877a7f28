"""``vsre study``: how well each encoder, their fusion and the bare pixels tell relations apart.

The output folder gets ``results.json`` (the figures), ``points.parquet`` (the maps' coordinates by statement), and
``pair.png`` and ``image.png``, one per view.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from eval.audit.folds import fold_of
from eval.benchmarks import check_names
from eval.config import StudyConfig
from eval.study.samples import Samples, choose_samples
from eval.terminal import wide_console
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError
from spatial.files import atomic, write_json
from spatial.scene import digest

VIEWS = ("pair", "image")
INTERVAL = "95 %, BCa bootstrap over groups; Wilson where all groups agree"


def study(config: StudyConfig) -> Path:
    """Compare the features of a model's encoders and fusion, and return the output folder.

    Raises:
        ConfigError: a setting that cannot be used, or scikit-learn is missing.
        RecordError: the data has too few true statements, or is broken.
        CheckpointError: the model cannot be used.
    """
    _check(config)
    # scikit-learn is an extra, and torch takes seconds to import: mistakes above are told before.
    from eval.study import show
    from eval.study.features import open_eyes, read_features

    folder = DatasetFolder(config.data)
    samples = choose_samples(folder, config)
    folds = fold_of(samples.records, config.folds, config.seed)
    eyes = open_eyes(config.model)
    features = read_features(eyes, samples.chosen, folder.images, config.views, config.batch_size)
    figures, maps = _measured(features, samples, folds, config)
    out, console = Path(config.out), wide_console()
    found = _facts(config, folder, samples) | {"views": figures}
    _write_points(maps, samples, out / "points.parquet")
    for stale in set(VIEWS) - set(config.views):
        (out / f"{stale}.png").unlink(missing_ok=True)
    for view in config.views:
        relations = [record.relation for record in samples.records]
        drawn = {source: points for (of, source), points in maps.items() if of == view}
        show.draw(view, figures[view], drawn, relations, out / f"{view}.png")
        console.print(show.table(view, figures[view], found["data"]))
    write_json(out / "results.json", found)
    return out


def _measured(
    features: dict[tuple[str, str], NDArray[np.float32]],
    samples: Samples,
    folds: NDArray[np.int64],
    config: StudyConfig,
) -> tuple[dict[str, dict[str, Any]], dict[tuple[str, str], NDArray[np.float64]]]:
    """Return the figures by view and source, and the maps [N, 2] by (view, source)."""
    from eval.study.figures import measure
    from eval.study.maps import lay_out

    relations = [record.relation for record in samples.records]
    groups = [record.group_id for record in samples.records]
    figures: dict[str, dict[str, Any]] = {view: {} for view in config.views}
    maps = {}
    for (view, source), rows in tqdm(features.items(), unit="source", desc="figures and maps"):
        # Shuffles of its own, so that an unlucky one does not lift all sources at once.
        seed = int(digest(f"{config.seed}/{view}/{source}")[:8], 16)
        measured = measure(rows, relations, groups, folds, config.shuffles, config.bootstrap, seed)
        figures[view][source] = asdict(measured)
        maps[view, source] = lay_out(rows, config.seed)
    return figures, maps


def _facts(config: StudyConfig, folder: DatasetFolder, samples: Samples) -> dict[str, Any]:
    records = samples.records
    return {
        "config": asdict(config),
        "interval": INTERVAL,
        "data": {
            "content_hash": folder.content_hash(),
            "samples": len(records),
            "groups": len({record.group_id for record in records}),
            "relations": {name: sum(r.relation == name for r in records) for name in samples.relations},
            "chance": 1 / len(samples.relations),
            "left_out": samples.left_out,
        },
    }


def _write_points(maps: dict[tuple[str, str], NDArray[np.float64]], samples: Samples, path: Path) -> None:
    import pandas as pd

    names = ("record_id", "image_id", "group_id", "relation")
    statements = pd.DataFrame({name: [getattr(record, name) for record in samples.records] for name in names})
    parts = [
        statements.assign(view=view, source=source, x=points[:, 0], y=points[:, 1])
        for (view, source), points in maps.items()
    ]
    with atomic(path) as temporary:
        pd.concat(parts, ignore_index=True).to_parquet(temporary, index=False)


def _check(config: StudyConfig) -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ConfigError("'vsre study' needs scikit-learn: .venv/bin/pip install -e '.[study]'") from error
    if not config.data:
        raise ConfigError("there is nothing to study; name a dataset folder, as 'vsre datagen' writes it")
    if not config.views:
        raise ConfigError("views must not be empty; use [pair, image]")
    check_names("views", config.views, VIEWS)
    for name, least in (("folds", 2), ("samples", 0), ("shuffles", 2), ("bootstrap", 1), ("batch_size", 1)):
        if getattr(config, name) < least:
            raise ConfigError(f"{name} is {getattr(config, name)}; use {least} or more")
