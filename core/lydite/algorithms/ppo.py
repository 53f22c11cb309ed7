"""PPO: each token against what a value head on the policy's own trunk expected at its place.

The reward stack's total R comes with the last token of a completion, and each token pays for its distance from the
reference:

    r_t = -kl_coef * KL_t + [t is the last] R,      A, returns = GAE(r, V),
    L = surrogate(whitened A) + vf_coef * (1 / tokens) sum_t max((V - return)^2, (clip(V) - return)^2) / 2,

where V behind the last token is 0 or, with `bootstrap_truncated` and if the limit ended the completion, the value of
the state there; clip(V) keeps a value within `cliprange_value` of what it was when the step began, and the surrogate is
the clipped one of `loss_type`, with `train.epsilon` as its range. The value's gradient goes on into the adapter.

Source: Schulman et al. 2017 (arXiv 1707.06347); the KL in the reward from Ziegler et al. 2019 (arXiv 1909.08593);
value clipping, whitening and the defaults as in TRL's PPOTrainer, which bootstraps nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lydite.algorithms.ppo_targets import PpoTargets, ppo_targets, value_loss
from lydite.algorithms.protocol import Material, Outcome, Share, StepLoss, gathered, reward_of, spans_of, whole_step
from lydite.algorithms.value_head import ValueHead
from lydite.config import PpoConfig, RunConfig, TrainConfig
from lydite.known_logps import KnownLogps
from lydite.objective import Batch, UpdateTotals, logps_of_states, predictor_states, surrogate
from lydite.objective.kl import per_token_kl
from lydite.objective.left_states import left_states
from lydite.objective.micro_batches import Span
from lydite.policy import Policy
from lydite.types import Scored


class Ppo:
    """A value head, the advantages of single tokens, and the loss of both."""

    def __init__(self, policy: Policy, config: RunConfig) -> None:
        self._policy = policy
        self._train = config.train
        self._own = config.ppo or PpoConfig()
        self._head = ValueHead(policy.head().weight.shape[1], policy.device)

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The value head's."""
        return self._head.parameters()

    def learning_rate(self) -> float:
        """Of the value head."""
        return self._own.value_learning_rate

    def material(self, scored: Scored, batch: Batch) -> Material:
        """All completions."""
        return whole_step(batch, self._train.update_batch_size)

    def begin(self, scored: Scored, material: Material, updates: Sequence[Sequence[Span]]) -> StepLoss:
        """Values and both log-probabilities of the whole step."""
        batch, spans = material.batch, spans_of(updates)
        known = KnownLogps(self._policy, batch, self._train)
        completions = [one for group in scored.groups for one in group.completions]
        bootstrap = self._own.bootstrap_truncated
        cut = [bootstrap and one.generated.finish_reason == "length" for one in completions]
        values, tails = dict[Span, Tensor](), dict[Span, Tensor]()
        with torch.no_grad():
            for span in spans:
                rows = batch.rows(*span)
                states = predictor_states(self._policy, rows, self._train)
                known.sampled_with(span, logps_of_states(states, self._policy, rows, self._train).logps)
                values[span] = self._head(states, rows.completion_mask)
                tails[span] = self._head(*left_states(self._policy, rows, self._train, cut[slice(*span)]))
        kl = None
        if self._own.kl_coef > 0.0:
            known.learn_reference(spans)
            kl = {
                span: per_token_kl(
                    known.old[span], known.reference[span], batch.rows(*span).completion_mask, self._own.kl_estimator
                )
                for span in spans
            }
        rewards = [reward_of(one, self._own.missing_eos_penalty) for one in completions]
        return _PpoStep(self._policy, self._train, self._own, self._head, batch, rewards, known, values, tails, kl)


class _PpoStep:
    def __init__(
        self,
        policy: Policy,
        train: TrainConfig,
        own: PpoConfig,
        head: ValueHead,
        batch: Batch,
        rewards: Sequence[float | None],
        known: KnownLogps,
        values: Mapping[Span, Tensor],
        tails: Mapping[Span, Tensor],
        kl: Mapping[Span, Tensor] | None,
    ) -> None:
        self.batch = batch
        self._policy = policy
        self._train = train
        self._own = own
        self._head = head
        self._rewards = rewards
        self._known = known
        self._values = values
        self._tails = tails
        self._kl = kl
        self._targets: PpoTargets

    def gather(self) -> None:
        """Advantages and returns: they are whitened over the step, of which other processes have parts."""
        mask = self.batch.completion_mask
        values = _table(gathered(self._values), mask)
        kl = None if self._kl is None else _table(gathered(self._kl), mask)
        tails = torch.cat(gathered(self._tails)).to(mask.device) if self._own.bootstrap_truncated else None
        self._targets = ppo_targets(self._rewards, values, mask, self._own, kl=kl, tails=tails)
        self.batch = replace(self.batch, advantages=self._targets.advantages)

    def micro_batch(self, span: Span, totals: UpdateTotals) -> Outcome:
        rows, old_values = self.batch.rows(*span), self._values[span]
        own, width = slice(*span), rows.completion_mask.shape[1]
        states = predictor_states(self._policy, rows, self._train)
        found = logps_of_states(states, self._policy, rows, self._train)
        policy_part = surrogate(found, rows, totals, self._train, self._known.old[span])
        values = self._head(states, rows.completion_mask)
        returns, judged = self._targets.returns[own, :width], self._targets.judged[own, :width]
        value_part = value_loss(values, old_values, returns, judged, self._own.cliprange_value)
        of_values = value_part.losses.sum() / (totals.mean_tokens or 1.0)
        with torch.no_grad():
            count = judged.sum().double()
            shares = {
                "loss/value_avg": Share(value_part.losses.double().sum(), count),
                "val/clipfrac_avg": Share(value_part.clipped.sum().double(), count),
                "value/mean": Share(torch.where(judged, values, 0.0).double().sum(), count),
            }
        loss = policy_part.loss + self._own.vf_coef * of_values
        return Outcome(loss, policy_part.metrics.live, policy_part.metrics, shares)

    def figures(self) -> Mapping[str, float]:
        return {**self._known.sampling_figures(), **self._targets.figures}


def _table(parts: Sequence[Tensor], mask: Tensor) -> Tensor:
    """The micro-batches' [b, t] as one [B, T] beside `mask`, filled up with 0."""
    return torch.cat([F.pad(part, (0, mask.shape[1] - part.shape[1])) for part in parts]).to(mask.device)
