"""Universality: what all conditions select, and whether chance would have selected it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import kendalltau

from eval.interpret.chance import rank_correlations, shared_by_chance
from eval.interpret.effects import ALL_HEADS, Effect, Site
from eval.interpret.everywhere import everywhere, in_words
from eval.interpret.families import compare_families
from eval.interpret.heads import of_heads, select
from eval.interpret.plot_universal import draw_universality
from eval.interpret.universal import (
    Chosen,
    Condition,
    choose_in_each,
    conditions_of,
    universality,
)

LAYERS, HEADS = 3, 4
Shares = dict[tuple[int, int], float]


def effects(shares: Shares, family: str, mode: str = "image", pairs: int = 30, seed: int = 0) -> list[Effect]:
    """Return effects of single heads that restore these shares of the answer, and others nothing, with noise."""
    rng = np.random.default_rng(seed)
    about = ("denoise", family, family)
    return [
        Effect(
            *(f"{family}{mode}{pair}", mode, *about, f"{family}{pair}", "", "z", layer, head, "last", 1, 2.0, -2.0),
            ld_patched=-2.0 + 4 * shares.get((layer, head), 0.0) + 0.2 * rng.standard_normal(),
            same=False,
        )
        for pair in range(pairs)
        for layer in range(LAYERS)
        for head in range(HEADS)
    ]


def everywhere_of(sets: dict[str, list[Effect]]) -> tuple[dict, list[Chosen]]:
    return everywhere(sets, "last", "denoise", resamples=20)


def names(found: dict) -> set[tuple[int, int]]:
    """Return layer and number of the universal heads."""
    return {(one["site"]["layer"], one["site"]["head"]) for one in found["heads"]["sites"] if one["universal"]}


def four(shares: Sequence[Shares], pairs: int = 30) -> list[Effect]:
    """Return effects of two families in both modes, each with its own heads."""
    conditions = [(family, mode) for mode in ("image", "text") for family in ("Projective", "Topological")]
    return [
        row
        for number, ((family, mode), own) in enumerate(zip(conditions, shares, strict=True))
        for row in effects(own, family, mode, pairs, number)
    ]


def test_what_identical_conditions_select_is_universal() -> None:
    found, rows = everywhere_of({"a": four([{(1, 2): 0.9}] * 4)})
    assert names(found) == {(1, 2)}
    assert found["heads"]["shared"] == 1
    assert found["heads"]["expected"] == pytest.approx(4 * 0.25**4)
    assert all(one["jaccard"] == 1 for one in found["heads"]["overlaps"])
    assert len(rows) == 4 * LAYERS * HEADS
    assert any("Universal heads: head 1.2" in sentence for sentence in in_words(found))


def test_a_head_that_one_condition_does_not_select_is_not_universal() -> None:
    found, _ = everywhere_of({"a": four([{(1, 2): 0.9}] * 3 + [{(2, 0): 0.9}])})
    assert names(found) == set()
    widest = found["heads"]["sites"][0]
    assert (widest["site"]["layer"], widest["site"]["head"], widest["conditions"]) == (1, 2, 3)
    assert any("No heads are universal" in sentence and "head 1.2" in sentence for sentence in in_words(found))


def test_every_set_of_data_counts() -> None:
    same, other = four([{(1, 2): 0.9}] * 4), four([{(0, 1): 0.9}] * 4)
    assert names(everywhere_of({"a": same, "b": same})[0]) == {(1, 2)}
    found, rows = everywhere_of({"a": same, "b": other})
    assert names(found) == set()
    assert {row.data for row in rows} == {"a", "b"}
    assert any("a, Projective, image (30)" in sentence for sentence in in_words(found))


def test_conditions_of_few_pairs_are_left_out_and_named() -> None:
    rows = four([{(1, 2): 0.9}] * 4)
    few = effects({(0, 0): 0.9}, "Orientation", "image", pairs=9)
    kept, left_out = conditions_of({"a": [*rows, *few]})
    assert left_out == {Condition("a", "Orientation", "image"): 9}
    assert len(kept) == 4
    found, _ = everywhere_of({"a": [*rows, *few]})
    assert names(found) == {(1, 2)}
    assert "Left out: Orientation, image (9)" in next(iter(in_words(found)))


def test_places_are_told_of_the_conditions_of_heads(tmp_path: Path) -> None:
    """Pairs without the heads' role, as of a table that names no subject, have places all the same."""
    rows = four([{(1, 2): 0.9}] * 4)
    other = effects({(1, 2): 0.9}, "Orientation")
    places = [replace(row, kind="mlp", head=ALL_HEADS, role=f"word {row.head}") for row in (*rows, *other)]
    found, chosen = everywhere_of({"a": [*rows, *places]})
    assert found["places"]["sites"][0]["universal"] and len(found["conditions"]) == 4
    assert {row.family for row in chosen} == {"Projective", "Topological"}
    assert any(
        "MLP 1 at 'word 2'" in sentence and "each of the 4 conditions" in sentence for sentence in in_words(found)
    )
    assert len(draw_universality(found, chosen, tmp_path)) == 2


def test_nothing_is_said_of_one_condition() -> None:
    found, _ = everywhere_of({"a": effects({(1, 2): 0.9}, "Projective")})
    assert found["heads"] is None
    assert found["families"] is None
    assert any("cannot be told" in sentence for sentence in in_words(found))


def test_two_conditions_that_agree_may_do_so_by_chance() -> None:
    """Either drew the same one of four heads of a layer: that happens once in four times."""
    found, _ = everywhere_of({"a": [*effects({(1, 2): 0.9}, "A"), *effects({(1, 2): 0.9}, "B")]})
    assert found["heads"]["shared"] == 1
    assert found["heads"]["p_value"] == pytest.approx(0.25)
    assert names(found) == set()
    assert any("chance may do that" in sentence for sentence in in_words(found))


def drawn(counts: NDArray[np.int64], strata: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw so many (X, S) sites of each set by lot."""
    found = np.zeros((len(counts), len(strata)), dtype=bool)
    for row, own in enumerate(counts):
        for stratum, count in enumerate(own):
            found[row, rng.permutation(np.flatnonzero(strata == stratum))[:count]] = True
    return found


def test_independent_draws_share_as_many_as_chance_says() -> None:
    rng = np.random.default_rng(0)
    strata = np.repeat([0, 1], [4, 6])
    counts = np.array([[2, 3], [1, 3], [3, 4]])
    chance = shared_by_chance(drawn(counts, strata, rng), strata)
    assert chance.sum() == pytest.approx(1)
    shared = [int(drawn(counts, strata, rng).all(0).sum()) for _ in range(3000)]
    for number, probability in enumerate(chance):
        assert np.mean(np.array(shared) == number) == pytest.approx(probability, abs=0.04)


def test_heads_drawn_by_lot_are_hardly_ever_universal() -> None:
    rng = np.random.default_rng(0)
    strata = np.repeat(np.arange(4), 4)
    p_values, universal = [], 0
    for _ in range(100):
        selected = drawn(rng.integers(0, 3, (2, 4)), strata, rng)
        rows = [
            Chosen(
                "a", f"f{condition}", "image", "z", site // 4, site % 4, "last", 30, 0.0, 0.0, 0.0, 0.0, 1.0, bool(own)
            )
            for condition, chosen in enumerate(selected)
            for site, own in enumerate(chosen)
        ]
        found = universality(rows)
        assert found is not None
        p_values.append(found.p_value)
        universal += sum(one.universal for one in found.sites)
    assert np.mean(np.array(p_values) <= 0.05) <= 0.09
    assert universal <= 2


def test_sites_that_cannot_matter_somewhere_are_not_compared() -> None:
    """Image tokens are the same on both sides of a text pair."""

    def places(mode: str, role: str, same: bool) -> list[Effect]:
        rows = [row for row in effects({(1, 0): 0.9}, "A", mode) if row.head == 0]
        return [replace(row, kind="mlp", head=ALL_HEADS, role=role, same=same) for row in rows]

    dealt = {
        Condition("a", "A", "image"): places("image", "image", False) + places("image", "last", False),
        Condition("a", "A", "text"): places("text", "image", True) + places("text", "last", False),
    }
    rows = choose_in_each(dealt, 20)
    assert {row.site for row in rows} == {Site("mlp", layer, ALL_HEADS, "last") for layer in range(LAYERS)}


def test_rank_correlations_are_those_of_scipy() -> None:
    shares = np.round(np.random.default_rng(0).random((3, 12)), 1)
    found = rank_correlations(shares)
    assert found[0, 1] == pytest.approx(kendalltau(shares[0], shares[1]).statistic)
    assert found[2, 1] == pytest.approx(kendalltau(shares[2], shares[1]).statistic)
    assert np.isnan(rank_correlations(np.zeros((2, 3)))).all()


def test_families_with_heads_of_their_own_agree_less_than_parts_by_lot() -> None:
    first: Shares = {(layer, head): 0.1 * (head + 1) for layer in range(LAYERS) for head in range(HEADS)}
    other: Shares = {(layer, head): 0.1 * (HEADS - head) for layer in range(LAYERS) for head in range(HEADS)}
    for second, differ in ((other, True), (first, False)):
        dealt, _ = conditions_of({"a": [*effects(first, "A"), *effects(second, "B", seed=3)]})
        found = compare_families(dealt, rounds=60)
        assert found is not None
        assert (found.p_value < 0.05) is differ
        assert (found.agreement < found.dealt_95[0]) is differ


def test_defect_4_heads_are_selected_by_their_own_row() -> None:
    """The published code reads the row of the token before, and selects the head that matters there."""
    own = effects({(1, 2): 0.9}, "A")
    before = [replace(row, role="subject") for row in effects({(0, 3): 0.9}, "A")]
    found = select(of_heads([*before, *own], "last", "denoise"), 20)
    assert [head.name for head in found if head.selected] == [("z", 1, 2)]
    published = select(of_heads([*before, *own], "subject", "denoise"), 20)
    assert [head.name for head in published if head.selected] == [("z", 0, 3)]


def test_the_picture_shows_all_conditions(tmp_path: Path) -> None:
    found, rows = everywhere_of({"a": four([{(1, 2): 0.9}] * 4)})
    (path,) = draw_universality(found, rows, tmp_path)
    with Image.open(path) as image:
        assert image.width > 500
    assert draw_universality(everywhere_of({"a": []})[0], [], tmp_path) == []
