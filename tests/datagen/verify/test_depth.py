"""Depth is read as order alone: any growing unit gives the same verdict, and reversed depth is refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.config import VerifySettings
from datagen.verify.base import Claim, Detection
from datagen.verify.depth import Spread, clearly_ordered, rank_agreement, spread
from datagen.verify.models import Models
from datagen.verify.verdicts import accepted
from datagen.verify.verifier import Verifier

from .sketches import BOOK, CUP, PAIR, judge, judged, sketch


def test_depth_in_any_growing_unit_gives_the_same_verdict(cases: Any, oracle: Any) -> None:
    found = []
    for warp in (np.log, lambda depth: -1 / depth, lambda depth: depth**3 + 7):
        oracle.warp = warp
        for case in cases[::2]:
            oracle.learn(case.scene, case.drawn)
        verifier = Verifier(VerifySettings(), Models([oracle], oracle))
        verdicts = verifier.verify([it.drawn.rgb for it in cases[::2]], [it.intent for it in cases[::2]])
        depths = [next(it for it in own if it.check == "depth") for own in verdicts]
        found.append([(it.status, it.reason, it.score) for it in depths])
    assert found[0] == found[1] == found[2]
    assert {status for status, _, _ in found[0]} == {"passed", "skipped"}


def test_reversed_depth_is_refused(cases: Any, oracle: Any) -> None:
    oracle.warp = lambda depth: -depth
    verifier = Verifier(VerifySettings(), Models([oracle], oracle))
    refused = 0
    for case in cases:
        if clearly_ordered(case.intent):
            oracle.learn(case.scene, case.drawn)
            assert judged(verifier, case.drawn.rgb, case.intent)["depth"].reason in ("ranks", "order")
            refused += 1
    assert refused >= 5


def test_what_may_hang_in_the_air_has_no_order_in_depth(cases: Any) -> None:
    case = next(it for it in cases if clearly_ordered(it.intent))
    farther, nearer = clearly_ordered(case.intent)[0]
    for relation, truth, upper in (("above", True, farther), ("over", True, farther), ("under", True, nearer)):
        hanging = replace(case.intent, claims=(Claim(relation, farther, nearer, truth),))
        assert not any(upper in pair for pair in clearly_ordered(hanging))
    standing = replace(case.intent, claims=(Claim("above", farther, nearer, False),))
    assert (farther, nearer) in clearly_ordered(standing)


def test_a_step_in_depth_must_be_larger_than_the_spread() -> None:
    masks = {"cup": np.zeros((50, 100), bool), "book": np.zeros((50, 100), bool)}
    masks["cup"][10:30, 10:30], masks["book"][10:30, 60:80] = True, True
    noise = np.random.default_rng(0).normal(0, 1, (50, 100)).astype(np.float32)
    front = replace(PAIR, claims=(Claim("in front of", 0, 1),))
    found = [Detection("cup", CUP, 0.9, masks["cup"]), Detection("book", BOOK, 0.8, masks["book"])]
    for step, reason in ((5.0, ""), (0.5, "unclear"), (-5.0, "order")):
        depth = (noise + step * masks["book"]).astype(np.float32)
        assert judge(sketch(front, *found, depth=depth), front)["depth"].reason == reason


@given(st.integers(0, 2**31), st.sampled_from([np.exp, np.cbrt, lambda it: 3 * it - 5, np.arctan]))
@settings(max_examples=40, deadline=None)
def test_agreement_of_ranks_does_not_change_under_growing_functions(seed: int, warp: Any) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.permutation(np.linspace(-3, 3, 144)).reshape(12, 12).astype(np.float32)
    farther = np.zeros((12, 12), bool)
    farther[: int(rng.integers(1, 11))] = True
    nearer = ~farther
    agreement = rank_agreement(depth, farther, nearer)
    assert rank_agreement(warp(depth.astype(np.float64)), farther, nearer) == pytest.approx(agreement)
    assert rank_agreement(depth, nearer, farther) == pytest.approx(-agreement)
    assert -1 <= agreement <= 1
    # Somers' D by its definition.
    signs = np.sign(depth[farther][:, None] - depth[nearer][None])
    assert agreement == pytest.approx(signs.mean())


def test_pixels_without_depth_do_not_count() -> None:
    depth = np.array([[1, 1, np.inf, 4]], np.float32)
    assert spread(depth, np.array([[True, True, True, False]])) == Spread(1, 1, 1, 0)
    assert spread(depth, np.array([[False, False, True, False]])) is None
    assert rank_agreement(depth, np.array([[False, False, True, True]]), np.array([[True, True, False, False]])) == 1
    assert rank_agreement(depth, np.array([[False, False, True, False]]), np.array([[True, True, False, False]])) == 0


def test_without_a_depth_model_depth_is_skipped(oracle: Any, case_of: Callable[[str], Any]) -> None:
    case = case_of("left of")
    oracle.learn(case.scene, case.drawn)
    verdicts = judged(Verifier(VerifySettings(depth=""), Models([oracle])), case.drawn.rgb, case.intent)
    assert (verdicts["depth"].status, verdicts["depth"].reason) == ("skipped", "no depth model")
    assert accepted(verdicts.values())
