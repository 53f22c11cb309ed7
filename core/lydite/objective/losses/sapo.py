"""SAPO: a soft gate on the ratio in the place of a hard clip."""

from __future__ import annotations

import torch

from lydite.objective.losses.averages import mean_of_completions
from lydite.objective.losses.inputs import LossInputs, LossOutput, LossSettings
from lydite.objective.losses.ratio import importance_ratio, token_advantages
from lydite.objective.losses.whole import Surrogate, whole_loss


def sapo(inputs: LossInputs, settings: LossSettings) -> LossOutput:
    """-(4 / t) sigmoid(t (r - 1)) A, averaged as `grpo` is.

    The temperature t is `sapo_temperature_pos` where A > 0 and `sapo_temperature_neg` elsewhere. At r = 1 its gradient
    is the policy gradient; away from it, it falls to 0 without an edge, and faster the higher the temperature.

    Source: SAPO (arXiv 2511.20347) equations 5 and 6.
    """
    ratio, advantages = importance_ratio(inputs, settings.importance_sampling_level), token_advantages(inputs)
    elsewhere = torch.full_like(advantages, settings.sapo_temperature_neg)
    temperature = elsewhere.masked_fill(advantages > 0, settings.sapo_temperature_pos)
    losses = -torch.sigmoid(temperature * (ratio - 1.0)) * 4.0 / temperature * advantages
    return whole_loss(Surrogate(losses, ratio, advantages != 0), inputs, settings, mean_of_completions)
