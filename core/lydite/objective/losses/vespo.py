"""VESPO: a completion's ratio passes through a gamma-shaped weight."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from lydite.objective.losses.averages import mean_of_sampling
from lydite.objective.losses.inputs import LossInputs, LossOutput, LossSettings
from lydite.objective.losses.ratio import log_ratio, token_advantages
from lydite.objective.losses.whole import Surrogate, whole_loss

LOWEST: Final = math.log(1e-8)  # of a logarithm, as TRL has it
HIGHEST: Final = 20.0
LEAST_DECAY: Final = 1e-4


def vespo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """-sg(phi(W)) A logp with phi(W) = W^k exp(lambda (1 - W)), averaged as `dapo` is; sg: without gradient.

    W is the ratio of the whole completion, the product of its tokens', times the importance weights of its tokens.
    k and lambda are `vespo_k_pos` and `vespo_lambda_pos` where A >= 0, else `vespo_k_neg` and `vespo_lambda_neg`.
    phi(1) = 1, and phi falls to 0 on both sides: lambda is at least 1e-4, else the largest ratio would have the largest
    weight, and a weight beyond the root of the largest float, whose products no float may hold, is 0.

    Figure: `vespo/phi_seq_mean`, the mean of phi over completions.

    Source: VESPO (arXiv 2602.10693); the limits of logarithms, lambda and phi as in TRL 1.16.
    """
    away, advantages = log_ratio(inputs), token_advantages(inputs)
    with torch.no_grad():
        phi = _phi(_log_weight(away, inputs), advantages, settings)
    losses = -phi * advantages * torch.where(inputs.mask, inputs.logps, 0.0)
    live = (advantages != 0) & (phi != 0)
    surrogate = Surrogate(losses, away.exp(), live, means={"vespo/phi_seq_mean": phi}, weighted=True)
    return whole_loss(surrogate, inputs, settings, mean_of_sampling)


def _log_weight(away: Tensor, inputs: LossInputs) -> Tensor:
    """The logarithm of W [b, 1]."""
    total = away.clamp(-HIGHEST, HIGHEST).sum(1, keepdim=True)
    if inputs.importance_weights is not None:
        weights = torch.where(inputs.mask, inputs.importance_weights, 1.0)
        total = total + weights.log().clamp(LOWEST, HIGHEST).sum(1, keepdim=True)
    return total.clamp(LOWEST, HIGHEST)


def _phi(log_weight: Tensor, advantages: Tensor, settings: LossSettings) -> Tensor:
    good = advantages >= 0
    k = torch.full_like(advantages, settings.vespo_k_neg).masked_fill(good, settings.vespo_k_pos)
    decay = torch.full_like(advantages, settings.vespo_lambda_neg).masked_fill(good, settings.vespo_lambda_pos)
    decay = decay.clamp(min=LEAST_DECAY)
    phi = (decay + k * log_weight - decay * log_weight.exp()).exp()
    return torch.where(phi <= math.sqrt(torch.finfo(phi.dtype).max), phi, 0.0)  # 0 where it is no number, too
