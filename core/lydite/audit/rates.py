"""Shares with their uncertainty, and quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

Z95: Final = 1.959963984540054
"""The normal quantile that leaves 2.5 % on each side."""
Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of how many."""

    hits: int
    n: int

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.hits / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        """Its 95 % interval; None of nothing."""
        return wilson_interval(self.hits, self.n) if self.n else None


def wilson_interval(hits: int, n: int) -> Interval:
    """The 95 % score interval of a share. Unlike hits / n plus and minus something, it never has width 0.

    Source: Wilson, JASA 22 (1927).
    """
    share, z2 = hits / n, Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # A share of 0 or 1 is an end of its own interval, which rounding would miss.
    return (0.0 if hits == 0 else middle - half, 1.0 if hits == n else middle + half)


def difference_interval(one: Rate, other: Rate) -> Interval | None:
    """The 95 % interval of `one - other`, two independent shares; None when either is a share of nothing.

    Source: Newcombe, Statistics in Medicine 17 (1998), method 10, made of the two Wilson intervals.
    """
    if one.value is None or other.value is None or one.interval is None or other.interval is None:
        return None
    difference = one.value - other.value
    (low1, high1), (low2, high2) = one.interval, other.interval
    low = difference - math.hypot(one.value - low1, high2 - other.value)
    high = difference + math.hypot(high1 - one.value, other.value - low2)
    return (max(low, -1.0), min(high, 1.0))


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value that a share of the values stays below, interpolated between neighbours; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
