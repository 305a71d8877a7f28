"""Other families answer through the shared trunk what their own forward pass and ``generate`` say, row by row."""

from itertools import combinations
from typing import Any

import pytest
import torch
from PIL import Image

from eval.decoders import Blind, Dola, Greedy, Pai, Reading, Scale, Temper, Vcd
from eval.images import Placed, contrast_key
from eval.scoring import Pictures, Question, Scorer, Scores
from tests.eval.plain_family import Plain, coarse_pictures, tiny_plain
from tests.eval.test_scoring import all_scores

NAMES = ("llava", "llava_next", "qwen2_vl", "qwen2_5_vl")

SIZES = {"wide": (64, 40), "high": (36, 70), "square": (32, 32), "long": (120, 33)}
"""Width and height of pictures that have, in most families, unlike numbers of image tokens."""

TEXTS = ("Is the red cup left of the book?", "On?", "Where is the cup relative to the blue book? Answer in one word.")
OPTIONS = (("yes", "no"), ("True", "False"), ("left of", "in front of", "under"))

READINGS: tuple[Reading, ...] = (
    Greedy(),
    Scale(0.5),
    Scale(1.5),
    Temper(2.0),
    Pai(0.5),
    Vcd(1.0, 0.1),
    Blind(1.0, 0.1),
    Dola(0.1),
)


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image.Image]:
    return coarse_pictures(SIZES)


@pytest.fixture(scope="module", params=NAMES)
def plain(request: pytest.FixtureRequest, pictures: dict[str, Image.Image], tmp_path_factory: Any) -> Plain:
    """A tiny model of each family, in which attention decides."""
    return tiny_plain(request.param, tmp_path_factory.mktemp(request.param), pictures)


@pytest.fixture(scope="module")
def questions(plain: Plain) -> list[Question]:
    """Eleven questions of unlike lengths about four pictures, in the words of the chat template."""
    texts = [plain.in_chat(text) for text in TEXTS]
    keys = list(plain.pictures)
    return [Question(keys[i % 4], texts[i % 3], OPTIONS[i % 3]) for i in range(11)]


@pytest.fixture(scope="module")
def shown(plain: Plain, questions: list[Question]) -> list[Pictures]:
    """What each question is shown, by kind."""
    keys = [{kind: contrast_key(q.image, kind) for kind in ("image", "blind", "noised")} for q in questions]
    seen = plain.features().get([key for named in keys for key in named.values()])
    return [{kind: seen[key] for kind, key in named.items()} for named in keys]  # type: ignore[misc]


def scores_of(
    plain: Plain, questions: list[Question], shown: list[Pictures], size: int, words: int = 0
) -> dict[Reading, list[Scores]]:
    found: dict[Reading, list[Scores]] = all_scores(
        plain.model, plain.processor, shown, questions, size, READINGS, words
    )
    return found


@pytest.mark.parametrize("size", [1, 4, 11])
def test_the_trunk_says_what_the_model_says(
    size: int, plain: Plain, questions: list[Question], shown: list[Pictures]
) -> None:
    found = scores_of(plain, questions, shown, size, words=4)
    for question, scores in zip(questions, found[Greedy()], strict=True):
        expected = plain.option_logprobs(question, Greedy())
        assert scores.option_logprobs == pytest.approx(expected, abs=1e-5)
        confidence = float(plain.logprobs(question, [], Greedy())[0].max().exp())
        assert scores.confidence == pytest.approx(confidence, abs=1e-5)
        assert scores.generated == plain.generated(question, 4)
    for reading in READINGS[1:]:
        for question, scores in list(zip(questions, found[reading], strict=True))[:4]:
            expected = plain.option_logprobs(question, reading)
            rounding = 5e-5 if isinstance(reading, Vcd | Dola) else 1e-5
            assert scores.option_logprobs == pytest.approx(expected, abs=rounding), reading
            assert scores.generated == plain.words(question, reading, 4), reading


def test_the_readings_and_the_pictures_differ(plain: Plain, questions: list[Question], shown: list[Pictures]) -> None:
    found = scores_of(plain, questions, shown, 11)
    for first, second in combinations(READINGS, 2):
        pairs = zip(found[first], found[second], strict=True)
        assert max(abs(a.option_logprobs[0] - b.option_logprobs[0]) for a, b in pairs) > 1e-3, (first, second)
    asked = [(q.text, q.image, scores.option_logprobs) for q, scores in zip(questions, found[Greedy()], strict=True)]
    for (text, image, sums), (other_text, other_image, other) in combinations(asked, 2):
        if text == other_text and image != other_image:
            assert abs(sums[0] - other[0]) > 1e-3


def test_pictures_have_the_tokens_that_the_processor_writes(
    plain: Plain, questions: list[Question], shown: list[Pictures]
) -> None:
    counts = {}
    for question, seen in zip(questions, shown, strict=True):
        ids = plain.prompt(question)["input_ids"][0]
        counts[question.image] = len(seen["image"])
        assert int((ids == plain.image).sum()) == len(seen["image"]) == len(seen["blind"]) == len(seen["noised"])
    assert len(set(counts.values())) == (1 if plain.model.config.model_type == "llava" else 4)


def test_positions_are_those_of_the_model(plain: Plain, questions: list[Question], shown: list[Pictures]) -> None:
    scorer = Scorer(plain.model, plain.processor)
    asked = [scorer._in_tokens(0, q, len(s["image"])) for q, s in zip(questions, shown, strict=True)][:4]
    trunk = scorer._trunk([each.prefix for each in asked], [s["image"] for s in shown[:4]])
    if not isinstance(shown[0]["image"], Placed):
        for row, mask in enumerate(trunk.mask_BP):
            assert torch.equal(trunk.positions_BP[row, mask], torch.arange(int(mask.sum())))
        return
    assert trunk.positions_BP.shape == (3, *trunk.mask_BP.shape) and not trunk.mask_BP.all()
    for row, question in enumerate(questions[:4]):
        inputs = plain.prompt(question)
        places = {name: inputs[name] for name in ("mm_token_type_ids", "image_grid_thw", "attention_mask")}
        expected, _ = plain.model.model.get_rope_index(inputs["input_ids"], **places)
        own = trunk.positions_BP[:, row, trunk.mask_BP[row]]
        assert torch.equal(own, expected[:, 0, : own.shape[1]])
