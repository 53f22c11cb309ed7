"""Log-probabilities that are known before an update, and how far the sampler's are from the trainer's."""

from __future__ import annotations

import torch
from torch import Tensor

from lydite.config import TrainConfig
from lydite.objective import Batch, policy_logps, reference_logps
from lydite.policy import Policy


class KnownLogps:
    """Log-probabilities that later updates of a step need: those of the policy that sampled, and the reference's.

    The first update needs none: the policy's own, detached, are the old ones, and are kept for later iterations.
    Later updates no longer have the policy that sampled, so those of their rows are computed before the first.
    """

    def __init__(self, policy: Policy, batch: Batch, train: TrainConfig, rows: int) -> None:
        self.old: dict[tuple[int, int], Tensor] = {}
        self.reference: dict[tuple[int, int], Tensor] = {}
        self._batch = batch
        spans = [
            (first, min(first + train.per_device_train_batch_size, batch.size))
            for first in range(0, batch.size, train.per_device_train_batch_size)
        ]
        with torch.no_grad():
            for span in spans:
                if span[0] >= rows:
                    self.old[span] = policy_logps(policy, batch.rows(*span), train).logps
        if train.num_iterations > 1 and train.beta > 0.0:
            self.reference = {span: reference_logps(policy, batch.rows(*span), train) for span in spans}

    def sampled_with(self, span: tuple[int, int], logps: Tensor) -> None:
        """Takes note of the first log-probabilities [b, T] that the trainer gave to these rows."""
        self.old.setdefault(span, logps)

    def sampler_gap(self) -> dict[str, float]:
        """How far the engine's log-probabilities are from the trainer's, in nats; nothing where it gave none."""
        if self._batch.sampler_logps is None:
            return {}
        gaps = []
        for span, logps in self.old.items():
            own = self._batch.rows(*span)
            assert own.sampler_logps is not None
            gaps.append((own.sampler_logps - logps).abs()[own.completion_mask])
        gap = torch.cat(gaps)
        if not gap.numel():
            return {}
        return {
            "sampling/sampling_logp_difference/mean": float(gap.mean()),
            "sampling/sampling_logp_difference/max": float(gap.max()),
        }
