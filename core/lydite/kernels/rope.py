"""Rotary position embedding of queries and keys: one launch forward, one backward, and nothing kept but cos and sin."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.autograd.function import once_differentiable

from lydite.kernels.reference import rotate_backward_reference, rotate_reference
from lydite.kernels.rows import power_of_two
from lydite.kernels.switch import is_on

DTYPES: Final = (torch.bfloat16, torch.float16, torch.float32)
MOST_WARPS: Final = 8  # 128 heads of 128 numbers are then 64 numbers a thread, which its registers hold


def rotate(
    query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Query [B, Hq, S, D] and key [B, Hk, S, D], with the first R numbers of every head turned by its position.

    Numbers i and i + R/2 of a head are a pair, which cos and sin [B, S, R] turn; the other D - R stay as they are. In
    16 bit both products and their sum are rounded, as transformers does, and the results have the type of a product
    of query and cos; from Triton they lie in memory in the order of what was given, token by token when heads were
    transposed. Positions may come in any order. Gradients go to query and key alone.
    Source: Su et al. 2021, RoFormer (arXiv 2104.09864), equation 34, with the pairs of GPT-NeoX.
    """
    batch, _, tokens, width = query.shape
    rotary = cos.shape[-1]
    assert key.shape == (batch, key.shape[1], tokens, width), (query.shape, key.shape)
    assert query.dtype == key.dtype, (query.dtype, key.dtype)
    assert cos.shape == sin.shape, (cos.shape, sin.shape)
    assert rotary in range(0, width + 1, 2), f"{rotary} numbers of a head's {width} cannot be turned in pairs"
    shape = (batch, tokens, rotary)
    turned: tuple[torch.Tensor, torch.Tensor] = _Rotate.apply(  # type: ignore[no-untyped-call]
        query, key, cos.expand(shape), sin.expand(shape)
    )
    return turned


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.save_for_backward(cos, sin)
        ctx.dtype = query.dtype
        if _takes(query, cos):
            return _launch(query, key, cos, sin, torch.promote_types(query.dtype, cos.dtype), backward=False)
        return rotate_reference(query, key, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, query_slope: torch.Tensor, key_slope: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        if _takes(query_slope, cos):
            query, key = _launch(query_slope, key_slope, cos, sin, ctx.dtype, backward=True)
        else:
            query, key = rotate_backward_reference(query_slope, key_slope, cos, sin, ctx.dtype)
        return query, key, None, None


def _takes(query: torch.Tensor, cos: torch.Tensor) -> bool:
    return query.dtype in DTYPES and cos.dtype in DTYPES and is_on("rope", query.device)


def _launch(
    query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, dtype: torch.dtype, *, backward: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    from lydite.kernels import programs_rope

    query, key, cos, sin = (one if one.stride(-1) == 1 else one.contiguous() for one in (query, key, cos, sin))
    outs = torch.empty_like(query, dtype=dtype), torch.empty_like(key, dtype=dtype)
    batch, query_heads, tokens, width = query.shape
    if batch * tokens == 0 or width == 0:
        return outs
    half, rest = cos.shape[-1] // 2, width - cos.shape[-1]
    query_block, half_block = power_of_two(query_heads), power_of_two(half)
    programs_rope.rotate[(batch * tokens,)](
        query, key, cos, sin, *outs, tokens,
        *query.stride()[:3], *key.stride()[:3], *cos.stride()[:2], *sin.stride()[:2],
        *outs[0].stride()[:3], *outs[1].stride()[:3],
        BACKWARD=backward, QUERY_HEADS=query_heads, KEY_HEADS=key.shape[1], HALF=half, REST=rest,
        QUERY_BLOCK=query_block, KEY_BLOCK=power_of_two(key.shape[1]), HALF_BLOCK=half_block,
        REST_BLOCK=power_of_two(rest),
        num_warps=min(MOST_WARPS, max(1, query_block * half_block // 256)),  # 8 pairs a thread: 16 bytes a load
        enable_fp_fusion=False,
    )  # fmt: skip
    return outs
