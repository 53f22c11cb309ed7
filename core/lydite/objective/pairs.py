"""Pairs of a better and a worse completion of one prompt, and the losses over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from lydite.suggest import did_you_mean

PairLoss: TypeAlias = Literal["sigmoid", "ipo"]
Pairing: TypeAlias = Literal["best_worst", "ranked"]


def ranked_pairs(rewards: Sequence[float | None], pairing: Pairing) -> list[tuple[int, int]]:
    """Places (chosen, rejected) of the pairs that the rewards of one group make; the first has the greater reward.

    `best_worst`: the best with the worst, one pair at most. `ranked`: the i-th best with the i-th worst. Two that
    are worth the same make no pair, and what has no reward is left out. Of equals the earlier one comes first.
    """
    order = sorted(
        (place for place, one in enumerate(rewards) if one is not None), key=lambda place: -_known(rewards, place)
    )
    count = len(order) // 2 if pairing == "ranked" else min(len(order) // 2, 1)
    pairs = [(order[rank], order[-1 - rank]) for rank in range(count)]
    return [(chosen, rejected) for chosen, rejected in pairs if _known(rewards, chosen) > _known(rewards, rejected)]


def pair_losses(logits: Tensor, *, beta: float, loss_type: PairLoss) -> Tensor:
    """The loss of each pair [n] from its margin [n]: log pi(chosen) / ref(chosen) - log pi(rejected) / ref(rejected).

    - sigmoid: -log sigmoid(beta * margin)
    - ipo: (margin - 1 / (2 beta))^2

    Raises:
        ValueError: on an unknown loss.

    Source: DPO (Rafailov et al. 2023, arXiv 2305.18290) equation 7; IPO (Azar et al. 2023, arXiv 2310.12036)
    equation 17, with sums of log-probabilities as in TRL 1.16's OnlineDPOTrainer.
    """
    if loss_type not in get_args(PairLoss):
        known = ", ".join(get_args(PairLoss))
        raise ValueError(
            f"unknown loss_type {loss_type!r}; there are {known}{did_you_mean(loss_type, get_args(PairLoss))}"
        )
    if loss_type == "sigmoid":
        return -F.logsigmoid(beta * logits)
    return (logits - 1.0 / (2.0 * beta)).square()


def margins(log_ratios: Tensor) -> Tensor:
    """The margin [n] of each pair, whose log-ratios [2n] stand one behind the other: chosen, rejected."""
    chosen, rejected = torch.unbind(log_ratios.view(-1, 2), dim=1)
    return chosen - rejected


def _known(rewards: Sequence[float | None], place: int) -> float:
    reward = rewards[place]
    assert reward is not None
    return reward
