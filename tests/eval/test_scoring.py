"""Option scores equal what a plain forward pass over each whole row says, whatever the batch size and the scale."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from encoders.load import load_model
from eval.images import BLIND, ImageFeatures
from eval.scoring import Question, Scorer
from spatial.errors import CheckpointError
from spatial.records import decode_image

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


def plain_logits(model: Any, ids: list[int], features: Tensor, alpha: float, last: int) -> Tensor:
    """Recompute a LLaMA layer by layer without cache or padding; row ``last`` scales its image columns by ``alpha``."""
    llama, tokens = model.model.language_model, torch.tensor(ids)
    image = tokens == model.config.image_token_id
    hidden = llama.embed_tokens(tokens)
    hidden[image] = features
    position = torch.arange(len(ids))[None]
    cos, sin = llama.rotary_emb(hidden[None], position)
    causal = torch.ones(len(ids), len(ids)).tril().bool()
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
        logits[:, :, last, image] *= alpha
        weights = logits.masked_fill(~causal, float("-inf")).softmax(-1)
        hidden = hidden + attention.o_proj((weights @ value).transpose(1, 2).flatten(2))[0]
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return model.lm_head(llama.norm(hidden))


@torch.inference_mode()
def plain_scores(
    model: Any, processor: Any, question: Question, features: Tensor, alpha: float
) -> tuple[list[float], float]:
    """Option log-probabilities and confidence of one question, one whole row per option."""
    image = model.config.image_token_id
    words = processor.tokenizer(question.text, add_special_tokens=False)["input_ids"]
    prompt = [token for word in words for token in [word] * (len(features) if word == image else 1)]
    sums = []
    for option in question.options:
        answer = processor.tokenizer(option, add_special_tokens=False)["input_ids"]
        logits = plain_logits(model, prompt + answer, features, alpha, len(prompt) - 1)
        logprobs = logits.log_softmax(-1)[len(prompt) - 1 :]
        sums.append(sum(float(logprobs[step, token]) for step, token in enumerate(answer)))
    return sums, float(logprobs[0].max().exp())


def all_scores(model: Any, processor: Any, images: Any, questions: list[Question], size: int, alphas: Any) -> Any:
    """Scores by alpha, computed ``size`` questions at a time."""
    scorer, features = Scorer(model, processor), ImageFeatures(model, processor, images)
    found: dict[float, list[Any]] = {alpha: [] for alpha in alphas}
    for start in range(0, len(questions), size):
        batch = questions[start : start + size]
        tokens = features.get([question.image for question in batch])
        for alpha, scores in scorer.score(batch, [tokens[q.image] for q in batch], alphas).items():
            found[alpha] += scores
    return found


@pytest.mark.parametrize("size", [1, 3, 8])
def test_scores_equal_plain_rows(llava: Any, processor: Any, images: Any, questions: list[Question], size: int) -> None:
    alphas = (1.0, *ALPHAS)
    found = all_scores(llava, processor, images, questions, size, alphas)
    tokens = ImageFeatures(llava, processor, images).get([question.image for question in questions])
    for alpha in alphas:
        for question, scores in zip(questions, found[alpha], strict=True):
            sums, confidence = plain_scores(llava, processor, question, tokens[question.image], alpha)
            assert scores.option_logprobs == pytest.approx(sums, abs=1e-5)
            assert scores.confidence == pytest.approx(confidence, abs=1e-5)


@torch.inference_mode()
def test_the_plain_reference_is_the_model(llava: Any, processor: Any, images: Any, questions: list[Question]) -> None:
    question = questions[0]
    features = ImageFeatures(llava, processor, images).get([question.image])[question.image]
    ids = Scorer(llava, processor)._prompt_tokens(question.text, len(features))
    row = images[question.image]
    pixels = processor.image_processor(images=[decode_image(row.image, "test")], return_tensors="pt")["pixel_values"]
    whole = llava(input_ids=torch.tensor([ids]), pixel_values=pixels).logits[0]
    assert torch.allclose(plain_logits(llava, ids, features, 1.0, 0), whole, atol=1e-5)


@torch.inference_mode()
def test_an_option_that_begins_another_is_ended(checkpoint: Path, images: Any) -> None:
    model, processor = load_model(checkpoint)
    key = next(iter(images))
    text = "user: <image> where is the cup? assistant:"
    short, long = ("facing", "facing away from")
    (scores,) = all_scores(model, processor, images, [Question(key, text, (short, long))], 1, [1.0])[1.0]
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
    found = all_scores(model, processor, images, questions, 4, [1.0])[1.0]
    for question, scores in zip(questions, found, strict=True):
        pixels = decode_image(images[question.image].image, question.image)
        inputs = processor(images=[pixels], text=[text], return_tensors="pt")
        logprobs = model(**inputs).logits[0, -1].log_softmax(-1)
        ids = processor.tokenizer.convert_tokens_to_ids(list(question.options))
        assert scores.option_logprobs == pytest.approx(logprobs[ids].tolist(), abs=1e-5)
    assert len({scores.option_logprobs for scores in found}) == len(images)


def test_scales_differ_and_do_not_disturb_each_other(
    llava: Any, processor: Any, images: Any, questions: list[Question]
) -> None:
    together = all_scores(llava, processor, images, questions, 8, (1.0, 0.5, 2.0))
    for alpha in (2.0, 0.5, 1.0):
        assert all_scores(llava, processor, images, questions, 8, (alpha,))[alpha] == together[alpha]
    assert max(abs(a.confidence - b.confidence) for a, b in zip(together[0.5], together[2.0], strict=True)) > 1e-3


def test_answered_says_whether_the_likeliest_token_begins_an_option(
    llava: Any, processor: Any, images: Any, questions: list[Question]
) -> None:
    tokens = ImageFeatures(llava, processor, images).get([questions[0].image])
    features = [tokens[questions[0].image]]
    words = [word for word in processor.tokenizer.get_vocab() if word.isalpha()]
    scorer = Scorer(llava, processor)
    every = scorer.score([replace(questions[0], options=tuple(words))], features, [1.0])[1.0][0]
    likeliest = max(zip(every.option_logprobs, words, strict=True))[1]
    rest = tuple(word for word in words if word != likeliest)
    assert not scorer.score([replace(questions[0], options=rest)], features, [1.0])[1.0][0].answered


def test_a_prompt_without_image_and_indistinct_options_are_named(
    llava: Any, processor: Any, images: Any, questions: list[Question]
) -> None:
    scorer = Scorer(llava, processor)
    features = [torch.zeros(16, 32)]
    with pytest.raises(CheckpointError, match="0 image tokens"):
        scorer.score([replace(questions[0], text="user : assistant :")], features, [1.0])
    with pytest.raises(CheckpointError, match="cannot tell the answers"):
        scorer.score([replace(questions[0], options=("zebra", "giraffe"))], features, [1.0])
