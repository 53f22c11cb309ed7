"""Log-probabilities that are known before an update, and how far the sampler's are from the trainer's."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from lydite.config import TrainConfig
from lydite.distributed import current
from lydite.objective import Batch, CorrectionSettings, Drawn, policy_logps, reference_logps, sampling_figures
from lydite.objective.micro_batches import Span
from lydite.policy import Policy


class KnownLogps:
    """Log-probabilities that later updates of a step need: those of the policy that sampled, and the reference's.

    The first update needs none: the policy's own, detached, are the old ones, and are kept for later iterations.
    Later updates no longer have the policy that sampled, so those of their rows are computed before the first.
    """

    def __init__(self, policy: Policy, batch: Batch, train: TrainConfig) -> None:
        self.old: dict[Span, Tensor] = {}
        self.reference: dict[Span, Tensor] = {}
        self._policy = policy
        self._batch = batch
        self._train = train

    def learn_old(self, spans: Iterable[Span]) -> None:
        """Computes the policy's own log-probabilities [b, T] of these micro-batches, where they are not known yet.

        The policy is the one that sampled.
        """
        with torch.no_grad():
            for span in spans:
                if span in self.old:
                    continue
                self.old[span] = policy_logps(self._policy, self._batch.rows(*span), self._train).logps

    def learn_reference(self, spans: Iterable[Span]) -> None:
        """Computes the reference's log-probabilities [b, T] of these micro-batches."""
        for span in spans:
            self.reference[span] = reference_logps(self._policy, self._batch.rows(*span), self._train)

    def sampled_with(self, span: Span, logps: Tensor) -> None:
        """Takes note of the first log-probabilities [b, T] that the trainer gave to these rows."""
        self.old.setdefault(span, logps)

    def sampling_figures(self) -> dict[str, float]:
        """How far the engine is from the trainer over the whole step; nothing where it gave no log-probabilities."""
        if self._batch.sampler_logps is None:
            return {}
        parts = []
        for span, logps in self.old.items():
            own = self._batch.rows(*span)
            assert own.sampler_logps is not None
            parts.append(Drawn(logps, own.sampler_logps, own.completion_mask))
        parts = [part for of_one in current().gather(parts) for part in of_one]
        return sampling_figures(parts, CorrectionSettings.of(self._train))
