"""What a loss has to say of a micro-batch, as sums and counts that add up."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import torch
from torch import Tensor

from lydite.objective.metrics import LossMetrics

NO_MEANS: Final[Mapping[str, Tensor]] = MappingProxyType({})


class Clips(NamedTuple):
    """Where a trust region took a gradient away; bool, [b, T], or [b, 1] where it is a whole completion's."""

    low: Tensor
    """Of what should become less likely, and already is by enough."""
    high: Tensor
    """Of what should become more likely, and already is by enough."""


@torch.no_grad()
def loss_metrics(
    mask: Tensor,
    live: Tensor,
    *,
    entropy: Tensor | None,
    kl: Tensor | None = None,
    clips: Clips | None = None,
    means: Mapping[str, Tensor] = NO_MEANS,
) -> LossMetrics:
    """The metrics of a micro-batch whose tokens are those of `mask` [b, T]; `live` is [b, T], or [b, 1] of completions.

    `entropy` and `kl` [b, T] are in nats, the latter without beta, and `means` each [b, T] or [b, 1].
    """
    clipped = {} if clips is None else _clipped(*clips, mask)
    return LossMetrics(
        tokens=mask.sum().double(),
        live=(live & mask).sum().double(),
        entropy=None if entropy is None else torch.where(mask, entropy, 0.0).double().sum(),
        kl=None if kl is None else torch.where(mask, kl, 0.0).double().sum(),
        means={name: _sum_and_count(values, mask) for name, values in means.items()},
        **clipped,
    )


def _clipped(low: Tensor, high: Tensor, mask: Tensor) -> dict[str, Tensor]:
    units = _units(low, mask)
    counts = units.sum(1).double()
    # Chosen by `where`, and not by an index, for which a GPU has to be waited for.
    low_share, high_share = ((clipped & units).sum(1) / counts for clipped in (low, high))
    return {
        "low": (low & units).sum().double(),
        "high": (high & units).sum().double(),
        "low_min": torch.where(counts > 0, low_share, float("inf")).min(),
        "high_max": torch.where(counts > 0, high_share, -float("inf")).max(),
        "clip_units": counts.sum(),
    }


def _sum_and_count(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    units = _units(values, mask)
    return torch.where(units, values.double(), 0.0).sum(), units.sum().double()


def _units(values: Tensor, mask: Tensor) -> Tensor:
    """What counts: the tokens, or, for values [b, 1], the completions that have some."""
    return mask if values.shape == mask.shape else mask.any(1, keepdim=True)
