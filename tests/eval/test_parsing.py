"""What an answer in words says, compared with what a person reads in it; and how the released code reads the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.parsing import contains_answer, contains_verdict, parse_answer
from spatial.relations import RELATIONS, VERBS

FOUR = ("left", "right", "on", "under")
PLACES = ("left", "right", "top", "bottom")
DEPTH = ("left", "right", "front", "behind")


@pytest.mark.parametrize(
    ("text", "options", "option"),
    [
        ("Left", FOUR, "left"),
        ("left.", FOUR, "left"),
        ("The lamp is on the table.", FOUR, "on"),
        ("The lamp is on top of the table.", FOUR, "on"),
        ("The lamp is on the left side of the table.", FOUR, "left"),
        ("The lamp is to the far right of the table.", FOUR, "right"),
        ("It's on the right.", FOUR, "right"),
        ("The lamp is on the floor, under the table.", FOUR, "under"),
        ("The lamp stands right under the table", FOUR, "under"),
        ("The lamp is beneath the table", FOUR, "under"),
        ("The lamp is not on the table, it is under the table.", FOUR, "under"),
        ("The lamp isn't on the table but to the left of it.", FOUR, "left"),
        ("The table is under the lamp.", FOUR, "on"),
        ("The lamp is in front of the table.", DEPTH, "front"),
        ("The lamp is in the back of the table", DEPTH, "behind"),
        ("The cup is at the top of the photo.", ("top", "bottom"), "top"),
        ("in the bottom part", PLACES, "bottom"),
    ],
)
def test_the_option_that_is_said_of_what_was_asked(text: str, options: tuple[str, ...], option: str) -> None:
    found = parse_answer(text, options, "lamp", "table")
    assert (found.option, found.outcome) == (option, "parsed")


@pytest.mark.parametrize(
    ("text", "options", "outcome"),
    [
        ("", FOUR, "none"),
        ("I cannot tell from this photo.", FOUR, "none"),
        ("The lamp is next to the table.", FOUR, "none"),
        ("Top right", PLACES, "several"),
        ("left or right", FOUR, "several"),
        ("The lamp is on the table and to the left of the table.", FOUR, "several"),
        ("It is not on the table.", FOUR, "negated"),
        ("North of the notice board", ("yes", "no"), "none"),
    ],
)
def test_what_names_no_one_option_is_not_guessed_at(text: str, options: tuple[str, ...], outcome: str) -> None:
    found = parse_answer(text, options, "lamp", "table")
    assert (found.option, found.outcome) == ("", outcome)


@pytest.mark.parametrize(
    ("text", "options", "option"),
    [
        ("yes", ("yes", "no"), "yes"),
        ("YES!", ("yes", "no"), "yes"),
        ("No, there is no cup left of it.", ("yes", "no"), "no"),
        ("Yes, the cup is not behind it.", ("yes", "no"), "yes"),
        ("The answer is no.", ("yes", "no"), "no"),
        ("The statement is not true.", ("true", "false"), "false"),
        ("That isn't correct.", ("correct", "incorrect"), "incorrect"),
        ("That is incorrect", ("correct", "incorrect"), "incorrect"),
    ],
)
def test_a_verdict_is_a_word_and_not_a_part_of_one(text: str, options: tuple[str, ...], option: str) -> None:
    assert parse_answer(text, options).option == option


@given(st.sampled_from(sorted(RELATIONS)), st.sampled_from(sorted(RELATIONS)))
def test_a_sentence_with_a_relation_is_read_as_that_relation(relation: str, other: str) -> None:
    text = f"The cup {'' if relation in VERBS else 'is '}{relation} the table."
    options = (relation, other) if relation != other else (relation,)
    assert parse_answer(text, options, "cup", "table").option == relation


def test_the_released_code_reads_more_into_an_answer() -> None:
    both = "The lamp is on the floor, under the table."
    assert contains_answer(both, "On") and contains_answer(both, "Under")
    assert contains_answer("Top right", "Right") and parse_answer("Top right", PLACES).outcome == "several"
    assert not contains_answer("in front of the table, on the floor", "On")
    assert contains_verdict("Not that I know", False) and contains_verdict("North", False)
    assert not contains_verdict("yes", True) and parse_answer("yes", ("yes", "no")).option == "yes"
