"""Probes find the shortcut that data was made to have, and nothing in balanced groups."""

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.audit.agreement import distinct_rows
from eval.audit.folds import Result, fold_of, verdict_of
from eval.audit.logistic import fit
from eval.audit.probes import PROBES, Probe, image_probes, sentence_frame
from eval.audit.run import score_probes
from eval.benchmarks import VSR_ANNOTATIONS
from eval.config import AuditConfig
from spatial.errors import RecordError
from spatial.records import Record
from spatial.templates import split_caption

NOUNS = ("cup", "book", "cat", "dog", "bus", "vase", "bed", "fork")
WORD = "caption n-grams"


def statement(
    group: int,
    truth: bool,
    caption: str = "The cup is left of the book.",
    image: str = "",
    relation: str = "left of",
    concepts: tuple[str, ...] = ("cup", "book"),
) -> Record:
    """A statement of a group of its own, unless told otherwise."""
    return Record(
        image_id=image or f"image {group}",
        group_id=f"group {group}",
        role_in_group="original",
        task="statement",
        topic="relation",
        caption=caption,
        answer="true" if truth else "false",
        relation=relation,
        concepts=concepts,
    )


def reached(statements: Sequence[Record], *names: str, probes: dict[str, Probe] | None = None) -> list[Result]:
    """Return what the named probes reach."""
    chosen = {name: (probes or PROBES)[name] for name in names}
    found = score_probes(chosen, statements, AuditConfig(bootstrap=200))
    return [found[name] for name in names]


def mostly(rng: random.Random, truth: bool) -> bool:
    """The truth, or in 15 % of the cases its opposite."""
    return truth if rng.random() < 0.85 else not truth


def test_a_word_that_goes_with_the_answer_is_found() -> None:
    rng = random.Random(1)
    statements = []
    for group in range(400):
        colour = rng.choice(("red", "blue"))
        truth = mostly(rng, colour == "red")
        statements.append(statement(group, truth, f"The {colour} {rng.choice(NOUNS)} is left of the book."))
    words, frame = reached(statements, WORD, "sentence frame")
    assert words.accuracy >= 0.7 and words.verdict == "fail"
    assert frame.verdict != "fail"  # colours are no part of the frame


def test_a_pair_of_nouns_that_goes_with_the_answer_is_found() -> None:
    rng = random.Random(2)
    usual = {(a, b): rng.random() < 0.5 for a in NOUNS for b in NOUNS if a != b}
    statements = []
    for group in range(800):
        a, b = rng.sample(NOUNS, 2)
        truth = mostly(rng, usual[a, b])
        statements.append(statement(group, truth, f"The {a} is left of the {b}.", concepts=(a, b)))
    pair, words = reached(statements, "relation x nouns", WORD)
    assert pair.accuracy >= 0.7 and pair.verdict == "fail"
    assert words.accuracy < pair.accuracy  # no run of three words holds both nouns


def test_captions_that_come_again_with_the_other_answer_are_found() -> None:
    statements = [
        statement(2 * caption + truth, bool(truth), f"The {a} is left of the {b}.", concepts=(a, b))
        for caption, (a, b) in enumerate((f"a{i}", f"b{i}") for i in range(150))
        for truth in (0, 1)
    ]
    opposite, same, words = reached(statements, "opposite label", "same label", WORD)
    assert opposite.accuracy >= 0.7 and opposite.verdict == "fail"
    assert opposite.accuracy_answered == 1.0 and opposite.answered == opposite.repeated
    assert (
        same.accuracy == pytest.approx(1 - opposite.accuracy) and same.verdict == "fail"
    )  # reliably wrong is knowing it
    assert words.accuracy < 0.3 and words.verdict == "fail"
    assert words.accuracy_repeated is not None and words.accuracy_new is not None
    assert words.accuracy_repeated < 0.1 < words.accuracy_new


def test_captions_that_come_again_with_the_same_answer_are_found() -> None:
    statements = [
        statement(2 * caption + copy, caption % 2 == 0, f"The a{caption} is left of the b{caption}.")
        for caption in range(150)
        for copy in (0, 1)
    ]
    same, opposite = reached(statements, "same label", "opposite label")
    assert same.accuracy >= 0.7 and same.verdict == "fail"
    assert opposite.accuracy <= 0.3


def test_a_sentence_frame_that_goes_with_the_answer_is_found() -> None:
    rng = random.Random(3)
    frames = ("The {} is left of the {}.", "You can see that the {} is left of the {}.")
    statements = []
    for group in range(400):
        a, b = rng.sample(NOUNS, 2)
        frame = rng.choice(frames)
        caption = frame.format(a, b)
        statements.append(statement(group, mostly(rng, frame is frames[0]), caption, concepts=(a, b)))
    (found,) = reached(statements, "sentence frame")
    assert found.accuracy >= 0.7 and found.verdict == "fail"


def test_a_surplus_of_one_answer_is_found_by_the_prior_alone() -> None:
    rng = random.Random(4)
    statements = [statement(group, rng.random() < 0.78, f"The {rng.choice(NOUNS)} is there.") for group in range(600)]
    prior, words = reached(statements, "answer prior", WORD)
    assert prior.accuracy >= 0.7 and prior.verdict == "fail"
    assert words.accuracy < 0.65


def features_of(statements: Sequence[Record], of: Callable[[Record], float]) -> dict[str, np.ndarray]:
    """Twenty noisy features per image, one of which holds a value of the statement."""
    rng = np.random.default_rng(5)
    rows = {record.image_id: rng.normal(size=20).astype(np.float32) for record in statements}
    for record in statements:
        rows[record.image_id][7] = of(record) + 0.3 * rng.normal()
    return rows


def test_an_image_property_that_goes_with_the_answer_is_found() -> None:
    rng = random.Random(6)
    statements = [statement(group, rng.random() < 0.5) for group in range(400)]
    bright = {record.image_id: mostly(rng, record.answer == "true") for record in statements}
    probes = image_probes(features_of(statements, lambda record: float(bright[record.image_id])))
    for found in reached(statements, "image", "image + relation", probes=probes):
        assert found.accuracy >= 0.7 and found.verdict == "fail"


def test_an_image_property_that_matters_beside_the_relation_is_found() -> None:
    """Statements are true where image and relation both say so: the two together know more than the image."""
    rng = random.Random(7)
    statements = []
    for group in range(800):
        relation, bright = rng.choice(("left of", "on")), rng.random() < 0.5
        truth = mostly(rng, (relation == "on") if rng.random() < 0.7 else bright)
        statements.append(statement(group, truth, image=f"{bright} {group}", relation=relation))
    probes = image_probes(features_of(statements, lambda record: float(record.image_id.startswith("True"))))
    alone, both = reached(statements, "image", "image + relation", probes=probes)
    assert both.accuracy >= 0.7 and both.verdict == "fail"
    assert both.accuracy > alone.accuracy + 0.05


CAPTIONS = tuple(f"The {a} is {r} the {b}." for r in ("left of", "on") for a in NOUNS[:3] for b in NOUNS[3:5])
COUPLES = st.lists(
    st.tuples(st.sampled_from(CAPTIONS), st.sampled_from(CAPTIONS), st.booleans()), min_size=1, max_size=2
)


@settings(max_examples=20, deadline=None)
@given(st.lists(COUPLES, min_size=5, max_size=12), st.integers(0, 99))
def test_balanced_groups_tell_no_probe_anything(groups: list[list[tuple[str, str, bool]]], seed: int) -> None:
    """Each group tells couples of captions of two images: the first is true of one of them, the second of the other."""
    statements = [
        statement(number, first ^ (image == caption), (one, other)[caption], f"{number}/{image}")
        for number, couples in enumerate(groups)
        for one, other, first in couples
        for image in (0, 1)
        for caption in (0, 1)
    ]
    rng = np.random.default_rng(seed)
    features = {record.image_id: rng.normal(size=8).astype(np.float32) for record in statements}
    probes = PROBES | image_probes(features)
    for name, found in zip(probes, reached(statements, *probes, probes=probes), strict=True):
        assert found.accuracy == pytest.approx(0.5, abs=1e-9), name
        assert found.verdict == "pass" and found.exact, name


def test_a_total_that_is_even_by_chance_is_no_finding() -> None:
    """Where the set has equally many of both answers, other folds hold what this one lacks; it must not be learned."""
    for seed in range(6):
        truths = [True, False] * 600
        random.Random(seed).shuffle(truths)
        (prior,) = reached([statement(group, truth) for group, truth in enumerate(truths)], "answer prior")
        assert prior.verdict == "pass", seed


def test_the_opposite_label_rule_finds_what_is_known_of_vsr() -> None:
    """VSR pairs a true with a false image of most captions; rows taken for groups of their own give that away."""
    statements = []
    for number, (_, row) in enumerate(distinct_rows(VSR_ANNOTATIONS / "zeroshot.test.jsonl")):
        subject, _, other = split_caption(row.caption, row.relation)
        about = {"relation": row.relation, "concepts": (subject.lower(), other.lower())}
        statements.append(statement(number, row.truth, row.caption, row.photo, **about))
    opposite, pair = reached(statements, "opposite label", "relation x nouns")
    assert opposite.accuracy > 0.65 and opposite.verdict == "fail"
    assert opposite.accuracy_answered is not None and opposite.accuracy_answered > 0.85
    assert pair.accuracy < 0.4 and pair.verdict == "fail"


def test_no_probe_learns_from_a_group_that_it_answers() -> None:
    statements = [statement(number // 3, number % 2 == 0, f"caption {number}") for number in range(60)]
    calls = []

    def spy(train: Sequence[Record], test: Sequence[Record]) -> np.ndarray:
        calls.append(({record.group_id for record in train}, {record.group_id for record in test}))
        return np.array([1.0 if record.answer == "true" else -1.0 for record in test])

    found = score_probes({"spy": spy}, statements, AuditConfig(folds=4, bootstrap=10))["spy"]
    assert found.accuracy == 1.0  # answers come back to their own statements
    assert all(not train & test for train, test in calls)
    assert sorted(group for _, test in calls for group in test) == sorted({r.group_id for r in statements})


def test_folds_depend_on_the_group_and_the_seed_alone() -> None:
    statements = [statement(number // 2, True, f"caption {number}") for number in range(40)]
    folds = fold_of(statements, 5, seed=0)
    by_group = dict(zip([record.group_id for record in statements], folds.tolist(), strict=True))
    backwards = fold_of(statements[::-1], 5, seed=0)
    assert [by_group[record.group_id] for record in statements[::-1]] == backwards.tolist()
    assert np.bincount(folds).tolist() == [8] * 5
    assert fold_of(statements, 5, seed=1).tolist() != folds.tolist()


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(RecordError, match="3 groups cannot be dealt to 5 folds; lower --folds"):
        fold_of([statement(group, True) for group in range(3)], 5, 0)


@pytest.mark.parametrize(
    ("accuracy", "interval", "verdict"),
    [
        (0.5, (0.4, 0.6), "pass"),
        (0.515, (0.51, 0.52), "pass"),
        (0.485, (0.48, 0.49), "pass"),
        (0.53, (0.51, 0.55), "unclear"),
        (0.47, (0.45, 0.49), "unclear"),
        (0.53, (0.52, 0.54), "fail"),
        (0.2, (0.1, 0.3), "fail"),
    ],
)
def test_the_verdict_is_two_sided(accuracy: float, interval: tuple[float, float], verdict: str) -> None:
    assert verdict_of(accuracy, interval) == verdict


def test_frames_lose_nouns_colours_numbers_and_relation() -> None:
    one = statement(0, True, "Two red cups are left of the dining table.", concepts=("cup", "dining table"))
    other = statement(0, True, "Three blue dogs are on the bed.", relation="on", concepts=("dog", "bed"))
    assert sentence_frame(one) == sentence_frame(other) == "_ _ _ are _ the _ ."
    assert sentence_frame(statement(0, True, "The cup is on top of it.", relation="on top of")) == "the _ is _ it ."


def test_the_regression_agrees_with_an_independent_library() -> None:
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(400, 3))
    score = rows @ [1.0, -0.5, 0.2] + rng.logistic(size=400)
    truth = score > np.median(score)  # equally many of both, so that the weights are one
    reference = sm.Logit(truth.astype(float), sm.add_constant(rows)).fit(disp=0).params
    model = fit(rows, truth, penalty=0.0)
    assert [model.bias, *model.weights] == pytest.approx(reference, abs=1e-3)


def test_a_penalty_shrinks_the_weights() -> None:
    rng = np.random.default_rng(9)
    rows = rng.normal(size=(100, 5))
    truth = rows[:, 0] > 0
    sizes = [float(np.linalg.norm(fit(rows, truth, penalty).weights)) for penalty in (0.1, 1.0, 10.0)]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("share", [0.0, 0.8, 1.0])
def test_a_surplus_of_one_answer_teaches_the_regression_nothing(share: float) -> None:
    truth = np.arange(100) < 100 * share
    assert fit(np.ones((100, 2)), truth, 1.0).scores(np.ones((3, 2))) == pytest.approx(np.zeros(3), abs=1e-6)
