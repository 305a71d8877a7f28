"""Bounds on a forward pass hold, and change no answer."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eval import packing
from eval.config import DataConfig, EvalConfig
from eval.decoders import Blind, Dola, Greedy, Pai, Reading, Scale, Temper, Vcd
from eval.images import ImageFeatures, contrast_key
from eval.packing import ENOUGH_TOKENS, Extent, packed, padded_tokens, side_by_side
from eval.plan import Item, plan_batches
from eval.predictions import read_predictions
from eval.run import evaluate
from eval.scoring import Question, Scorer, Scores
from eval.tree import TokenTree
from spatial.errors import ConfigError
from spatial.records import Record

READINGS: tuple[Reading, ...] = (
    *(Greedy(), Scale(0.5), Scale(1.5), Scale(2.0), Temper(0.5), Pai(0.5)),
    *(Vcd(1.0, 0.1), Blind(1.0, 0.1), Dola(0.1)),
)

DECODERS = ["greedy", "scale(alpha=0.5)", "adaptvis(a1=0.5,a2=1.5,beta=0.3)", "temper(alpha=1.5)", "pai(alpha=0.5)"]
DECODERS += ["vcd(alpha=1,beta=0.1)", "blind(alpha=1,beta=0.1)", "dola(beta=0.1)"]


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), max_size=8), st.integers(1, 20))
def test_batches_fit_and_leave_units_whole(units: list[list[int]], bound: int) -> None:
    named = [[(number, size) for size in unit] for number, unit in enumerate(units)]

    def fits(part: Any) -> bool:
        return sum(size for _, size in part) <= bound

    batches = list(packed(named, fits))
    assert [member for batch in batches for member in batch] == [member for unit in named for member in unit]
    assert all(fits(batch) or len(batch) == 1 for batch in batches)
    for number, unit in enumerate(named):
        assert not fits(unit) or sum(number in {place for place, _ in batch} for batch in batches) == 1


def test_tokens_are_counted_with_their_padding() -> None:
    one, other = Extent("a", 10, 3, 1), Extent("b", 8, 5, 2)
    assert padded_tokens([one]) == 10 + 4
    assert padded_tokens([one, one, other]) == 2 * (10 + 2 * (5 + 2))


@given(st.lists(st.lists(st.integers(1, 60), max_size=40), min_size=1, max_size=8).filter(any), st.integers(1, 2000))
def test_parts_are_narrow_and_have_every_question_once(rows: list[list[int]], width: int) -> None:
    parts = list(side_by_side(rows, lambda tokens: tokens, width))
    for number, row in enumerate(rows):
        assert [tokens for part in parts for tokens in part[number]] == sorted(row)
    longest = max(map(max, filter(None, rows)))
    for part in parts:
        most = max(map(len, part))
        assert most == 1 or most * longest <= max(width, ENOUGH_TOKENS // len(rows))
    fewest = max(map(len, rows)) * longest / max(width, ENOUGH_TOKENS // len(rows))
    assert len(parts) <= 2 * fewest + 1, "small parts waste calls"


def item(image: str, text: str) -> Item:
    record = Record(image, "group", "", "statement", "relation", text, "true")
    return Item(record, "question", "image", Question(image, text, ("yes", "no")), "yes")


def test_questions_about_an_image_stay_together_whatever_their_order() -> None:
    items = [item(f"image {i}", "?" * length) for i in range(9) for length in range(1, 2 + i)]
    batches = plan_batches(items, 8)
    random.Random(0).shuffle(items)
    assert [list(batch) for batch in plan_batches(items, 8)] == [list(batch) for batch in batches]
    assert max(map(len, batches)) == 8 and sum(map(len, batches)) == 45
    assert {question.image for question in batches[0]} == {"image 8"}, "the largest comes first"
    shown = [image for batch in batches for image in {question.image for question in batch}]
    assert len(shown) == 9 + 1, "only nine questions are more than a batch"


@pytest.fixture(scope="module")
def asked(llava: Any, processor: Any, images: Any) -> tuple[list[Question], list[Any]]:
    """Twenty questions, most about one image, of unlike lengths and numbers of options, and what they show."""
    text = "user : <image> does this hold ? the red cup is left of the blue book"
    options = [("yes", "no"), ("left of", "in front of", "under", "behind"), ("true", "false")]
    keys = list(images)
    questions = [
        Question(keys[max(0, i - 16)], text + " . where" * (i % 4) + " assistant :", options[i % 3]) for i in range(20)
    ]
    named = [{kind: contrast_key(q.image, kind) for kind in ("image", "blind", "noised")} for q in questions]
    seen = ImageFeatures(llava, processor, images).get([key for keys in named for key in keys.values()])
    return questions, [{kind: seen[key] for kind, key in keys.items()} for keys in named]


def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """Return a function that tells how many tokens lay in all trees together, each time that trees were made."""
    alive: list[TokenTree] = []
    held: list[int] = []
    make, grow = TokenTree.__init__, TokenTree.grow

    def begun(self: TokenTree, decoder: Any, trunk: Any) -> None:
        make(self, decoder, trunk)
        if len(alive) % 3 == 0:  # of the picture, the noised and the blind one
            alive.clear()
            held.append(0)
        alive.append(self)

    def grown(self: TokenTree, *arguments: Any, **options: Any) -> Any:
        found = grow(self, *arguments, **options)
        held[-1] = max(held[-1], sum(len(tree.image_BP) * tree.columns for tree in alive))
        return found

    monkeypatch.setattr(TokenTree, "__init__", begun)
    monkeypatch.setattr(TokenTree, "grow", grown)
    return lambda: held


@pytest.mark.parametrize("bound", [1, 400, 1000, 2500])
def test_a_bound_holds_and_changes_no_answer(
    llava: Any, processor: Any, asked: Any, monkeypatch: pytest.MonkeyPatch, bound: int
) -> None:
    whole = Scorer(llava, processor, 3).score(*asked, READINGS)
    held = watched(monkeypatch)
    parts = Scorer(llava, processor, 3, bound).score(*asked, READINGS)
    assert len(held()) == 20 if bound == 1 else 1 < len(held()) < 20
    assert bound == 1 or max(held()) <= bound
    for reading in READINGS:
        for one, other in zip(whole[reading], parts[reading], strict=True):
            assert one.option_logprobs == pytest.approx(other.option_logprobs, abs=1e-5), reading
            assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
            assert (one.answered, one.generated) == (other.answered, other.generated)


def test_answers_are_the_same_in_many_parts(llava: Any, processor: Any, asked: Any, monkeypatch: Any) -> None:
    whole = Scorer(llava, processor, 3).score(*asked, READINGS)
    grown: list[int] = []
    repeat = TokenTree.grow_and_repeat

    def counted(self: TokenTree, *arguments: Any) -> Any:
        grown.append(self.columns)
        return repeat(self, *arguments)

    monkeypatch.setattr(TokenTree, "grow_and_repeat", counted)
    monkeypatch.setattr(packing, "ENOUGH_TOKENS", 1)
    parts = Scorer(llava, processor, 3).score(*asked, READINGS)
    assert len(grown) > 3, "three images are shown, each followed by one part or more"
    assert len(set(grown)) == 1, "every part begins right after its picture"
    for reading in READINGS:
        for one, other in zip(whole[reading], parts[reading], strict=True):
            assert one.option_logprobs == pytest.approx(other.option_logprobs, abs=1e-5), reading
            assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
            assert (one.answered, one.generated) == (other.answered, other.generated)


@pytest.fixture
def config(checkpoint: Path, dataset: Path, tmp_path: Path) -> EvalConfig:
    """A run of the tiny model in all decoders."""
    return EvalConfig(
        *(str(checkpoint), DataConfig(path=str(dataset)), str(tmp_path / "run"), ["question", "true-false", "where"]),
        decoders=DECODERS,
        batch_size=40,
        bootstrap=20,
    )


def test_runs_with_any_bounds_have_the_same_answers(config: EvalConfig, tmp_path: Path) -> None:
    found = []
    for number, (size, bound) in enumerate([(40, 0), (40, 300), (80, 2000), (3, 700)]):
        config.out, config.batch_size, config.max_tokens = str(tmp_path / str(number)), size, bound
        out = evaluate(config)
        scores = json.loads((out / "results.json").read_text())["scores"]
        found.append((read_predictions(out / "predictions.parquet"), [score["near_ties"] for score in scores]))
    whole, ties = found[0]
    for rows, others in found[1:]:
        assert others == ties
        for one, other in zip(whole, rows, strict=True):
            assert (one.key, one.predicted, one.correct) == (other.key, other.predicted, other.correct)
            assert one.option_logprobs == pytest.approx(other.option_logprobs, abs=1e-5)


@pytest.mark.parametrize("culprit", ["score", "see"])
def test_what_does_not_fit_names_both_bounds(config: EvalConfig, monkeypatch: pytest.MonkeyPatch, culprit: str) -> None:
    def full(*_: Any) -> list[Scores]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(*((Scorer, "score", full) if culprit == "score" else (ImageFeatures, "get", full)))
    with pytest.raises(ConfigError, match="a batch of 40 questions does not fit in memory; lower batch_size, or max_t"):
        evaluate(config)


def test_a_bound_below_zero_is_refused(config: EvalConfig) -> None:
    config.max_tokens = -1
    with pytest.raises(ConfigError, match="max_tokens is -1"):
        evaluate(config)
