"""The probability ratio of the policy that is trained to the one that sampled: of a token, or of a completion."""

from __future__ import annotations

import torch
from torch import Tensor

from lydite.objective.losses.inputs import Level, LossInputs


def log_ratio(inputs: LossInputs) -> Tensor:
    """The logarithm logp - old_logp of each token's ratio [b, T]; 0 where masked.

    Masked before any exponential: what lies on padding must not become inf, which times 0 would be nan.
    """
    return torch.where(inputs.mask, inputs.logps - inputs.old_logps, 0.0)


def importance_ratio(inputs: LossInputs, level: Level) -> Tensor:
    """The ratio r, [b, T] or, of whole completions, [b, 1].

    - token: r_t = exp(logp_t - old_logp_t).
    - sequence: s = exp(mean over the completion's tokens of log r_t), the length-normalised ratio of GSPO.
    - sequence_token: s as a number for every token, each with the gradient of its own log-probability (GSPO-token).
      For advantages of whole completions that is the gradient of "sequence"; advantages of tokens need this one.

    Source: GSPO (arXiv 2507.18071) equations 7 and 14.
    """
    away = log_ratio(inputs)
    if level == "token":
        return away.exp()
    of_sequence = (away.sum(1) / inputs.mask.sum(1).clamp(min=1))[:, None]
    if level == "sequence":
        return of_sequence.exp()
    return (of_sequence.detach() + away - away.detach()).exp()


def token_advantages(inputs: LossInputs) -> Tensor:
    """The advantage of each token [b, T] or, where a completion has one for all of them, [b, 1].

    Raises:
        ValueError: when advantages are neither [b] nor [b, T].
    """
    advantages, shape = inputs.advantages, inputs.mask.shape
    if advantages.shape == shape:
        return torch.where(inputs.mask, advantages, 0.0)
    if advantages.shape == shape[:1]:
        return advantages[:, None]
    raise ValueError(
        f"advantages of completions [{shape[0]}] or of their tokens {list(shape)} were expected, "
        f"got {list(advantages.shape)}"
    )
