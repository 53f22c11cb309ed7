"""The mean of the others as the baseline: RLOO's advantages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from lydite.objective.advantages.deviations import Values, deviations, whitened, without_none


def leave_one_out_advantages(rewards: Sequence[Values], scale: Literal["batch", "none"]) -> list[list[float]]:
    """Advantages [P][G] of total rewards [P][G]; 0 where the reward is None, or no other of its group has one.

    A_i = r_i - (1 / (n - 1)) * the sum of the other rewards of its group, of which n are known. With
    `scale="batch"` the step's advantages are then brought to mean 0 and deviation 1.

    A completion's own reward is no part of its baseline, so that the gradient is unbiased: it is n / (n - 1) times
    what the group's mean as a baseline gives.

    Source: RLOO (Ahmadian et al. 2024, arXiv 2402.14740) section 3.3; "batch" as `normalize_advantages` of TRL 1.16.
    """
    away = [_from_the_others(group) for group in rewards]
    return without_none(away) if scale == "none" else without_none(whitened(away))


def _from_the_others(group: Values) -> list[float | None]:
    known = sum(reward is not None for reward in group)
    if known < 2:
        return [None] * len(group)
    # The same number as by the definition, and exactly 0 where all rewards are equal.
    return [None if away is None else away * known / (known - 1) for away in deviations(group)]
