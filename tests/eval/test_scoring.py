"""Scores and words equal what a plain forward pass over each whole row says, whatever the batch and the reading."""

import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from encoders.load import load_model
from eval.decoders import Blind, Dola, Greedy, Pai, Reading, Scale, Temper, Vcd
from eval.images import BLIND, ImageFeatures, contrast_key
from eval.scoring import Pictures, Question, Scorer, Scores
from spatial.errors import CheckpointError
from spatial.records import decode_image
from tests.eval.plain_family import RULES

ALPHAS = (0.5, 0.8, 1.2, 1.5, 2.0)


@pytest.fixture(scope="module")
def questions(images: Any) -> list[Question]:
    """Prompts of different lengths, options of one and of several tokens."""
    texts = [
        "user : <image> does this hold ? the red cup is left of the blue book . assistant :",
        "user : <image> the cup is on the book . true or false ? assistant :",
        "user : <image> where is the red cup relative to the blue book ? assistant :",
    ]
    options = [("yes", "no"), ("true", "false"), ("left of", "in front of", "under")]
    keys = [*images, BLIND]
    return [Question(keys[i % 5], texts[i % 3], options[i % 3]) for i in range(11)]


def plain_states(
    model: Any, ids: list[int], features: Tensor, rule: str = "", factor: float = 1.0, rows: range = range(0)
) -> list[Tensor]:
    """Recompute a LLaMA layer by layer without cache or padding; some rows attend otherwise to image columns.

    Returns the hidden states after the embedding and after each layer, the last one normed.
    """
    llama, tokens = model.model.language_model, torch.tensor(ids)
    image = tokens == model.config.image_token_id
    image &= image.cumsum(0) <= len(features)  # a model with random weights may write the placeholder, too
    hidden = llama.embed_tokens(tokens)
    hidden[image] = features
    position = torch.arange(len(ids))[None]
    cos, sin = llama.rotary_emb(hidden[None], position)
    causal = torch.ones(len(ids), len(ids)).tril().bool()
    states = [hidden]
    for layer in llama.layers:
        attention, normed = layer.self_attn, layer.input_layernorm(hidden)[None]
        shape = (1, len(ids), -1, attention.head_dim)
        query, key, value = (
            projection(normed).view(shape).transpose(1, 2)
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        query, key = apply_rotary_pos_emb(query, key, cos, sin)
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        logits = query @ key.mT / math.sqrt(attention.head_dim)
        for row in rows:
            logits[:, :, row, image] = RULES[rule](logits[:, :, row, image], factor)
        weights = logits.masked_fill(~causal, float("-inf")).softmax(-1)
        hidden = hidden + attention.o_proj((weights @ value).transpose(1, 2).flatten(2))[0]
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        states.append(hidden)
    return [*states[:-1], llama.norm(hidden)]


def plain_logprobs(model: Any, prompt: list[int], answer: list[int], shown: Pictures, reading: Reading) -> Tensor:
    """Log-probabilities (T, V) of the tokens of an answer, as the papers' formulas say, one whole row at a time."""
    ids, start = prompt + answer, len(prompt) - 1
    rows = range(start, len(ids)) if reading.every_step else range(start, start + 1)
    states = plain_states(model, ids, shown["image"], reading.rule, reading.factor, rows if reading.rule else range(0))
    logits = model.lm_head(states[-1])[start:]
    if isinstance(reading, Vcd):
        other = model.lm_head(plain_states(model, ids, shown[reading.contrast])[-1])[start:]
        kept = logits >= math.log(reading.beta) + logits.max(-1, keepdim=True).values if reading.beta else logits > -1e9
        logits = ((1 + reading.alpha) * logits - reading.alpha * other).masked_fill(~kept, -math.inf)
    if isinstance(reading, Dola):
        logits = torch.stack(
            [dola_row(model, [state[row] for state in states], reading) for row in range(start, len(ids))]
        )
    return logits.log_softmax(-1)


def dola_row(model: Any, states: list[Tensor], reading: Dola) -> Tensor:
    """DoLa's logits of one position."""
    layers, norm = len(states) - 1, model.model.language_model.norm
    last = model.lm_head(states[-1]).softmax(-1)
    earlier = [model.lm_head(norm(states[layer])).softmax(-1) for layer in range(layers // 2, layers, 2)]

    def divergence(other: Tensor) -> float:
        middle = (last + other) / 2
        return float((last * (last / middle).log()).sum() / 2 + (other * (other / middle).log()).sum() / 2)

    base = max(earlier, key=divergence)
    return torch.where(last >= reading.beta * last.max(), last.log() - base.log(), -math.inf)


def in_tokens(model: Any, processor: Any, question: Question, features: Tensor) -> list[int]:
    """The prompt, its image token once for each feature."""
    image = model.config.image_token_id
    words = processor.tokenizer(question.text, add_special_tokens=False)["input_ids"]
    return [token for word in words for token in [word] * (len(features) if word == image else 1)]


@torch.inference_mode()
def plain_scores(
    model: Any, processor: Any, question: Question, shown: Pictures, reading: Reading
) -> tuple[list[float], float]:
    """Option log-probabilities and confidence of one question, one whole row per option."""
    prompt = in_tokens(model, processor, question, shown["image"])
    sums = []
    for option in question.options:
        answer = processor.tokenizer(option, add_special_tokens=False)["input_ids"]
        logprobs = plain_logprobs(model, prompt, answer, shown, reading)
        sums.append(sum(float(logprobs[step, token]) for step, token in enumerate(answer)))
    return sums, float(logprobs[0].max().exp())


@torch.inference_mode()
def plain_words(model: Any, processor: Any, question: Question, shown: Pictures, reading: Reading, count: int) -> str:
    """The likeliest answer, each token from a whole row."""
    prompt = in_tokens(model, processor, question, shown["image"])
    written: list[int] = []
    while len(written) < count and model.generation_config.eos_token_id not in written:
        logprobs = plain_logprobs(model, prompt, written, shown, reading)
        written.append(int(logprobs[-1].argmax()))
    text: str = processor.tokenizer.decode(written, skip_special_tokens=True)
    return text.strip()


READINGS: tuple[Reading, ...] = (
    Greedy(),
    *(Scale(alpha) for alpha in ALPHAS),
    Scale(1.0),
    Temper(0.5),
    Temper(2.0),
    Pai(0.5),
    Vcd(1.0, 0.1),
    Vcd(0.5, 0.0),
    Blind(1.0, 0.1),
    Dola(0.1),
)


def rounding(reading: Reading) -> float:
    """How far float32 may lead apart; a difference of logits has the errors of both."""
    return 5e-5 if isinstance(reading, Vcd | Dola) else 1e-5


@pytest.fixture(scope="module")
def pictures(llava: Any, processor: Any, images: Any, questions: list[Question]) -> list[Pictures]:
    """What each question is shown, by kind."""
    keys = {q.image: {kind: contrast_key(q.image, kind) for kind in ("image", "blind", "noised")} for q in questions}
    tokens = ImageFeatures(llava, processor, images).get([key for named in keys.values() for key in named.values()])
    return [{kind: tokens[key] for kind, key in keys[q.image].items()} for q in questions]  # type: ignore[misc]


def all_scores(
    model: Any,
    processor: Any,
    pictures: list[Pictures],
    questions: list[Question],
    size: int,
    readings: Any,
    words: int = 0,
) -> Any:
    """Scores by reading, computed ``size`` questions at a time."""
    scorer = Scorer(model, processor, words)
    found: dict[Reading, list[Scores]] = {reading: [] for reading in readings}
    for start in range(0, len(questions), size):
        part = slice(start, start + size)
        for reading, scores in scorer.score(questions[part], pictures[part], readings).items():
            found[reading] += scores
    return found


@pytest.mark.parametrize("size", [1, 3, 11])
def test_scores_and_words_equal_those_of_plain_rows(
    llava: Any, processor: Any, pictures: list[Pictures], questions: list[Question], size: int
) -> None:
    found = all_scores(llava, processor, pictures, questions, size, READINGS, words=3)
    for reading in READINGS:
        for question, shown, scores in zip(questions, pictures, found[reading], strict=True):
            sums, confidence = plain_scores(llava, processor, question, shown, reading)
            assert scores.option_logprobs == pytest.approx(sums, abs=rounding(reading)), reading
            assert scores.confidence == pytest.approx(confidence, abs=1e-5)
            assert scores.generated == plain_words(llava, processor, question, shown, reading, 3), reading


def test_the_readings_differ(llava: Any, processor: Any, pictures: list[Pictures], questions: list[Question]) -> None:
    found = all_scores(llava, processor, pictures, questions, 11, READINGS)
    same = {Greedy(), Scale(1.0)}
    for first, second in combinations(READINGS, 2):
        pairs = zip(found[first], found[second], strict=True)
        gap = max(abs(a.confidence - b.confidence) for a, b in pairs)
        assert (gap < 1e-5) == ({first, second} == same), (first, second)


@torch.inference_mode()
def test_the_plain_reference_is_the_model(llava: Any, processor: Any, images: Any, questions: list[Question]) -> None:
    question = questions[0]
    features = ImageFeatures(llava, processor, images).get([question.image])[question.image]
    assert isinstance(features, Tensor)
    ids = in_tokens(llava, processor, question, features)
    row = images[question.image]
    pixels = processor.image_processor(images=[decode_image(row.image, "test")], return_tensors="pt")["pixel_values"]
    whole = llava(input_ids=torch.tensor([ids]), pixel_values=pixels).logits[0]
    assert torch.allclose(llava.lm_head(plain_states(llava, ids, features)[-1]), whole, atol=1e-5)


@torch.inference_mode()
def test_an_option_that_begins_another_is_ended(checkpoint: Path, images: Any) -> None:
    model, processor = load_model(checkpoint)
    key = next(iter(images))
    text = "user: <image> where is the cup? assistant:"
    short, long = ("facing", "facing away from")
    (scores,) = greedy_scores(model, processor, images, [Question(key, text, (short, long))])
    pixels = decode_image(images[key].image, key)
    for option, found in zip((short, long), scores.option_logprobs, strict=True):
        inputs = processor(images=[pixels], text=[f"{text} {option}<eos>"], return_tensors="pt")
        logprobs, ids = model(**inputs).logits[0].log_softmax(-1), inputs["input_ids"][0]
        steps = range(len(ids) - len(option.split()) - 1, len(ids))
        assert found == pytest.approx(sum(float(logprobs[step - 1, ids[step]]) for step in steps), abs=1e-5)


@torch.inference_mode()
def test_our_own_model_scores_what_its_processor_and_forward_pass_say(checkpoint: Path, images: Any) -> None:
    model, processor = load_model(checkpoint)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "The cup is on the book. True?"}]}]
    text = processor.apply_chat_template(chat, add_generation_prompt=True)
    questions = [Question(key, text, ("yes", "no")) for key in images]
    found = greedy_scores(model, processor, images, questions)
    for question, scores in zip(questions, found, strict=True):
        pixels = decode_image(images[question.image].image, question.image)
        inputs = processor(images=[pixels], text=[text], return_tensors="pt")
        logprobs = model(**inputs).logits[0, -1].log_softmax(-1)
        ids = processor.tokenizer.convert_tokens_to_ids(list(question.options))
        assert scores.option_logprobs == pytest.approx(logprobs[ids].tolist(), abs=1e-5)
    assert len({scores.option_logprobs for scores in found}) == len(images)


def greedy_scores(model: Any, processor: Any, images: Any, questions: list[Question]) -> list[Scores]:
    tokens = ImageFeatures(model, processor, images).get([question.image for question in questions])
    shown: Any = [{"image": tokens[question.image]} for question in questions]
    return Scorer(model, processor).score(questions, shown, [Greedy()])[Greedy()]


def test_readings_do_not_disturb_each_other(
    llava: Any, processor: Any, pictures: list[Pictures], questions: list[Question]
) -> None:
    together = all_scores(llava, processor, pictures, questions, 8, READINGS, words=2)
    for reading in reversed(READINGS):
        alone = all_scores(llava, processor, pictures, questions, 8, (reading,), words=2)[reading]
        for one, other in zip(alone, together[reading], strict=True):
            assert one.option_logprobs == pytest.approx(other.option_logprobs, abs=rounding(reading))
            assert one.generated == other.generated


def test_questions_with_words_before_the_image_have_a_trunk_of_their_own(
    llava: Any, processor: Any, pictures: list[Pictures], questions: list[Question]
) -> None:
    texts = ["user : the red cup <image> is it left ?", questions[0].text, "<image> where is the cup ?"]
    asked = [replace(questions[i], text=text, options=("yes", "no", "left of")) for i in (0, 1) for text in texts]
    shown = [pictures[i] for i in (0, 1) for _ in texts]
    for reading, scores in all_scores(llava, processor, shown, asked, 6, READINGS, words=2).items():
        for question, picture, score in zip(asked, shown, scores, strict=True):
            sums, _ = plain_scores(llava, processor, question, picture, reading)
            assert score.option_logprobs == pytest.approx(sums, abs=rounding(reading))
            assert score.generated == plain_words(llava, processor, question, picture, reading, 2)


def test_answered_says_whether_the_likeliest_token_begins_an_option(
    llava: Any, processor: Any, pictures: list[Pictures], questions: list[Question]
) -> None:
    words = [word for word in processor.tokenizer.get_vocab() if word.isalpha()]
    scorer = Scorer(llava, processor)

    def ask(options: list[str]) -> Scores:
        return scorer.score([replace(questions[0], options=tuple(options))], pictures[:1], [Greedy()])[Greedy()][0]

    likeliest = max(zip(ask(words).option_logprobs, words, strict=True))[1]
    assert ask(words).answered
    assert not ask([word for word in words if word != likeliest]).answered


def test_a_prompt_without_image_and_indistinct_options_are_named(
    llava: Any, processor: Any, questions: list[Question]
) -> None:
    scorer = Scorer(llava, processor)
    shown = [{"image": torch.zeros(16, 32)}]
    with pytest.raises(CheckpointError, match="0 image tokens"):
        scorer.score([replace(questions[0], text="user : assistant :")], shown, [Greedy()])
    with pytest.raises(CheckpointError, match="cannot tell the answers"):
        scorer.score([replace(questions[0], options=("zebra", "giraffe"))], shown, [Greedy()])
