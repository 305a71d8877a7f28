"""Wilson's interval is that of scipy, and is never empty or outside 0 and 1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from spatial.proportion import wilson


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_it_is_the_interval_of_scipy(counts: tuple[int, int]) -> None:
    right, count = counts
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    low, high = wilson(right / count, count)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0 <= low <= right / count <= high <= 1 and low < high


def test_more_cases_make_it_narrower() -> None:
    widths = [high - low for low, high in (wilson(0.8, count) for count in (10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)


def test_nothing_counted_has_no_interval() -> None:
    with pytest.raises(ValueError, match="no interval"):
        wilson(0.0, 0)
