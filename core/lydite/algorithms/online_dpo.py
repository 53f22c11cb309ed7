"""Online DPO: for each prompt the rewards say which completion is better and which is worse, and DPO learns the pair.

With y+ and y- the pair, and h = log pi(y+) / ref(y+) - log pi(y-) / ref(y-) over sums of tokens,

    L = -(1 / pairs) sum log sigmoid(beta h),    or, with loss_type = "ipo",    (1 / pairs) sum (h - 1 / (2 beta))^2.

Only the completions of pairs go through the model. The reference is the model as the run began, the adapter off.

Source: Guo et al. 2024, "Direct Language Model Alignment from Online AI Feedback" (arXiv 2402.04792), with the
ranking by rewards as in TRL 1.16's OnlineDPOTrainer, whose loss it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from lydite.algorithms.protocol import Material, Outcome, Share, StepLoss, reward_of
from lydite.config import OnlineDpoConfig, RunConfig, TrainConfig
from lydite.known_logps import KnownLogps
from lydite.objective import Batch, UpdateTotals, policy_logps, reference_logps
from lydite.objective.micro_batches import Span
from lydite.objective.pairs import margins, pair_losses, ranked_pairs
from lydite.policy import Policy
from lydite.types import Scored


class OnlineDpo:
    """Pairs from the step's groups, and the loss over them."""

    def __init__(self, policy: Policy, config: RunConfig) -> None:
        self._policy = policy
        self._train = config.train
        self._own = config.online_dpo or OnlineDpoConfig()

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """Nothing."""
        return {}

    def learning_rate(self) -> float:
        """That of the policy."""
        return self._train.learning_rate

    def material(self, scored: Scored, batch: Batch) -> Material:
        """The completions of pairs, chosen and rejected in turn; an update has the pairs of its groups."""
        update_rows = self._train.update_batch_size
        trained = batch.completion_mask.any(1).tolist()
        rows: list[int] = []
        ends = {0: 0}  # of rows of the step, to those of pairs
        start = 0
        for group in scored.groups:
            rewards = [
                reward_of(one, self._own.missing_eos_penalty) if trained[start + place] else None
                for place, one in enumerate(group.completions)
            ]
            for chosen, rejected in ranked_pairs(rewards, self._own.pairs):
                rows += [start + chosen, start + rejected]
            start += len(group.completions)
            ends[start] = len(rows)
        bounds = [ends[min(place, start)] for place in range(0, start + update_rows, update_rows)]
        sides = torch.tensor([1.0, -1.0], device=batch.advantages.device).repeat(len(rows) // 2)
        return Material(
            batch=replace(batch.take(rows), advantages=sides),
            updates=tuple(pairwise(bounds)),
            rows=tuple(rows),
            unit=2,
        )

    def begin(self, scored: Scored, material: Material, updates: Sequence[Sequence[Span]]) -> StepLoss:
        """The reference's log-probabilities, where the step is gone over again."""
        known = KnownLogps(self._policy, material.batch, self._train)
        if self._train.num_iterations > 1:
            known.learn_reference([span for spans in updates for span in spans])
        possible = sum(len(group.completions) // 2 if self._own.pairs == "ranked" else 1 for group in scored.groups)
        pairs = len(material.rows) // 2
        figures = {"pairs": float(pairs), "pairs/tied_share": 1.0 - pairs / possible if possible else 0.0}
        return _OnlineDpoStep(self._policy, material.batch, self._train, self._own, known, updates[0], figures)


class _OnlineDpoStep:
    def __init__(
        self,
        policy: Policy,
        batch: Batch,
        train: TrainConfig,
        own: OnlineDpoConfig,
        known: KnownLogps,
        first: Sequence[Span],
        figures: Mapping[str, float],
    ) -> None:
        self.batch = batch
        self._policy = policy
        self._train = train
        self._own = own
        self._known = known
        self._first = frozenset(first)
        self._figures = figures

    def gather(self) -> None:
        """Nothing: the pairs are known from the start."""

    def micro_batch(self, span: Span, totals: UpdateTotals) -> Outcome:
        rows, beta = self.batch.rows(*span), self._own.beta
        mask = rows.completion_mask
        reference = self._known.reference.get(span)
        if reference is None:  # before the forward pass whose activations are kept
            reference = reference_logps(self._policy, rows, self._train)
        logps, entropy = policy_logps(self._policy, rows, self._train)
        if span in self._first:  # later updates are not made with the policy that sampled
            self._known.sampled_with(span, logps.detach())
        log_ratios = torch.where(mask, logps - reference, 0.0).sum(1)
        margin = margins(log_ratios)
        losses = pair_losses(margin, beta=beta, loss_type=self._own.loss_type)
        with torch.no_grad():
            shares = _shares(log_ratios.detach(), torch.where(mask, logps, 0.0).sum(1), beta)
            shares["kl"] = Share(log_ratios.detach().double().sum(), mask.sum().double())
            shares["entropy"] = Share(torch.where(mask, entropy, 0.0).double().sum(), mask.sum().double())
            live = mask & (self._slope(margin.detach()) != 0).repeat_interleave(2)[:, None] & (logps != 0)
        return Outcome(losses.sum() / (totals.sequences // 2), live.sum(), shares=shares)

    def _slope(self, margin: Tensor) -> Tensor:
        """The derivative of the loss of each pair [n] by its margin, which rounds to 0 where a pair is learned."""
        with torch.enable_grad():
            leaf = margin.clone().requires_grad_()
            pair_losses(leaf, beta=self._own.beta, loss_type=self._own.loss_type).sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    def figures(self) -> Mapping[str, float]:
        return {**self._known.sampling_figures(), **self._figures}


def _shares(log_ratios: Tensor, logps: Tensor, beta: float) -> dict[str, Share]:
    """TRL's figures of pairs from the log-ratios [2n] and log-probabilities [2n] of their completions."""
    implicit = (beta * log_ratios).double().view(-1, 2)
    sums = logps.double().view(-1, 2)
    gap = implicit[:, 0] - implicit[:, 1]
    count = torch.tensor(float(len(gap)), dtype=torch.float64, device=gap.device)
    return {
        "rewards/chosen": Share(implicit[:, 0].sum(), count),
        "rewards/rejected": Share(implicit[:, 1].sum(), count),
        "rewards/margins": Share(gap.sum(), count),
        "rewards/accuracies": Share((gap > 0).double().sum(), count),
        "logps/chosen": Share(sums[:, 0].sum(), count),
        "logps/rejected": Share(sums[:, 1].sum(), count),
    }
