"""Figures of a loss that add up: kept as sums and counts, so that micro-batches combine exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LossMetrics:
    """What one micro-batch has to say, as float64 scalars without gradient."""

    tokens: Tensor
    """Tokens in the loss."""
    live: Tensor
    """Of those, the ones whose surrogate has a gradient: an advantage, a weight, no clip, and no certainty (p < 1)."""
    entropy: Tensor | None
    """Sum over tokens, in nats; None where it was not asked for."""
    kl: Tensor | None
    """Sum over tokens of the KL term without beta, in nats; None without a reference."""
    low: Tensor
    """Tokens whose gradient the lower clip removed: ratio < 1 - epsilon, advantage < 0."""
    high: Tensor
    """Tokens whose gradient the upper clip removed: ratio > 1 + epsilon_high, advantage > 0."""
    low_min: Tensor
    """Smallest share of low-clipped tokens in one completion; +inf when no completion has tokens."""
    high_max: Tensor
    """Largest share of high-clipped tokens in one completion; -inf when no completion has tokens."""


def merge_metrics(parts: Sequence[LossMetrics]) -> dict[str, float]:
    """The figures of the micro-batches' union under TRL's names; 0.0 throughout when no token was in a loss.

    entropy, kl and clip_ratio/{low,high,region}_mean are means over all tokens; clip_ratio/low_min and
    high_max are taken over all completions. (TRL averages its micro-batches' figures instead, which is the
    same for one micro-batch.)

    Raises:
        ValueError: when there is nothing to merge, or only some parts have an entropy or a KL.
    """
    if not parts:
        raise ValueError("merge_metrics needs the metrics of at least one micro-batch")
    tokens = max(_total([part.tokens for part in parts]), 1.0)
    low, high = _total([part.low for part in parts]), _total([part.high for part in parts])
    low_min = float(torch.stack([part.low_min for part in parts]).min())
    high_max = float(torch.stack([part.high_max for part in parts]).max())
    merged = {
        "clip_ratio/low_mean": low / tokens,
        "clip_ratio/low_min": low_min if low_min != float("inf") else 0.0,
        "clip_ratio/high_mean": high / tokens,
        "clip_ratio/high_max": high_max if high_max != float("-inf") else 0.0,
        "clip_ratio/region_mean": (low + high) / tokens,
    }
    for name, sums in (("entropy", [part.entropy for part in parts]), ("kl", [part.kl for part in parts])):
        known = [value for value in sums if value is not None]
        if len(known) not in (0, len(sums)):
            raise ValueError(f"{len(known)} of {len(sums)} micro-batches have {name}; all or none are expected")
        if known:
            merged[name] = _total(known) / tokens
    return merged


def _total(values: Sequence[Tensor]) -> float:
    return float(torch.stack(list(values)).sum())
