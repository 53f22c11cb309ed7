# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""Gated activations as Triton programs: a program takes BLOCK numbers of a row, which has `parts` such blocks.

Every step is rounded where torch's own operations round, so that in 16 bit the results are theirs.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from lydite.kernels.programs import INTERPRETED, rounded

BETA = tl.constexpr(0.7978845608028654)  # sqrt(2 / pi)
KAPPA = tl.constexpr(0.044715)
HALF_ROOT = tl.constexpr(0.7071067811865476)  # sqrt(1 / 2)
DENSITY = tl.constexpr(0.3989422804014327)  # 1 / sqrt(2 pi)


@triton.jit
def exponential(x):
    """e^x as torch computes it on a GPU; Triton's own is a power of two of x / ln 2, off by more for large x."""
    return tl.exp(x) if INTERPRETED else libdevice.exp(x)


@triton.jit
def activated(x, ACTIVATION: tl.constexpr):
    """silu: x / (1 + e^-x). gelu: x Phi(x). gelu_tanh: x (1 + tanh u) / 2 with u = BETA (x + KAPPA x^3).

    (1 + tanh u) / 2 is computed as 1 / (1 + e^-2u), the same number without the cancellation near tanh u = -1.
    """
    if ACTIVATION == "gelu":
        result = x * 0.5 * (1.0 + tl.erf(x * HALF_ROOT))
    elif ACTIVATION == "gelu_tanh":
        result = tl.div_rn(x, 1.0 + exponential((x * x * x * KAPPA + x) * BETA * -2.0))
    else:
        result = tl.div_rn(x, 1.0 + exponential(-x))
    return result


@triton.jit
def derivative(x, ACTIVATION: tl.constexpr):
    """The derivative of `activated`."""
    if ACTIVATION == "gelu":
        result = 0.5 * (1.0 + tl.erf(x * HALF_ROOT)) + x * (exponential(x * x * -0.5) * DENSITY)
    elif ACTIVATION == "gelu_tanh":
        share = tl.div_rn(1.0, 1.0 + exponential((x * x * x * KAPPA + x) * BETA * -2.0))
        result = share + x * share * (1.0 - share) * ((x * x * KAPPA * 3.0 + 1.0) * BETA * 2.0)
    else:
        share = tl.div_rn(1.0, 1.0 + exponential(-x))
        result = share * (1.0 + x * (1.0 - share))
    return result


# What changes with every batch is not compiled in; but that `columns` divide by 16 is, for loads of 16 bytes.
@triton.jit(do_not_specialize=["parts"])
def gated(gate, up, out, columns, parts, gate_stride, up_stride, ACTIVATION: tl.constexpr, BLOCK: tl.constexpr):
    """out[r] = activated(gate[r]) * up[r]."""
    row = (tl.program_id(0) // parts).to(tl.int64)
    column = (tl.program_id(0) % parts).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = column < columns
    x = tl.load(gate + row * gate_stride + column, mask=exists, other=0.0).to(tl.float32)
    factor = tl.load(up + row * up_stride + column, mask=exists, other=0.0).to(tl.float32)
    dtype: tl.constexpr = out.dtype.element_ty
    result = rounded(activated(x, ACTIVATION), dtype).to(tl.float32) * factor
    tl.store(out + row * columns + column, rounded(result, dtype), mask=exists)


@triton.jit(do_not_specialize=["parts"])
def gated_backward(
    slope, gate, up, gate_out, up_out, columns, parts, slope_stride, gate_stride, up_stride,
    ACTIVATION: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """gate_out[r] = slope[r] * up[r] * derivative(gate[r]); up_out[r] = slope[r] * activated(gate[r])."""
    row = (tl.program_id(0) // parts).to(tl.int64)
    column = (tl.program_id(0) % parts).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = column < columns
    x = tl.load(gate + row * gate_stride + column, mask=exists, other=0.0).to(tl.float32)
    factor = tl.load(up + row * up_stride + column, mask=exists, other=0.0).to(tl.float32)
    slopes = tl.load(slope + row * slope_stride + column, mask=exists, other=0.0).to(tl.float32)
    dtype: tl.constexpr = gate_out.dtype.element_ty
    inner = rounded(slopes * factor, dtype).to(tl.float32)
    tl.store(gate_out + row * columns + column, rounded(inner * derivative(x, ACTIVATION), dtype), mask=exists)
    outer = rounded(activated(x, ACTIVATION), dtype).to(tl.float32)
    tl.store(up_out + row * columns + column, rounded(slopes * outer, dtype), mask=exists)
