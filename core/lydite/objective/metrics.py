"""Figures of a loss that add up: kept as sums and counts, so that micro-batches combine exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value")


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
    low: Tensor | None = None
    """Tokens (of a ratio of completions: completions) whose gradient the lower bound of the trust region removed.

    None for a loss that clips nothing; so are the other three and `clip_units`."""
    high: Tensor | None = None
    """The same of the upper bound."""
    low_min: Tensor | None = None
    """Smallest share of low-clipped tokens in one completion; +inf when no completion has tokens."""
    high_max: Tensor | None = None
    """Largest share of high-clipped tokens in one completion; -inf when no completion has tokens."""
    clip_units: Tensor | None = None
    """What the clips are counted among; None: `tokens`."""
    means: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Other figures by their names: the sum of their values, and how many there are."""


def merge_metrics(parts: Sequence[LossMetrics]) -> dict[str, float]:
    """The figures of the micro-batches' union under TRL's names; 0.0 throughout when no token was in a loss.

    entropy, kl and clip_ratio/{low,high,region}_mean are means over all tokens, those of clips over completions where
    a ratio is a completion's; clip_ratio/low_min and high_max are taken over all completions. Clip ratios are there
    for losses that clip, other figures for those that have them. (TRL averages its micro-batches' figures instead,
    which is the same for one micro-batch, and counts completions without tokens.)

    Raises:
        ValueError: when there is nothing to merge, or only some parts have an entropy, a KL, clips or another figure.
    """
    if not parts:
        raise ValueError("merge_metrics needs the metrics of at least one micro-batch")
    tokens = max(_total([part.tokens for part in parts]), 1.0)
    merged = _clip_ratios(parts)
    for name in ("entropy", "kl"):
        sums = _all_or_none(name, [getattr(part, name) for part in parts])
        if sums:
            merged[name] = _total(sums) / tokens
    for name in dict.fromkeys(name for part in parts for name in part.means):
        pairs = _all_or_none(name, [part.means.get(name) for part in parts])
        merged[name] = _total([pair[0] for pair in pairs]) / max(_total([pair[1] for pair in pairs]), 1.0)
    return merged


def _clip_ratios(parts: Sequence[LossMetrics]) -> dict[str, float]:
    lows = _all_or_none("clips", [part.low for part in parts])
    highs = _all_or_none("clips", [part.high for part in parts])
    if not lows:
        return {}
    units = [part.tokens if part.clip_units is None else part.clip_units for part in parts]
    low, high, count = _total(lows), _total(highs), max(_total(units), 1.0)
    low_min = min(float(value) for value in _all_or_none("clips", [part.low_min for part in parts]))
    high_max = max(float(value) for value in _all_or_none("clips", [part.high_max for part in parts]))
    return {
        "clip_ratio/low_mean": low / count,
        "clip_ratio/low_min": low_min if low_min != float("inf") else 0.0,
        "clip_ratio/high_mean": high / count,
        "clip_ratio/high_max": high_max if high_max != float("-inf") else 0.0,
        "clip_ratio/region_mean": (low + high) / count,
    }


def _all_or_none(name: str, values: Sequence[Value | None]) -> list[Value]:
    known = [value for value in values if value is not None]
    if len(known) not in (0, len(values)):
        raise ValueError(f"{len(known)} of {len(values)} micro-batches have {name}; all or none are expected")
    return known


def _total(values: Sequence[Tensor]) -> float:
    return float(torch.stack(list(values)).sum())
