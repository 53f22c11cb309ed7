"""From rewards to advantages: how much better a completion did than the others of its prompt.

Plain float64 arithmetic on what the reward stack scored; no tensors. A completion whose reward is None
gets advantage 0 and is no part of any mean or standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import copysign, fsum, isclose, sqrt
from typing import Final, Literal, TypeAlias, get_args

from lydite.suggest import did_you_mean
from lydite.types import Scored, ScoredCompletion, ScoredGroup

Scale: TypeAlias = Literal["group", "batch", "none"]
Aggregate: TypeAlias = Literal["sum_then_normalize", "normalize_then_sum"]
Values: TypeAlias = Sequence[float | None]

STD_EPSILON: Final = 1e-4  # TRL's; keeps a group whose rewards hardly differ from being blown up to unit size
SAME_TOTAL: Final = 1e-9  # relative; far above float64 rounding of a weighted sum, far below any reward step


def with_advantages(scored: Scored, *, scale: Scale, aggregate: Aggregate) -> Scored:
    """The same step with every `ScoredCompletion.advantage` filled in.

    `sum_then_normalize` takes the total rewards r of each group: A = (r - mean(r)) / (std + 1e-4), where
    std is the unbiased one of the group (`scale="group"`) or of all rewards of the step ("batch"), and
    A = r - mean(r) for "none".

    `normalize_then_sum` is GDPO: each component is brought to mean 0 and deviation 1 within its group,
    the weighted sum of those is brought to mean 0 and deviation 1 over the step. It always divides by
    deviations, so `scale` must be "group". A gate replaces a completion's total, which no single
    component shows; see `_split_gated` for how it keeps its effect.

    Raises:
        ValueError: on an unknown scale or aggregate, and on `normalize_then_sum` with a scale it cannot have.

    Source: DeepSeekMath (arXiv 2402.03300) section 4.1.2; Dr. GRPO (arXiv 2503.20783) for "none"; GDPO
    (arXiv 2601.05242); the epsilon and the treatment of None as in TRL 1.16.
    """
    for name, given, known in (("scale", scale, get_args(Scale)), ("aggregate", aggregate, get_args(Aggregate))):
        if given not in known:
            raise ValueError(f"unknown {name} {given!r}{did_you_mean(str(given), known)}")
    if aggregate == "sum_then_normalize":
        rewards = [[one.reward for one in group.completions] for group in scored.groups]
        return _filled(scored, total_advantages(rewards, scale))
    if scale != "group":
        raise ValueError(
            f"scale_rewards = {scale!r} has no meaning with aggregate = 'normalize_then_sum', which divides by each "
            "reward's own deviation; take scale_rewards = 'group', or aggregate = 'sum_then_normalize'"
        )
    return _filled(scored, decoupled_advantages(scored.groups))


def total_advantages(rewards: Sequence[Values], scale: Scale) -> list[list[float]]:
    """Advantages [P][G] of total rewards [P][G]; 0 where the reward is None."""
    of_batch = _std([reward for group in rewards for reward in group])
    advantages = []
    for group in rewards:
        divisor = 1.0 if scale == "none" else (_std(group) if scale == "group" else of_batch) + STD_EPSILON
        advantages.append([0.0 if away is None else away / divisor for away in _deviations(group)])
    return advantages


def decoupled_advantages(groups: Sequence[ScoredGroup]) -> list[list[float]]:
    """GDPO's advantages [P][G] of scored groups; 0 where the reward is None."""
    sums: list[float | None] = []
    for group in groups:
        summed = [0.0] * len(group.completions)
        for weight, values in _components(group).values():
            std = _std(values) + STD_EPSILON
            for index, away in enumerate(_deviations(values)):
                summed[index] += weight * away / std if away is not None else 0.0
        sums += [None if one.reward is None else total for one, total in zip(group.completions, summed, strict=True)]
    divisor = _std(sums) + STD_EPSILON
    flat = iter([0.0 if away is None else away / divisor for away in _deviations(sums)])
    return [[next(flat) for _ in group.completions] for group in groups]


def _filled(scored: Scored, advantages: Sequence[Sequence[float]]) -> Scored:
    groups = tuple(
        replace(
            group,
            completions=tuple(
                replace(one, advantage=advantage) for one, advantage in zip(group.completions, of_group, strict=True)
            ),
        )
        for group, of_group in zip(scored.groups, advantages, strict=True)
    )
    return replace(scored, groups=groups)


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


def _deviations(values: Values) -> list[float | None]:
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


def _std(values: Values) -> float:
    """Unbiased standard deviation of what is not None; 0 for fewer than two values."""
    away = [deviation for deviation in _deviations(values) if deviation is not None]
    return sqrt(fsum(deviation**2 for deviation in away) / (len(away) - 1)) if len(away) > 1 else 0.0
