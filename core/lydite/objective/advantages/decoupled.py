"""GDPO: each reward is brought to unit size in its group before they are added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import copysign, fsum, isclose
from typing import Final

from lydite.objective.advantages.deviations import STD_EPSILON, deviations, std, whitened, without_none
from lydite.types import ScoredCompletion, ScoredGroup

SAME_TOTAL: Final = 1e-9  # relative; far above float64 rounding of a weighted sum, far below any reward step


def decoupled_advantages(groups: Sequence[ScoredGroup]) -> list[list[float]]:
    """GDPO's advantages [P][G] of scored groups; 0 where the reward is None.

    Each component is brought to mean 0 and deviation 1 within its group, the weighted sum of those is brought to
    mean 0 and deviation 1 over the step. A gate replaces a completion's total, which no single component shows; see
    `_split_gated` for how it keeps its effect.

    Source: GDPO (arXiv 2601.05242).
    """
    sums: list[list[float | None]] = []
    for group in groups:
        summed = [0.0] * len(group.completions)
        for weight, values in _components(group).values():
            divisor = std(values) + STD_EPSILON
            for index, away in enumerate(deviations(values)):
                summed[index] += weight * away / divisor if away is not None else 0.0
        sums.append(
            [None if one.reward is None else total for one, total in zip(group.completions, summed, strict=True)]
        )
    return without_none(whitened(sums))


def _components(group: ScoredGroup) -> Mapping[str, tuple[float, list[float | None]]]:
    """Each component's weight and its value for every completion; None where it does not count."""
    weights = {name: part.weight for one in group.completions for name, part in one.components.items()}
    columns: dict[str, list[float | None]] = {name: [] for name in weights}
    for one in group.completions:
        for name, column in columns.items():
            part = one.components.get(name)
            column.append(part.value if part is not None and one.reward is not None else None)
    judged = [name for name, column in columns.items() if any(value is not None for value in column)]
    for index, one in enumerate(group.completions):
        if _was_gated(one):
            for name, value in _split_gated(one, {name: weights[name] for name in judged or columns}).items():
                columns[name][index] = value
    return {name: (weights[name], column) for name, column in columns.items()}


def _was_gated(one: ScoredCompletion) -> bool:
    """True when the total is not the weighted sum of the values, so that a gate must have set it.

    Where a gate's score happens to be that sum, the values stand as the reward stack gave them.
    """
    if one.reward is None:
        return False
    terms = [part.weight * part.value for part in one.components.values() if part.value is not None]
    slack = SAME_TOTAL * max([1.0, *map(abs, terms)])
    return not isclose(one.reward, fsum(terms), rel_tol=SAME_TOTAL, abs_tol=slack)


def _split_gated(one: ScoredCompletion, weights: Mapping[str, float]) -> dict[str, float]:
    """What each component is taken to have said of a gated completion, so that the weighted sum is its total.

    A gate says "whatever else it earned, this is worth `gate_score`". The gate score is shared among the
    rewards that judged the group, in proportion to the size of their weights; with the usual gate score
    of 0 that is 0 from each, which is how the GDPO paper conditions one reward on another.
    Normalising the values a gated completion earned instead would pay it for them.
    """
    assert one.reward is not None
    size = fsum(abs(weight) for weight in weights.values())
    return {name: one.reward * copysign(1.0, weight) / size for name, weight in weights.items() if weight != 0.0}
