"""Verdicts go to JSON and back, and a picture that was not looked for is not accepted."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.verify import safety
from datagen.verify.base import Verdict
from datagen.verify.verdicts import (
    CHECKS,
    STATUSES,
    accepted,
    failed,
    from_json,
    in_order,
    passed,
    refusal,
    skipped,
    to_json,
)
from spatial.errors import RecordError

verdicts = st.lists(
    st.builds(
        Verdict,
        check=st.sampled_from(CHECKS),
        status=st.sampled_from(STATUSES),
        reason=st.text(max_size=8),
        detail=st.text(max_size=20),
        score=st.none() | st.floats(-10, 10),
    ),
    unique_by=lambda it: it.check,
).map(tuple)


@settings(max_examples=40, deadline=None)
@given(verdicts)
def test_verdicts_survive_json(found: tuple[Verdict, ...]) -> None:
    assert from_json(to_json(found)) == found


@settings(max_examples=40, deadline=None)
@given(verdicts)
def test_the_first_check_that_failed_is_the_refusal(found: tuple[Verdict, ...]) -> None:
    ordered = in_order(found)
    first = next((name for name in CHECKS for it in found if it.check == name and it.status == "failed"), None)
    verdict = refusal(ordered)
    assert (verdict.check if verdict else None) == first
    assert not (accepted(found) and verdict)


def test_what_was_not_looked_for_is_not_accepted() -> None:
    assert accepted([passed("presence"), skipped("safety", "no model")])
    assert not accepted([skipped("presence", "no detector"), passed("quality")])
    assert not accepted([]) and not accepted([passed("presence"), failed("layout", "moved")])


def test_json_says_only_what_there_is_to_say() -> None:
    text = to_json(
        [passed("presence", score=0.123456), failed("layout", "moved", "cup: far"), skipped("safety", "no model")]
    )
    assert json.loads(text) == {
        "presence": {"status": "passed", "score": 0.1235},
        "layout": {"status": "failed", "reason": "moved", "detail": "cup: far"},
        "safety": {"status": "skipped", "reason": "no model"},
    }
    assert from_json("{}") == ()


@pytest.mark.parametrize("text", ["", "[1]", '{"layout": 3}', '{"layout": {}}', '{"layout": {"status": "maybe"}}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match="make the data again"):
        from_json(text)


def test_a_score_that_is_no_number_is_kept_as_none_and_never_makes_a_picture_safe() -> None:
    unsure = failed("question", "denied", "no number", float("nan"))
    assert from_json(to_json([unsure])) == (unsure,) and unsure.score is None
    verdict = safety._verdict(float("nan"))
    assert (verdict.status, verdict.score) == ("failed", None)
