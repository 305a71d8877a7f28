"""A judge is asked in two wordings, with the roles exchanged and for the opposite, and must be right each time."""

import shutil
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from datagen.verify.base import Claim, Intent, Pixels
from datagen.verify.judge import VqaJudge, refuse_tuned
from datagen.verify.questions import question, questions
from spatial.errors import CheckpointError, ConfigError
from spatial.records import ImageObject
from spatial.relations import RELATIONS

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
BOX = (0.0, 0.0, 9.0, 9.0)


def intent(relation: str = "left of", truth: bool = True, one: str = "cup", other: str = "book") -> Intent:
    return Intent((ImageObject(one, BOX), ImageObject(other, BOX)), (Claim(relation, 0, 1, truth),), 32, 32)


class Talker:
    """A judge that answers as a function of the question says."""

    name = "talker"

    def __init__(self, answer: Callable[[str], float]) -> None:
        self.answer = answer

    def margins(self, picture: Pixels, asked: Sequence[str]) -> list[float]:
        return [self.answer(text) for text in asked]


def texts(relation: str, truth: bool = True) -> dict[str, list[tuple[str, bool]]]:
    meant = intent(relation, truth)
    found: dict[str, list[tuple[str, bool]]] = {"denied": [], "swapped": [], "opposite": []}
    for it in questions(meant.claims[0], meant):
        found[it.reason].append((it.text, it.yes))
    return found


def test_every_relation_can_be_asked() -> None:
    for relation, truth in product([name for name in RELATIONS if not RELATIONS[name].refused], (True, False)):
        found = texts(relation, truth)
        assert len(found["denied"]) == 2 and len(found["opposite"]) == 1
        assert len({text for asked in found.values() for text, _ in asked}) == sum(map(len, found.values()))
        assert all(yes is truth for _, yes in found["denied"]) and found["opposite"][0][1] is not truth


def test_exchanged_roles_are_asked_where_the_answer_follows() -> None:
    assert texts("left of")["swapped"] == [
        ("Is the following statement true? The book is left of the cup. Answer yes or no.", False)
    ]
    assert texts("near")["swapped"][0][1] is True and texts("near", False)["swapped"][0][1] is False
    assert texts("facing")["swapped"] == [] and texts("left of", False)["swapped"] == []


def test_the_opposite_is_the_antonym_or_a_denial() -> None:
    assert "The cup is right of the book." in texts("left of")["opposite"][0][0]
    assert "The cup is not left of the book." in texts("left of", False)["opposite"][0][0]
    assert "The cup does not contain the book." in texts("contains")["opposite"][0][0]


def right(text: str) -> float:
    """Know that the cup is left of the book."""
    true = "cup is left of the book" in text or "book is right of the cup" in text
    return 3.0 if true else -3.0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (right, ""),
        (lambda text: 3.0, "swapped"),
        (lambda text: -3.0, "denied"),
        (lambda text: -right(text), "denied"),
        (lambda text: 3.0 if "right of" in text else right(text), "opposite"),
        (lambda text: right(text) if "following" in text else 0.0, "denied"),
    ],
)
def test_all_questions_must_be_answered_rightly(answer: Callable[[str], float], reason: str) -> None:
    verdict = question(PICTURE, intent(), [Talker(answer)])
    assert verdict.reason == reason and verdict.status == ("failed" if reason else "passed")
    assert verdict.score is not None and (verdict.score > 0.5) == (not reason)


def test_every_judge_must_agree() -> None:
    verdict = question(PICTURE, intent(), [Talker(right), Talker(lambda text: -3.0)])
    assert verdict.reason == "denied" and "talker" in verdict.detail


def test_a_claim_that_something_is_not_so_passes_by_no() -> None:
    meant = intent("left of", truth=False)
    assert question(PICTURE, meant, [Talker(lambda text: 3.0 if " not " in text else -3.0)]).status == "passed"
    assert question(PICTURE, meant, [Talker(right)]).reason == "denied"


def test_without_a_judge_nothing_is_asked() -> None:
    verdict = question(PICTURE, intent(), [])
    assert (verdict.status, verdict.reason) == ("skipped", "no judge")


SHIPPED = Path(__file__).parents[3] / "vsre" / "assets" / "tiny-base"


def test_a_model_of_ours_judges() -> None:
    judge = VqaJudge(str(SHIPPED), torch.device("cpu"))
    asked = [it.text for it in questions(intent().claims[0], intent())]
    margins = judge.margins(PICTURE, asked)
    assert len(margins) == len(asked) and all(np.isfinite(margins))
    # Padding to the longest question changes nothing.
    assert margins == pytest.approx([judge.margins(PICTURE, [text])[0] for text in asked], abs=1e-3)


def test_a_margin_is_that_of_the_next_word() -> None:
    """It is log P(yes) - log P(no) of a plain forward pass over the chat template's text."""
    from PIL import Image

    judge = VqaJudge(str(SHIPPED), torch.device("cpu"))
    text = "Is it true that the cup is left of the book?"
    processor, network = judge.processor, judge.network
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}], add_generation_prompt=True
    )
    inputs = processor(images=[[Image.fromarray(PICTURE)]], text=[prompt], return_tensors="pt")
    with torch.inference_mode():
        chances = network(**inputs).logits[0, -1].float().log_softmax(-1)
    yes, no = (processor.tokenizer(word)["input_ids"][-1] for word in ("yes", "no"))
    assert judge.margins(PICTURE, [text]) == pytest.approx([float(chances[yes] - chances[no])], abs=1e-4)


def test_the_model_to_be_tuned_does_not_judge(tmp_path: Path) -> None:
    copy = tmp_path / "renamed"
    shutil.copytree(SHIPPED, copy)
    with pytest.raises(ConfigError, match="is the model to be tuned"):
        refuse_tuned(str(copy), str(SHIPPED))
    refuse_tuned(str(copy), "")
    refuse_tuned("someone/else", str(SHIPPED))
    for judge, tuned in (("llava-hf/one", "llava-hf/one"), (str(copy), "tiny-base")):
        with pytest.raises(ConfigError, match="is the model to be tuned"):
            refuse_tuned(judge, tuned)
    refuse_tuned("llava-hf/one", "llava-hf/another")
    with pytest.raises(ConfigError, match=r"verify\.tuned checkpoints/typo/x does not exist"):
        refuse_tuned(str(copy), "checkpoints/typo/x")


def test_a_model_that_was_tuned_from_it_does_not_judge_either(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    from encoders.load import load_model

    model, _ = load_model(SHIPPED)
    adapter = tmp_path / "adapter"
    adapted = get_peft_model(model, LoraConfig(r=1, target_modules=r".*language_model.*q_proj"))
    adapted.peft_config["default"].base_model_name_or_path = str(SHIPPED)
    adapted.save_pretrained(adapter)
    for pair in ((adapter, SHIPPED), (SHIPPED, adapter)):
        with pytest.raises(ConfigError, match="shares its base"):
            refuse_tuned(*map(str, pair))


def test_a_folder_that_is_no_judge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        VqaJudge(str(tmp_path / "nowhere"), torch.device("cpu"))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match=r"no \.safetensors file"):
        VqaJudge(str(tmp_path), torch.device("cpu"))
