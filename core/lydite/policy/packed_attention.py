"""Attention over a packed micro-batch: every group by itself, and by the fastest way that what is given allows.

CUDA in 16 bit goes through variable-length calls (`flash_attention`). Everything else goes group by group
(`grouped_attention`), through torch's `scaled_dot_product_attention`, or where scores are bounded (Gemma 2) through
matrices of scores.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lydite.policy.flash_attention import one_call, two_calls
from lydite.policy.grouped_attention import group_by_group
from lydite.policy.layout import Layout
from lydite.policy.varlen import flash_takes


def packed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    *,
    scale: float,
    window: int | None = None,
    softcap: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """The attention [1, S, Hq, D] of q [1, Hq, S, D] over k and v [1, Hk, S, D], Hk a divisor of Hq.

    Each token sees what `layout` lets it see; with `window`, of that what is less than `window` positions behind.
    Scores are multiplied by `scale`, and with `softcap` bounded: softcap * tanh(score / softcap). `dropout` is the
    share of probabilities that are dropped.

    Raises:
        ValueError: when the tensors are not one sequence of the layout's length.
    """
    if query.shape[0] != 1 or query.shape[2] != layout.tokens or key.shape[2] != layout.tokens:
        raise ValueError(
            f"one packed sequence of {layout.tokens} tokens was expected, got q {tuple(query.shape)} and "
            f"k {tuple(key.shape)}"
        )
    if torch.is_autocast_enabled(query.device.type):  # rotated q and k may be wider than v, and calls take one type
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if window is not None and window >= layout.longest:
        window = None
    q, k, v = (one[0].transpose(0, 1) for one in (query, key, value))
    if softcap is None and not dropout and flash_takes(query, value):
        if window is None:
            return two_calls(q, k, v, layout, scale)[None]
        return one_call(q, k, v, layout, scale, window)[None]
    return group_by_group(q, k, v, layout, scale=scale, window=window, softcap=softcap, dropout=dropout)[None]
