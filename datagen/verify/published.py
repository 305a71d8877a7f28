"""Published detectors and depth estimators, through Transformers.

- OWLv2 (arXiv 2306.09683): a picture is seen once, all nouns are compared with it.
- Grounding DINO (arXiv 2303.05499): words and picture are read together and nouns in one text disturb each other, so
  every noun is a query of its own.
- Depth Anything V2 (arXiv 2406.09414): its relative models estimate inverse depth, its metric ones depth.

None has vocabulary limits; none is ever told a relation. Several boxes of one thing are reduced to the surest.

Shapes: H, W picture.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from datagen.verify.base import Detection, Pixels
from datagen.verify.boxes import one_each
from datagen.verify.load import check_place, load_network, load_processor
from spatial.boxes import clipped, is_known
from spatial.sentences import with_article

Found = list[list[Detection]]

QUERIES = 16
"""Pairs of a picture and a noun that Grounding DINO is given at once."""


class Owlv2Detector:
    """OWLv2."""

    name = "owlv2"
    vocabulary: frozenset[str] | None = None

    def __init__(self, place: str, device: torch.device, least_score: float) -> None:
        """Load it; raises CheckpointError."""
        from transformers import Owlv2ForObjectDetection, Owlv2Processor

        check_place(place, ("owlv2",), self.name)
        self.processor = load_processor(Owlv2Processor, place, self.name)
        self.network = load_network(Owlv2ForObjectDetection, place, self.name, device)
        self.least_score = least_score

    @torch.inference_mode()
    def detect(self, pictures: Sequence[Pixels], nouns: Sequence[Sequence[str]]) -> Found:
        """Return what of the nouns asked for each picture is found in it, the surest first."""
        # A box goes to the query that fits it best. Blanks, which would fill up the shorter ones of a batch, are
        # queries too and would take boxes away, so only pictures with equally many nouns go together.
        found: dict[int, list[Detection]] = {}
        for count in sorted({len(asked) for asked in nouns}):
            alike = [index for index, asked in enumerate(nouns) if len(asked) == count]
            parts = self._ask([pictures[i] for i in alike], [nouns[i] for i in alike]) if count else [[]] * len(alike)
            found.update(zip(alike, parts, strict=True))
        return [found[index] for index in range(len(pictures))]

    def _ask(self, pictures: list[Pixels], nouns: list[Sequence[str]]) -> Found:
        """Ask pictures for equally many nouns each."""
        queries = [[f"a photo of {with_article(noun)}" for noun in asked] for asked in nouns]
        inputs = self.processor(text=queries, images=_images(pictures), return_tensors="pt", truncation=True)
        inputs = inputs.to(self.network.device)
        results = self.processor.post_process_grounded_object_detection(
            self.network(**inputs), threshold=self.least_score, target_sizes=_sizes(pictures)
        )
        return [
            _detections(pixels, result, [asked[label] for label in result["labels"].tolist()])
            for pixels, asked, result in zip(pictures, nouns, results, strict=True)
        ]


class GroundingDinoDetector:
    """Grounding DINO, asked one noun at a time."""

    name = "grounding-dino"
    vocabulary: frozenset[str] | None = None

    def __init__(self, place: str, device: torch.device, least_score: float) -> None:
        """Load it; raises CheckpointError."""
        from transformers import GroundingDinoForObjectDetection, GroundingDinoProcessor

        check_place(place, ("grounding-dino",), self.name)
        self.processor = load_processor(GroundingDinoProcessor, place, self.name)
        self.network = load_network(GroundingDinoForObjectDetection, place, self.name, device)
        self.threshold = {threshold_name(self.processor.post_process_grounded_object_detection): least_score}

    @torch.inference_mode()
    def detect(self, pictures: Sequence[Pixels], nouns: Sequence[Sequence[str]]) -> Found:
        """Return what of the nouns asked for each picture is found in it, the surest first."""
        found: Found = [[] for _ in pictures]
        queries = [(index, noun) for index, asked in enumerate(nouns) for noun in asked]
        for start in range(0, len(queries), QUERIES):
            part = queries[start : start + QUERIES]
            # Padding a picture changes what is found in it, so only pictures of one size go together.
            for size in dict.fromkeys(pictures[index].shape for index, _ in part):
                alike = [(index, noun) for index, noun in part if pictures[index].shape == size]
                asked = self._ask([pictures[index] for index, _ in alike], [noun for _, noun in alike])
                for (index, _), detections in zip(alike, asked, strict=True):
                    found[index] += detections
        return [sorted(detections, key=lambda it: -it.score) for detections in found]

    def _ask(self, pictures: list[Pixels], nouns: list[str]) -> Found:
        """Ask each picture for one noun."""
        text = [f"{with_article(noun).lower()}." for noun in nouns]
        inputs = self.processor(images=_images(pictures), text=text, padding=True, return_tensors="pt")
        inputs = inputs.to(self.network.device)
        results = self.processor.post_process_grounded_object_detection(
            self.network(**inputs), inputs["input_ids"], target_sizes=_sizes(pictures), **self.threshold
        )
        return [
            _detections(pixels, result, [noun] * len(result["scores"]))
            for pixels, noun, result in zip(pictures, nouns, results, strict=True)
        ]


class DepthAnything:
    """Depth Anything V2."""

    name = "depth-anything"

    def __init__(self, place: str, device: torch.device) -> None:
        """Load it; raises CheckpointError."""
        from transformers import AutoImageProcessor, DepthAnythingForDepthEstimation

        check_place(place, ("depth_anything",), self.name)
        self.processor = load_processor(AutoImageProcessor, place, self.name)
        self.network = load_network(DepthAnythingForDepthEstimation, place, self.name, device)
        self.metric = self.network.config.depth_estimation_type == "metric"

    @torch.inference_mode()
    def depth(self, pictures: Sequence[Pixels]) -> list[NDArray[np.float32]]:
        """Return (H, W) relative depth of each picture; larger is farther."""
        # The processor keeps the aspect, so only pictures of one size can be stacked.
        depths: dict[int, NDArray[np.float32]] = {}
        for size in dict.fromkeys(_sizes(pictures)):
            alike = [index for index, pixels in enumerate(pictures) if pixels.shape[:2] == size]
            depths.update(zip(alike, self._estimate([pictures[index] for index in alike]), strict=True))
        return [depths[index] for index in range(len(pictures))]

    def _estimate(self, pictures: list[Pixels]) -> list[NDArray[np.float32]]:
        inputs = self.processor(images=_images(pictures), return_tensors="pt").to(self.network.device)
        estimated = self.processor.post_process_depth_estimation(self.network(**inputs), target_sizes=_sizes(pictures))
        sign = 1 if self.metric else -1
        return [(sign * result["predicted_depth"].float()).cpu().numpy() for result in estimated]


def threshold_name(function: Callable[..., Any]) -> str:
    """Return how a post-processing function calls its threshold: it was "box_threshold" before Transformers 4.51."""
    return "threshold" if "threshold" in inspect.signature(function).parameters else "box_threshold"


def _detections(pixels: Pixels, result: Any, named: Sequence[str]) -> list[Detection]:
    """Return one detection per thing; boxes are cut at the picture's border."""
    height, width, _ = pixels.shape
    boxes, scores = result["boxes"].float().cpu().tolist(), result["scores"].float().cpu().tolist()
    found = [
        Detection(noun, clipped(box, width, height), score)
        for noun, box, score in zip(named, boxes, scores, strict=True)
    ]
    return one_each(it for it in found if is_known(it.box))


def _images(pictures: Sequence[Pixels]) -> list[Image.Image]:
    return [Image.fromarray(pixels) for pixels in pictures]


def _sizes(pictures: Sequence[Pixels]) -> list[tuple[int, int]]:
    return [(pixels.shape[0], pixels.shape[1]) for pixels in pictures]
