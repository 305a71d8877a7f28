"""What each vision encoder carries: one encoder sees the clean picture, all others the corrupt one.

This is a patch before the projector, and so one for our own models, whose towers and projector can be run apart. If one
encoder restores the answer by itself, it is enough; if exchanging it breaks the clean run, it is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from eval.images import ImageFeatures, Picture, processed
from eval.interpret.effects import ALL_HEADS, Effect, Runs, Site, effects_of, gaps
from eval.interpret.prepare import Prepared
from eval.interpret.stack import Prompt, Stack
from spatial.errors import RecordError
from spatial.records import ImageRow

KIND = "encoder"
"""Stands in the column of kinds; the role is the name of the encoder, the layer 0."""

Features = Mapping[str, Tensor]
"""Tokens of each encoder, (1, N_i, C_i)."""


class EncodedImages(ImageFeatures):
    """As ``ImageFeatures``, of one of our models, and keeps what each encoder makes of the pictures as well.

    Args:
        model: that sees them.
        processor: with ``image_processor``.
        images: encoded images by ``image_id``.
    """

    def __init__(self, model: Any, processor: Any, images: Mapping[str, ImageRow]) -> None:
        super().__init__(model, processor, images, self._see)
        self._features: dict[str, Features] = {}
        self._latest: list[Features] = []

    def get(self, keys: Sequence[str]) -> dict[str, Picture | RecordError]:
        """Return what is seen of each image, or why it cannot be shown."""
        known = dict(self._features)
        self._latest = []
        found = super().get(keys)
        new = [key for key in found if key not in known and not isinstance(found[key], RecordError)]
        known |= dict(zip(sorted(new, key=list(dict.fromkeys(keys)).index), self._latest, strict=True))
        self._features = {key: known[key] for key in found if key in known}
        return found

    def of(self, key: str) -> Features:
        """Return what each encoder makes of an image of the latest call."""
        return self._features[key]

    def _see(self, model: Any, image_processor: Any, pictures: Sequence[Image.Image]) -> Sequence[Tensor]:
        features = model.model.vision_tower(**processed(model, image_processor, pictures))
        # Added up: where one picture of a call cannot be seen, the others are seen one by one.
        self._latest += [{name: own[row : row + 1] for name, own in features.items()} for row in range(len(pictures))]
        return list(model.get_image_features(encoder_features=features).pooler_output)


@torch.no_grad()
def measure_encoders(
    stack: Stack,
    model: Any,
    prepared: Prepared,
    runs: Runs,
    clean: Features,
    corrupt: Features,
    directions: Sequence[str],
) -> list[Effect]:
    """Return the effect of exchanging each encoder's features on the answer of a pair.

    Args:
        stack: of the model.
        model: one of ours.
        prepared: the pair, of mode "image".
        runs: its plain runs.
        clean: features of the clean picture.
        corrupt: of the corrupt one.
        directions: of ``eval.interpret.effects.DIRECTIONS``.
    """
    found = []
    sites = [Site(KIND, 0, ALL_HEADS, name) for name in clean]
    for direction in directions:
        base, source = (corrupt, clean) if direction == "denoise" else (clean, corrupt)
        prompt = prepared.corrupt if direction == "denoise" else prepared.clean
        outcomes = []
        for name in clean:
            mixed = {**base, name: source[name]}
            tokens_ND = model.get_image_features(encoder_features=mixed).pooler_output[0]
            logits_V = stack.forward(_with_picture(prompt, prepared, tokens_ND))
            (answer,) = gaps(logits_V[list(prepared.tokens)][None])
            outcomes.append((answer, bool((base[name] == source[name]).all()), float("nan")))
        found += list(effects_of(prepared, runs, direction, sites, outcomes))
    return [replace(row, tokens=len(prepared.roles["image"])) for row in found]


def _with_picture(prompt: Prompt, prepared: Prepared, tokens_ND: Tensor) -> Prompt:
    states_TD = prompt.states_TD.clone()
    states_TD[list(prepared.roles["image"])] = tokens_ND.to(states_TD.dtype)
    return Prompt(states_TD, prompt.memory)
