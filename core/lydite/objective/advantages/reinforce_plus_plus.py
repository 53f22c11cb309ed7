"""The whole step as the baseline: REINFORCE++'s advantages, and those of its form with a baseline for each group."""

from __future__ import annotations

from collections.abc import Sequence

from lydite.objective.advantages.deviations import Values, deviations, whitened, without_none


def reinforce_plus_plus_advantages(rewards: Sequence[Values]) -> list[list[float]]:
    """Advantages [P][G] of total rewards [P][G]; 0 where the reward is None.

    A = (r - mean(r)) / (std(r) + 1e-4), mean and unbiased std over all completions of the step: a prompt whose
    completions are all right still pushes them up.

    Source: REINFORCE++ (arXiv 2501.03262), global advantage normalisation, for one reward at a completion's end.
    (Implementations that normalise tokens weigh long completions more in the mean; here each counts once.)
    """
    return without_none(whitened(rewards))


def reinforce_plus_plus_baseline_advantages(rewards: Sequence[Values]) -> list[list[float]]:
    """The same with each reward's distance from its group's mean in the place of the reward.

    B = r - mean(r) of the group, A = (B - mean(B)) / (std(B) + 1e-4) of the step.

    Source: REINFORCE++ (arXiv 2501.03262), the variant "w/ baseline".
    """
    return without_none(whitened([deviations(group) for group in rewards]))
