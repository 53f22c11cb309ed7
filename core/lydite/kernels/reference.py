"""The kernels' meaning in plain torch, on any device and at any speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch.nn import functional as F

from lydite.kernels.nf4 import BLOCK, NESTED_BLOCK, Nf4Weight

_APPROXIMATE: Final = {"gelu_tanh": "tanh", "gelu": "none"}  # torch's words


def scales_reference(weight: Nf4Weight) -> torch.Tensor:
    """The scale of each block, float32 [out * in / 64, rounded up].

    Product and sum are rounded one after the other, as bitsandbytes does: a fused multiply-add is another number.
    """
    if weight.absmax_code is None or weight.absmax2 is None or weight.offset is None:
        return weight.absmax.float()
    own = weight.absmax_code[weight.absmax.long()]
    product = own * weight.absmax2.repeat_interleave(NESTED_BLOCK)[: own.numel()]
    return product + weight.offset


def dequantise_reference(weight: Nf4Weight, dtype: torch.dtype) -> torch.Tensor:
    """The weight [out, in] in `dtype`, bit for bit what bitsandbytes' `dequantize_4bit` returns."""
    count = math.prod((weight.out_features, weight.in_features))
    halves = torch.stack((weight.packed >> 4, weight.packed & 15), dim=1).view(-1)[:count]
    scales = scales_reference(weight).repeat_interleave(BLOCK)[:count]
    return (weight.code[halves.long()] * scales).to(dtype).view(weight.out_features, weight.in_features)


def nf4_linear_reference(x: torch.Tensor, weights: Sequence[Nf4Weight]) -> torch.Tensor:
    """The product [..., sum of out] of x and the transpose of the stacked weights, summed in float32."""
    stacked = torch.cat([dequantise_reference(weight, x.dtype) for weight in weights])
    return F.linear(x.float(), stacked.float()).to(x.dtype)


def rms_norm_reference(
    x: torch.Tensor, weight: torch.Tensor, eps: float, offset: float, weight_in_float32: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """RMSNorm of x [..., H] as transformers' modules compute it, and 1 / rms [..., 1] in float32, for the gradient.

    Source: Zhang and Sennrich 2019 (arXiv 1910.07467), equation 4.
    """
    wide = x.to(_wide(x))
    inverse = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    normed = wide * inverse
    if weight_in_float32:
        return (normed * (offset + weight.to(wide.dtype))).to(x.dtype), inverse
    return normed.to(x.dtype) * _shifted(weight, offset), inverse


def rms_norm_backward_reference(
    slope: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    inverse: torch.Tensor,
    offset: float,
    weight_in_float32: bool,
) -> torch.Tensor:
    """The gradient of x: (g - x_hat * mean(g * x_hat)) / rms with g the slope times the weight; float32 inside."""
    wide = x.to(_wide(x))
    if weight_in_float32:
        inner = slope.to(wide.dtype) * (offset + weight.to(wide.dtype))
    else:
        inner = (slope * _shifted(weight, offset)).to(x.dtype).to(wide.dtype)
    normed = wide * inverse
    return ((inner - normed * (inner * normed).mean(-1, keepdim=True)) * inverse).to(x.dtype)


def rotate_reference(
    query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Query and key [B, heads, S, D], their first R numbers times cos, plus their halves crossed times sin [B, S, R].

    Source: Su et al. 2021, RoFormer (arXiv 2104.09864), equation 34.
    """
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    rotary = cos.shape[-1]

    def turned(x: torch.Tensor) -> torch.Tensor:
        first, second = x[..., :rotary].chunk(2, dim=-1)
        result = x[..., :rotary] * cos + torch.cat((-second, first), dim=-1) * sin
        return result if rotary == x.shape[-1] else torch.cat((result, x[..., rotary:].to(result.dtype)), dim=-1)

    return turned(query), turned(key)


def rotate_backward_reference(
    query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients, in `dtype`, of what was rotated: their slopes turned back, products rounded to it before sums."""
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    rotary = cos.shape[-1]

    def turned_back(slope: torch.Tensor) -> torch.Tensor:
        first, second = (slope[..., :rotary] * sin).to(dtype).chunk(2, dim=-1)
        result = (slope[..., :rotary] * cos).to(dtype) + torch.cat((second, -first), dim=-1)
        return result if rotary == slope.shape[-1] else torch.cat((result, slope[..., rotary:].to(dtype)), dim=-1)

    return turned_back(query), turned_back(key)


def gated_reference(gate: torch.Tensor, up: torch.Tensor, activation: str) -> torch.Tensor:
    """The product of activation(gate) and up, each rounded to their type."""
    return _activated(gate, activation) * up


def gated_backward_reference(
    slope: torch.Tensor, gate: torch.Tensor, up: torch.Tensor, activation: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of gate and up, by torch's own derivatives."""
    inner = slope * up
    if activation == "silu":
        inner = torch.ops.aten.silu_backward(inner, gate)
    else:
        inner = torch.ops.aten.gelu_backward(inner, gate, approximate=_APPROXIMATE[activation])
    return inner, slope * _activated(gate, activation)


def merge_reference(
    output: torch.Tensor, lse: torch.Tensor, second: torch.Tensor, second_lse: torch.Tensor, rows: torch.Tensor
) -> None:
    """Puts at rows [T] of output [S, H, D] and lse [H, S] the softmax over both results' keys.

    The second result, [T, H, D] and [H, T], is of those rows over other keys than the first.
    """
    first_lse = lse.index_select(1, rows)
    merged = torch.logaddexp(first_lse, second_lse)
    own = (first_lse - merged).exp().T[..., None]
    other = (second_lse - merged).exp().T[..., None]
    both = own * output.index_select(0, rows) + other * second
    output.index_copy_(0, rows, both.to(output.dtype))
    lse.index_copy_(1, rows, merged)


def add_rows_reference(total: torch.Tensor, rows: torch.Tensor, more: torch.Tensor) -> None:
    """Adds more [T, ...] to the rows [T] of total [S, ...]."""
    total.index_add_(0, rows, more)


def draw_reference(
    logits: torch.Tensor, uniform: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [N] by inverse CDF of softmax(logits / temperature), and their log-probabilities [N], all in float64."""
    shares = (logits.double() / temperature).log_softmax(-1)
    ends = shares.exp().cumsum(-1)
    beyond = (ends > uniform[:, None] * ends[:, -1:]) & (shares > -math.inf)
    tokens = beyond.int().argmax(-1)
    return tokens, shares.gather(1, tokens[:, None])[:, 0]


def _activated(gate: torch.Tensor, activation: str) -> torch.Tensor:
    return F.silu(gate) if activation == "silu" else F.gelu(gate, approximate=_APPROXIMATE[activation])


def _shifted(weight: torch.Tensor, offset: float) -> torch.Tensor:
    return weight + offset if offset else weight


def _wide(x: torch.Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
