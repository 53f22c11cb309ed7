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
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lydite.algorithms.protocol import Material, Outcome, Share, StepLoss, gathered, whole_step
from lydite.config import RlooConfig, RunConfig, TrainConfig
from lydite.known_logps import KnownLogps
from lydite.objective import Batch, CorrectionSettings, UpdateTotals, importance_weights, policy_logps
from lydite.objective.advantages import leave_one_out_advantages
from lydite.objective.kl import sequence_kl
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
        batch, spans = material.batch, [span for spans in updates for span in spans]
        known = KnownLogps(self._policy, batch, self._train)
        kl = None
        if self._own.beta > 0.0:
            known.learn_old(spans)
            known.learn_reference(spans)
            kl = {
                span: sequence_kl(known.old[span], known.reference[span], batch.rows(*span).completion_mask, "k1")
                for span in spans
            }
        else:
            known.learn_old([span for spans in updates[1:] for span in spans])
        return _RlooStep(self._policy, self._train, self._own, scored, batch, known, kl)


def rloo_advantages(scored: Scored, kl: Sequence[float] | None, settings: RlooConfig) -> list[float]:
    """The advantage of each completion of a step, in order; 0 for one that nothing could score.

    `kl` has each completion's estimate in nats, the sum over its tokens; None where nothing is taken off.
    """
    low, high = settings.reward_clip_range or (float("-inf"), float("inf"))
    penalties = iter(kl if kl is not None else [0.0] * sum(len(group.completions) for group in scored.groups))
    rewards = [
        [
            None if one.reward is None else min(max(one.reward, low), high) - settings.beta * penalty
            for one, penalty in zip(group.completions, penalties, strict=False)  # the groups share one row of penalties
        ]
        for group in scored.groups
    ]
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
        kl: Mapping[Span, Tensor] | None,
    ) -> None:
        self.batch = batch
        self._policy = policy
        self._train = train
        self._own = own
        self._scored = scored
        self._known = known
        self._kl = kl
        self._figures: Mapping[str, float] = {}
        self._correction = CorrectionSettings.of(train)

    def gather(self) -> None:
        """The advantages: the penalties of a group may be other processes' to tell."""
        batch, penalties = self.batch, None
        if self._kl is not None:
            penalties = torch.cat(gathered(self._kl)).tolist()
            self._figures = {"kl": sum(penalties) / max(int(batch.completion_mask.sum()), 1)}
        advantages = rloo_advantages(self._scored, penalties, self._own)
        tensor = torch.tensor(advantages, dtype=torch.float32, device=batch.advantages.device)
        self.batch = replace(batch, advantages=tensor)

    def micro_batch(self, span: Span, totals: UpdateTotals) -> Outcome:
        rows, train = self.batch.rows(*span), self._train
        mask = rows.completion_mask
        logps, entropy = policy_logps(self._policy, rows, train)
        detached = logps.detach()
        old = self._known.old.get(span, detached)
        weights = None
        if self._correction is not None and rows.sampler_logps is not None:
            weights = importance_weights(old, rows.sampler_logps, mask, self._correction)
        found = sequence_loss(
            logps, old, rows.advantages, mask,
            epsilon=train.epsilon, epsilon_high=train.epsilon_high, importance_weights=weights,
        )  # fmt: skip
        self._known.sampled_with(span, detached)
        with torch.no_grad():
            moved = (rows.advantages != 0) & ~found.low & ~found.high
            live = mask & moved[:, None] & (logps != 0)
            if weights is not None:
                live &= weights != 0
            tokens, completions = mask.sum().double(), mask.any(1).sum().double()
            shares = {
                "entropy": Share(torch.where(mask, entropy, 0.0).double().sum(), tokens),
                "clip_ratio/low_mean": Share(found.low.sum().double(), completions),
                "clip_ratio/high_mean": Share(found.high.sum().double(), completions),
                "clip_ratio/region_mean": Share((found.low | found.high).sum().double(), completions),
            }
        return Outcome(found.losses.sum() / totals.sequences, live.sum(), shares=shares)

    def figures(self) -> Mapping[str, float]:
        return {**self._known.sampling_figures(), **self._figures}
