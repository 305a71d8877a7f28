"""BLIP's own scorer says what its loss and ``generate`` say, and refuses what has no meaning in it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import BlipForConditionalGeneration

from eval.decoders import Blind, Greedy, Reading, Vcd
from eval.families import FAMILIES
from eval.families.blip import BlipScorer, load, see
from eval.families.opening import open_model
from eval.images import NOISED, ImageFeatures, contrast_key, mean_colour, noised
from eval.scoring import Question, Scores
from spatial.errors import CheckpointError
from spatial.records import ImageRow, encode_png
from tests.eval.tiny_blip import write_blip

READINGS = (Greedy(), Vcd(1.0, 0.1), Blind(0.5, 0.0))

TEXTS = ("is the red cup left of the blue book ? yes or no .", "where is the cup ?", "on ?")
OPTIONS = (("yes", "no"), ("left", "left of", "in front of"), ("true", "false"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model on disk."""
    return write_blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="module")
def blip(folder: Path) -> tuple[Any, Any]:
    """Model and processor."""
    return load(folder)


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image.Image]:
    """Three pictures of unlike shapes."""
    sizes = ((40, 30), (32, 32), (20, 50))
    draws = [np.random.default_rng(i).integers(0, 255, (h, w, 3), dtype=np.uint8) for i, (w, h) in enumerate(sizes)]
    return {f"picture {i}": Image.fromarray(pixels) for i, pixels in enumerate(draws)}


@pytest.fixture(scope="module")
def questions(pictures: dict[str, Image.Image]) -> list[Question]:
    """Seven questions of unlike lengths; one has an option that begins another."""
    keys = list(pictures)
    return [Question(keys[i % 3], TEXTS[i % 2 + i // 5], OPTIONS[i % 2 + i // 5]) for i in range(7)]


def scored(
    blip: tuple[Any, Any],
    questions: list[Question],
    pictures: dict[str, Image.Image],
    size: int,
    words: int = 0,
    bound: int = 0,
) -> dict[Reading, list[Scores]]:
    """Scores by reading, computed ``size`` questions at a time."""
    rows = {name: ImageRow(name, encode_png(np.asarray(p)), *p.size, "test") for name, p in pictures.items()}
    keys = [{kind: contrast_key(q.image, kind) for kind in ("image", "blind", "noised")} for q in questions]
    seen = ImageFeatures(*blip, rows, see).get([key for named in keys for key in named.values()])
    shown: Any = [{kind: seen[key] for kind, key in named.items()} for named in keys]
    found: dict[Reading, list[Scores]] = {reading: [] for reading in READINGS}
    for start in range(0, len(questions), size):
        part = slice(start, start + size)
        scorer = BlipScorer(*blip, words, bound)
        for reading, scores in scorer.score(questions[part], shown[part], READINGS).items():
            found[reading] += scores
    return found


def test_a_bound_on_tokens_changes_no_answer(
    blip: tuple[Any, Any], questions: list[Question], pictures: dict[str, Image.Image]
) -> None:
    whole = scored(blip, questions, pictures, 7, 3)
    for bound in (1, 200, 400):
        for reading, scores in scored(blip, questions, pictures, 7, 3, bound).items():
            for one, other in zip(whole[reading], scores, strict=True):
                assert one.option_logprobs == pytest.approx(other.option_logprobs, abs=1e-5)
                assert one.generated == other.generated


@torch.no_grad()
def plain_logprobs(model: Any, inputs: Any, answer: list[int]) -> Tensor:
    """Log-probabilities (T, V) of the start and each token of an answer, by the model's parts without batch or mask."""
    image = model.vision_model(inputs["pixel_values"]).last_hidden_state
    question = model.text_encoder(inputs["input_ids"], encoder_hidden_states=image).last_hidden_state
    ids = torch.tensor([[model.decoder_start_token_id, *answer]])
    return model.text_decoder(ids, encoder_hidden_states=question).logits[0].log_softmax(-1)


def contrasted_picture(processor: Any, question: Question, picture: Image.Image, kind: str) -> Image.Image:
    if kind == "blind":
        return Image.new("RGB", picture.size, mean_colour(processor.image_processor))
    return Image.fromarray(noised(np.asarray(picture), NOISED + question.image))


def answers_of(processor: Any, question: Question) -> list[list[int]]:
    ids = [processor.tokenizer(option, add_special_tokens=False)["input_ids"] for option in question.options]
    ended = "left of" in question.options
    return [[*own, processor.tokenizer.sep_token_id] if ended else own for own in ids]


@pytest.mark.parametrize("size", [1, 3, 7])
def test_greedy_is_the_loss_and_what_the_model_generates(
    size: int, blip: tuple[Any, Any], questions: list[Question], pictures: dict[str, Image.Image]
) -> None:
    model, processor = blip
    texts = set()
    for question, scores in zip(questions, scored(blip, questions, pictures, size, 4)[Greedy()], strict=True):
        inputs = processor(images=pictures[question.image], text=question.text, return_tensors="pt")
        for ids, found in zip(answers_of(processor, question), scores.option_logprobs, strict=True):
            labels = torch.tensor([[model.decoder_start_token_id, *ids]])
            with torch.no_grad():
                loss = model(**inputs, labels=labels).loss
            assert found == pytest.approx(-float(loss) * len(ids), abs=1e-5)
        first = plain_logprobs(model, inputs, [])[0]
        assert scores.confidence == pytest.approx(float(first.max().exp()), abs=1e-5)
        assert scores.answered == (int(first.argmax()) in {ids[0] for ids in answers_of(processor, question)})
        written = model.generate(**inputs, max_new_tokens=4, do_sample=False, num_beams=1)[0]
        assert scores.generated == processor.tokenizer.decode(written, skip_special_tokens=True).strip()
        texts.add(scores.generated)
    assert len(texts) > 1


@pytest.mark.parametrize("size", [2, 7])
def test_contrasts_subtract_what_the_other_picture_says(
    size: int, blip: tuple[Any, Any], questions: list[Question], pictures: dict[str, Image.Image]
) -> None:
    model, processor = blip
    found = scored(blip, questions, pictures, size, 2)
    for reading in READINGS[1:]:
        for question, scores in zip(questions, found[reading], strict=True):
            picture = pictures[question.image]
            other = contrasted_picture(processor, question, picture, reading.contrast)
            two = [processor(images=p, text=question.text, return_tensors="pt") for p in (picture, other)]

            def plain(answer: list[int], two: Any = two, reading: Any = reading) -> Tensor:
                seen, unseen = (plain_logprobs(model, inputs, answer) for inputs in two)
                kept = seen >= seen.max(-1, keepdim=True).values + (math.log(reading.beta) if reading.beta else -1e9)
                mixed = (1 + reading.alpha) * seen - reading.alpha * unseen
                return mixed.masked_fill(~kept, -math.inf).log_softmax(-1)

            for ids, value in zip(answers_of(processor, question), scores.option_logprobs, strict=True):
                logprobs = plain(ids[:-1])
                assert value == pytest.approx(sum(float(logprobs[t, i]) for t, i in enumerate(ids)), abs=5e-5)
            first = int(plain([])[0].argmax())
            written = [first, int(plain([first])[1].argmax())]
            assert scores.generated == processor.tokenizer.decode(written, skip_special_tokens=True).strip()


def test_pictures_matter(blip: tuple[Any, Any], questions: list[Question], pictures: dict[str, Image.Image]) -> None:
    found = scored(blip, questions, pictures, 7)
    same = [
        scores.option_logprobs[0] for q, scores in zip(questions, found[Greedy()], strict=True) if q.text == TEXTS[0]
    ]
    assert max(same) - min(same) > 1e-3
    pairs = zip(found[Greedy()], found[Vcd(1.0, 0.1)], strict=True)
    assert max(abs(a.option_logprobs[0] - b.option_logprobs[0]) for a, b in pairs) > 1e-3


def test_a_question_is_its_words(folder: Path) -> None:
    _, processor, _, canvas = open_model(folder, "blip", "", torch.device("cpu"))
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is it red?"}]}]
    assert processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) == "Is it red?"
    assert canvas == "processor" and FAMILIES["blip"].scorer is BlipScorer


def test_a_blip_that_answers_nothing_is_refused(tmp_path: Path) -> None:
    write_blip(tmp_path, BlipForConditionalGeneration)
    with pytest.raises(CheckpointError, match=r"is a BlipForConditionalGeneration, which does not.*blip-vqa-base"):
        load(tmp_path)
