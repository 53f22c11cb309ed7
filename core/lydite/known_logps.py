"""Log-probabilities that are known before an update, and how far the sampler's are from the trainer's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lydite.config import TrainConfig
from lydite.objective import Batch, CorrectionSettings, Drawn, policy_logps, reference_logps, sampling_figures
from lydite.objective.micro_batches import Span
from lydite.policy import Policy


class KnownLogps:
    """Log-probabilities that later updates of a step need: those of the policy that sampled, and the reference's.

    The first update needs none: the policy's own, detached, are the old ones, and are kept for later iterations.
    Later updates no longer have the policy that sampled, so those of their rows are computed before the first.
    """

    def __init__(self, policy: Policy, batch: Batch, train: TrainConfig, updates: Sequence[Sequence[Span]]) -> None:
        """`updates`: the micro-batches of each update, whose log-probabilities are asked for one by one."""
        self.old: dict[Span, Tensor] = {}
        self.reference: dict[Span, Tensor] = {}
        self._batch = batch
        self._correction = CorrectionSettings.of(train)
        with torch.no_grad():
            for span in (span for spans in updates[1:] for span in spans):
                self.old[span] = policy_logps(policy, batch.rows(*span), train).logps
        if train.num_iterations > 1 and train.beta > 0.0:
            self.reference = {
                span: reference_logps(policy, batch.rows(*span), train) for spans in updates for span in spans
            }

    def sampled_with(self, span: Span, logps: Tensor) -> None:
        """Takes note of the first log-probabilities [b, T] that the trainer gave to these rows."""
        self.old.setdefault(span, logps)

    def sampling_figures(self) -> dict[str, float]:
        """How far the engine is from the trainer over the whole step; nothing where it gave no log-probabilities."""
        parts = []
        for span, logps in self.old.items():
            own = self._batch.rows(*span)
            if own.sampler_logps is None:
                return {}
            parts.append(Drawn(logps, own.sampler_logps, own.completion_mask))
        return sampling_figures(parts, self._correction)
