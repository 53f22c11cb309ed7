"""The group's mean as the baseline: GRPO's advantages, and Dr. GRPO's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from lydite.objective.advantages.deviations import STD_EPSILON, Values, deviations, std

Scale: TypeAlias = Literal["group", "batch", "none"]


def total_advantages(rewards: Sequence[Values], scale: Scale) -> list[list[float]]:
    """Advantages [P][G] of total rewards [P][G]; 0 where the reward is None.

    A = (r - mean(r)) / (std + 1e-4), where the mean is the group's and std the unbiased one of the group
    (`scale="group"`) or of all rewards of the step ("batch"), and A = r - mean(r) for "none".

    Source: DeepSeekMath (arXiv 2402.03300) section 4.1.2; Dr. GRPO (arXiv 2503.20783) for "none".
    """
    of_batch = std([reward for group in rewards for reward in group])
    advantages = []
    for group in rewards:
        divisor = 1.0 if scale == "none" else (std(group) if scale == "group" else of_batch) + STD_EPSILON
        advantages.append([0.0 if away is None else away / divisor for away in deviations(group)])
    return advantages
