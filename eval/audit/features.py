"""What the frozen towers of a model make of each image, as one vector, computed once.

Each encoder's tokens are averaged over the picture and the encoders laid end to end. Batches are stored as they are
done, under the hash of the model, so a killed audit goes on and a second one of the same images computes nothing.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from encoders.device import usable_device
from encoders.load import load_model
from encoders.model_hash import model_hash
from spatial.errors import RecordError
from spatial.files import atomic
from spatial.records import ImageRow, decode_image
from spatial.scene import digest

Features = dict[str, NDArray[np.float32]]


def pooled_features(
    model: str | Path, images: Mapping[str, ImageRow], wanted: Sequence[str], cache: Path, batch_size: int
) -> Features:
    """Return the pooled tower features [F] of each wanted image.

    Args:
        model: checkpoint directory.
        images: encoded images by ``image_id``.
        wanted: image identifiers; repeated ones count once.
        cache: folder of stored batches.
        batch_size: images in one forward pass.

    Raises:
        CheckpointError: the model cannot be used.
        RecordError: an image is missing or broken, or a stored batch is damaged.
    """
    folder = cache / model_hash(model)
    names = list(dict.fromkeys(wanted))
    known = _read(folder)
    missing = [name for name in names if name not in known]
    if missing:
        batches = [missing[start : start + batch_size] for start in range(0, len(missing), batch_size)]
        with tqdm(total=len(names), initial=len(names) - len(missing), unit="image", desc="features") as bar:
            for batch, rows in zip(batches, _compute(model, images, batches), strict=True):
                _store(folder, batch, rows)
                known |= dict(zip(batch, rows, strict=True))
                bar.update(len(batch))
    return {name: known[name] for name in names}


def _compute(
    model: str | Path, images: Mapping[str, ImageRow], batches: Sequence[Sequence[str]]
) -> Iterator[NDArray[np.float32]]:
    network, processor = load_model(model)
    device = usable_device()
    tower = network.model.vision_tower.to(device)
    for batch in batches:
        pixels = [decode_image(_encoded(images, name), name) for name in batch]
        canvases = processor.image_processor(images=pixels, return_tensors="pt")["pixel_values"].to(device)
        with torch.inference_mode():
            tokens: dict[str, Any] = tower(canvases)
            pooled = torch.cat([token.float().mean(1) for token in tokens.values()], dim=1)
        yield pooled.cpu().numpy()


def _encoded(images: Mapping[str, ImageRow], name: str) -> bytes:
    if name not in images:
        raise RecordError(f"image {name} is not in the dataset; make the dataset again with 'vsre datagen'")
    return images[name].image


def _store(folder: Path, names: Sequence[str], rows: NDArray[np.float32]) -> None:
    # Named by what it holds: two audits that write at once do not meet.
    with atomic(folder / f"{digest(json.dumps(list(names)))}.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, names=np.array(names), rows=rows)


def _read(folder: Path) -> Features:
    known: Features = {}
    for path in sorted(folder.glob("*.npz")):
        try:
            with np.load(path) as stored:
                known |= dict(zip(stored["names"].tolist(), stored["rows"], strict=True))
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise RecordError(f"{path} is damaged; delete it and run the same 'vsre audit' command again") from error
    return known
