"""The published split, index for index, what it makes of pairs and sets, and a split that cuts no group."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.splits import Ceilings, adaptvis_split, ceilings, group_split
from spatial.errors import ConfigError
from spatial.records import Record

SIZES = {412: 330, 408: 327, 2247: 1798, 440: 352, 1160: 928, 291: 233}
"""Rows of AdaptVis's six sets, and of its test parts."""

RELATIONS = {"l": "left of", "r": "right of", "o": "on", "u": "under", "f": "in front of", "b": "behind"}


def row(group: object, relation: str) -> Record:
    """Return a record of a group, about a relation."""
    caption = f"The cup is {relation} the book."
    about = ("choice", "relation", caption, relation)
    return Record(f"{group}/{relation}", f"{group}", relation, *about, relation=relation, options=("left of", "on"))


def released_order(name: str) -> list[Record]:
    """Return a record for each row of Controlled A or B, in the order of the released file."""
    text = (Path(__file__).parent / "whatsup_order.txt").read_text()
    tokens = text.partition(f"{name}:")[2].partition(":")[0].split()
    return [
        row(token[:-1], RELATIONS[token[-1]]) for token in tokens if token[-1] in RELATIONS and token[:-1].isdigit()
    ]


@pytest.mark.parametrize(("count", "test"), SIZES.items())
def test_the_published_split_has_the_published_sizes_and_rows(count: int, test: int) -> None:
    random.seed(1)  # as the released code draws it
    published = sorted(random.sample(range(count), int(0.2 * count)))
    validation, rest = adaptvis_split(count)
    assert validation == published and len(rest) == test
    assert sorted([*validation, *rest]) == list(range(count))


def test_a_file_of_earlier_indices_does_not_decide_what_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect 22 of the released code: indices in a file are used whatever seed is asked for."""
    monkeypatch.chdir(tmp_path)
    for folder in ("output", "outputs"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "sampled_idx_Controlled_Images_A.npy", np.arange(82))
    assert adaptvis_split(412)[0] != list(range(82))
    assert adaptvis_split(412, seed=2) != adaptvis_split(412, seed=1)
    state = random.getstate()
    assert adaptvis_split(412, seed=2) == adaptvis_split(412, seed=2) and random.getstate() == state


@pytest.mark.parametrize(("name", "count", "pair", "whole"), [("A", 412, 80.0, 58.18), ("B", 408, 78.90, 51.38)])
def test_the_published_split_caps_pair_and_set_accuracy(name: str, count: int, pair: float, whole: float) -> None:
    rows = released_order(name)
    assert len(rows) == count and ceilings(rows) == Ceilings(100.0, 100.0)
    found = ceilings([rows[index] for index in adaptvis_split(count)[1]])
    assert (round(found.pair, 2), round(found.set, 2)) == (pair, whole)


def test_a_half_pair_and_a_broken_set_do_not_count() -> None:
    part = [row(0, relation) for relation in ("left of", "right of", "on", "under")]
    part += [row(1, relation) for relation in ("left of", "on", "under")] + [row(2, "on")]
    assert ceilings(part) == Ceilings(75.0, 50.0)
    with pytest.raises(ConfigError, match="no records"):
        ceilings([])


@given(st.lists(st.integers(1, 5), min_size=2, max_size=30), st.floats(0.05, 0.5), st.integers(0, 99))
def test_no_group_is_cut(sizes: list[int], share: float, seed: int) -> None:
    records = [row(f"group {group}", f"relation {n}") for group, size in enumerate(sizes) for n in range(size)]
    try:
        validation, test = group_split(records, share, seed)
    except ConfigError:
        assert max(sizes) >= sum(sizes) * (1 - share) or len(sizes) == 2
        return
    assert not {r.group_id for r in validation} & {r.group_id for r in test}
    assert [r for r in records if r in validation] == validation and len(validation) + len(test) == len(records)
    assert share * len(records) <= len(validation) < share * len(records) + max(sizes)
    assert group_split(records[::-1], share, seed) == (validation[::-1], test[::-1])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        group_split([row(0, "on"), row(1, "on")], share, 0)
