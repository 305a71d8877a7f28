"""What no check can tell is not trusted without a calibration, and costly models look at as little as they can."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from datagen.config import VerifySettings
from datagen.verify.base import Pixels, Verdict
from datagen.verify.models import Models
from datagen.verify.verdicts import accepted, passed
from datagen.verify.verifier import Verifier


def judged(verifier: Verifier, case: Any, **changed: Any) -> dict[str, Verdict]:
    [verdicts] = verifier.verify([case.drawn.rgb], [replace(case.intent, **changed)])
    return {it.check: it for it in verdicts}


@pytest.mark.parametrize("relation", ["facing", "facing away from", "on", "off"])
def test_a_picture_whose_relation_needs_poses_is_refused_unless_that_is_asked_for(
    relation: str, oracle: Any, case_of: Callable[[str], Any]
) -> None:
    case = case_of(relation)
    oracle.learn(case.scene, case.drawn)
    verdicts = judged(Verifier(VerifySettings(), Models([oracle], oracle)), case)
    assert (verdicts["trust"].status, verdicts["trust"].reason) == ("failed", "unread")
    assert relation in verdicts["trust"].detail and not accepted(verdicts.values())
    verdicts = judged(Verifier(VerifySettings(unread="accept"), Models([oracle], oracle)), case)
    assert verdicts["trust"].status == "skipped" and accepted(verdicts.values())


def test_one_claim_of_several_that_needs_poses_is_enough(oracle: Any, case_of: Callable[[str], Any]) -> None:
    """Every claim becomes a record, so a claim beside it that can be read does not vouch for it."""
    case = case_of("left of")
    oracle.learn(case.scene, case.drawn)
    verifier = Verifier(VerifySettings(), Models([oracle], oracle))
    assert accepted(judged(verifier, case).values())
    facing = replace(case.claim, relation="facing")
    verdicts = judged(verifier, case, claims=(*case.intent.claims, facing))
    assert verdicts["relation"].status == "passed" and verdicts["trust"].reason == "unread"


class Counted:
    """A judge or safety checker that finds nothing wrong, and counts pictures."""

    name = "counted"

    def __init__(self) -> None:
        self.calls: list[int] = []

    def margins(self, picture: Pixels, questions: Sequence[str]) -> list[float]:
        self.calls.append(1)
        return [3.0] * len(questions)

    def verdicts(self, pictures: Sequence[Pixels]) -> list[Verdict]:
        self.calls.append(len(pictures))
        return [passed("safety")] * len(pictures)


def test_safety_looks_once_at_a_batch_whatever_it_is_held_against(oracle: Any, cases: Any) -> None:
    safety = Counted()
    verifier = Verifier(VerifySettings(), Models([oracle], oracle, safety=safety))
    pictures = [oracle.learn(case.scene, case.drawn) for case in cases[:3]]
    seen = verifier.look(pictures, [[it.name for it in case.intent.objects] for case in cases[:3]])
    for evidence in seen:
        for case in cases[:3]:
            verifier.judge(evidence, case.intent)
    assert safety.calls == [3]


def test_judges_are_not_asked_about_pictures_that_are_refused_already(
    oracle: Any, case_of: Callable[[str], Any]
) -> None:
    judge = Counted()
    verifier = Verifier(VerifySettings(), Models([oracle], oracle, [judge]))
    case = case_of("left of")
    oracle.learn(case.scene, case.drawn)
    turned = tuple(replace(claim, truth=not claim.truth) for claim in case.intent.claims)
    verdicts = judged(verifier, case, claims=turned)
    assert verdicts["relation"].status == "failed" and judge.calls == []
    assert (verdicts["question"].status, verdicts["question"].reason) == ("skipped", "refused already")
    judged(verifier, case)
    assert judge.calls
