"""What PPO's updates are made towards: advantages and returns of tokens, and the loss of the values beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lydite.config import PpoConfig
from lydite.objective.gae import generalized_advantages, whitened


@dataclass(frozen=True, slots=True, eq=False)
class PpoTargets:
    """What the updates of a step are made towards."""

    advantages: Tensor
    """[B, T], whitened over the step; 0 where masked, and in a completion that nothing could score."""
    returns: Tensor
    """[B, T], what the values are to become."""
    judged: Tensor
    """[B, T] bool: the tokens that have a return, those of completions with a reward."""
    figures: Mapping[str, float]


def ppo_targets(
    rewards: Sequence[float | None],
    values: Tensor,
    mask: Tensor,
    settings: PpoConfig,
    *,
    kl: Tensor | None,
    tails: Tensor | None = None,
) -> PpoTargets:
    """The advantages and returns of a step from the totals of its completions, and the values [B, T] of its tokens.

    `kl` [B, T] is each token's estimate in nats; None where nothing is taken off. `tails` [B] is the value of the state
    behind the last token, 0 for a completion that ended by itself; None: for all.
    """
    known = torch.tensor([reward is not None for reward in rewards], device=mask.device)
    total = torch.tensor([reward or 0.0 for reward in rewards], dtype=torch.float32, device=mask.device)
    judged = mask & known[:, None]
    penalty = torch.zeros_like(values) if kl is None else settings.kl_coef * kl
    last = mask & (mask.flip(1).cumsum(1).flip(1) == 1)
    of_tokens = torch.where(judged, torch.where(last, total[:, None], 0.0) - penalty, 0.0)
    if settings.whiten_rewards:
        of_tokens = whitened(of_tokens, judged, shift_mean=False)
    found = generalized_advantages(of_tokens, values, judged, gamma=settings.gamma, lam=settings.lam, tails=tails)
    completions = max(int(judged.any(1).sum()), 1)
    paid = float(torch.where(judged.any(1), total, 0.0).sum()) / completions
    taken = float(torch.where(judged, penalty, 0.0).sum()) / completions
    figures = {"objective/non_score_reward": -taken, "objective/rlhf_reward": paid - taken}
    if kl is not None:
        total_kl = float(torch.where(judged, kl, 0.0).sum())
        figures |= {"objective/kl": total_kl / completions, "kl": total_kl / max(int(judged.sum()), 1)}
    return PpoTargets(whitened(found.advantages, judged), found.returns, judged, figures)


@dataclass(frozen=True, slots=True, eq=False)
class ValueLoss:
    """The value loss of a micro-batch's tokens, each [b, T]."""

    losses: Tensor
    clipped: Tensor
    """True where the clipped value's loss is the larger one, so that there is no gradient."""


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, cliprange: float) -> ValueLoss:
    """max((V - return)^2, (clip(V) - return)^2) / 2 of each token; 0 where masked.

    Source: the code of PPO (arXiv 1707.06347) in OpenAI's baselines, as in TRL.
    """
    kept = torch.minimum(torch.maximum(values, old_values - cliprange), old_values + cliprange)
    own, bounded = (values - returns).square(), (kept - returns).square()
    return ValueLoss(torch.where(mask, torch.maximum(own, bounded) / 2, 0.0), mask & (bounded > own))
