"""Balances are exact: one answer too many is found and named."""

from dataclasses import replace
from typing import Any

import pytest

from eval.audit.balance import check_balances
from spatial.dataset import DatasetFolder
from spatial.records import Record


def broken(records: list[Record]) -> dict[str, list[dict[str, Any]]]:
    """Return the violations of each rule that has some."""
    return {balance.rule: balance.violations for balance in check_balances(records) if balance.violations}


@pytest.fixture
def records(dataset: Any) -> list[Record]:
    """Eight balanced groups of two images, with statements and choices."""
    return DatasetFolder(dataset).records


def changed(record: Record, **fields: Any) -> Record:
    """The record with other content, and so another identifier."""
    return replace(record, record_id="", **fields)


def test_balanced_groups_break_no_rule(records: list[Record]) -> None:
    balances = check_balances(records)
    assert [balance.checked for balance in balances] == [16, 16, 4, 1, 8, 2]
    assert not broken(records)


def test_one_wrong_answer_breaks_all_rules_about_it(records: list[Record]) -> None:
    place = next(i for i, r in enumerate(records) if r.task == "statement" and r.answer == "false")
    wrong = changed(records[place], answer="true")
    found = broken([*records[:place], wrong, *records[place + 1 :]])
    assert found == {
        "each caption of a group is true half of the time": [
            {"group_id": wrong.group_id, "caption": wrong.caption, "counts": {"true": 2, "false": 0}}
        ],
        "each image of a group is true half of the time": [
            {"group_id": wrong.group_id, "image_id": wrong.image_id, "counts": {"true": 2, "false": 0}}
        ],
        "each relation is true half of the time": [{"relation": wrong.relation, "counts": {"true": 5, "false": 3}}],
        'the answers "true" and "false" are equally frequent': [
            {"task": "statement", "counts": {"true": 17, "false": 15}}
        ],
    }


def test_errors_that_cancel_over_the_set_are_found_within_their_groups(records: list[Record]) -> None:
    """Two groups of one relation with swapped errors: the totals are even, the groups are not."""
    statements = [r for r in records if r.task == "statement" and r.relation == "left of"]
    groups = sorted({r.group_id for r in statements})[:2]
    first = next(r for r in statements if r.group_id == groups[0] and r.answer == "true")
    second = next(r for r in statements if r.group_id == groups[1] and r.answer == "false")
    turned = {first.record_id: changed(first, answer="false"), second.record_id: changed(second, answer="true")}
    found = broken([turned.get(r.record_id, r) for r in records])
    captions = found["each caption of a group is true half of the time"]
    assert {item["group_id"] for item in captions} == set(groups)
    assert {item["group_id"] for item in found["each image of a group is true half of the time"]} == set(groups)
    assert len(found) == 2


def test_a_choice_whose_answer_is_always_the_same_is_found(records: list[Record]) -> None:
    place = next(i for i, r in enumerate(records) if r.task == "choice" and r.answer == "left of")
    wrong = changed(records[place], answer="right of")
    found = broken([*records[:place], wrong, *records[place + 1 :]])
    assert found == {
        "each option of a group's choices is the answer equally often": [
            {
                "group_id": wrong.group_id,
                "options": ["left of", "right of"],
                "counts": {"left of": 0, "right of": 2},
            }
        ],
        "each option of a choice is the answer equally often": [
            {"options": ["left of", "right of"], "counts": {"left of": 3, "right of": 5}}
        ],
    }


def test_rules_without_records_are_left_out(records: list[Record]) -> None:
    statements = [record for record in records if record.task == "statement"]
    assert len(check_balances(statements)) == 4
    assert check_balances([]) == []
