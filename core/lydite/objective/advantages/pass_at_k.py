"""Advantages of a group that is judged by its best of k: pass@k."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt

from lydite.objective.advantages.deviations import Values


def pass_at_k_advantages(rewards: Sequence[Values], k: int, pass_reward: float) -> list[list[float]]:
    """Advantages [P][G] of total rewards [P][G], those from `pass_reward` on being passes; 0 where the reward is None.

    With N rewards known in a group, of which F failed, a random choice of k of them has a pass with probability
    R = 1 - C(F, k) / C(N, k), and with s = sqrt(R (1 - R))

        A of a pass    = (1 - R) / s,
        A of a failure = (1 - R - C(F - 1, k - 1) / C(N - 1, k - 1)) / s,

    the mean over all choices that a completion is part of. All are 0 in a group of which no choice of k can fail, or
    none can pass: a prompt that is mostly solved has nothing more to teach. k = 1 is GRPO's advantage, with the
    deviation of a whole population. A group with fewer than k known rewards takes all of them as its k.

    Source: Chen et al. 2025, "Pass@k Training" (arXiv 2508.10751), equations 14 and 15, the analytic form.
    """
    return [_of_group(group, k, pass_reward) for group in rewards]


def _of_group(group: Values, k: int, pass_reward: float) -> list[float]:
    known = [reward for reward in group if reward is not None]
    failed = sum(reward < pass_reward for reward in known)
    chosen = min(k, len(known))
    if not known or failed < chosen or failed == len(known):
        return [0.0] * len(group)
    missed = comb(failed, chosen) / comb(len(known), chosen)
    missed_with_it = comb(failed - 1, chosen - 1) / comb(len(known) - 1, chosen - 1)
    deviation = sqrt(missed * (1.0 - missed))
    of_pass, of_failure = missed / deviation, (missed - missed_with_it) / deviation
    return [0.0 if reward is None else of_pass if reward >= pass_reward else of_failure for reward in group]
