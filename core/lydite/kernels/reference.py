"""The kernels' meaning in plain torch, on any device and at any speed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from lydite.kernels.nf4 import BLOCK, NESTED_BLOCK, Nf4Weight


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
