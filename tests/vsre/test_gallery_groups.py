"""Groups as they are looked at: statements aligned over the images, and a draw that every relation has its share of."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from spatial.dataset import DatasetFolder
from spatial.records import Record
from vsre.gallery.groups import MAIN, by_group, facets_of, relations_of, sample_group
from vsre.gallery.sample import draw

RELATIONS = ("left of", "right of", "on", "near")

datasets = st.dictionaries(
    st.text("abcdef0123456789", min_size=1, max_size=6),
    st.lists(st.sampled_from(RELATIONS), max_size=2, unique=True).map(tuple),
    max_size=40,
)


@given(datasets, st.integers(0, 5), st.integers(0, 3))
def test_every_relation_gets_as_many_groups_as_were_asked_for_or_all_it_has(
    groups: dict[str, tuple[str, ...]], per_relation: int, seed: int
) -> None:
    chosen = draw(groups, per_relation, 0, seed)
    assert len(set(chosen)) == len(chosen) and set(chosen) <= set(groups)
    there = Counter(relation for names in groups.values() for relation in names or ("",))
    shown = Counter(relation for key in chosen for relation in groups[key] or ("",))
    for relation, number in there.items():
        assert shown[relation] >= (min(per_relation, number) if per_relation else number)
    if per_relation:
        assert len(chosen) <= per_relation * len(there)


@given(datasets, st.integers(1, 5), st.integers(1, 8))
def test_a_draw_cut_short_is_the_beginning_of_the_whole_one(
    groups: dict[str, tuple[str, ...]], per_relation: int, limit: int
) -> None:
    assert draw(groups, per_relation, limit, 7) == draw(groups, per_relation, 0, 7)[:limit]


@given(datasets)
def test_the_draw_does_not_depend_on_the_order_of_the_data(groups: dict[str, tuple[str, ...]]) -> None:
    backwards = dict(reversed(groups.items()))
    assert draw(groups, 2, 0, 3) == draw(backwards, 2, 0, 3)


def test_another_seed_draws_other_groups() -> None:
    groups = {f"group-{index}": ("on",) for index in range(50)}
    assert set(draw(groups, 5, 0, 0)) != set(draw(groups, 5, 0, 1))


def test_a_short_draw_takes_every_relation_before_any_twice() -> None:
    groups = {f"{relation} {index}": (relation,) for relation in RELATIONS for index in range(9)}
    assert sorted(groups[key][0] for key in draw(groups, 9, 4, 0)) == sorted(RELATIONS)


def test_a_statement_of_two_images_is_one_row_whose_answer_flips(renders: Path) -> None:
    data = DatasetFolder(renders)
    groups, missing = by_group(data.records, data.images)
    assert len(groups) == 4 and missing == 0
    for key, records in groups.items():
        group = sample_group(key, records, data.images)
        assert group.members[0].role == "original" and len(group.members) == 2
        main = [row for row in group.rows if row.topic == MAIN]
        assert len(main) in (2, 4) and group.rows[: len(main)] == tuple(main)
        for row in main:
            assert sorted(answer.text for cell in row.answers for answer in cell) == ["false", "true"]
            truth = {
                record.image_id: record.answer
                for record in records
                if (record.task, record.caption) == ("statement", row.text)
            }
            assert [cell[0].text for cell in row.answers] == [truth[m.image.image_id] for m in group.members]
            assert all(bool(answer.kind) == (answer.text == "false") for cell in row.answers for answer in cell)


def test_no_record_of_a_group_is_lost(renders: Path) -> None:
    data = DatasetFolder(renders)
    groups, _ = by_group(data.records, data.images)
    for key, records in groups.items():
        group = sample_group(key, records, data.images)
        for place, member in enumerate(group.members):
            said = {(row.topic, answer.text) for row in group.rows for answer in row.answers[place]}
            there = {(f"{r.task}: {r.topic}", r.answer) for r in records if r.image_id == member.image.image_id}
            assert said == there


def test_the_dense_caption_tells_what_an_image_shows(renders: Path) -> None:
    data = DatasetFolder(renders)
    groups, _ = by_group(data.records, data.images)
    key, records = next(iter(groups.items()))
    dense = {r.image_id: r.caption for r in records if (r.task, r.topic) == ("caption", "scene")}
    for member in sample_group(key, records, data.images).members:
        assert member.caption == dense[member.image.image_id]


def test_photos_pairs_singles_and_images_without_records_are_groups(photos: Path) -> None:
    data = DatasetFolder(photos)
    groups, missing = by_group(data.records, data.images)
    found = [sample_group(key, records, data.images) for key, records in groups.items()]
    assert [len(group.members) for group in found] == [2, 1, 1] and missing == 1
    pair, single, bare = found
    assert [member.caption for member in pair.members] == [
        "cat, red sofa",
        "Not true of it: The cat is at the left side of the <sofa>.",
    ]
    assert [member.role for member in pair.members] == ["", ""], "a role that repeats the answer says nothing"
    assert pair.facets["category"] == ("Adjacency",) and pair.facts["split"] == "dev"
    assert single.title == "no relation" and single.facets["topic"] == ("statement: presence",)
    assert bare.rows == () and bare.facets["source"] == ("vsr",)


def test_a_group_is_about_what_it_asks_and_not_about_all_that_its_captions_mention() -> None:
    ask = Record("i", "g", "original", "statement", "relation", "A is on B.", "true", relation="on")
    tell = Record("i", "g", "original", "caption", "relation", "A is near C.", "A is near C.", relation="near")
    assert relations_of([tell, ask]) == ("on",)
    assert relations_of([tell]) == ("near",)
    assert facets_of([tell, ask])["category"] == ("Topological",)
