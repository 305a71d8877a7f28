"""A model and its pictures, opened so that pairs can be run one after the other."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from encoders.model_hash import model_hash
from eval.attend.overlap import PLACES, Cells, Sight, canvas_geometry
from eval.families.opening import kind_of, open_model
from eval.images import ImageFeatures, Picture, tokens_of
from eval.interpret.encoders import EncodedImages
from eval.interpret.functions import Seen
from eval.interpret.pairs import Pair, PairSet
from eval.interpret.prepare import Prepared, Preparer, Unfit, stack_of
from eval.interpret.stack import Stack
from eval.study.samples import Box
from spatial.errors import CheckpointError
from spatial.records import ImageRow, Record

OURS = "vsre"
"""The type of our own models, whose encoders can be exchanged."""


@dataclass(frozen=True)
class Opened:
    """What pairs are run on.

    Attributes:
        stack: the model as its layers.
        preparer: of its prompts.
        model: the model.
        features: pictures as the model sees them; each is encoded once where pairs come in the order of their groups.
        sight: where image tokens look; ``None`` where that is not known.
        images: by identifier.
        records: by identifier; where pairs come from.
        shown_with: pictures of each group, which are encoded together and once.
        name: hash of the model.
        kind: its type.
        canvas: how pictures become square.
    """

    stack: Stack
    preparer: Preparer
    model: Any
    features: ImageFeatures
    sight: Sight | None
    images: Mapping[str, ImageRow]
    records: Mapping[str, Record]
    shown_with: Mapping[str, Sequence[str]]
    name: str
    kind: str
    canvas: str

    def prepare(self, pair: Pair) -> tuple[Prepared, Seen | None]:
        """Return a pair, ready to be run, and what is known of its clean picture.

        Raises:
            Unfit: it cannot be run, and why.
        """
        names = dict.fromkeys([pair.clean.image_id, pair.corrupt.image_id])
        found = self.features.get(list(names | dict.fromkeys(self.shown_with.get(pair.group_id, ()))))
        pictures: dict[str, Picture] = {}
        for name, picture in ((name, found[name]) for name in names):
            if isinstance(picture, Exception):
                raise Unfit(f"a picture cannot be shown: {picture}")
            pictures[name] = picture
        covered = {side.image_id: self._tokens(pair, side.image_id) for side in pair.sides}
        prepared = self.preparer.prepare(pair, pictures, covered)
        if self.sight is None:
            return prepared, None
        subject = self._cells(pair, pair.clean.image_id).get("subject", np.zeros(self.sight.grid**2, dtype=bool))
        return prepared, Seen(self.sight, subject, tokens_of(pictures[pair.clean.image_id]))

    def _cells(self, pair: Pair, image_id: str) -> dict[str, Cells]:
        """Return which cells of the map the boxes of subject and object cover, as far as they are known."""
        if self.sight is None:
            return {}
        row, boxes = self.images.get(image_id), self.boxes(pair, image_id)
        return {role: self.sight.covered(box, row.width, row.height) for role, box in boxes.items() if row}

    def boxes(self, pair: Pair, image_id: str) -> dict[str, Box]:
        """Return the boxes of subject and object in a picture of a pair, as far as they are known."""
        record = self.records.get(pair.clean.record_id)
        row = self.images.get(image_id)
        if record is None or row is None:
            return {}
        places = {"subject": record.subject, "object": record.object}
        return {role: row.objects[place].box_xyxy for role, place in places.items() if 0 <= place < len(row.objects)}

    def _tokens(self, pair: Pair, image_id: str) -> dict[str, Sequence[int]]:
        """Return the image tokens that look at subject and object: at least half of what they see is covered."""
        if self.sight is None:
            return {}
        spread_NC = self.sight.spread
        found: dict[str, Sequence[int]] = {}
        for role, cells in self._cells(pair, image_id).items():
            found[role] = np.flatnonzero(spread_NC @ cells >= 0.5).tolist()
        return found


def open_for(folder: Path, canvas: str, device: torch.device, pairs: PairSet, records: Sequence[Record]) -> Opened:
    """Open a model for pairs.

    Args:
        folder: of a checkpoint or adapter.
        canvas: how pictures become square, "" as the checkpoint has it.
        device: where it computes.
        pairs: with their pictures.
        records: where they come from.

    Raises:
        CheckpointError: it cannot be used, or not be taken apart.
    """
    kind = kind_of(folder)
    model, processor, see, canvas = open_model(folder, kind, canvas, device)
    stack = stack_of(model)
    sight = None
    if kind in PLACES:
        try:
            sight = Sight(PLACES[kind](model), *canvas_geometry(model, processor, canvas))
        except CheckpointError:
            sight = None  # every token sees the whole picture, or boxes cannot be followed: parts have no place
    if kind == OURS:
        features: ImageFeatures = EncodedImages(model, processor, pairs.images)
    else:
        features = ImageFeatures(model, processor, pairs.images, see)
    by_id = {record.record_id: record for record in records}
    preparer = Preparer(stack, model, processor)
    shown_with: dict[str, list[str]] = defaultdict(list)
    for pair in pairs.pairs:
        shown_with[pair.group_id] += [pair.clean.image_id, pair.corrupt.image_id]
    name = model_hash(folder)
    return Opened(stack, preparer, model, features, sight, pairs.images, by_id, shown_with, name, kind, canvas)
