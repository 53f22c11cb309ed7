"""RLOO: a whole completion is one action, and the mean reward of the others of its group is its baseline.

With the total reward R_i, the KL penalty in it, and the group's G completions,

    r_i = clip(R_i) - beta * sum_t (log pi(t) - log ref(t)),      A_i = r_i - (1 / (G - 1)) sum_{j != i} r_j,
    L = -(1 / completions) sum_i min(rho_i A_i, clip(rho_i, 1 - epsilon, 1 + epsilon_high) A_i),

where rho_i is the ratio of the whole completion's probability to what it was when it was sampled. On the first update
rho is 1, and the gradient that of REINFORCE.

Source: Ahmadian et al. 2024, "Back to Basics" (arXiv 2402.14740), section 3.3; the clipped ratio, the KL in the reward
and the defaults as in TRL 1.16's RLOOTrainer, against which it is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lydite.algorithms.protocol import Material, Outcome, StepLoss, spans_of, whole_step
from lydite.algorithms.reward_kl import RewardKl, penalised_rewards
from lydite.config import RlooConfig, RunConfig, TrainConfig
from lydite.known_logps import KnownLogps
from lydite.objective import Batch, UpdateTotals, correction_weights, policy_logps
from lydite.objective.advantages import leave_one_out_advantages
from lydite.objective.losses.figures import Clips, loss_metrics
from lydite.objective.micro_batches import Span
from lydite.policy import Policy
from lydite.types import Scored


class Rloo:
    """Leave-one-out advantages of the rewards less the KL penalty, and a clipped ratio of whole completions."""

    def __init__(self, policy: Policy, config: RunConfig) -> None:
        self._policy = policy
        self._train = config.train
        self._own = config.rloo or RlooConfig()

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """Nothing."""
        return {}

    def learning_rate(self) -> float:
        """That of the policy."""
        return self._train.learning_rate

    def material(self, scored: Scored, batch: Batch) -> Material:
        """All completions."""
        return whole_step(batch, self._train.update_batch_size)

    def begin(self, scored: Scored, material: Material, updates: Sequence[Sequence[Span]]) -> StepLoss:
        """Both log-probabilities of the whole step, where the rewards have a KL penalty."""
        batch, paid = material.batch, None
        known = KnownLogps(self._policy, batch, self._train)
        if self._own.beta > 0.0:
            paid = RewardKl(known, batch, spans_of(updates), beta=self._own.beta, estimator="k1")
        known.learn_old(spans_of(updates[1:]))
        return _RlooStep(self._policy, self._train, self._own, scored, batch, known, paid)


def rloo_advantages(scored: Scored, kl: Sequence[float] | None, settings: RlooConfig) -> list[float]:
    """The advantage of each completion of a step, in order; 0 for one that nothing could score.

    `kl` has each completion's estimate in nats, the sum over its tokens; None where nothing is taken off.
    """
    low, high = settings.reward_clip_range or (float("-inf"), float("inf"))
    rewards = [
        [None if one.reward is None else min(max(one.reward, low), high) for one in group.completions]
        for group in scored.groups
    ]
    if kl is not None:
        rewards = penalised_rewards(rewards, kl, settings.beta)
    found = leave_one_out_advantages(rewards, "batch" if settings.normalize_advantages else "none")
    return [advantage for group in found for advantage in group]


@dataclass(frozen=True, slots=True, eq=False)
class SequenceLoss:
    """The surrogate of a micro-batch's completions, each [b]."""

    losses: Tensor
    """0 for a completion without tokens."""
    low: Tensor
    """True where the lower clip removed the gradient: ratio < 1 - epsilon, advantage < 0."""
    high: Tensor
    """True where the upper clip removed it: ratio > 1 + epsilon_high, advantage > 0."""

    @property
    def clips(self) -> Clips:
        """Both, [b, 1]."""
        return Clips(self.low[:, None], self.high[:, None])


def sequence_loss(
    logps: Tensor,
    old_logps: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    epsilon: float,
    epsilon_high: float | None = None,
    importance_weights: Tensor | None = None,
) -> SequenceLoss:
    """-min(rho A, clip(rho) A) of completions with log-probabilities [b, T] and advantages [b].

    `importance_weights` [b, T] multiply the gradient of each token, and leave the ratio what it is.
    """
    away = torch.where(mask, logps - old_logps, 0.0)
    if importance_weights is not None:
        away = away.detach() + torch.where(mask, importance_weights, 0.0) * (away - away.detach())
    ratio = away.sum(1).exp()
    lowest, highest = 1.0 - epsilon, 1.0 + (epsilon if epsilon_high is None else epsilon_high)
    losses = -torch.minimum(ratio * advantages, ratio.clamp(lowest, highest) * advantages)
    with torch.no_grad():
        low, high = (ratio < lowest) & (advantages < 0), (ratio > highest) & (advantages > 0)
    return SequenceLoss(torch.where(mask.any(1), losses, 0.0), low, high)


class _RlooStep:
    def __init__(
        self,
        policy: Policy,
        train: TrainConfig,
        own: RlooConfig,
        scored: Scored,
        batch: Batch,
        known: KnownLogps,
        paid: RewardKl | None,
    ) -> None:
        self.batch = batch
        self._policy = policy
        self._train = train
        self._own = own
        self._scored = scored
        self._known = known
        self._paid = paid

    def gather(self) -> None:
        """The advantages: the penalties of a group may be other processes' to tell."""
        kl = None if self._paid is None else self._paid.gather()
        self.batch = self.batch.with_advantages(rloo_advantages(self._scored, kl, self._own))

    def micro_batch(self, span: Span, totals: UpdateTotals) -> Outcome:
        rows, train = self.batch.rows(*span), self._train
        mask = rows.completion_mask
        logps, entropy = policy_logps(self._policy, rows, train)
        detached = logps.detach()
        old = self._known.old.get(span, detached)
        weights = correction_weights(old, rows, train)
        found = sequence_loss(
            logps, old, rows.advantages, mask,
            epsilon=train.epsilon, epsilon_high=train.epsilon_high, importance_weights=weights,
        )  # fmt: skip
        self._known.sampled_with(span, detached)
        with torch.no_grad():
            moved = (rows.advantages != 0) & ~found.low & ~found.high
            live = moved[:, None] & (logps != 0)
            if weights is not None:
                live &= weights != 0
        metrics = loss_metrics(mask, live, entropy=entropy, clips=found.clips)
        return Outcome(found.losses.sum() / totals.sequences, metrics.live, metrics)

    def figures(self) -> Mapping[str, float]:
        return {**self._known.sampling_figures(), **({} if self._paid is None else self._paid.figures())}
