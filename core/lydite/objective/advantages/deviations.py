"""Means and deviations of rewards, some of which are None and count for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, sqrt
from typing import Final, TypeAlias

Values: TypeAlias = Sequence[float | None]

STD_EPSILON: Final = 1e-4  # TRL's; keeps a group whose rewards hardly differ from being blown up to unit size


def deviations(values: Values) -> list[float | None]:
    """Distances from the mean of what is not None.

    Measured from the smallest value, and summed exactly: equal values give exactly 0, and the order of the
    values plays no part.
    """
    counted = [value for value in values if value is not None]
    if not counted:
        return [None] * len(values)
    origin = min(counted)
    mean = fsum(value - origin for value in counted) / len(counted)
    return [None if value is None else (value - origin) - mean for value in values]


def std(values: Values) -> float:
    """Unbiased standard deviation of what is not None; 0 for fewer than two values."""
    away = [deviation for deviation in deviations(values) if deviation is not None]
    return sqrt(fsum(deviation**2 for deviation in away) / (len(away) - 1)) if len(away) > 1 else 0.0


def whitened(values: Sequence[Values]) -> list[list[float | None]]:
    """The same [P][G] with mean 0 and, but for the epsilon, unbiased deviation 1 over everything that is not None."""
    flat = [value for group in values for value in group]
    divisor = std(flat) + STD_EPSILON
    scaled = iter([None if away is None else away / divisor for away in deviations(flat)])
    return [[next(scaled) for _ in group] for group in values]


def without_none(values: Sequence[Values]) -> list[list[float]]:
    """The same with 0 for None."""
    return [[0.0 if value is None else value for value in group] for group in values]
