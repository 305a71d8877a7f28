"""What decides an encoder's features, so that cached ones are never taken for those of another model or geometry.

A key stands for one encoder: its weights and configuration (the revision), everything that makes its input from a
picture (the preprocessing), and the number format. Fusion, projector and language model are not part of it, so
ablations over them, and over subsets of the encoders, share the features.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig

from encoders.configuration import TowerPlan
from encoders.processing import VsreImageProcessor
from encoders.tower import FusedVisionModel, is_split
from spatial.errors import ConfigError

PIXELS_VERSION = 1
"""Of the code that makes an encoder's input from a picture. Raise it whenever that code gives other numbers."""

SPLIT = (
    "cached features cannot be made or told apart while ZeRO-3 splits the encoders' weights; set"
    " zero_optimization.stage to 2 in the DeepSpeed settings, which is enough for frozen encoders, or remove 'features'"
)
"""What a user is told whose weights no process has whole."""

_NAMES_ONLY = ("image_processor_type", "processor_class", "_processor_class", "auto_map")


@dataclass(frozen=True)
class FeatureKey:
    """What the features of one encoder depend on, apart from the picture.

    Attributes:
        encoder: name from ``ENCODERS``.
        revision: hash of the tower's weights, its configuration, and where it is cut.
        preprocessing: settings of the image processor, what the tower makes of the canvas, and ``PIXELS_VERSION``.
        dtype: in which the tower computes and the features are kept.
        tokens: of one image.
        channels: of one token.
    """

    encoder: str
    revision: dict[str, Any]
    preprocessing: dict[str, Any]
    dtype: str
    tokens: int
    channels: int

    @property
    def digest(self) -> str:
        """Return 16 hex digits that name the key."""
        return hashlib.blake2b(json.dumps(asdict(self), sort_keys=True).encode(), digest_size=8).hexdigest()

    @property
    def folder(self) -> str:
        """Name of the folder with these features."""
        return f"{self.encoder}-{self.digest}"

    @property
    def torch_dtype(self) -> torch.dtype:
        """The number format, as torch has it."""
        found: torch.dtype = getattr(torch, self.dtype)
        return found

    @property
    def image_bytes(self) -> int:
        """Bytes of one image's features."""
        return self.tokens * self.channels * self.torch_dtype.itemsize


def feature_keys(vision: FusedVisionModel, image_processor: VsreImageProcessor) -> dict[str, FeatureKey]:
    """Return the key of every encoder of a loaded model, in fusion order; raises as ``weights_hash`` does."""
    geometry = {name: value for name, value in image_processor.to_dict().items() if name not in _NAMES_ONLY}
    return {name: _key(name, plan, vision, geometry) for name, plan in vision.plans.items()}


def _key(name: str, plan: TowerPlan, vision: FusedVisionModel, geometry: dict[str, Any]) -> FeatureKey:
    incidental = PreTrainedConfig().to_dict().keys() - {"model_type"}  # versions, labels and what the output looks like
    settings = {key: value for key, value in plan.config.to_dict().items() if key not in incidental}
    tower = {key: getattr(plan, key) for key in ("image_size", "mean", "std", "resample")}
    plain = {
        "revision": {
            "weights": weights_hash(vision.towers[name]),
            "config": settings,
            "feature_layer": plan.feature_layer,
            "keep_cls": plan.keep_cls,
        },
        "preprocessing": {"canvas": geometry, "tower": tower, "version": PIXELS_VERSION},
    }
    return FeatureKey(
        encoder=name,
        **json.loads(json.dumps(plain, default=str)),  # as it will be read again
        dtype=str(vision.dtype).removeprefix("torch."),
        tokens=plan.tokens,
        channels=plan.width,
    )


def weights_hash(module: nn.Module) -> str:
    """Return 32 hex digits for the names, shapes, formats and values of a module's weights.

    Raises:
        ConfigError: they are split over processes, so that this one has no values to tell them from others by.
    """
    if is_split(module) and any(parameter.numel() == 0 for parameter in module.parameters()):
        raise ConfigError(SPLIT)
    hasher = hashlib.blake2b(digest_size=16)
    for name, weight in sorted(module.state_dict().items()):
        hasher.update(f"{name}:{list(weight.shape)}:{weight.dtype}\n".encode())
        hasher.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def difference(held: dict[str, Any], key: FeatureKey) -> str:
    """Name what distinguishes a key read from disk from ``key``, the most telling part first; "" if nothing does."""
    wanted = asdict(key)
    if held == wanted:
        return ""
    if held.get("dtype") != key.dtype:
        return f"dtype {held.get('dtype')}, not {key.dtype}"
    both = _leaves(held), _leaves(wanted)
    paths = {**both[1], **both[0]}
    before, after = ({path: leaves.get(path, "nothing") for path in paths} for leaves in both)
    changed = [path for path in paths if before[path] != after[path]]
    path = min(changed, key=lambda path: path == "revision.weights")
    if path == "revision.weights":
        return "other weights"
    return f"{path} {before[path]}, not {after[path]}"


def _leaves(tree: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {
        leaf: value
        for name, part in tree.items()
        for leaf, value in _leaves(part, f"{path}.{name}" if path else name).items()
    }
