"""The clipped surrogate, and five ways to average it over tokens.

With the ratio r of `importance_sampling_level` and the advantage A, the surrogate of one token is

    -min(min(r, delta) A, clip(r, 1 - epsilon, 1 + epsilon_high) A).

Source: PPO (arXiv 1707.06347) equation 7; `epsilon_high` from DAPO (arXiv 2503.14476) equation 10; `delta`, two-sided
clipping, from INTELLECT-2 (arXiv 2505.07291); the ratio of sequences from GSPO (arXiv 2507.18071) equation 5.
"""

from __future__ import annotations

import torch

from lydite.objective.losses.averages import (
    mean_of_completions,
    mean_of_sampling,
    mean_of_update,
    share_of_limit,
    sum_of_completions,
)
from lydite.objective.losses.figures import Clips
from lydite.objective.losses.inputs import LossInputs, LossOutput, LossSettings
from lydite.objective.losses.ratio import importance_ratio, token_advantages
from lydite.objective.losses.whole import Surrogate, whole_loss


def grpo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """The mean over completions of the mean over their own tokens.

    Equals TRL for micro-batches of equal numbers of completions. A completion without tokens counts as 0. With
    `importance_sampling_level="sequence"` this is GSPO.

    Source: DeepSeekMath (arXiv 2402.03300) equation 3; GSPO (arXiv 2507.18071) equation 5.
    """
    return whole_loss(_clipped(inputs, settings), inputs, settings, mean_of_completions)


def bnpo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """The mean over the update's tokens.

    TRL's loss of this name takes the mean over each micro-batch's tokens, and so depends on how an update
    is cut; this is what TRL gives for an update that is one micro-batch.

    Source: TRL 1.16, `loss_type="bnpo"`.
    """
    return whole_loss(_clipped(inputs, settings), inputs, settings, mean_of_update)


def dr_grpo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """The sum over completions * max_completion_length: no completion's length in the divisor.

    Equals TRL for micro-batches of equal numbers of completions.

    Source: Dr. GRPO (arXiv 2503.20783) section 3.2, with the sampling limit as its constant.
    """
    return whole_loss(_clipped(inputs, settings), inputs, settings, share_of_limit)


def dapo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """The sum over the mean tokens of an update of this sampling: every sampled token weighs the same.

    With one update per sampling this is the mean over the update's tokens, as `bnpo` is; with several, the
    divisor is theirs in common. Equals TRL however the sampling is cut.

    Source: DAPO (arXiv 2503.14476) equation 8; the common divisor as in TRL 1.16.
    """
    return whole_loss(_clipped(inputs, settings), inputs, settings, mean_of_sampling)


def luspo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """The mean over completions of the sum over their tokens, of GSPO's surrogate: each is scaled by its length.

    Equals TRL for micro-batches of equal numbers of completions.

    Source: LUSPO (arXiv 2602.05261), length-unbiased sequence policy optimization.
    """
    return whole_loss(_clipped(inputs, settings), inputs, settings, sum_of_completions)


def _clipped(inputs: LossInputs, settings: LossSettings) -> Surrogate:
    ratio, advantages = importance_ratio(inputs, settings.importance_sampling_level), token_advantages(inputs)
    lowest = 1.0 - settings.epsilon
    highest = 1.0 + (settings.epsilon if settings.epsilon_high is None else settings.epsilon_high)
    bounded = ratio if settings.delta is None else ratio.clamp(max=settings.delta)
    losses = -torch.minimum(bounded * advantages, ratio.clamp(lowest, highest) * advantages)
    with torch.no_grad():
        low, high = (ratio < lowest) & (advantages < 0), (ratio > highest) & (advantages > 0)
        live = (advantages != 0) & ~low & ~high
        if settings.delta is not None:
            live &= ratio <= torch.where(advantages > 0, settings.delta, max(settings.delta, highest))
    return Surrogate(losses, ratio, live, Clips(low, high))
