"""What the code released with AdaptVis (commit 3b41399) computes wrongly, and that it comes out rightly here.

Numbers are those of the list that this project keeps of the released code's defects. Where a few lines are enough, a
test also computes what the released code would say of the same input.

| defect | what is wrong there | tested in (here, or in another file) |
|---|---|---|
| 1-5, 7, 9 | it stops, or finds no folder, file or package | does not apply: no such command, folder or patch |
| 6 | a default set of options without a file | test_readers_whatsup: adaptvis_s_prompts_have_its_words_... |
| 8 | DoLa and VCD cannot be run | test_scoring: scores_and_words_equal_those_of_plain_rows |
| 10 | pairs and sets of a part that cuts them, over N/2 and N/4 | test_metrics: pairs_and_sets_of_choices_are_... |
| | its ceilings | test_splits: the_published_split_caps_pair_and_set_accuracy |
| 11 | a logit is compared with a threshold for probabilities | here |
| 12 | precision, recall and F1 are other quantities | here |
| 13 | only "Yes" and "No" count; no answer is a wrong one | here, and test_parsing |
| 14 | an answer that also names the right option is right | test_parsing: the_released_code_reads_more_... |
| 15 | every photo is squeezed to 2300 x 4096 | here, and test_readers_whatsup: photos_are_shown_as_they_are |
| 16 | the sides of a photo are cut off | test_family_runs: llava_loses_the_sides_..., encoders/test_canvases |
| 17 | the language model's settings are made up | here |
| 18 | confidence is rounded first | test_decoders: adaptvis_compares_the_unrounded_plain_confidence |
| 19 | every wrong answer is the same wrong answer | here |
| 20 | one row's image columns are taken for all rows | test_attention: only_the_last_row_changes_also_with_... |
| | the values | test_scoring: questions_with_words_before_the_image_have_a_trunk_of_their_own |
| 21 | text between images is scaled; layers from 32 on are not | here |
| 22 | indices in a file count, whatever the seed | test_splits: a_file_of_earlier_indices_does_not_decide_... |
| 23 | a second evaluation is another one | here |
| | golds of all rows beside answers of some | test_readers_whatsup: the_published_parts_have_the_rows_gold_... |
| 24 | results of several weights overwrite each other | here |
| 25 | the caption is not kept; results are not JSON | here |
| 26 | photos of val2017 are not fetched; "dev" is "val" | datagen/fetch/test_plan, spatial/test_vsr |
| 27 | the image token's number is a wrong constant | test_scoring: the_plain_reference_is_the_model (it is 2) |
| 28 | what is kept as the plain model's is the scaled one's | test_scoring: readings_do_not_disturb_each_other |
| 29 | the right option stands first, and of equals the first counts | test_readers_whatsup: a_scorer_to_which_... |
"""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import f1_score
from transformers import LlamaConfig, LlamaModel

from encoders.canvas import square
from eval.attention import RULES, changed_image_attention
from eval.config import DataConfig, EvalConfig
from eval.decoders import AdaptVis, Greedy, format_decoder, scale
from eval.families.opening import open_model
from eval.images import ImageFeatures
from eval.metrics import METRICS
from eval.parsing import contains_verdict, parse_answer
from eval.predictions import Prediction, read_predictions
from eval.run import evaluate
from eval.scorers import compare_scorers, option_bias
from eval.scoring import Question, Scorer
from spatial.records import decode_image

WORDS = ("yes", "no")


def statement(name: int, truth: bool, said: str, text: str = "") -> Prediction:
    """A statement, the likeliest option, and perhaps what was written."""
    answer = WORDS[not truth]
    row = Prediction("model", str(name), f"image {name}", "group", "question", "greedy", "image", task="statement")
    row = replace(row, options=WORDS, answer=answer, predicted=said, correct=said == answer)
    if not text:
        return row
    found, contained = parse_answer(text, WORDS), contains_verdict(text, truth)
    return replace(row, generated=text, parsed=found.option, outcome=found.outcome, contained=contained)


def test_11_confidence_is_a_probability_and_no_raw_logit(llava: Any, processor: Any, images: Any) -> None:
    questions = [
        Question(key, f"user : <image> is the {word} left of the book ? assistant :", WORDS)
        for key in images
        for word in ("cup", "red book")
    ]
    features = ImageFeatures(llava, processor, images).get([question.image for question in questions])
    shown: Any = [{"image": features[question.image]} for question in questions]
    found = Scorer(llava, processor).score(questions, shown, [Greedy()])[Greedy()]
    beta = float(np.median([scores.confidence for scores in found]))
    rule, taken, released = AdaptVis(0.5, 1.5, beta), set(), set()
    for question, scores in zip(questions, found, strict=True):
        logits = plain_logits(llava, processor, question, images[question.image].image)
        assert scores.confidence == pytest.approx(float(logits.softmax(-1).max()), abs=1e-5)
        rows = {reading: replace(statement(0, True, "yes"), confidence=scores.confidence) for reading in rule.readings}
        rows = {reading: replace(row, decoder=format_decoder(reading)) for reading, row in rows.items()}
        taken.add(rule.choose(rows).decoder)
        released.add(format_decoder(scale(0.5 if float(logits.max()) < beta else 1.5)))
    assert taken == {"scale(alpha=0.5)", "scale(alpha=1.5)"} and released == {"scale(alpha=1.5)"}


@torch.inference_mode()
def plain_logits(llava: Any, processor: Any, question: Question, image: bytes) -> torch.Tensor:
    """The logits behind a prompt, by the model's own forward pass."""
    pixels = processor.image_processor(images=[decode_image(image, "")], return_tensors="pt")["pixel_values"]
    marker, count = llava.config.image_token_id, 16
    words = processor.tokenizer(question.text, add_special_tokens=False)["input_ids"]
    ids = [token for word in words for token in [word] * (count if word == marker else 1)]
    logits: torch.Tensor = llava(input_ids=torch.tensor([ids]), pixel_values=pixels).logits[0, -1]
    return logits


def test_12_f1_is_that_of_precision_and_recall() -> None:
    said = [(True, "yes")] * 5 + [(True, "no")] + [(False, "yes")] * 3 + [(False, "no")]
    rows = [statement(number, truth, word) for number, (truth, word) in enumerate(said)]
    expected = f1_score([truth for truth, _ in said], [word == "yes" for _, word in said])
    assert METRICS["f1"](rows) == pytest.approx(expected) == pytest.approx(10 / 14)
    first, second = METRICS["yes_accuracy"](rows), METRICS["no_accuracy"](rows)  # there "precision" and "recall"
    assert first == 5 / 6 and second == 1 / 4
    assert 2 * first * second / (first + second) == pytest.approx(0.3846, abs=1e-4)
    assert METRICS["no_accuracy"](rows[:6]) is None and METRICS["f1"](rows[:6]) == pytest.approx(10 / 11)


def test_13_small_letters_are_read_and_no_answer_is_no_verdict() -> None:
    texts = ["yes", "no, it is not.", "I cannot tell.", "I cannot tell."]
    rows = [statement(number, number % 2 == 0, "yes", text) for number, text in enumerate(texts)]
    found = compare_scorers(rows)
    assert found is not None and found["accuracy"] == {"option": 0.5, "words": 0.5, "containment": 0.0}
    assert (found["unparsed"], found["outcomes"], found["acc_a"]) == (0.5, {"none": 0.5, "parsed": 0.5}, 1.0)


def test_15_photos_keep_their_shape_and_all_of_their_height() -> None:
    pixels = np.repeat(np.linspace(0, 255, 480)[:, None], 640, axis=1).astype(np.uint8)
    colours = np.stack([pixels, np.full_like(pixels, 90), np.full_like(pixels, 90)], axis=-1)
    colours[210:270, 290:350, 1:] = 255
    photo = Image.fromarray(colours)

    def height_and_shape(canvas: Image.Image) -> tuple[float, float]:
        """The share of the photo's rows that is on it, and how much higher than wide its square is."""
        found = np.asarray(canvas)
        inside = found[:, 100][abs(found[:, 100, 1].astype(int) - 90) < 3, 0]
        down, across = np.nonzero(found[..., 1] > 180)
        return float(inside.max() - inside.min() + 1) / 256, float(np.ptp(down) + 1) / float(np.ptp(across) + 1)

    seen, shape = height_and_shape(square(photo, "pad", side=336))
    assert seen > 0.98 and shape == pytest.approx(1, abs=0.05)
    squeezed = photo.resize((2300, 4096))  # and then as CLIP's processor has it
    seen, shape = height_and_shape(square(squeezed, "crop", side=336))
    assert seen == pytest.approx(0.562, abs=0.01) and shape == pytest.approx(2.4, abs=0.1)


@pytest.mark.parametrize("epsilon", [1e-5, 1e-2])
def test_17_the_language_model_has_the_checkpoints_own_settings(
    epsilon: float, written: Callable[[str], Path], tmp_path: Path
) -> None:
    """Where they are made up, a norm with another epsilon is another model."""
    config = json.loads((written("llava") / "config.json").read_text())
    config["text_config"]["rms_norm_eps"] = epsilon
    for path in written("llava").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(config))
    model, _, _, _ = open_model(tmp_path, "llava", "", torch.device("cpu"))
    made_up = copy.deepcopy(model)
    for module in made_up.get_decoder().modules():
        if hasattr(module, "variance_epsilon"):
            assert module.variance_epsilon == epsilon
            module.variance_epsilon = 1e-6
    ids = torch.arange(3, 9)[None]
    with torch.no_grad():
        assert not torch.equal(model(input_ids=ids).logits, made_up(input_ids=ids).logits)


def test_19_it_is_known_which_wrong_answer_was_given() -> None:
    options = ("left", "on", "right", "under")
    said = ["left", "left", "left", "under", "right"]
    rows = [replace(statement(n, True, word), options=options, answer="right") for n, word in enumerate(said)]
    found = option_bias(rows)
    assert [found[option]["said"] for option in options] == [0.6, 0.0, 0.2, 0.2]
    released = [0 if word == "right" else 2 for word in said]  # an index in captions of which the right one is first
    assert sorted(set(released)) == [0, 2] and len(set(said)) == 3


def test_21_text_between_two_images_is_not_scaled() -> None:
    logits = torch.tensor([[[[0.5, 1.0, -2.0, 3.0, 1.5]]]])
    image = torch.tensor([False, True, False, True, False])[None, None, None]
    ours = RULES["scale"](logits, image, torch.full((1, 1, 1, 1), 2.0))
    assert ours.flatten().tolist() == [0.5, 2.0, -2.0, 6.0, 1.5]
    released = logits.clone()
    released[..., 1:4] *= 2  # from the first to the last
    assert released[..., 2] == -4.0


@torch.inference_mode()
def test_21_layers_from_the_33rd_on_are_scaled_too() -> None:
    """In the first 32 layers attention writes nothing, so only the last two can tell."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "vocab_size": 8}
    model = LlamaModel(LlamaConfig(num_hidden_layers=34, initializer_range=0.3, **sizes)).eval()
    for layer in model.layers[:32]:
        layer.self_attn.o_proj.weight.zero_()
    given = {"inputs_embeds": torch.randn(1, 6, 16)}
    plain = model(**given).last_hidden_state
    image = torch.tensor([[False, True, True, True, False, False]])
    with changed_image_attention(model, "scale", image, torch.tensor([[2.0]])):
        changed = model(**given).last_hidden_state
    assert torch.equal(plain[:, :-1], changed[:, :-1])
    assert not torch.allclose(plain[:, -1], changed[:, -1], atol=1e-3)


def test_23_24_25_a_run_can_be_repeated_keeps_every_setting_apart_and_says_what_was_asked(
    checkpoint: Path, dataset: Path, tmp_path: Path
) -> None:
    decoders = [
        f"adaptvis(a1={a1},a2={a2},beta={beta})" for a1, a2, beta in ((0.5, 2, 0.2), (0.5, 1, 0.2), (1, 2, 0.9))
    ]
    data = DataConfig(path=str(dataset), tasks=["statement"])
    config = EvalConfig(str(checkpoint), data, str(tmp_path / "run"), ["question"], decoders, bootstrap=20)
    first = read_predictions(evaluate(config) / "predictions.parquet")
    before = json.loads((tmp_path / "run" / "results.json").read_text())
    second = read_predictions(evaluate(config) / "predictions.parquet")
    assert first == second and before == json.loads((tmp_path / "run" / "results.json").read_text())
    assert {score["decoder"] for score in before["scores"]} > set(decoders)
    answers = {decoder: [row.option_logprobs for row in first if row.decoder == decoder] for decoder in decoders}
    assert len({tuple(values) for values in answers.values()}) == 3, "under one name the last would be left"
    about: dict[str, dict[str, str]] = {row.image_id: {} for row in first}
    for row in first:
        about[row.image_id][row.caption] = row.question
    assert all(len(asked) == len(set(asked.values())) == 2 for asked in about.values())
