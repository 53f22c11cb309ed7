# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""RMSNorm as Triton programs: each reads its rows once, whole, and holds them in registers."""

from __future__ import annotations

import triton
import triton.language as tl

from lydite.kernels.programs import rounded


@triton.jit
def row_starts(row, inner, outer_stride, inner_stride):
    """Where rows start that lie by two strides; in 64 bits, since tensors have more numbers than 32 count."""
    outer = row // inner
    return outer.to(tl.int64) * outer_stride + (row - outer * inner).to(tl.int64) * inner_stride


@triton.jit
def scales_of(weight, column, exists, dtype: tl.constexpr, OFFSET: tl.constexpr, WEIGHT_IN_FLOAT32: tl.constexpr):
    """What x_hat is multiplied by: the weight, plus one in gemma's."""
    scales = tl.load(weight + column, mask=exists, other=0.0).to(tl.float32)
    if OFFSET != 0:
        scales += OFFSET
        if not WEIGHT_IN_FLOAT32:
            scales = rounded(scales, dtype).to(tl.float32)
    return scales


# What changes with every batch is not compiled into the program.
@triton.jit(do_not_specialize=["rows", "inner"])
def rms_norm(
    x, weight, out, inverses, rows, eps, share, inner, outer_stride, inner_stride,
    OFFSET: tl.constexpr, WEIGHT_IN_FLOAT32: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """out[r] = x[r] / rms[r] * weight for ROWS rows, rms[r] = sqrt(mean(x[r]^2) + eps), share = 1 / WIDTH."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)[None, :]
    here, wide = row < rows, column < WIDTH
    exists = here[:, None] & wide
    starts = row_starts(row, inner, outer_stride, inner_stride)
    values = tl.load(x + starts[:, None] + column, mask=exists, other=0.0).to(tl.float32)
    inverse = tl.rsqrt(tl.sum(values * values, axis=1) * share + eps)
    tl.store(inverses + row, inverse, mask=here)
    scales = scales_of(weight, column, wide, weight.dtype.element_ty, OFFSET, WEIGHT_IN_FLOAT32)
    normed = values * inverse[:, None]
    if not WEIGHT_IN_FLOAT32:
        normed = rounded(normed, x.dtype.element_ty).to(tl.float32)
    at = row.to(tl.int64)[:, None] * WIDTH + column
    tl.store(out + at, rounded(normed * scales, out.dtype.element_ty), mask=exists)


@triton.jit(do_not_specialize=["rows", "slope_inner", "inner"])
def rms_norm_backward(
    slope, x, weight, inverses, out, rows, share,
    slope_inner, slope_outer_stride, slope_inner_stride, inner, outer_stride, inner_stride,
    OFFSET: tl.constexpr, WEIGHT_IN_FLOAT32: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """out[r] = (g - x_hat * mean(g * x_hat)) / rms[r], where g = slope[r] * weight and x_hat = x[r] / rms[r]."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)[None, :]
    here, wide = row < rows, column < WIDTH
    exists = here[:, None] & wide
    starts = row_starts(row, inner, outer_stride, inner_stride)
    values = tl.load(x + starts[:, None] + column, mask=exists, other=0.0).to(tl.float32)
    starts = row_starts(row, slope_inner, slope_outer_stride, slope_inner_stride)
    slopes = tl.load(slope + starts[:, None] + column, mask=exists, other=0.0).to(tl.float32)
    inverse = tl.load(inverses + row, mask=here, other=0.0)[:, None]
    slopes *= scales_of(weight, column, wide, weight.dtype.element_ty, OFFSET, WEIGHT_IN_FLOAT32)
    if not WEIGHT_IN_FLOAT32:
        slopes = rounded(slopes, x.dtype.element_ty).to(tl.float32)
    normed = values * inverse
    mean = tl.sum(slopes * normed, axis=1)[:, None] * share
    at = row.to(tl.int64)[:, None] * WIDTH + column
    tl.store(out + at, rounded(inverse * (slopes - normed * mean), out.dtype.element_ty), mask=exists)
