"""How sure a share is, from the number of cases that it was counted on (Wilson, JASA 1927)."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

Interval = tuple[float, float]


def wilson(share: float, count: int, level: float = 0.95) -> Interval:
    """Return the Wilson score interval of a share.

    ``share * count`` need not be whole, as when each image has one of two statements right.

    Raises:
        ValueError: nothing was counted.
    """
    if count < 1:
        raise ValueError(f"a share of {count} cases has no interval")
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    # At none and at all the bound is exactly 0 and 1, which rounding misses.
    return (0.0 if share <= 0 else max(0.0, centre - half), 1.0 if share >= 1 else min(1.0, centre + half))


@dataclass(frozen=True)
class Proportion:
    """Some of many, with the interval of their share; share and interval are ``None`` of none."""

    count: int
    total: int

    @property
    def value(self) -> float | None:
        """The share, 0 to 1."""
        return self.count / self.total if self.total else None

    @property
    def ci95(self) -> Interval | None:
        """Its Wilson interval."""
        return wilson(self.count / self.total, self.total) if self.total else None

    def as_json(self, count: str = "count", total: str = "of") -> dict[str, Any]:
        """Return it for JSON, rounded, the two numbers under names of their own."""
        value = None if self.value is None else round(self.value, 4)
        ci95 = None if self.ci95 is None else [round(bound, 4) for bound in self.ci95]
        return {count: self.count, total: self.total, "share": value, "ci95": ci95}


def percent(value: float | None) -> str:
    """Return "51.3", or "-" where there is no value."""
    return "-" if value is None else f"{100 * value:.1f}"
