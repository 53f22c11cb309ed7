"""The entropy threshold of an update, which no micro-batch of several knows by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lydite.objective.batch import Batch
from lydite.objective.high_entropy import entropy_threshold
from lydite.objective.losses import UpdateTotals
from lydite.objective.update import HiddenStatePolicy, policy_logps

if TYPE_CHECKING:
    from lydite.config import TrainConfig


def token_entropies(policy: HiddenStatePolicy, micro_batches: Sequence[Batch], config: TrainConfig) -> Tensor:
    """The entropies [n] of all tokens of these micro-batches, in nats: a forward pass of each, without gradient."""
    with torch.no_grad():
        found = [policy_logps(policy, one, config).entropy[one.completion_mask] for one in micro_batches]
    return torch.cat(found) if found else torch.empty(0)


def with_entropy_threshold(totals: UpdateTotals, entropies: Tensor, top_quantile: float) -> UpdateTotals:
    """The totals with the entropy threshold of an update, whose tokens have these entropies [n].

    An update that is one micro-batch does without: its loss finds the threshold in the pass that it makes anyway.
    """
    threshold = entropy_threshold(entropies, top_quantile)
    return replace(totals, entropy_threshold=threshold, high_entropy_tokens=int((entropies >= threshold).sum()))
