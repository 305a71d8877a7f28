"""``vsre train``: training, with what scores it while it goes on.

Training knows no way of scoring and evaluation no training; here the one is handed to the other. Everything about
``evaluate`` that can be wrong is found before a model is loaded.
"""

import logging
from pathlib import Path

from eval.live import LiveEvaluation
from eval.metrics import METRICS
from spatial.dataset import DatasetFolder
from spatial.errors import ConfigError, UserError, nearest
from training import run
from training.config import TrainConfig
from vsre.settings import from_mapping

OF_THE_RUN = {
    "model": "the model is the one in training",
    "out": "nothing is stored",
    "device": "the model is where it trains",
    "nproc": "training has processes of its own",
    "rank": "all processes of training answer a part",
    "world": "all processes of training answer a part",
    "canvas": "pictures are made square as the model's processor does",
}
"""Settings of ``vsre eval`` that an evaluation in training takes from the run."""

_log = logging.getLogger(__name__)


def train(config: TrainConfig) -> Path:
    """Train as ``training.run.train`` does, scored as ``config.evaluate`` says."""
    return run.train(config, make_evaluator)


def make_evaluator(config: TrainConfig) -> LiveEvaluation:
    """Return what ``config.evaluate`` asks of the model in training.

    Raises:
        ConfigError: settings that cannot be used, or the checkpoint would be chosen on images that it trains on.
        RecordError: the slice or the data cannot be read.
    """
    chosen = config.evaluate
    for name in chosen.settings:
        if name in OF_THE_RUN:
            raise ConfigError(f"evaluate.settings.{name} cannot be set: {OF_THE_RUN[name]}; remove it")
    if chosen.metric not in METRICS:
        hint = nearest(chosen.metric, METRICS)
        raise ConfigError(f"evaluate.metric {chosen.metric!r} is unknown; known: {', '.join(METRICS)}{hint}")
    try:
        settings = from_mapping("eval", chosen.settings)
        evaluation = LiveEvaluation(settings)
    except UserError as error:
        raise type(error)(f"evaluate.settings: {error}") from error
    _check_overlap(config, evaluation)
    if settings.data.kind == "vsr" and (settings.data.split or "test") == "test" and chosen.keep == "best":
        _log.warning("the checkpoint is chosen on VSR's test part, whose scores then say too much; use its dev part")
    return evaluation


def _check_overlap(config: TrainConfig, evaluation: LiveEvaluation) -> None:
    """Refuse to choose a checkpoint on images that it trains on; where none is chosen, warn."""
    for folder in map(Path, config.data):
        shared = evaluation.image_ids & set(DatasetFolder(folder).images) if folder.is_dir() else set()
        if not shared:
            continue
        said = f"{len(shared)} of {len(evaluation.image_ids)} images of evaluate.settings.data are in {folder} too"
        if config.evaluate.keep == "best":
            raise ConfigError(f"{said}, so that training would be scored on what it saw; name other data")
        _log.warning("%s: the scores are of images that are trained on", said)
