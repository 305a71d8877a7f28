"""The stage that teaches a detector from renders: what is there, where, and what is farther away.

Every picture is disturbed anew in every epoch (``training.detector_mishaps``, ``training.photometric``), because what
the detector will judge are painted pictures: they are blurred and stained, and some of their things are none.
"""

from collections.abc import Sequence

import torch

from encoders.detector import DetectorConfig, TinyDetector
from encoders.detector_load import load_detector_weights
from spatial.dataset import DatasetFolder
from training.config import TrainConfig
from training.detector_data import Sights
from training.detector_mishaps import disturb
from training.detector_targets import DetectorCollator


def detector_parts(
    config: TrainConfig, folders: Sequence[DatasetFolder]
) -> tuple[TinyDetector, Sights, DetectorCollator]:
    """Return what ``training.run.fit`` trains and what it feeds.

    Without a ``model`` to start from, the weights are random and the nouns are those of the data.

    Raises:
        CheckpointError: ``model`` is no detector.
        RecordError: the data has no objects with masks, objects of other nouns, or pictures of another size.
    """
    if config.model:
        model = load_detector_weights(config.model, torch.float32)
    else:
        nouns = sorted({noun for folder in folders for names in folder.object_names().values() for noun in names})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = TinyDetector(DetectorConfig(nouns=nouns, image_size=_width(folders)))
    model.train()
    known: list[str] = model.config.nouns or []
    sights = Sights(folders, known, model.config.image_size, disturb, config.seed)
    return model, sights, DetectorCollator(len(known))


def _width(folders: Sequence[DatasetFolder]) -> int:
    return next(image.width for folder in folders for image in folder.images.values())
