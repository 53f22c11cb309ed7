"""What the sum of token losses is divided by.

The divisors are those of the whole update (`UpdateTotals`), so micro-batches of any sizes, summed, give the update's
own loss and gradient. TRL divides within each micro-batch and then by their number: with one micro-batch per update,
or micro-batches that are equal in what the average counts, both are the same number.
"""

from __future__ import annotations

from torch import Tensor

from lydite.objective.losses.inputs import LossInputs


def mean_of_completions(losses: Tensor, inputs: LossInputs) -> Tensor:
    """(1 / completions) * the sum over completions of the mean over their own tokens; 0 for one without tokens."""
    return (losses.sum(1) / inputs.mask.sum(1).clamp(min=1)).sum() / inputs.totals.sequences


def mean_of_update(losses: Tensor, inputs: LossInputs) -> Tensor:
    """(1 / tokens of this update) * the sum."""
    return losses.sum() / max(inputs.totals.tokens, 1)


def mean_of_sampling(losses: Tensor, inputs: LossInputs) -> Tensor:
    """(1 / mean tokens of an update of this sampling) * the sum: every sampled token weighs the same."""
    return losses.sum() / (inputs.totals.mean_tokens or 1.0)


def share_of_limit(losses: Tensor, inputs: LossInputs) -> Tensor:
    """(1 / (completions * max_completion_length)) * the sum: no completion's length in the divisor."""
    return losses.sum() / (inputs.totals.sequences * inputs.totals.max_completion_length)


def sum_of_completions(losses: Tensor, inputs: LossInputs) -> Tensor:
    """(1 / completions) * the sum: a completion weighs as much as it has tokens."""
    return losses.sum() / inputs.totals.sequences
