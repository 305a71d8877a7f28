"""Where a checkpoint's files are, and how their tensors are read without running anything that a file says.

A source is a directory, a file, or a hub id; a hub id becomes the directory of its snapshot in the local cache, first
with the small files that say what it holds, later with its weights.
"""

import json
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers.utils import logging

from encoders.configuration import TowerPlan
from spatial.errors import CheckpointError, first_line, nearest

OPENCLIP_CONFIG = "open_clip_config.json"
OPENCLIP_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")

_DESCRIPTIONS = ["config.json", "preprocessor_config.json", "processor_config.json", OPENCLIP_CONFIG, "*.index.json"]
_WHOLE = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
_HUB_ID = r"[\w-][\w.-]*/[\w.-]+"


@dataclass(frozen=True)
class Place:
    """A directory with a checkpoint, or one file of weights.

    Attributes:
        path: of the directory or file.
        hub_id: the hub repository whose snapshot it is; "" for local files.
    """

    path: Path
    hub_id: str = ""

    @property
    def origin(self) -> str:
        """Name for people, without the directories of this machine."""
        return self.hub_id or self.path.resolve().name


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says of its vision encoder, before any weight is read.

    Attributes:
        name: key of ``ENCODERS``.
        config: configuration of the whole encoder, what differs from the defaults of its class.
        pixels: "image_size", "mean", "std" and "resample", as far as the checkpoint says.
        origin: for people.
        load: a function (plan, dtype) -> weights by parameter name of the cut tower.
    """

    name: str
    config: dict[str, Any]
    pixels: dict[str, Any]
    origin: str
    load: Callable[[TowerPlan, torch.dtype | None], dict[str, Tensor]]


def locate(source: str | Path) -> Place:
    """Find a source on disk, else its snapshot in the hub's cache, else fetch the files that describe it.

    Raises:
        CheckpointError: it is neither here nor on the hub, or the hub cannot be reached.
    """
    path = Path(source)
    if path.exists():
        return Place(path)
    if not re.fullmatch(_HUB_ID, str(source)):
        raise CheckpointError(f"{source} does not exist; give a hub id, a directory or a file of weights")
    return Place(_snapshot(str(source), _DESCRIPTIONS), str(source))


def checkpoint_folder(source: str | Path) -> Path:
    """Return the directory of a whole model or adapter: the one given, or a hub id's snapshot, fetched if need be.

    Raises:
        CheckpointError: it is neither here nor on the hub, the hub cannot be reached, or has no safetensors of it.
    """
    path = Path(source)
    if path.is_dir():
        return path
    if not re.fullmatch(_HUB_ID, str(source)):
        raise missing_model(path)
    folder = _snapshot(str(source), _WHOLE)
    check_safetensors(folder, str(source))
    return folder


def missing_model(path: Path) -> CheckpointError:
    """Return the error of a model directory that is not there; names the nearest one beside it."""
    mend = _beside(path) or "; fix the path or run 'vsre build-model'"
    return CheckpointError(f"model directory {path} does not exist{mend}")


def _beside(path: Path) -> str:
    """Return "; did you mean 'checkpoints/mine'?", or "" where no directory beside it is called alike."""
    with suppress(OSError):
        return nearest(str(path), [str(found) for found in path.parent.iterdir() if found.is_dir()], 0.8)
    return ""


def cached_folder(source: str) -> Path | None:
    """Return the snapshot of a hub id that is on this machine already; nothing is fetched."""
    if not re.fullmatch(_HUB_ID, source):
        return None
    try:
        return Path(snapshot_download(source, local_files_only=True))
    except (OSError, ValueError):
        return None


def check_safetensors(folder: Path, hub_id: str = "") -> None:
    """Make sure that weights are there in the one form that is read.

    Raises:
        CheckpointError: they are not.
    """
    if next(folder.glob("*.safetensors"), None):
        return
    other = next((path.name for kind in ("*.bin", "*.pt", "*.pth") for path in folder.glob(kind)), "")
    unread = f", and {other} can hold code and is not read" if other else ""
    mend = f"; run 'hf download {hub_id}', or give a directory" if hub_id else ""
    raise CheckpointError(
        f"{hub_id or folder} has no weights as safetensors{unread}; it needs config.json and .safetensors files{mend}"
    )


def check_complete(info: Mapping[str, Any], name: object, mend: str) -> None:
    """Make sure that files had every weight of a model; Transformers fills what they lack with random numbers.

    Args:
        info: what ``from_pretrained`` tells under ``output_loading_info``.
        name: of the model, for the error.
        mend: what to do where it lacks some.

    Raises:
        CheckpointError: a weight is missing or has another shape.
    """
    wrong = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if wrong:
        raise CheckpointError(f"{name} lacks {len(wrong)} weights, the first is {wrong[0]}; {mend}")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep Transformers from reporting weights that are new or left out, where that is wanted; its table is long."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def fetch_weights(place: Place, *choices: Sequence[str]) -> None:
    """Bring the weights of a hub checkpoint into its snapshot: the first of ``choices`` (patterns) that it has."""
    for patterns in choices:
        if place.hub_id:
            _snapshot(place.hub_id, patterns)
        if any(next(place.path.glob(pattern), None) for pattern in patterns):
            return


def _snapshot(hub_id: str, patterns: Sequence[str]) -> Path:
    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(patterns)))
    except GatedRepoError as error:
        raise CheckpointError(
            f"{hub_id} is given only to those who accept its licence; do so at https://huggingface.co/{hub_id} and run "
            "'hf auth login'"
        ) from error
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise CheckpointError(
            f"{hub_id} is not on this machine and cannot be fetched ({first_line(error).rstrip('.')}); run "
            f"'hf download {hub_id} --local-dir DIR' where there is a net, and give the directory"
            f"{_beside(Path(hub_id))}"
        ) from error


def read_description(path: Path, mend: str = "download it again") -> dict[str, Any]:
    """Return the mapping in a JSON file, empty if there is none.

    Args:
        path: of the file.
        mend: what to do if it is damaged, for the error.

    Raises:
        CheckpointError: it cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({first_line(error)}); {mend}") from error
    return content if isinstance(content, dict) else {}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weight file by name, mapped from disk where the format allows it.

    Training checkpoints hold them under "state_dict" or "model", with "module." before each name if several devices
    trained; both are taken off.

    Raises:
        CheckpointError: the file is damaged, holds code, or holds no tensors.
    """
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{path} cannot be read ({first_line(error)}); download it again") from error
    try:
        if _is_torchscript(path):
            raise CheckpointError(
                f"{path} is a TorchScript archive, which holds code that is not run here; give the same weights as "
                "published for Transformers, e.g. openai/clip-vit-large-patch14-336"
            )
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} cannot be read as plain tensors, and nothing else is loaded; download it again, or save its "
            "state dict alone"
        ) from error
    except Exception as error:  # what a damaged archive or pickle raises has no common class
        raise CheckpointError(f"{path} cannot be read ({first_line(error)}); download it again") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not any(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(f"{path} holds no state dict; give a file of weights by parameter name")
    return {key.removeprefix("module."): value for key, value in content.items() if isinstance(value, Tensor)}


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") or "/code/" in name for name in archive.namelist())
