"""A faithful picture passes every check, and each check refuses what it is for, with its own reason."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from datagen.config import VerifySettings
from datagen.render import render
from datagen.verify.base import Claim, Detection
from datagen.verify.faults import FAULTS, make_faulty
from datagen.verify.matching import Evidence, match
from datagen.verify.models import Models
from datagen.verify.relation import intended, read_claims
from datagen.verify.verdicts import accepted, refusal
from datagen.verify.verifier import Verifier
from spatial.predicates import PREDICATES, holds
from spatial.records import ImageObject

from .sketches import BOOK, CUP, NOISE, NOWHERE, PAIR, judge, judged, sketch, why


def test_every_faithful_render_is_accepted(oracle: Any, verifier: Verifier, cases: Any) -> None:
    for case in cases:
        oracle.learn(case.scene, case.drawn)
    verdicts = verifier.verify([case.drawn.rgb for case in cases], [case.intent for case in cases])
    assert [refusal(it) for it in verdicts if not accepted(it)] == []


def test_small_errors_of_the_detector_are_forgiven(cases: Any, oracle: Any) -> None:
    oracle.shake = 1.0
    verifier = Verifier(VerifySettings(unread="accept"), Models([oracle], oracle))
    for case in cases:
        oracle.learn(case.scene, case.drawn)
    verdicts = verifier.verify([case.drawn.rgb for case in cases], [case.intent for case in cases])
    assert np.mean([accepted(it) for it in verdicts]) >= 0.9


REASONS = {
    "missing": {"presence: missing"},
    "swapped": {"layout: moved"},
    "duplicate": {"uniqueness: duplicate"},
    "depth": {"layout: moved", "layout: resized", "depth: order"},
    "noun": {"presence: missing"},
}


@pytest.mark.parametrize("name", REASONS)
def test_each_fault_is_refused_for_what_it_is(name: str, oracle: Any, verifier: Verifier, cases: Any) -> None:
    pictures, intents = [], []
    for index, case in enumerate(cases):
        if len(pictures) == 6:
            break
        faulty = make_faulty(FAULTS[name], case.scene, case.claim, np.random.default_rng(index), 1)
        if faulty:
            pictures.append(oracle.learn(faulty.scene, render(faulty.scene, 1), faulty.pixels))
            intents.append(case.intent)
    assert len(pictures) >= 2
    for verdicts in verifier.verify(pictures, intents):
        assert why({it.check: it for it in verdicts}) in REASONS[name]


@pytest.mark.parametrize("name", ["swapped", "depth"])
def test_without_an_intended_place_the_relation_alone_refuses(
    name: str, oracle: Any, verifier: Verifier, cases: Any
) -> None:
    found = []
    for index, case in enumerate(cases):
        claim = case.claim
        faulty = make_faulty(FAULTS[name], case.scene, claim, np.random.default_rng(index), 1)
        if faulty:
            pixels = oracle.learn(faulty.scene, render(faulty.scene, 1))
            objects = tuple(replace(item, box_xyxy=NOWHERE, mask_rle="") for item in case.intent.objects)
            verdicts = judged(verifier, pixels, replace(case.intent, objects=objects, claims=(claim,), depth=None))
            assert verdicts["layout"].status == "skipped"
            found.append(verdicts["relation"].status)
            assert why(verdicts).split(":")[0] in ("relation", "depth")
    assert found and set(found) == {"failed"}


def test_the_counterpart_of_a_group_is_refused_unless_its_boxes_are_the_same(
    oracle: Any, verifier: Verifier, cases: Any
) -> None:
    for one, other in zip(cases[::2], cases[1::2], strict=True):
        oracle.learn(other.scene, other.drawn)
        verdicts = judged(verifier, other.drawn.rgb, one.intent)
        turned = {claim.relation for claim in one.intent.claims} & {"facing", "facing away from"}
        assert turned or why(verdicts), [claim.relation for claim in one.intent.claims]


def test_every_detector_must_find_everything() -> None:
    evidence = Evidence(
        NOISE,
        {"a": [Detection("cup", CUP, 0.9), Detection("book", BOOK, 0.8)], "b": [Detection("cup", CUP, 0.7)]},
        {name: frozenset({"cup", "book"}) for name in "ab"},
    )
    verdict = judge(evidence)["presence"]
    assert (verdict.reason, verdict.detail) == ("missing", "book: not found by b")


def test_a_detector_that_does_not_know_a_noun_is_not_asked() -> None:
    evidence = Evidence(
        NOISE,
        {"a": [Detection("cup", CUP, 0.9), Detection("book", BOOK, 0.8)], "b": [Detection("cup", CUP, 0.7)]},
        {"a": frozenset({"cup", "book"}), "b": frozenset({"cup"})},
    )
    verdicts = judge(evidence)
    assert verdicts["presence"].status == "passed" and verdicts["presence"].score == 0.7
    nobody = judge(sketch(PAIR, Detection("cup", CUP, 0.9), asked=frozenset({"cup"})))["presence"]
    assert (nobody.reason, nobody.detail) == ("unknown noun", "no detector knows 'book'")


def test_detectors_must_agree_on_the_place() -> None:
    both = {name: frozenset({"cup", "book"}) for name in "ab"}
    seen = [Detection("cup", CUP, 0.9), Detection("book", BOOK, 0.8)]
    elsewhere = [Detection("cup", (20.0, 10.0, 40.0, 30.0), 0.9), seen[1]]
    evidence = Evidence(NOISE, {"a": seen, "b": elsewhere}, both)
    assert judge(evidence)["presence"].reason == "disagreement"


def test_another_noun_at_an_objects_place_counts_if_it_is_surer() -> None:
    asked, book = frozenset({"cup", "book", "bowl"}), Detection("book", BOOK, 0.8)
    for score, reason in ((0.7, ""), (0.95, "mistaken")):
        evidence = sketch(PAIR, Detection("cup", CUP, 0.9), book, Detection("bowl", CUP, score), asked=asked)
        verdicts = judge(evidence)
        assert verdicts["presence"].reason == reason
        assert verdicts["uniqueness"].status == "passed"


def test_what_was_not_intended_is_refused() -> None:
    pair = [Detection("cup", CUP, 0.9), Detection("book", BOOK, 0.8)]
    second, bowl = Detection("cup", (40.0, 10.0, 55.0, 25.0), 0.5), Detection("bowl", (40.0, 10.0, 55.0, 25.0), 0.5)
    assert judge(sketch(PAIR, *pair, second))["uniqueness"].reason == "duplicate"
    evidence = sketch(PAIR, *pair, bowl, asked=frozenset({"cup", "book", "bowl"}))
    assert judge(evidence)["uniqueness"].reason == "extra"


def test_what_was_not_intended_must_be_surer_than_what_was() -> None:
    pair = [Detection("cup", CUP, 0.25), Detection("book", BOOK, 0.25)]
    for score, reason in ((0.25, ""), (0.35, "duplicate")):
        second = Detection("cup", (40.0, 10.0, 55.0, 25.0), score)
        verdicts = judge(sketch(PAIR, *pair, second))
        assert (verdicts["presence"].status, verdicts["uniqueness"].reason) == ("passed", reason)


def test_as_many_of_a_noun_as_intended_are_right() -> None:
    cups = replace(PAIR, objects=(*PAIR.objects, ImageObject("cup", (85.0, 30.0, 98.0, 45.0))), claims=())
    found = [Detection("cup", CUP, 0.9), Detection("book", BOOK, 0.8), Detection("cup", (85.0, 30.0, 98.0, 45.0), 0.7)]
    for order in (found, found[::-1]):
        verdicts = judge(sketch(cups, *order), cups)
        assert [verdicts[name].status for name in ("presence", "uniqueness", "layout")] == ["passed"] * 3
    verdicts = judge(sketch(cups, *found[:2]), cups)
    assert verdicts["presence"].reason == "missing" and verdicts["layout"].reason == "not all found"


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((12.0, 10.0, 32.0, 30.0), ""),
        ((30.0, 10.0, 50.0, 30.0), "moved"),
        ((4.0, 4.0, 36.0, 36.0), "resized"),
        ((16.0, 16.0, 24.0, 24.0), "resized"),
    ],
)
def test_layout_tells_moved_from_resized(box: Any, reason: str) -> None:
    verdict = judge(sketch(PAIR, Detection("cup", box, 0.9), Detection("book", BOOK, 0.8)))["layout"]
    assert verdict.reason == reason


def test_stricter_settings_refuse_more() -> None:
    evidence = sketch(PAIR, Detection("cup", (12.0, 10.0, 32.0, 30.0), 0.9), Detection("book", BOOK, 0.8))
    strict = Verifier(VerifySettings(least_overlap=0.9), Models([])).judge(evidence, PAIR).verdicts
    assert why({it.check: it for it in strict}) == "layout: resized"


@pytest.mark.parametrize(
    ("cup", "book", "outcome"),
    [
        (CUP, BOOK, "passed"),
        (BOOK, CUP, "contradicted"),
        ((50.0, 10.0, 70.0, 30.0), BOOK, "undecided"),
    ],
)
def test_undecided_is_a_failure_of_its_own(cup: Any, book: Any, outcome: str) -> None:
    evidence = sketch(PAIR, Detection("cup", cup, 0.9), Detection("book", book, 0.8))
    for truth in (True, False):
        relation = replace(PAIR, claims=(Claim("left of", 0, 1, truth),))
        wanted = outcome if truth or outcome == "undecided" else {"passed": "contradicted"}.get(outcome, "passed")
        # A false claim is held against an intended picture that shows it false.
        if not truth:
            relation = replace(relation, objects=(ImageObject("cup", BOOK), ImageObject("book", CUP)))
        [reading] = read_claims(match(relation, evidence))
        assert reading.outcome == wanted
        verdict = judge(evidence, relation)["relation"]
        assert verdict.status == ("passed" if wanted == "passed" else "failed")


def test_what_needs_poses_is_skipped_where_a_layout_vouches_for_it_and_else_refused(
    oracle: Any, verifier: Verifier, case_of: Callable[[str], Any]
) -> None:
    case = case_of("facing")
    oracle.learn(case.scene, case.drawn)
    claims = tuple(claim for claim in case.intent.claims if claim.relation == "facing" and claim.truth)
    verdict = judged(verifier, case.drawn.rgb, replace(case.intent, claims=claims))["relation"]
    assert (verdict.status, verdict.reason) == ("skipped", "needs poses")
    anywhere = tuple(replace(item, box_xyxy=NOWHERE, mask_rle="") for item in case.intent.objects)
    verdict = judged(verifier, case.drawn.rgb, replace(case.intent, objects=anywhere, claims=claims))["relation"]
    assert (verdict.status, verdict.reason) == ("failed", "undecided")


def test_what_is_refuted_without_poses_is_refused_even_where_it_could_not_be_confirmed(
    oracle: Any, verifier: Verifier, case_of: Callable[[str], Any]
) -> None:
    """Boxes never confirm that two things touch, but things that lie apart do not."""
    case = case_of("far from")
    claim = next(it for it in case.intent.claims if it.relation == "far from" and it.truth)
    oracle.learn(case.scene, case.drawn)
    touching = replace(claim, relation="touching")
    verdict = judged(verifier, case.drawn.rgb, replace(case.intent, claims=(touching,)))["relation"]
    assert verdict.reason == "contradicted"


def test_the_intended_picture_never_contradicts_what_the_scene_shows(cases: Any) -> None:
    """What boxes, masks and depths say without poses is what the scene's poses say, or nothing."""
    from datagen.render import observe_rendered

    for case in cases[:12]:
        seen, ideal = observe_rendered(case.scene, case.drawn), intended(case.intent)
        assert ideal is not None
        for name in PREDICATES:
            for a, b in ((0, 1), (1, 0)):
                without, truth = holds(name, a, b, ideal), holds(name, a, b, seen)
                assert without is None or truth is None or without == truth, name


def test_a_picture_of_another_size_is_refused_at_once() -> None:
    small = replace(sketch(PAIR), pixels=NOISE[:, :40])
    verdicts = judge(small)
    assert list(verdicts) == ["quality"] and why(verdicts) == "quality: size" and not accepted(verdicts.values())
