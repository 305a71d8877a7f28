"""Teach encoders to see before anything is said: what each patch of a rendered picture belongs to.

Published encoders have seen millions of pictures; the tiny ones start from random weights, and a language model's
loss supervises a few dozen tokens per picture. A render knows the truth of every pixel. So each encoder first
predicts, for every cell of its own grid, which object covers the cell: its noun, colour and heading,
and in which column and row of the picture that object's centre lies. The heads are scaffolding and are not saved.

The projector and the word embeddings learn with them: each visual token has to be near the words of its cell
("red", "bus", "x4", "y5", "left"). A language model that starts from there need not find out, from a few answers per
picture, which direction of a token means red; it only has to learn where to look.

Shapes: B images, N cells of a grid, C channels of the encoder, D width of the language model, K answers to a question.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from encoders.configuration import VsreConfig
from encoders.fusion import FUSIONS
from spatial.dataset import RecordSet
from spatial.errors import ConfigError, RecordError
from spatial.records import ImageObject, ImageRow, decode_image, decode_mask
from spatial.vocabulary import COLOURS, GRID, HEADINGS, NOUNS, cell, facing_word
from training.collate import IGNORED

ANSWERS = {
    "noun": NOUNS,
    "colour": COLOURS,
    "heading": HEADINGS,
    "column": tuple(f"x{index}" for index in range(GRID)),
    "row": tuple(f"y{index}" for index in range(GRID)),
}
"""What is asked of a cell, and the words for the answers."""

QUESTIONS = {name: len(words) + (name == "noun") for name, words in ANSWERS.items()}
"""Number of labels of each question; noun 0 is the background, for which there is no word."""

COVERED = 0.15
"""An object owns a cell if it covers at least this share of it, and more than any other."""

BACKGROUND_WEIGHT = 0.2
"""Most cells show the floor; they count less."""


class DenseImages(Dataset[ImageRow]):
    """The images of record sets that have objects with masks.

    Raises:
        RecordError: there is none.
    """

    def __init__(self, sets: Sequence[RecordSet]) -> None:
        self._source = {image_id: item.images for item in sets for image_id in item.images}
        self._ids = sorted(self._source)
        shown = next((row.objects for row in map(self.__getitem__, range(len(self))) if row.objects), ())
        if not any(item.mask_rle for item in shown):
            raise RecordError("the data has no object masks to learn from; render some with 'vsre datagen'")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._ids)

    def __getitem__(self, index: int) -> ImageRow:
        """Return an image row."""
        image_id = self._ids[index]
        return self._source[image_id][image_id]


class DenseCollator:
    """Turn image rows into canvases and cell labels.

    Args:
        processor: makes the canvas.
        grids: sides of the encoders' grids.
    """

    def __init__(self, processor: Any, grids: Sequence[int]) -> None:
        self.processor, self.grids = processor, sorted(set(grids))

    def __call__(self, rows: Sequence[ImageRow]) -> dict[str, Tensor]:
        """Return ``pixel_values`` (B, 3, S, S) and, for each grid side g, ``cells_g`` (B, questions, g * g)."""
        images = [decode_image(row.image, row.image_id) for row in rows]
        pixels = self.processor.image_processor(images=images, return_tensors="pt")["pixel_values"]
        cells = {f"cells_{grid}": torch.stack([cell_labels(row, grid) for row in rows]) for grid in self.grids}
        return {"pixel_values": pixels, **cells}


def cell_labels(row: ImageRow, grid: int) -> Tensor:
    """Return the answers to ``QUESTIONS`` for every cell, (questions, grid * grid) int64, ``IGNORED`` where none is.

    Raises:
        RecordError: the picture is not square, its side is no multiple of ``grid``, or it has objects without masks or
            without a scene, whose cells would be taught to be background.
    """
    if row.width != row.height or row.width % grid:
        raise RecordError(
            f"image {row.image_id} is {row.width}x{row.height}; cells need a square of a multiple of {grid}"
        )
    if row.objects and not (row.scene and all(item.mask_rle for item in row.objects)):
        raise RecordError(
            f"image {row.image_id} has objects without masks or a scene; train on renders of 'vsre datagen'"
        )
    labels = np.full((len(QUESTIONS), grid * grid), IGNORED)
    labels[0] = 0
    if row.objects:
        step = row.width // grid
        masks = np.stack([decode_mask(item.mask_rle, row.height, row.width) for item in row.objects])
        share = masks.reshape(len(masks), grid, step, grid, step).mean(axis=(2, 4)).reshape(len(masks), -1)
        owner = np.where(share.max(axis=0) >= COVERED, share.argmax(axis=0), -1)
        fronts = [bool(spec["has_front"]) for spec in json.loads(row.scene)["objects"]]
        for index, (item, front) in enumerate(zip(row.objects, fronts, strict=True)):
            labels[:, owner == index] = np.array(_answers(item, front, row.width, row.height))[:, None]
    return torch.from_numpy(labels)


def _answers(item: ImageObject, has_front: bool, width: int, height: int) -> tuple[int, ...]:
    heading = HEADINGS.index(facing_word(item.pose[6])) if has_front else IGNORED
    column, row = (int(word[1:]) for word in cell(item.box_xyxy, width, height).split())
    return (NOUNS.index(item.name) + 1, COLOURS.index(item.colour), heading, column, row)


class DenseTask(nn.Module):
    """The towers of a model with one linear head each, and the projector with the words as its head.

    Args:
        model: a checkpoint of ours with trainable towers, projector and embeddings; ``product`` gives it back to be
            saved in the end.
        tokenizer: of the model.

    Raises:
        ConfigError: the model keeps class tokens, which have no place in the picture.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        model.train()  # encoder dropout asks the model
        self._product = [model]  # a list keeps what does not train out of this module's checkpoints
        self.vision_tower = model.model.vision_tower
        self.multi_modal_projector = model.model.multi_modal_projector
        self.embeddings = model.get_input_embeddings()
        self.answer_ids = {name: [_ids(tokenizer, word) for word in words] for name, words in ANSWERS.items()}
        plans = self.vision_tower.plans
        if any(plan.keep_cls for plan in plans.values()):
            raise ConfigError("dense labels are of places, and class tokens have none; build with keep_cls false")
        self.encoder_grids = {name: plan.grid for name, plan in plans.items()}
        self.token_places = _token_places(model.config)
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(plan.width), nn.Linear(plan.width, sum(QUESTIONS.values())))
                for name, plan in plans.items()
            }
        )
        weights = torch.ones(QUESTIONS["noun"])
        weights[0] = BACKGROUND_WEIGHT
        self.noun_weights: Tensor
        self.register_buffer("noun_weights", weights, persistent=False)

    @property
    def grids(self) -> list[int]:
        """Sides of all grids that need labels: those of encoders and those of visual tokens."""
        return sorted({*self.encoder_grids.values(), *(grid for grid, _ in self.token_places)})

    @property
    def product(self) -> Any:
        """The model whose towers learn."""
        return self._product[0]

    def forward(self, pixel_values: Tensor, **cells: Tensor) -> dict[str, Tensor]:
        """Return the summed cross-entropies of all questions: of the encoders' heads on average, and of the words.

        Args:
            pixel_values: canvases (B, 3, S, S).
            cells: as ``DenseCollator`` makes them.
        """
        features = self.vision_tower(pixel_values)
        losses = []
        for name, feature_BNC in features.items():
            answers = self.heads[name](feature_BNC).split(list(QUESTIONS.values()), dim=-1)
            targets = cells[f"cells_{self.encoder_grids[name]}"].unbind(dim=1)
            losses.append(
                torch.stack([self._loss(q, a, t) for q, a, t in zip(QUESTIONS, answers, targets, strict=True)])
            )
        by_question = torch.stack(losses).mean(dim=0)
        words = torch.stack([_cross_entropy(*pair) for pair in self.word_scores(features, cells)])
        return {"loss": by_question.sum() + words.sum(), "by_question": by_question.detach(), "words": words.detach()}

    def word_scores(self, features: dict[str, Tensor], cells: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return for each question of ``ANSWERS`` the scores of its words (B, N, K) and which is right (B, N).

        N are the visual tokens. ``IGNORED`` is right where nothing is asked, as of the background, which has no word.
        """
        seen = self.product.model.get_image_features(encoder_features=features).pooler_output
        token_BND = torch.stack(list(seen))
        target_BQN = torch.stack([cells[f"cells_{grid}"][:, :, cell] for grid, cell in self.token_places], dim=-1)
        found = []
        for (question, ids), target_BN in zip(self.answer_ids.items(), target_BQN.unbind(dim=1), strict=True):
            if question == "noun":  # 0 is the background
                target_BN = torch.where(target_BN > 0, target_BN - 1, IGNORED)
            word_KD = torch.stack([self.embeddings.weight[tokens].mean(dim=0) for tokens in ids])
            found.append((token_BND @ word_KD.T, target_BN))
        return found

    def _loss(self, question: str, answer_BNK: Tensor, target_BN: Tensor) -> Tensor:
        return _cross_entropy(answer_BNK, target_BN, self.noun_weights if question == "noun" else None)


def _cross_entropy(answer_BNK: Tensor, target_BN: Tensor, weight: Tensor | None = None) -> Tensor:
    return nn.functional.cross_entropy(answer_BNK.transpose(1, 2), target_BN, weight=weight, ignore_index=IGNORED)


def _token_places(config: VsreConfig) -> list[tuple[int, int]]:
    places = FUSIONS[config.fusion].places(config)
    if None in places:
        raise ConfigError(f"dense labels are of places, and tokens of fusion {config.fusion!r} have none; use another")
    return [place for place in places if place is not None]


def _ids(tokenizer: Any, word: str) -> list[int]:
    ids: list[int] = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
    return ids
