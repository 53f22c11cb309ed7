"""CISPO: the ratio is a weight that is cut, and every token keeps its gradient."""

from __future__ import annotations

from typing import Final

import torch

from lydite.objective.losses.averages import mean_of_sampling
from lydite.objective.losses.inputs import LossInputs, LossOutput, LossSettings
from lydite.objective.losses.ratio import importance_ratio, token_advantages
from lydite.objective.losses.whole import Surrogate, whole_loss

HIGHEST: Final = 5.0  # ScaleRL's


def cispo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """-sg(min(r, epsilon_high)) A logp, averaged as `dapo` is; sg: without gradient.

    `epsilon_high` is the largest weight itself, and not its distance from 1. Its default here is 5; TRL, where it is
    not given, takes epsilon, which is a fifth of every gradient.

    Figure: `cispo_clip_ratio`, the share of tokens with a positive advantage whose weight is cut.

    Source: MiniMax-M1 (arXiv 2506.13585) equations 4 and 5; 5 from ScaleRL (arXiv 2510.13786).
    """
    ratio, advantages = importance_ratio(inputs, settings.importance_sampling_level), token_advantages(inputs)
    highest = HIGHEST if settings.epsilon_high is None else settings.epsilon_high
    logps = torch.where(inputs.mask, inputs.logps, 0.0)
    losses = -ratio.clamp(max=highest).detach() * advantages * logps
    with torch.no_grad():
        cut = (ratio > highest) & (advantages > 0)
    surrogate = Surrogate(losses, ratio, advantages != 0, means={"cispo_clip_ratio": cut})
    return whole_loss(surrogate, inputs, settings, mean_of_sampling)
