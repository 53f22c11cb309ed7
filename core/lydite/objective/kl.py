"""Estimates of how far the policy is from the reference, token by token: for a loss, or for a reward.

With d = logp - ref of a token that the policy drew, each has the mean KL(policy || reference), k2 only nearly:

    k1 = d,    k2 = d^2 / 2,    k3 = exp(-d) - 1 + d.

k1 is negative for many tokens and has the largest variance, k2 and k3 are never negative. As a term of a loss what
counts is the gradient, and there the order is another: without a correction k1's has mean 0 and says nothing of the
reference, k3's is that of the KL in the other direction, and k2's is the right one.

Source: J. Schulman, "Approximating KL divergence", 2020; on gradients, Tang and Munos 2025, "On a few pitfalls in KL
divergence gradient estimation for RL" (arXiv 2506.09477).
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

KlEstimator: TypeAlias = Literal["k1", "k2", "k3"]


def per_token_kl(logps: Tensor, ref_logps: Tensor, mask: Tensor, estimator: KlEstimator) -> Tensor:
    """The estimate for each token [b, T] in nats, 0 where `mask` [b, T] leaves it out, whatever lies there.

    It carries the gradient of `logps` [b, T], if these do.

    Raises:
        ValueError: on an unknown estimator.
    """
    known = get_args(KlEstimator)
    if estimator not in known:
        raise ValueError(f"unknown kl_estimator {estimator!r}; there are {', '.join(known)}")
    away = torch.where(mask, ref_logps - logps, 0.0)
    if estimator == "k1":
        return -away
    return away.square() / 2 if estimator == "k2" else torch.expm1(away) - away


def sequence_kl(logps: Tensor, ref_logps: Tensor, mask: Tensor, estimator: KlEstimator) -> Tensor:
    """The estimate for each completion [b] in nats: the sum over its tokens, by the chain rule of KL."""
    return per_token_kl(logps, ref_logps, mask, estimator).sum(1)


def corrected_kl(kl: Tensor, ratio: Tensor, estimator: KlEstimator) -> Tensor:
    """The estimate times the probability ratio of the token, [b, T]: unbiased when an older policy drew it.

    The ratio carries its gradient, which makes the term's gradient r d dlogp, that of KL(policy || reference); for k1
    plus r dlogp, whose mean is 0. k2 already has that gradient, so its ratio is a constant.

    Source: DeepSeek-V3.2 (arXiv 2512.02556), "unbiased KL estimate".
    """
    return kl * (ratio.detach() if estimator == "k2" else ratio)
