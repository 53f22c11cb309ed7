"""Packed attention group by group, where there is no variable-length call: the prompt, then its completions at once.

The completions of a group are a batch: each attends to the prompt, of which every one has a copy, and to itself. The
shorter ones are filled up at their end, where no token of their own looks, so that one causal mask serves them all.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop
from torch.nn.functional import scaled_dot_product_attention

from lydite.policy.layout import Layout, PackedGroup


def group_by_group(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    *,
    scale: float,
    window: int | None,
    softcap: float | None,
    dropout: float,
) -> Tensor:
    """The attention [S, Hq, D] of packed q [S, Hq, D], k and v [S, Hk, D], Hk a divisor of Hq."""
    # `split` and not slices: the gradient of a slice is as large as the whole.
    sizes = [size for group in layout.groups for size in (group.prompt, group.written)]
    parts = list(zip(query.split(sizes), key.split(sizes), value.split(sizes), strict=True))
    outputs: list[Tensor] = []
    for index, group in enumerate(layout.groups):
        prompt, written = parts[2 * index], parts[2 * index + 1]
        q, k, v = (one[None] for one in prompt)
        outputs.append(_attend(q, k, v, layout, window, scale, softcap, dropout)[0])
        if group.written:
            q, k, v = _batch(layout, index, group, prompt[1:], written, window)
            found = _attend(q, k, v, layout, window, scale, softcap, dropout).flatten(0, 1)
            places = layout.filled(index, q.device)
            outputs.append(found if places is None else found.index_select(0, places))
    return torch.cat(outputs)


def bounded_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    allowed: Tensor | None,
    *,
    scale: float,
    softcap: float,
    dropout: float = 0.0,
) -> Tensor:
    """Attention [B, Hq, L, D] whose scores go through softcap * tanh(score / softcap), under a bool mask.

    The products are rounded to the type of q and the softmax is made in fp32, as in transformers.

    Source: Gemma 2 (arXiv 2408.00118) section 2; rounding as in transformers' modeling_gemma2.py.
    """
    repeated = query.shape[1] // key.shape[1]
    if repeated > 1:
        key, value = key.repeat_interleave(repeated, dim=1), value.repeat_interleave(repeated, dim=1)
    scores = torch.tanh(query @ key.transpose(2, 3) * scale / softcap) * softcap
    if allowed is not None:
        scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
    wide = torch.promote_types(scores.dtype, torch.float32)
    return drop(scores.softmax(-1, dtype=wide).to(query.dtype), dropout) @ value


def _batch(
    layout: Layout,
    index: int,
    group: PackedGroup,
    prompt: tuple[Tensor, ...],
    written: tuple[Tensor, ...],
    window: int | None,
) -> list[Tensor]:
    """Queries [C, R, Hq, D] of the C completions that have tokens, R the longest, and keys and values [C, T + R, ...].

    T is what of the prompt a window may reach, all of it without one.
    """
    count, longest = sum(map(bool, group.completions)), max(group.completions)
    places = layout.filled(index, written[0].device)
    rows = []
    for one in written:
        filled = one if places is None else one.new_zeros(count * longest, *one.shape[1:]).index_copy(0, places, one)
        rows.append(filled.unflatten(0, (count, longest)))
    reach = group.prompt if window is None else min(group.prompt, window - 1)
    for place, before in enumerate(prompt, start=1):
        tail = before[group.prompt - reach :]
        rows[place] = torch.cat([tail[None].expand(count, *tail.shape), rows[place]], dim=1)
    return rows


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    layout: Layout,
    window: int | None,
    scale: float,
    softcap: float | None,
    dropout: float,
) -> Tensor:
    """[B, L, Hq, D] of q [B, L, Hq, D], k and v [B, K, Hk, D], the last query being the last key.

    Heads that share a key are put under one another, as more rows of one head: kernels that take a mask would make
    copies of the keys instead.
    """
    (count, length, _, width), dtype, heads = query.shape, query.dtype, key.shape[2]
    q = query.unflatten(2, (heads, -1)).permute(0, 2, 3, 1, 4).reshape(count, heads, -1, width)
    k, v, repeated = key.transpose(1, 2), value.transpose(1, 2), q.shape[2] // length
    if softcap is not None:
        mask = layout.mask(length, key.shape[1], window, torch.bool, q.device, repeated)
        found = bounded_attention(q, k, v, mask, scale=scale, softcap=softcap, dropout=dropout)
    else:
        if q.device.type == "cpu":  # whose kernel is made for fp32: in 16 bit it takes twice the time
            wide = torch.promote_types(dtype, torch.float32)
            q, k, v = q.to(wide), k.to(wide), v.to(wide)
        mask = layout.mask(length, key.shape[1], window, q.dtype, q.device, repeated)
        found = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale).to(dtype)
    outputs: Tensor = found.unflatten(2, (repeated, length)).permute(0, 3, 1, 2, 4).flatten(2, 3)
    return outputs
