"""Is the picture fit to be published? Any image classifier of Transformers that has a class for what is not."""

from collections.abc import Sequence

import torch
from PIL import Image

from datagen.verify.base import Pixels, Verdict
from datagen.verify.load import check_place, load_network, load_processor
from datagen.verify.verdicts import failed, passed
from spatial.errors import CheckpointError

NAME = "safety"

UNSAFE_WORDS = ("nsfw", "unsafe", "porn", "hentai", "sexy", "gore", "violence")
"""What classifiers call what is not fit; a class counts if its name is one of these."""

MOST_UNSAFE = 0.5
"""Summed probability of such classes from which a picture is refused."""

UNSAFE = "unsafe"


class SafetyChecker:
    """An image classifier as a safety checker."""

    name = NAME

    def __init__(self, place: str, device: torch.device) -> None:
        """Load it; raises CheckpointError."""
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        check_place(place, (), NAME)
        self.network = load_network(AutoModelForImageClassification, place, NAME, device)
        self.processor = load_processor(AutoImageProcessor, place, NAME)
        labels = self.network.config.id2label
        self.unsafe = [int(index) for index, label in labels.items() if label.lower() in UNSAFE_WORDS]
        if not self.unsafe:
            raise CheckpointError(
                f"{NAME}: {place} has no class such as 'nsfw' among {', '.join(labels.values())}; name a safety checker"
            )

    @torch.inference_mode()
    def verdicts(self, pictures: Sequence[Pixels]) -> list[Verdict]:
        """Return whether each picture is fit."""
        # A processor may keep the aspect, so only pictures of one size can be stacked.
        found: dict[int, Verdict] = {}
        for shape in dict.fromkeys(pixels.shape for pixels in pictures):
            alike = [index for index, pixels in enumerate(pictures) if pixels.shape == shape]
            found.update(zip(alike, self._judged([pictures[index] for index in alike]), strict=True))
        return [found[index] for index in range(len(pictures))]

    def _judged(self, pictures: Sequence[Pixels]) -> list[Verdict]:
        images = [Image.fromarray(pixels) for pixels in pictures]
        inputs = self.processor(images=images, return_tensors="pt").to(self.network.device)
        shares = self.network(**inputs).logits.float().softmax(-1)
        return [_verdict(unsafe) for unsafe in shares[:, self.unsafe].sum(-1).tolist()]


def _verdict(unsafe: float) -> Verdict:
    """Return the verdict on a picture that is unfit with a probability."""
    if not unsafe <= MOST_UNSAFE:  # nor is a picture fit of which half precision made no number
        return failed(NAME, UNSAFE, f"probability {unsafe:.2f}", unsafe)
    return passed(NAME, score=unsafe)
