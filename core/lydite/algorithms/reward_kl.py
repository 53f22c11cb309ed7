"""KL in the reward: what a step's completions pay for their distance from the reference.

With the total reward R_i of completion i, and the estimate of `kl_estimator` for each of its tokens,

    r_i = R_i - beta * sum_t KL_t,

and advantages are made of r as they would be of R. The KL is that of the policy which sampled, a number without a
gradient: it is found out before the first update of a step, and stays the same however often the step is gone over.

Source: Ziegler et al. 2019 (arXiv 1909.08593) equation 2; as `use_kl_in_reward` of verl, and as in TRL 1.16's
RLOOTrainer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from lydite.algorithms.protocol import gathered
from lydite.known_logps import KnownLogps
from lydite.objective import Batch
from lydite.objective.advantages.deviations import Values
from lydite.objective.kl import KlEstimator, sequence_kl
from lydite.objective.micro_batches import Span


class RewardKl:
    """The KL of a step's completions, of which each process of the run knows its own until they are gathered."""

    def __init__(
        self, known: KnownLogps, batch: Batch, spans: Sequence[Span], *, beta: float, estimator: KlEstimator
    ) -> None:
        """Runs the policy and the reference over these micro-batches; the policy is as it sampled."""
        known.learn_old(spans)
        known.learn_reference(spans)
        self._beta = beta
        self._mask = batch.completion_mask
        self._own = {
            span: sequence_kl(known.old[span], known.reference[span], batch.rows(*span).completion_mask, estimator)
            for span in spans
        }
        self._figures: Mapping[str, float] = {}

    def gather(self) -> list[float]:
        """Each completion's estimate in nats, in the order of the step; all processes call it together."""
        of_step = torch.cat(gathered(self._own)).tolist()
        total, answered = sum(of_step), max(int(self._mask.any(1).sum()), 1)
        self._figures = {
            "kl": total / max(int(self._mask.sum()), 1),
            "objective/kl": total / answered,
            "objective/non_score_reward": 0.0 - self._beta * total / answered,  # 0, and not -0, of no KL
        }
        return of_step

    def figures(self) -> Mapping[str, float]:
        """`kl` of a token, and `objective/kl` and what it takes off the reward of a completion that has tokens."""
        return self._figures


def penalised_rewards(rewards: Sequence[Values], kl: Sequence[float], beta: float) -> list[list[float | None]]:
    """Rewards [P][G] less beta times the estimates of all completions, in order; None where the reward is None.

    Raises:
        ValueError: when there are more or fewer estimates than rewards.
    """
    count = sum(map(len, rewards))
    if len(kl) != count:
        raise ValueError(f"{count} completions have a KL each, got {len(kl)}")
    penalties = iter(kl)
    return [
        [None if reward is None else reward - beta * penalty for reward, penalty in zip(group, penalties, strict=False)]
        for group in rewards  # the groups share one row of penalties
    ]
