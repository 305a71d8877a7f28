"""Draws are a function of seed, epoch and index, and errors say what to change."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from spatial.dataset import DatasetFolder, RecordSet
from spatial.errors import ConfigError, RecordError
from spatial.templates import TEMPLATES, choose_templates
from training.examples import Examples


@pytest.fixture
def records(data: Path) -> RecordSet:
    return DatasetFolder(data).record_set()


def texts(examples: Examples) -> list[list[str]]:
    return [[prompt.text for prompt in examples[index].prompts] for index in range(len(examples))]


def test_draws_depend_on_seed_epoch_and_index_only(records: RecordSet) -> None:
    once, again = Examples([records], 3, seed=5), Examples([records], 3, seed=5)
    backwards = [[prompt.text for prompt in again[index].prompts] for index in reversed(range(len(again)))]
    assert texts(once) == backwards[::-1]
    again.set_epoch(1)
    assert texts(once) != texts(again)
    once.set_epoch(1)
    assert texts(once) == texts(again)
    assert texts(Examples([records], 3, seed=6)) != texts(Examples([records], 3, seed=5))


def test_an_image_gives_distinct_records_and_at_most_all(records: RecordSet) -> None:
    examples = Examples([records], 100, templates=["question", "name", "locate", "describe"])
    assert len(examples) == 16
    for row in texts(examples):
        assert len(row) == len(set(row)) == 8


def test_kinds_are_drawn_by_weight_whatever_their_number(records: RecordSet) -> None:
    examples = Examples([records], 1, {"statement/relation": 3.0, "name/cell": 1.0}, ["question", "name"])
    drawn: Counter[bool] = Counter()
    for epoch in range(50):
        examples.set_epoch(epoch)
        drawn.update(row[0].startswith("What") for row in texts(examples))
    assert drawn[True] / drawn.total() == pytest.approx(0.25, abs=0.05)


def test_kinds_of_weight_zero_and_kinds_not_named_never_come(records: RecordSet) -> None:
    examples = Examples([records], 8, {"name/cell": 1.0, "statement/relation": 0.0})
    assert {len(row) for row in texts(examples)} == {1}


def test_the_same_data_twice_counts_once(records: RecordSet) -> None:
    assert texts(Examples([records, records], 8)) == texts(Examples([records], 8))


def test_no_record_left_names_the_filters_and_what_there_is(records: RecordSet) -> None:
    with pytest.raises(RecordError, match=r"templates=\['where'\].*the data has .*statement/relation"):
        Examples([records], 1, {}, ["where"])


def test_a_kind_that_the_data_lacks_is_an_error(records: RecordSet) -> None:
    with pytest.raises(ConfigError, match=r"count/count.*choose from"):
        Examples([records], 1, {"count/count": 1.0, "name/cell": 1.0})


def test_a_misspelt_kind_or_template_names_the_nearest(records: RecordSet) -> None:
    with pytest.raises(ConfigError, match="did you mean 'statement/relation'"):
        Examples([records], 1, {"statement/relations": 1.0})
    with pytest.raises(ConfigError, match="did you mean 'question'"):
        Examples([records], 1, {}, ["questions"])


def test_a_record_without_its_image_is_an_error(records: RecordSet) -> None:
    with pytest.raises(RecordError, match="missing image"):
        Examples([RecordSet(records.records, {})], 1)


def test_selections_of_templates_can_be_named_and_nothing_named_means_the_core(records: RecordSet) -> None:
    chosen = Examples([records], 8, {"statement/relation": 1.0}, ["held-out"])
    drawn = set()
    for epoch in range(20):
        chosen.set_epoch(epoch)
        drawn.update(text for row in texts(chosen) for text in row)
    held = [TEMPLATES[name] for name in choose_templates(["held-out"]) if TEMPLATES[name].task == "statement"]
    assert all("hether" in text for text in drawn)
    assert any("A. " in text for text in drawn) and any("[4.00, 10.00, 14.00, 22.00]" in text for text in drawn)
    assert len(drawn) > len(held)
    assert texts(Examples([records], 3, seed=5)) == texts(Examples([records], 3, templates=["core"], seed=5))


def test_each_record_is_put_into_a_template_that_suits_it(records: RecordSet, caplog: pytest.LogCaptureFixture) -> None:
    some = [row for row in records.records if row.task == "statement"]
    unboxed = [replace(row, subject=-1, record_id="") if row.topic == "relation" else row for row in some]
    examples = Examples([RecordSet(unboxed, records.images)], 8, {}, ["vsre-01", "vsre-49", "vsre-07"])
    assert not caplog.records
    for epoch in range(5):
        examples.set_epoch(epoch)
        for row in texts(examples):
            assert len(row) == 5 and not any("[" in text for text in row)
            assert sum(", Yes or no." in text for text in row) >= 3  # those about colour and presence are no relation


def test_records_that_no_template_suits_are_left_out_and_counted(
    records: RecordSet, caplog: pytest.LogCaptureFixture
) -> None:
    examples = Examples([records], 8, {}, ["vsre-07", "name"])
    assert {len(row) for row in texts(examples)} == {3}
    assert "48 of 128 records suit none of the templates" in caplog.text
    with pytest.raises(RecordError, match="no record passes"):
        Examples([RecordSet([row for row in records.records if row.topic == "colour"], records.images)], 8, {}, ["ask"])
