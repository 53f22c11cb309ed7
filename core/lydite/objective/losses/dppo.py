"""DPPO: a token is left out where its probability, and not its ratio, has moved too far."""

from __future__ import annotations

import torch
from torch import Tensor

from lydite.objective.losses.averages import mean_of_sampling
from lydite.objective.losses.figures import Clips
from lydite.objective.losses.inputs import LossInputs, LossOutput, LossSettings
from lydite.objective.losses.ratio import importance_ratio, token_advantages
from lydite.objective.losses.whole import Surrogate, whole_loss

_LEAST = 1e-8  # of 1 - p: the certain have no logarithm


def dppo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """-M r A, averaged as `dapo` is.

    M is 0 where A > 0, p > q and D > `dppo_mask_high`, and where A < 0, p < q and D > `dppo_mask_low`; else 1. p is the
    token's probability under the policy, q under what sampled: the engine where it told, the old policy where not. D is
    how far the two distributions "this token or another" are apart: |p - q| for `dppo_divergence="tv"`, and
    q log(q / p) + (1 - q) log((1 - q) / (1 - p)) for "kl".

    A ratio says little of how far a policy has moved: from 1e-6 to 1e-5 is a ratio of 10 and nothing, from 0.9 to
    0.5 a ratio of 0.6 and much. Figures: `clip_ratio/...`, of the tokens with M = 0.

    Source: Qi et al. 2026, "Rethinking the trust region in LLM reinforcement learning" (arXiv 2602.04879), binary
    approximations of total variation and KL; "tv" with 0.2 on both sides is the default of prime-rl, whose loss also
    has a small squared log-ratio that is not part of this one.
    """
    ratio, advantages = importance_ratio(inputs, "token"), token_advantages(inputs)
    with torch.no_grad():
        policy, sampler = torch.where(inputs.mask, inputs.logps, 0.0), _sampled_with(inputs)
        moved = policy.exp() - sampler.exp()
        distance = moved.abs() if settings.dppo_divergence == "tv" else _binary_kl(sampler, policy)
        low = (advantages < 0) & (moved < 0) & (distance > settings.dppo_mask_low)
        high = (advantages > 0) & (moved > 0) & (distance > settings.dppo_mask_high)
        kept = ~low & ~high
    losses = torch.where(kept, -ratio * advantages, 0.0)
    surrogate = Surrogate(losses, ratio, (advantages != 0) & kept, Clips(low, high))
    return whole_loss(surrogate, inputs, settings, mean_of_sampling)


def _sampled_with(inputs: LossInputs) -> Tensor:
    """The log-probability [b, T] that each token was drawn with; 0 where masked."""
    drawn = inputs.old_logps
    if inputs.sampler_logps is not None:
        drawn = torch.where(inputs.sampler_logps.isnan(), drawn, inputs.sampler_logps)
    return torch.where(inputs.mask, drawn, 0.0)


def _binary_kl(sampler: Tensor, policy: Tensor) -> Tensor:
    """KL in nats of the sampler's distribution over "this token or another" to the policy's."""
    q, other_q = sampler.exp(), (-sampler.expm1()).clamp(min=_LEAST)
    other_p = (-policy.expm1()).clamp(min=_LEAST)
    return q * (sampler - policy) + other_q * (other_q / other_p).log()
