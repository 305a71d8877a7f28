"""Models that are slow are asked as seldom as can be: safety once for each picture, judges of none that is refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from datagen.config import VerifySettings
from datagen.verify.base import Pixels, Verdict
from datagen.verify.models import Models
from datagen.verify.verdicts import accepted, passed
from datagen.verify.verifier import Verifier


@dataclass
class Counting:
    """Answers yes to all, and counts how often and of how many pictures it is asked."""

    name: str = "counting"
    looked: list[int] = field(default_factory=list)
    asked: int = 0

    def verdicts(self, pictures: Sequence[Pixels]) -> list[Verdict]:
        self.looked.append(len(pictures))
        return [passed("safety") for _ in pictures]

    def margins(self, picture: Pixels, questions: Sequence[str]) -> list[float]:
        self.asked += 1
        return [1.0] * len(questions)


def test_safety_is_asked_once_of_pictures_that_are_held_against_several_intentions(oracle: Any, cases: Any) -> None:
    for case in cases[:3]:
        oracle.learn(case.scene, case.drawn)
    counting = Counting()
    verifier = Verifier(VerifySettings(), Models([oracle], oracle, safety=counting))
    nouns = [tuple(item.name for item in case.intent.objects) for case in cases[:3]]
    looked = verifier.look([case.drawn.rgb for case in cases[:3]], nouns)
    for evidence, case in zip(looked, cases[:3], strict=True):
        for _ in range(2):
            assert {it.check: it.status for it in verifier.judge(evidence, case.intent).verdicts}["safety"] == "passed"
    assert counting.looked == [3]


def test_no_judge_is_asked_of_a_picture_that_is_refused_already(oracle: Any, cases: Any) -> None:
    case = cases[0]
    oracle.learn(case.scene, case.drawn)
    counting = Counting()
    verifier = Verifier(VerifySettings(), Models([oracle], oracle, [counting]))
    gone = replace(case.intent.objects[0], name=next(n for n in ("cup", "book") if n not in str(case.intent.objects)))
    missing = replace(case.intent, objects=(gone, *case.intent.objects[1:]))
    [verdicts] = verifier.verify([case.drawn.rgb], [missing])
    assert not accepted(verdicts) and counting.asked == 0
    assert next(it for it in verdicts if it.check == "question").reason == "refused already"
    verifier.verify([case.drawn.rgb], [case.intent])
    assert counting.asked == 1
