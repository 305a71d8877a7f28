"""Exchanging the features of encoders: all of them together are the other picture, and one is a run of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoders.load import load_model
from eval.images import ImageFeatures
from eval.interpret.capture import capture
from eval.interpret.cuts import cut
from eval.interpret.effects import Runs, gaps
from eval.interpret.encoders import EncodedImages, measure_encoders
from eval.interpret.oracle import observe, patched
from eval.interpret.pairs import Pair, Side
from eval.interpret.prepare import Prepared, Preparer, stack_of
from eval.interpret.sites import Block, Cell
from spatial.errors import RecordError
from spatial.records import ImageRow, encode_png, image_id_of
from spatial.templates import Prompt
from vsre.assets import resolve_model

TEXT = "Is the following statement true? The red cup is left of the book. Answer yes or no."


@pytest.fixture(scope="module")
def opened() -> tuple[Any, Any, EncodedImages, Prepared, Runs]:
    """The shipped base on two pictures of noise."""
    model, processor = load_model(Path(resolve_model("tiny-base")))
    stack = stack_of(model.eval())
    pixels = [np.random.default_rng(seed).integers(0, 255, (128, 128, 3), dtype=np.uint8) for seed in range(2)]
    images = {image_id_of(p): ImageRow(image_id_of(p), encode_png(p), 128, 128, "test") for p in pixels}
    seen = EncodedImages(model, processor, images)
    spans = {"subject": (33, 40), "relation": (44, 51), "object": (56, 60)}
    prompt = Prompt(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": TEXT}]}], ("yes", "no"), "yes", spans
    )
    first, second = images
    pair = Pair("image", Side(first, prompt), Side(second, prompt), ("yes", "no"))
    covered = {first: {"subject": [3], "object": [9]}, second: {"subject": [9], "object": [3]}}
    pictures: Any = seen.get([first, second])
    prepared = Preparer(stack, model, processor).prepare(pair, pictures, covered)
    clean, corrupt = capture(stack, prepared.clean), capture(stack, prepared.corrupt)
    ends = torch.stack([run.entering(stack.layers) for run in (clean, corrupt)])
    return stack, model, seen, prepared, Runs(clean, corrupt, *gaps(stack.logits(ends, prepared.tokens)))


def test_pictures_are_seen_as_ever(opened: Any) -> None:
    _, model, seen, prepared, _ = opened
    names = [prepared.pair.clean.image_id, prepared.pair.corrupt.image_id]
    plain = ImageFeatures(model, type("P", (), {"image_processor": seen.image_processor}), seen.images).get(names)
    own = seen.get(names[::-1])
    for name in names:
        torch.testing.assert_close(own[name], plain[name])
        tokens = model.get_image_features(encoder_features=seen.of(name)).pooler_output[0]
        torch.testing.assert_close(tokens, plain[name])


def test_a_picture_that_cannot_be_seen_leaves_the_others_their_features(opened: Any) -> None:
    _, model, seen, prepared, _ = opened
    clean, corrupt = (side.image_id for side in (prepared.pair.clean, prepared.pair.corrupt))
    tiny = np.zeros((1, 1, 3), dtype=np.uint8)
    images = {**seen.images, "tiny": ImageRow("tiny", encode_png(tiny), 1, 1, "test")}

    def picky(images: Any, **options: Any) -> Any:
        if any(image.size == (1, 1) for image in images):
            raise ValueError("a picture of one pixel")
        return seen.image_processor(images=images, **options)

    again = EncodedImages(model, type("P", (), {"image_processor": staticmethod(picky)}), images)
    found = again.get([clean, "tiny", corrupt])
    assert isinstance(found["tiny"], RecordError)
    plain = seen.get([clean, corrupt])
    for name in (clean, corrupt):
        torch.testing.assert_close(found[name], plain[name])
        torch.testing.assert_close(dict(again.of(name)), dict(seen.of(name)))


def test_one_encoder_at_a_time(opened: Any) -> None:
    stack, model, seen, prepared, runs = opened
    clean, corrupt = (seen.of(side.image_id) for side in (prepared.pair.clean, prepared.pair.corrupt))
    rows = measure_encoders(stack, model, prepared, runs, clean, corrupt, ["denoise", "noise"])
    assert [row.role for row in rows] == [*clean, *clean]
    whole = measure_encoders(stack, model, prepared, runs, clean, clean, ["denoise"])
    assert all(row.same for row in whole)
    assert all(row.ld_patched == pytest.approx(runs.ld_clean, abs=1e-4) for row in whole)
    assert len({round(row.ld_patched, 4) for row in rows}) > 2


def test_attention_that_is_cut_off_is_a_forward_pass_with_a_mask(opened: Any) -> None:
    stack, _, _, prepared, runs = opened
    rows = cut(stack, prepared, runs, 3)
    assert {row.direction for row in rows} == {"noise"}
    values = observe(stack, prepared.corrupt, ["z"])
    for row in (rows[5], rows[-1]):
        looking, hidden = row.role.split(" < ")
        reach = range(max(0, row.layer - 1), min(stack.layers, row.layer + 2))
        places = prepared.clean_roles
        cell = Cell(blocks=tuple(Block(layer, places[looking], places[hidden]) for layer in reach))
        logits = patched(stack, prepared.clean, values, cell)
        expected = float(logits[prepared.tokens[0]] - logits[prepared.tokens[1]])
        assert row.ld_patched == pytest.approx(expected, abs=2e-4)
    assert not any(row.role.startswith("subject < object") for row in rows)  # words see earlier ones only
