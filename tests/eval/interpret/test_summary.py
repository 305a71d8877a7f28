"""Means over pairs, tiers, heads and the knock-out, against hand values and simulations."""

import math
from dataclasses import replace

import numpy as np
import pytest

from eval.interpret.compare import differences
from eval.interpret.effects import ALL_HEADS, Effect
from eval.interpret.heads import (
    Head,
    expected_by_chance,
    halves,
    joint_cell,
    random_heads,
    select,
)
from eval.interpret.knockout import SELECTED, Knockout, compare
from eval.interpret.summary import means, of_tier, tier, tier_counts

ROW = Effect(
    pair_id="p0",
    mode="image",
    direction="denoise",
    relation="left of",
    family="Projective",
    group_id="g0",
    control="",
    kind="mlp",
    layer=1,
    head=ALL_HEADS,
    role="last",
    tokens=1,
    ld_clean=2.0,
    ld_corrupt=-2.0,
    ld_patched=0.0,
    same=False,
)


def test_the_effect_is_a_ratio_of_sums_with_its_sign() -> None:
    rows = [ROW, replace(ROW, pair_id="p1", group_id="g1", ld_clean=1.0, ld_corrupt=-1.0, ld_patched=-2.0)]
    (mean,) = means(rows)
    assert mean.share == pytest.approx((2.0 - 1.0) / (4.0 + 2.0))
    assert mean.median == pytest.approx((0.5 - 0.5) / 2)
    assert mean.nats == pytest.approx(0.5)
    assert mean.ci95[0] == pytest.approx(-0.5)
    assert mean.ci95[1] == pytest.approx(0.5)
    noise = [replace(row, direction="noise") for row in rows]
    (mean,) = means(noise)
    assert mean.share == pytest.approx((2.0 + 3.0) / 6.0)


def test_runs_that_hardly_differ_are_no_infinite_effect() -> None:
    """Defect 6 of the published code: a ratio without guard, whose infinities are set to zero."""
    close = replace(ROW, pair_id="p1", group_id="g1", ld_clean=1e-9, ld_corrupt=0.0, ld_patched=0.5)
    (mean,) = means([ROW, close])
    assert mean.share == pytest.approx((2.0 + 0.5) / (4.0 + 1e-9))
    assert math.isfinite(mean.ci95[1])
    published = np.nan_to_num(np.array([0.5, 0.5 / 1e-9]), posinf=0).mean()
    assert published > 1e7
    assert tier(close.ld_clean, close.ld_corrupt) == 1


def test_groups_are_drawn_whole() -> None:
    """Ten copies of a pair say no more than one."""
    rows = [replace(ROW, pair_id=f"p{n}", group_id=f"g{n % 2}", ld_patched=2.0 * (n % 2)) for n in range(20)]
    (mean,) = means(rows)
    (alone,) = means(rows[:2])
    assert mean.ci95 == alone.ci95


def test_modes_and_directions_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="several modes"):
        means([ROW, replace(ROW, mode="text")])
    assert means([]) == []


def test_tiers() -> None:
    assert [tier(*both) for both in ((-1, -2), (1, 2), (1, 0), (0.1, -0.1), (1, -1), (math.nan, 1))] == [
        0,
        1,
        1,
        2,
        3,
        0,
    ]
    rows = [
        replace(ROW, pair_id=str(n), ld_clean=a, ld_corrupt=b) for n, (a, b) in enumerate([(-1, 1), (1, 1), (1, -1)])
    ]
    assert tier_counts([*rows, replace(ROW, pair_id="c", control="identity")]) == {"T0": 3, "T1": 2, "T2": 1, "T3": 1}
    assert [row.pair_id for row in of_tier(rows, 2)] == ["2"]


def headed(effects: dict[tuple[int, int], float], pairs: int = 30, noise: float = 0.3, seed: int = 0) -> list[Effect]:
    """Return effects of 4 x 4 heads that restore these shares of the answer, and others nothing, with noise."""
    rng = np.random.default_rng(seed)
    return [
        replace(
            ROW,
            pair_id=f"p{pair}",
            group_id=f"g{pair}",
            kind="z",
            layer=layer,
            head=head,
            ld_patched=-2.0 + 4 * effects.get((layer, head), 0.0) + noise * rng.standard_normal(),
        )
        for pair in range(pairs)
        for layer in range(4)
        for head in range(4)
    ]


def test_heads_that_stand_out_are_selected_by_signed_effect() -> None:
    rows = headed({(1, 2): 0.6, (3, 0): -0.5})
    heads = select(rows)
    assert {head.name for head in heads if head.selected} == {("z", 1, 2), ("z", 3, 0)}
    assert heads[0].name == ("z", 1, 2)
    assert heads[1].mean.share < 0
    assert expected_by_chance(rows, rounds=50) < 0.5


def test_defect_5_a_high_level_is_no_effect() -> None:
    """The published code takes the absolute probability of the right answer; where that is high, every head is."""
    rows = [
        replace(row, ld_patched=row.ld_patched + 1.9 if row.layer == 2 else row.ld_patched)
        for row in headed({(1, 2): 0.1})
    ]
    level = {(row.layer, row.head): 0.0 for row in rows}
    for row in rows:
        level[row.layer, row.head] += abs(1 / (1 + math.exp(-row.ld_patched)))
    published = max(level, key=lambda name: level[name])
    assert published[0] == 2
    lowering = headed({(1, 2): -0.6})
    assert select(lowering)[0].name == ("z", 1, 2)
    assert select(lowering)[0].selected
    falling = {(row.layer, row.head): abs(1 / (1 + math.exp(-row.ld_patched))) for row in lowering}
    assert max(falling, key=lambda name: falling[name]) != (1, 2)


def test_without_effects_hardly_any_head_is_selected() -> None:
    counts = [sum(head.selected for head in select(headed({}, seed=seed), 50)) for seed in range(20)]
    assert np.mean(counts) <= 0.2


def test_heads_of_several_roles_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="several roles"):
        select([*headed({}), replace(headed({})[0], role="subject")])
    with pytest.raises(ValueError, match="single heads"):
        select([ROW])


def test_random_heads_are_of_the_same_layers_and_none_of_the_chosen() -> None:
    every = [("z", layer, head) for layer in range(3) for head in range(4)]
    chosen = [("z", 0, 1), ("z", 0, 2), ("z", 2, 3)]
    for drawn in random_heads(chosen, every, 20):
        assert not set(drawn) & set(chosen)
        assert len(set(drawn)) == 3
        assert sorted(layer for _, layer, _ in drawn) == [0, 0, 2]
    crowded = random_heads([("z", 0, head) for head in range(3)], every, 5)
    assert all(len(set(drawn)) == 3 for drawn in crowded)
    with pytest.raises(ValueError, match="too few"):
        random_heads(every[:7], every, 1)


def test_halves_keep_groups_together() -> None:
    groups = {f"p{n}": f"g{n // 3}" for n in range(30)}
    first, second = halves(groups)
    assert first | second == set(groups)
    assert not first & second
    assert not {groups[pair] for pair in first} & {groups[pair] for pair in second}


def test_a_joint_cell_patches_all_heads() -> None:
    cell = joint_cell([("z", 2, 3), ("z", 0, 1), ("z", 2, 0)], (5, 6))
    assert [(patch.layer, patch.heads, patch.positions) for patch in cell.patches] == [
        (0, (1,), (5, 6)),
        (2, (0, 3), (5, 6)),
    ]


def test_the_knock_out_compares_selected_with_random_heads() -> None:
    rows = [
        Knockout(f"p{n}", f"g{n}", direction, number, 2.0, -2.0, patched)
        for n in range(8)
        for direction, sign in (("denoise", -1.0), ("noise", 1.0))
        for number, patched in ((SELECTED, sign * (2.0 - 3.0)), (0, sign * (2.0 - 0.4)), (1, sign * 2.0))
    ]
    for direction in ("denoise", "noise"):
        found = compare(rows, direction)
        assert found is not None
        assert found.selected == pytest.approx(0.75)
        assert found.random == pytest.approx(0.05)
        assert found.difference == pytest.approx(0.7)
        assert found.ci95 == (pytest.approx(0.7), pytest.approx(0.7))
        assert found.beaten == 1.0
    assert compare([], "noise") is None


def test_heads_have_a_name() -> None:
    assert isinstance(select(headed({}))[0], Head)


def test_two_models_are_compared_on_the_pairs_of_both() -> None:
    mine = [replace(ROW, pair_id=f"p{n}", group_id=f"g{n}", ld_patched=0.4) for n in range(12)]
    other = [replace(row, ld_patched=-1.6) for row in mine] + [replace(ROW, pair_id="alone", group_id="alone")]
    weak = replace(ROW, pair_id="p0", group_id="g0", ld_clean=-1.0)
    found = differences([weak, *mine[1:]], other, 2, 50)
    assert found["pairs"] == 11
    (row,) = found["sites"]["image"]["denoise"]
    assert row["mine"] == pytest.approx(0.6)
    assert row["other"] == pytest.approx(0.1)
    assert row["difference"] == pytest.approx(0.5)
    assert row["ci95"] == (pytest.approx(0.5), pytest.approx(0.5))
    assert differences(mine, [], 2)["pairs"] == 0
