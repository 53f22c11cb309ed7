"""A step's figures under TRL's names: deterministic ones apart from those that a clock gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lydite.types import FormatError, ScoredCompletion, ScoredGroup, Status

ZERO_STD = 1e-8  # a group with less spread than this teaches nothing; torch.isclose has the same tolerance


def mean(values: Sequence[float]) -> float:
    """The mean, summed without loss."""
    return math.fsum(values) / len(values)


def std(values: Sequence[float]) -> float:
    """The standard deviation with n - 1 in the denominator, as TRL has it; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    middle = mean(values)
    return math.sqrt(math.fsum((one - middle) ** 2 for one in values) / (len(values) - 1))


def step_metrics(groups: Sequence[ScoredGroup]) -> dict[str, float]:
    """The deterministic figures of a step.

    `reward` and `rewards/{name}/mean|std` are over all completions that have a value, and are left out when none
    has; `reward_std` is the mean over groups of the standard deviation in each; `verdicts/{name}/{status}` and
    `format/failed` are shares of all completions; `frac_reward_zero_std` is the share of groups whose rewards
    are all the same, or not there at all. `rewards/{name}/share` is its part of all that is paid and charged, by
    size; `rewards/{name}/spread_share` its part of what tells a group's completions apart (see `spread_shares`).
    """
    completions = [one for group in groups for one in group.completions]
    if not completions:
        return {}
    figures: dict[str, float] = {}
    totals = [one.reward for one in completions if one.reward is not None]
    if totals:
        figures["reward"] = mean(totals)
    spreads = [std([one.reward for one in group.completions if one.reward is not None]) for group in groups]
    figures["reward_std"] = mean(spreads)
    figures["frac_reward_zero_std"] = mean([float(spread <= ZERO_STD) for spread in spreads])
    figures["format/failed"] = mean([float(isinstance(one.completion.parsed, FormatError)) for one in completions])
    for name in completions[0].components:
        components = [one.components[name] for one in completions]
        values = [one.value for one in components if one.value is not None]
        if values:
            figures[f"rewards/{name}/mean"] = mean(values)
            figures[f"rewards/{name}/std"] = std(values)
        for status in Status:
            share = mean([float(one.verdict.status is status) for one in components])
            figures[f"verdicts/{name}/{status.value}"] = share
    paid = {name: math.fsum(abs(_paid(one, name)) for one in completions) for name in completions[0].components}
    everything = math.fsum(paid.values())
    if everything > 0:
        figures.update({f"rewards/{name}/share": one / everything for name, one in paid.items()})
    figures.update({f"rewards/{name}/spread_share": share for name, share in spread_shares(groups).items()})
    return figures


def spread_shares(groups: Sequence[ScoredGroup]) -> dict[str, float]:
    """Each reward's part of the variance within groups, which is what advantages are made of.

    The covariance of its weighted value with the sum of all of them, over the variance of that sum, both summed over
    the groups: the parts add up to 1, and one is negative where a reward pulls against the others. Empty where no
    group has a difference.
    """
    together = 0.0
    apart: dict[str, float] = {}
    for group in groups:
        rows = group.completions
        if len(rows) < 2:
            continue
        totals = [math.fsum(_paid(one, name) for name in one.components) for one in rows]
        middle = mean(totals)
        together += math.fsum((total - middle) ** 2 for total in totals)
        for name in rows[0].components:
            own = [_paid(one, name) for one in rows]
            centre = mean(own)
            covariance = math.fsum((a - centre) * (b - middle) for a, b in zip(own, totals, strict=True))
            apart[name] = apart.get(name, 0.0) + covariance
    return {name: one / together for name, one in apart.items()} if together > ZERO_STD else {}


def _paid(one: ScoredCompletion, name: str) -> float:
    component = one.components[name]
    return component.weight * (component.value or 0.0)


def step_timings(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Mean and maximum seconds of each reward's calls; cached verdicts take none and are not counted."""
    figures = {}
    for name, measured in seconds.items():
        if measured:
            figures[f"rewards/{name}/seconds_mean"] = mean(measured)
            figures[f"rewards/{name}/seconds_max"] = max(measured)
    return figures
