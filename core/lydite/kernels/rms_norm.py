"""RMSNorm with a frozen weight: one launch forward, one backward, and 4 bytes a row kept beside the input."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch.autograd.function import once_differentiable

from lydite.kernels.reference import rms_norm_backward_reference, rms_norm_reference
from lydite.kernels.rows import Rows, rows_of
from lydite.kernels.switch import is_on

DTYPES: Final = (torch.bfloat16, torch.float16, torch.float32)
NUMBERS: Final = 2048  # of a program with several rows: 16 for each of 128 threads, two loads of 16 bytes


def rms_norm(
    x: torch.Tensor, weight: torch.Tensor, eps: float, *, offset: float = 0.0, weight_in_float32: bool
) -> torch.Tensor:
    """The rows of x [..., H] divided by their root mean square, times `offset + weight` [H].

    Rounds where transformers' modules do: with `weight_in_float32` once, after the product and to x's type (gemma,
    whose offset is 1); else before it, and the product has the type of a product of x and weight (llama). The
    gradient of x is summed in float32; the weight has none.
    Source: Zhang and Sennrich 2019, Root Mean Square Layer Normalization (arXiv 1910.07467), equation 4.
    """
    assert weight.shape == x.shape[-1:], (weight.shape, x.shape)
    assert not weight.requires_grad, "the weight of a norm is frozen: it gets no gradient here"
    y: torch.Tensor = _RmsNorm.apply(x, weight, eps, offset, weight_in_float32)  # type: ignore[no-untyped-call]
    return y


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float, offset: float, weight_in_float32: bool
    ) -> torch.Tensor:
        ctx.offset, ctx.weight_in_float32 = offset, weight_in_float32
        if _takes(x, weight):
            y, inverse = _launch(x, weight, eps, offset, weight_in_float32)
        else:
            y, inverse = rms_norm_reference(x, weight, eps, offset, weight_in_float32)
        ctx.save_for_backward(x, weight, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        x, weight, inverse = ctx.saved_tensors
        compute = _launch_backward if _takes(x, weight) else rms_norm_backward_reference
        return compute(slope, x, weight, inverse, ctx.offset, ctx.weight_in_float32), None, None, None, None


def _takes(x: torch.Tensor, weight: torch.Tensor) -> bool:
    return x.dtype in DTYPES and weight.dtype in DTYPES and weight.is_contiguous() and is_on("rmsnorm", x.device)


def _launch(
    x: torch.Tensor, weight: torch.Tensor, eps: float, offset: float, weight_in_float32: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    from lydite.kernels import programs_norm

    rows = rows_of(x)
    dtype = x.dtype if weight_in_float32 else torch.promote_types(x.dtype, weight.dtype)
    y = torch.empty(x.shape, dtype=dtype, device=x.device)
    inverse = torch.empty((*x.shape[:-1], 1), dtype=torch.float32, device=x.device)
    if y.numel():
        block, several, warps = blocks_for(x.shape[-1])
        programs_norm.rms_norm[(-(-rows.count // several),)](
            rows.tensor, weight, y, inverse, rows.count, eps, 1 / x.shape[-1], *_strides(rows),
            OFFSET=offset, WEIGHT_IN_FLOAT32=weight_in_float32, WIDTH=x.shape[-1], BLOCK=block, ROWS=several,
            num_warps=warps, enable_fp_fusion=False,
        )  # fmt: skip
    return y, inverse


def _launch_backward(
    slope: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    inverse: torch.Tensor,
    offset: float,
    weight_in_float32: bool,
) -> torch.Tensor:
    from lydite.kernels import programs_norm

    rows, slopes = rows_of(x), rows_of(slope)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if out.numel():
        block, several, warps = blocks_for(x.shape[-1])
        programs_norm.rms_norm_backward[(-(-rows.count // several),)](
            slopes.tensor, rows.tensor, weight, inverse, out, rows.count, 1 / x.shape[-1], *_strides(slopes),
            *_strides(rows),
            OFFSET=offset, WEIGHT_IN_FLOAT32=weight_in_float32, WIDTH=x.shape[-1], BLOCK=block, ROWS=several,
            num_warps=warps, enable_fp_fusion=False,
        )  # fmt: skip
    return out


def _strides(rows: Rows) -> tuple[int, int, int]:
    return rows.inner, rows.outer_stride, rows.inner_stride


def blocks_for(width: int) -> tuple[int, int, int]:
    """The numbers that a row is padded to, the rows of a program, and its warps.

    A row of hidden states fills a program; of heads, with 64 to 256 numbers each, a program takes many. A thread has
    16 numbers, and more only in rows beyond 8,192.
    """
    block = 1 << (width - 1).bit_length()
    rows = max(1, NUMBERS // block)
    return block, rows, min(16, max(1, block * rows // 512))
