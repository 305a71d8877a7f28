"""Minimal pairs of records differ in one thing, are true of their pictures, and lean to no answer."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.benchmarks import read_benchmark
from eval.interpret.controls import CONTROLS, controls_of
from eval.interpret.edited import edited_records
from eval.interpret.from_records import pairs_of_records
from eval.interpret.pairs import Pair, Side
from spatial.dataset import RecordSet
from spatial.errors import ConfigError
from spatial.records import Record
from spatial.relations import RELATIONS
from spatial.sentences import take_apart
from spatial.templates import TEMPLATES, Prompt
from tests.eval.interpret.worlds import SIDES, SUPPORT, world
from tests.eval.released_files import config, expect, whatsup

STATEMENTS, CHOICES = ["question", "true-false", "clause"], ["where", "which", "pick"]


def truth(records: RecordSet, side: Side) -> Record:
    """Return the record that a side asks about."""
    return next(record for record in records.records if record.record_id == side.record_id)


def said(side: Side) -> dict[str, str]:
    """Return the words that the spans of a side point at."""
    return {role: side.prompt.text[start:end] for role, (start, end) in side.prompt.spans.items()}


def test_image_pairs_have_the_same_words_two_pictures_and_two_answers() -> None:
    records = world()
    found = pairs_of_records(records, [*STATEMENTS, *CHOICES], ["image"])
    assert found.pairs and len({pair.pair_id for pair in found.pairs}) == len(found.pairs)
    for pair in found.pairs:
        assert pair.clean.prompt.text == pair.corrupt.prompt.text
        assert pair.clean.prompt.options == pair.corrupt.prompt.options
        assert pair.clean.image_id != pair.corrupt.image_id
        assert pair.answers == (pair.clean.prompt.answer, pair.corrupt.prompt.answer)
        clean, corrupt = truth(records, pair.clean), truth(records, pair.corrupt)
        assert clean.group_id == corrupt.group_id == pair.group_id
        assert (clean.image_id, corrupt.image_id) == (pair.clean.image_id, pair.corrupt.image_id)
        assert pair.relation == clean.relation and pair.family == RELATIONS[clean.relation].category
        assert pair.mode == "image" and pair.control == "" and pair.clean.image_id in found.images


def test_text_pairs_of_statements_have_one_picture_and_another_relation_word() -> None:
    records = world()
    found = pairs_of_records(records, STATEMENTS, ["text"])
    assert {pair.relation for pair in found.pairs} == {"left of", "right of", "above", "below", "on", "off"}
    for pair in found.pairs:
        assert pair.clean.image_id == pair.corrupt.image_id and pair.answers[0] != pair.answers[1]
        clean, corrupt = said(pair.clean), said(pair.corrupt)
        assert clean["subject"] == corrupt["subject"] and clean["object"] == corrupt["object"]
        assert clean["relation"] == pair.relation != corrupt["relation"]
        assert corrupt["relation"] in (RELATIONS[pair.relation].antonym, RELATIONS[pair.relation].inverse)
        assert pair.clean.prompt.text.replace(clean["relation"], corrupt["relation"]) == pair.corrupt.prompt.text


def test_text_pairs_of_choices_exchange_the_roles_and_keep_the_options() -> None:
    records = world(contrasts=(SIDES,))
    found = pairs_of_records(records, CHOICES, ["text"])
    assert found.pairs
    for pair in found.pairs:
        clean, corrupt = said(pair.clean), said(pair.corrupt)
        assert (clean["subject"], clean["object"]) == (corrupt["object"], corrupt["subject"])
        assert pair.clean.prompt.options == pair.corrupt.prompt.options
        assert set(pair.answers) == set(SIDES)
        for side in (pair.clean, pair.corrupt):  # the data says itself that what was turned round is true
            told = [row for row in records.records if (row.image_id, row.task) == (side.image_id, "choice")]
            parts = [take_apart(row.caption, row.relation) for row in told if row.answer == side.prompt.answer]
            assert any(part and part.subject == said(side)["subject"] for part in parts)


@pytest.mark.parametrize("mode", ["image", "text"])
@pytest.mark.parametrize("count", [0, 7, 24])
@pytest.mark.parametrize("templates", [STATEMENTS, CHOICES, ["core"]])
def test_half_of_the_pairs_of_each_relation_have_the_first_answer_on_the_clean_side(
    mode: str, count: int, templates: list[str]
) -> None:
    found = pairs_of_records(world(6), templates, [mode], count, seed=3)
    assert found.pairs and (not count or len(found.pairs) <= count)
    lead: Counter[str] = Counter()
    for pair in found.pairs:
        options = pair.clean.prompt.options
        choice = pair.clean.prompt.answer in RELATIONS
        unit = " or ".join(sorted(pair.answers)) if choice else pair.relation
        lead[unit] += 1 if options.index(pair.answers[0]) < options.index(pair.answers[1]) else -1
    assert max(map(abs, lead.values())) <= 1


def test_relations_come_evenly_and_groups_before_they_come_again() -> None:
    found = pairs_of_records(world(6), ["question"], ["image"], 12)
    assert Counter(pair.relation for pair in found.pairs) == dict.fromkeys(
        ("left of", "right of", "above", "below", "on", "off"), 2
    )
    for relation in ("left of", "on"):
        groups = [pair.group_id for pair in found.pairs if pair.relation == relation]
        assert len(set(groups)) == len(groups)


def test_no_two_pictures_and_words_are_compared_in_both_directions() -> None:
    found = pairs_of_records(world(), ["core"], seed=5)
    shown = [
        frozenset((side.image_id, side.prompt.text) for side in (pair.clean, pair.corrupt)) for pair in found.pairs
    ]
    assert len(set(shown)) == len(shown)


def test_equal_seeds_draw_equal_pairs_and_others_draw_others() -> None:
    records = world()
    ids = [{pair.pair_id for pair in pairs_of_records(records, ["core"], seed=seed).pairs} for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


def test_what_makes_no_pair_is_counted_by_its_reason() -> None:
    records = world(2, (SIDES,))
    first = records.records[0]
    alone = replace(first, group_id="alone", caption="The cup is left of the tv.", record_id="")
    extra = [
        alone,
        replace(alone, group_id="a", topic="colour", relation="", caption="The cup is red.", record_id=""),
        replace(alone, group_id="b", task="caption", record_id=""),
        replace(alone, group_id="c", image_id="nowhere", record_id=""),
        replace(alone, group_id="d", caption="Nothing to take apart.", record_id=""),
        replace(alone, group_id="d", caption="Nothing to take apart.", role_in_group="again", record_id=""),
    ]
    dropped = pairs_of_records(replace(records, records=[*records.records, *extra]), ["question"]).dropped
    assert dropped["no second picture with the same words"] == 2
    assert dropped["it is about a colour, not about a relation"] == 1
    assert dropped["a caption has no two answers to tell apart"] == 1
    assert dropped["its picture is missing"] == 1
    assert dropped["its sentence does not come apart"] == 2
    assert dropped["not both a true and a false statement"] == 1
    assert dropped["no template suits it"] == 8  # choices, for which no template was named


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("relative", "its text does not list the relations to choose from"),
        ("which-of-two", "its text does not list the relations to choose from"),
        ("box-where", ""),
    ],
)
def test_roles_are_exchanged_only_where_the_relations_are_listed(template: str, reason: str) -> None:
    found = pairs_of_records(world(2, (SIDES,)), [template], ["text"])
    assert bool(found.pairs) == (not reason) and (not reason or found.dropped[reason] == 8)


def test_relations_without_an_inverse_are_not_asked_the_other_way_round() -> None:
    found = pairs_of_records(world(2, (SUPPORT,)), CHOICES, ["text"])
    assert not found.pairs and found.dropped["the inverse of its relation is not among its options"] == 4


def test_boxes_in_the_words_make_other_words_of_other_pictures() -> None:
    found = pairs_of_records(world(2, (SIDES,)), ["box-ask"], ["image"])
    assert not found.pairs and found.dropped["no second picture with the same words"] == 16


@pytest.mark.parametrize(("kind", "relations"), [("whatsup-a", 4), ("whatsup-b", 4)])
def test_controlled_photos_are_pairs_of_every_two_relations(
    kind: str, relations: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [("mug", "table"), ("dog", "bed"), ("cap", "chair"), ("sunglasses", "chair")]
    whatsup(tmp_path, kind, names)
    expect(monkeypatch, kind, 16)
    records = read_benchmark(config(kind, tmp_path))
    found = pairs_of_records(records, ["adaptvis", "where"])
    modes = Counter(pair.mode for pair in found.pairs)
    assert modes["image"] >= 22 and modes["text"] >= 6  # of four photos, six pairs; two or four photos have an inverse
    assert len({pair.relation for pair in found.pairs if pair.mode == "image"}) == relations
    for pair in found.pairs:
        assert pair.answers[0] in pair.clean.prompt.options and truth(records, pair.clean).group_id == pair.group_id
        assert pair.mode == "image" or pair.clean.prompt.options == pair.corrupt.prompt.options
    directions = Counter(pair.answers for pair in found.pairs if pair.mode == "image")
    assert all(abs(count - directions[turned[::-1]]) <= 4 for turned, count in directions.items())
    turned = [pair for pair in found.pairs if "sunglasses" in pair.corrupt.prompt.text and pair.mode == "text"]
    assert turned and not any("is the sunglasses" in side.prompt.text for p in turned for side in (p.clean, p.corrupt))


def test_an_identity_control_has_two_equal_sides_and_two_answers() -> None:
    records = world()
    found = pairs_of_records(records, ["core"], seed=1)
    controls = controls_of(found.pairs, records, ["core"], 1, ["identity"]).pairs
    assert controls and len(controls) <= len(found.pairs)
    for control in controls:
        assert control.clean == control.corrupt and control.answers[0] != control.answers[1]
        assert control.control == "identity"


@pytest.mark.parametrize("templates", [["question"], ["true-false", "where"], CHOICES, ["core"]])
def test_a_double_control_returns_to_the_clean_answer(templates: list[str]) -> None:
    records = world(4, (SIDES,))
    found = pairs_of_records(records, templates, seed=2)
    controls = controls_of(found.pairs, records, templates, 2, ["double"])
    assert controls.pairs
    for control in controls.pairs:
        assert control.clean.image_id != control.corrupt.image_id
        assert control.clean.prompt.text != control.corrupt.prompt.text
        assert control.clean.prompt.answer == control.corrupt.prompt.answer == control.answers[0]
        assert control.clean.prompt.options == control.corrupt.prompt.options
        assert truth(records, control.corrupt).image_id == control.corrupt.image_id


def test_a_preserving_control_shows_another_picture_with_the_same_words() -> None:
    records = world()
    found = pairs_of_records(records, ["core"], seed=1)
    controls = controls_of(found.pairs, records, ["core"], 1, ["preserving"])
    edits = Counter()
    for control in controls.pairs:
        assert control.clean.prompt == control.corrupt.prompt and control.mode == "image"
        assert control.clean.image_id != control.corrupt.image_id
        row = controls.images[control.corrupt.image_id]
        edits[row.provenance.split('"')[3].split(" ")[0]] += 1
    assert set(edits) == {"translated", "recoloured"}


def test_boxed_words_keep_their_boxes_in_a_preserving_control() -> None:
    records = world()
    found = pairs_of_records(records, ["box-where"], ["text"], seed=1)
    controls = controls_of(found.pairs, records, ["box-where"], 1, ["preserving"])
    assert controls.pairs
    assert all("recoloured" in controls.images[control.corrupt.image_id].provenance for control in controls.pairs)


def test_photos_without_objects_have_no_preserving_control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whatsup(tmp_path, "whatsup-a", [("mug", "table")])
    expect(monkeypatch, "whatsup-a", 4)
    records = read_benchmark(config("whatsup-a", tmp_path))
    found = pairs_of_records(records, ["adaptvis"], ["image"])
    controls = controls_of(found.pairs, records, ["adaptvis"])
    assert {control.control for control in controls.pairs} == {"identity", "double"}
    assert set(controls.dropped) <= {
        "no masks are known, so objects cannot be told from the background",
        "no picture of its group has another answer and another relation word",
    }


@pytest.mark.parametrize("edit", ["mirrored", "exchanged"])
def test_edited_pictures_make_groups_whose_answers_turn_round(edit: str) -> None:
    records = edited_records(world(), edit)
    found = pairs_of_records(records, STATEMENTS)
    lateral = {"left of", "right of"}
    assert {pair.relation for pair in found.pairs} == lateral | ({"above", "below"} if edit == "exchanged" else set())
    for pair in found.pairs:
        if pair.mode == "image":
            told = [found.images[side.image_id].provenance for side in (pair.clean, pair.corrupt)]
            assert sum(edit in each for each in told) == 1
    original = {record.record_id for record in world().records}
    assert any(record.record_id in original for record in records.records)
    assert len({record.image_id for record in records.records}) == 2 * len({r.group_id for r in records.records})


def test_records_in_somebody_s_own_frame_are_not_mirrored() -> None:
    records = world(2, (SIDES,))
    own = replace(records, records=[replace(row, frame="intrinsic", record_id="") for row in records.records])
    made = edited_records(own, "mirrored")
    assert not made.records and {row.reason for row in made.failed} == {"its relation is not the viewer's"}


def test_unknown_names_are_refused_with_the_nearest() -> None:
    records = world(1)
    with pytest.raises(ConfigError, match="did you mean 'image'"):
        pairs_of_records(records, modes=["imaeg"])
    with pytest.raises(ConfigError, match="did you mean 'double'"):
        controls_of([], records, kinds=["duoble"])
    with pytest.raises(ConfigError, match="did you mean 'mirrored'"):
        edited_records(records, "mirored")
    with pytest.raises(ConfigError, match="did you mean 'question'"):
        pairs_of_records(records, ["questoin"])


def test_two_equal_answers_make_no_pair() -> None:
    side = Side("x", Prompt([{"content": [{}, {"text": "?"}]}], ("a", "b"), "a", {}))
    with pytest.raises(ValueError, match="nothing can be told apart"):
        Pair("image", side, side, ("a", "a"))
    ids = {Pair("image", side, side, ("a", "b"), control=control).pair_id for control in ("", *CONTROLS)}
    assert len(ids) == 1 + len(CONTROLS)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 30), groups=st.integers(1, 4))
def test_spans_point_at_the_words_whatever_is_drawn(seed: int, count: int, groups: int) -> None:
    names = [name for name, template in TEMPLATES.items() if template.task in ("statement", "choice")]
    for pair in pairs_of_records(world(groups, (SIDES, SUPPORT)), names, count=count, seed=seed).pairs:
        for side in (pair.clean, pair.corrupt):
            for role, word in said(side).items():
                assert word.strip() and (role != "relation" or word in (*SIDES, *SUPPORT, *map(str.capitalize, SIDES)))
