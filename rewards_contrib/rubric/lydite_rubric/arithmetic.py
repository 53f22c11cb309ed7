"""From criteria met and not met to one score.

Source: HealthBench (Arora et al. 2025, arXiv 2505.08775): points of what is met over the positive points, not
clipped. A rubric of penalties alone, which has no positive points, starts from 1 instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

ROUNDING: Final = 1e-9
"""What a quotient of sums may be off by when it is compared with a threshold."""


def total(points: Sequence[float], met: Sequence[bool | None]) -> float | None:
    """The score of a rubric with these points, at most 1; None when what was decided cannot be scored.

    A criterion that nobody could decide is None in `met`: it counts neither above nor below the line. Where every
    criterion with positive points is undecided, there is nothing to measure the rest by.
    """
    decided = [(worth, one) for worth, one in zip(points, met, strict=True) if one is not None]
    earned = math.fsum(worth for worth, one in decided if one)
    if any(worth > 0 for worth in points):
        whole = math.fsum(worth for worth, _ in decided if worth > 0)
        return earned / whole if whole else None
    whole = -math.fsum(worth for worth, _ in decided)
    return 1.0 + earned / whole if whole else None


def worst(points: Sequence[float]) -> float:
    """The score of an answer that does all it must not do and nothing that it must."""
    found = total(points, [worth < 0 for worth in points])
    assert found is not None  # a rubric has at least one criterion
    return found


def dropped_share(points: Sequence[float], met: Sequence[bool | None]) -> float:
    """The share of the points, signs left aside, that belongs to criteria which nobody could decide."""
    weights = [abs(worth) for worth in points]
    lost = math.fsum(weight for weight, one in zip(weights, met, strict=True) if one is None)
    return lost / math.fsum(weights)


def adjusted(score: float, characters: int, *, free: int | None, cost: float, low: float) -> float:
    """The score less `cost` for each 1,000 characters beyond `free`, down to `low`; `free` of None changes nothing."""
    if free is None or characters <= free:
        return score
    return min(score, max(score - cost * (characters - free) / 1000, low))
