"""Load a detector, or say in one line why the directory cannot be used."""

from pathlib import Path

import torch
from safetensors import SafetensorError

from encoders.detector import DetectorConfig, TinyDetector
from encoders.source_files import check_complete, read_description
from spatial.errors import CheckpointError, first_line

MEND = "train one with 'vsre train configs/train/tiny-verifier.yaml', or name 'tiny-verifier'"


def load_detector_weights(path: str | Path, dtype: torch.dtype = torch.float32) -> TinyDetector:
    """Load a checkpoint directory in evaluation mode, every weight of it.

    Raises:
        CheckpointError: the directory is absent, of another architecture, incomplete or damaged.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise CheckpointError(f"detector directory {folder} does not exist; {MEND}")
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder} has no config.json; {MEND}")
    kind = read_description(folder / "config.json", "copy the directory again").get("model_type")
    if kind != DetectorConfig.model_type:
        raise CheckpointError(f"{folder} holds a model of type {kind!r}, not {DetectorConfig.model_type!r}; {MEND}")
    try:
        model, info = TinyDetector.from_pretrained(folder, dtype=dtype, output_loading_info=True, local_files_only=True)
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} cannot be loaded ({first_line(error)}); copy or train it again") from error
    check_complete(info, folder, "copy or train it again")
    return model.eval()
