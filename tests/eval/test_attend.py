"""What is recorded is how the model attends; a map overlaps with boxes as its ranks say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from encoders.fusion import FUSIONS
from encoders.load import load_model
from eval.attend.overlap import Sight, auroc, check_kind, fused_places, square_places
from eval.attend.record import Attention, Recorder
from eval.attend.table import EVERYWHERE, NO_BOX, NOT_SEEN, TARGETS, Measures, targets_of
from eval.attention import recorded_attention
from eval.decoders import Greedy, Pai, Reading, Scale, Temper
from eval.scoring import Pictures, Question, Scorer
from spatial.errors import CheckpointError
from spatial.records import ImageObject, ImageRow, Record
from tests.eval.plain_family import Plain, coarse_pictures, tiny_plain

FAMILY_NAMES = ("llava", "llava_next", "qwen2_5_vl")
SIZES = {"wide": (64, 40), "high": (36, 70), "long": (120, 33)}
TEXTS = ("Is the red cup left of the book?", "On?")
READINGS: tuple[Reading, ...] = (Greedy(), Scale(0.5), Scale(2.0), Temper(2.0), Pai(0.5))

Found = dict[tuple[Question, Reading], Attention]


@pytest.fixture(scope="module", params=FAMILY_NAMES)
def plain(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Plain:
    """A tiny model with grouped-query attention; but for LLaVA, pictures have unlike numbers of tokens."""
    return tiny_plain(request.param, tmp_path_factory.mktemp(request.param), coarse_pictures(SIZES))


@pytest.fixture(scope="module")
def questions(plain: Plain) -> list[Question]:
    """Five questions of unlike lengths about three pictures."""
    texts = [plain.in_chat(text) for text in TEXTS]
    keys = list(SIZES)
    return [Question(keys[i % 3], texts[i % 2], ("yes", "no")) for i in range(5)]


@pytest.fixture(scope="module")
def shown(plain: Plain, questions: list[Question]) -> list[Pictures]:
    seen = plain.features().get([question.image for question in questions])
    return [{"image": seen[question.image]} for question in questions]  # type: ignore[dict-item]


def recorded(plain: Plain, questions: list[Question], shown: list[Pictures], readings: tuple[Reading, ...]) -> Found:
    found: Found = {}

    def keep(question: Question, reading: Reading, attention: Attention) -> None:
        found[question, reading] = attention

    Recorder(plain.model, plain.processor, keep).score(questions, shown, readings)
    return found


@torch.no_grad()
def test_the_plain_model_attends_as_its_eager_attention_says_of_left_padded_rows(
    plain: Plain, questions: list[Question], shown: list[Pictures]
) -> None:
    found = recorded(plain, questions, shown, (Greedy(),))
    plain.processor.tokenizer.padding_side = "left"
    pictures = [plain.pictures[question.image] for question in questions]
    texts = [question.text for question in questions]
    rows = plain.processor(images=pictures, text=texts, padding=True, return_tensors="pt")
    real = rows["attention_mask"].bool()
    assert not real[:, 0].all() and real[:, -1].all()
    plain.model.set_attn_implementation({"text_config": "eager"})
    try:
        weights = torch.stack(plain.model(**rows, output_attentions=True).attentions, dim=1)
    finally:
        plain.model.set_attn_implementation({"text_config": "sdpa"})
    for row, question in enumerate(questions):
        attention = found[question, Greedy()]
        expected = weights[row, :, :, -1, real[row]]
        assert attention.weights_LHK.shape == expected.shape
        assert torch.allclose(attention.weights_LHK, expected, atol=1e-5)
        assert torch.equal(attention.image_K, rows["input_ids"][row, real[row]] == plain.image)


def test_changed_readings_attend_as_whole_rows_that_are_changed_likewise(
    plain: Plain, questions: list[Question], shown: list[Pictures]
) -> None:
    found = recorded(plain, questions, shown, READINGS)
    for question in questions[:3]:
        for reading in READINGS:
            expected = plain.attention(question, reading)
            assert torch.allclose(found[question, reading].weights_LHK, expected, atol=1e-5)
        change = found[question, Scale(2.0)].weights_LHK - found[question, Greedy()].weights_LHK
        assert change.abs().max() > 1e-2


def test_recording_leaves_every_answer_bit_equal(
    plain: Plain, questions: list[Question], shown: list[Pictures]
) -> None:
    expected = Scorer(plain.model, plain.processor).score(questions, shown, READINGS)
    assert Recorder(plain.model, plain.processor, lambda *_: None).score(questions, shown, READINGS) == expected
    assert plain.model.get_decoder().config._attn_implementation == "sdpa"


def test_attention_is_all_on_image_and_text_and_tempering_keeps_how_much_is_on_which(
    plain: Plain, questions: list[Question], shown: list[Pictures]
) -> None:
    found = recorded(plain, questions, shown, (*READINGS, Scale(1.0)))
    for attention in found.values():
        text = attention.weights_LHK[..., ~attention.image_K].sum(-1)
        assert torch.allclose(attention.share_LH + text, torch.ones_like(text), atol=1e-6)
    for question in questions:
        greedy, one, temper, scale = (found[question, key] for key in (Greedy(), Scale(1.0), Temper(2.0), Scale(2.0)))
        assert torch.allclose(greedy.weights_LHK, one.weights_LHK, atol=1e-6)
        # What later layers are asked with has changed by then.
        assert torch.allclose(greedy.share_LH[0], temper.share_LH[0], atol=1e-6)
        assert not torch.allclose(greedy.weights_LHK[0], temper.weights_LHK[0], atol=1e-3)
        assert not torch.allclose(greedy.share_LH[0], scale.share_LH[0], atol=1e-3)


def test_a_model_whose_attention_is_not_reached_is_named(plain: Plain) -> None:
    with pytest.raises(CheckpointError, match="2 of 2 layers"), recorded_attention(plain.model.get_decoder(), 1):
        pass


def test_auroc_of_a_map_made_by_hand() -> None:
    scores = np.array([[0.1, 0.4, 0.4, 0.9], [1.0, 1.0, 1.0, 1.0], [0.9, 0.4, 0.3, 0.1]])
    labels = np.array([[0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=bool)
    found = auroc(scores, labels)
    # Of the four pairs of the first row three are in order, and one is tied.
    assert found[:, 0].tolist() == [0.875, 0.5, 0.0]
    assert np.isnan(found[:, 1:]).all()


def test_auroc_agrees_with_scikit_learn_also_on_ties() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (4, 3, 50)) / 5
    labels = rng.random((2, 50)) < 0.3
    expected = [[[roc_auc_score(label, row) for label in labels] for row in rows] for rows in scores]
    np.testing.assert_allclose(auroc(scores, labels), expected)


def test_one_grid_is_its_own_map_and_several_add_up() -> None:
    one = Sight([(2, cell) for cell in range(4)], "pad", 8)
    assert np.array_equal(one.spread, np.eye(4))
    both = Sight([None, *((2, cell) for cell in range(4)), *((4, cell) for cell in range(16))], "pad", 8)
    spread = both.spread
    assert both.grid == 4 and not spread[0].any()
    np.testing.assert_allclose(spread[1:].sum(-1), 1)
    assert np.array_equal(spread[5:], np.eye(16))
    assert np.array_equal(spread[2].reshape(4, 4)[:2, 2:], np.full((2, 2), 0.25)) and spread[2, [0, 1, 8]].sum() == 0


def test_a_box_covers_the_cells_of_which_half_lies_in_it_or_else_one() -> None:
    sight = Sight([(4, cell) for cell in range(16)], "pad", 64)
    assert np.flatnonzero(sight.covered((0, 0, 24, 16), 64, 64)).tolist() == [0, 1]
    assert np.flatnonzero(sight.covered((0, 0, 23, 16), 64, 64)).tolist() == [0]
    assert np.flatnonzero(sight.covered((30, 18, 36, 22), 64, 64)).tolist() == [6]
    # A wide picture shows in the two middle rows only.
    assert np.flatnonzero(sight.picture(64, 32)).tolist() == list(range(4, 12))
    assert np.flatnonzero(sight.covered((0, 0, 16, 32), 64, 32)).tolist() == [4, 8]


def test_where_there_is_nothing_to_overlap_with_the_reason_is_named() -> None:
    sight = Sight([(4, cell) for cell in range(16)], "crop", 64)
    boxes = {"whole": (0, 0, 128, 64), "left": (0, 0, 20, 64), "middle": (50, 0, 80, 30)}
    image = ImageRow("i", b"", 128, 64, "test", tuple(ImageObject(name, box) for name, box in boxes.items()))

    def undefined(subject: int, other: int) -> dict[str, str]:
        record = Record("i", "g", "r", "statement", "relation", "c", "true", subject, other, "left of")
        return dict(targets_of(record, image, sight).undefined)

    assert undefined(2, 2) == {}
    assert undefined(-1, -1) == dict.fromkeys(TARGETS, NO_BOX)
    assert undefined(2, 7) == {"object": NO_BOX}
    assert undefined(1, 2) == {"subject": NOT_SEEN}
    assert undefined(0, 2) == {"subject": EVERYWHERE, "either": EVERYWHERE}


def test_places_are_those_of_the_fusion_and_of_clip(checkpoint: Path, plain: Plain) -> None:
    model, _ = load_model(str(checkpoint))
    assert fused_places(model) == FUSIONS["sequence"].places(model.config)
    if plain.model.config.model_type == "llava":
        assert square_places(plain.model) == [(4, cell) for cell in range(16)]


@pytest.mark.parametrize("kind", ["llava_next", "qwen2_vl", "blip"])
def test_models_without_known_places_are_refused(kind: str) -> None:
    with pytest.raises(CheckpointError, match=f"type {kind!r} look is not known here .known: llava, vsre"):
        check_kind(kind)


def test_other_numbers_of_tokens_than_places_are_refused() -> None:
    measures = Measures(Sight([(2, cell) for cell in range(4)], "pad", 8), {}, {}, ())
    attention = Attention(torch.ones(1, 1, 3) / 3, torch.tensor([True, True, False]))
    with pytest.raises(CheckpointError, match="by 2 tokens where 4 are expected"):
        measures.keep(Question("i", "t", ("yes", "no")), Greedy(), attention)
