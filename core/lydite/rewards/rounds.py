"""Several rounds of one step, put together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lydite.rewards.metrics import step_metrics
from lydite.types import Scored


def as_one_step(rounds: Sequence[Scored]) -> Scored:
    """All groups of the rounds, with the figures of a step that had asked them at once.

    What rewards logged themselves, and the means of their seconds, are means over the rounds, each by its groups;
    the longest call is the longest of any round.
    """
    if len(rounds) == 1:
        return rounds[0]
    groups = tuple(group for one in rounds for group in one.groups)
    logged = _weighted([(one.metrics, len(one.groups)) for one in rounds])
    timings = _weighted([(one.timings, len(one.groups)) for one in rounds])
    for name in timings:
        if name.endswith("_max"):
            timings[name] = max(one.timings[name] for one in rounds if name in one.timings)
    return Scored(groups, {**logged, **step_metrics(groups)}, timings)


def _weighted(parts: Sequence[tuple[Mapping[str, float], int]]) -> dict[str, float]:
    """Means of figures, by weight, over the parts that have each."""
    names = dict.fromkeys(name for figures, _ in parts for name in figures)
    means = {}
    for name in names:
        having = [(figures[name], weight) for figures, weight in parts if name in figures]
        means[name] = math.fsum(value * weight for value, weight in having) / sum(weight for _, weight in having)
    return means
