"""Advantages of single tokens, where a value says what was to be expected at each."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class TokenAdvantages(NamedTuple):
    """Both [B, T] float32, and 0 where masked."""

    advantages: Tensor
    returns: Tensor
    """What the values are to become: advantage plus value."""


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float, tails: Tensor | None = None
) -> TokenAdvantages:
    """Generalised advantage estimates of the tokens that `mask` [B, T] keeps.

    With t' the next kept token of the completion,

        delta_t = r_t + gamma V_t' - V_t,      A_t = delta_t + gamma lam A_t',      return_t = A_t + V_t,

    and behind the last one A = 0 and V = `tails` [B], the value of the state that the completion was left in; None: 0,
    since it is over. lam = 1 makes the returns the discounted rewards, and the tail's value at their end; lam = 0 makes
    the advantages delta.

    `rewards` and `values` [B, T] are read where `mask` keeps them only; a hole is passed over as if it were not there.

    Source: Schulman et al. 2016 (arXiv 1506.02438) equations 11 to 16; PPO (arXiv 1707.06347) equation 11; the value
    behind what a limit has cut off is the partial-episode bootstrapping of Pardo et al. 2018, "Time limits in
    reinforcement learning" (arXiv 1712.00378).
    """
    rewards, values = rewards.float(), values.float()
    later_advantage = torch.zeros(mask.shape[0], device=mask.device)
    later_value = later_advantage if tails is None else tails.float()
    columns = []
    for t in reversed(range(mask.shape[1])):
        kept = mask[:, t]
        delta = rewards[:, t] + gamma * later_value - values[:, t]
        advantage = delta + gamma * lam * later_advantage
        columns.append(torch.where(kept, advantage, 0.0))
        later_advantage = torch.where(kept, advantage, later_advantage)
        later_value = torch.where(kept, values[:, t], later_value)
    advantages = torch.stack(columns[::-1], dim=1) if columns else torch.zeros(mask.shape, device=mask.device)
    return TokenAdvantages(advantages, torch.where(mask, advantages + values, 0.0))


def whitened(values: Tensor, mask: Tensor, *, shift_mean: bool = True) -> Tensor:
    """The values [B, T] brought to mean 0 and deviation 1 over what `mask` keeps; 0 elsewhere.

    Without `shift_mean` the mean stays what it was. The variance is the unbiased one, as in TRL, with 1e-8 below the
    root; fewer than two values are left as they are.
    """
    kept = values[mask].double()
    if kept.numel() < 2:
        return torch.where(mask, values, 0.0)
    mean = kept.mean()
    white = (values - mean) * (kept.var() + 1e-8).rsqrt()
    return torch.where(mask, (white if shift_mean else white + mean).to(values.dtype), 0.0)
