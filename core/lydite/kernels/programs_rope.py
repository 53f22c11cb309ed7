# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""Rotary position embedding as a Triton program: the heads of one token, of queries and keys in one launch."""

from __future__ import annotations

import triton
import triton.language as tl

from lydite.kernels.programs import rounded


@triton.jit
def turned(a, cos, b, sin, dtype: tl.constexpr):
    """The sum of a * cos and b * sin, rounded to `dtype` as both products were before."""
    return rounded(rounded(a * cos, dtype).to(tl.float32) + rounded(b * sin, dtype).to(tl.float32), dtype)


@triton.jit
def rotated_heads(
    x, out, head_stride, out_head_stride, cos1, cos2, sin1, sin2,
    BACKWARD: tl.constexpr, HEADS: tl.constexpr, HALF: tl.constexpr, REST: tl.constexpr,
    HEADS_BLOCK: tl.constexpr, HALF_BLOCK: tl.constexpr, REST_BLOCK: tl.constexpr,
):  # fmt: skip
    """Turns the first 2 * HALF numbers of each head of a token and copies the REST."""
    dtype: tl.constexpr = out.dtype.element_ty
    head = tl.arange(0, HEADS_BLOCK)[:, None]
    column = tl.arange(0, HALF_BLOCK)[None, :]
    exists = (head < HEADS) & (column < HALF)
    at = head.to(tl.int64) * head_stride + column
    first = tl.load(x + at, mask=exists, other=0.0).to(tl.float32)
    second = tl.load(x + at + HALF, mask=exists, other=0.0).to(tl.float32)
    to = head.to(tl.int64) * out_head_stride + column
    if BACKWARD:  # the transposed turn: each half's sine meets the slope of the other half
        tl.store(out + to, turned(first, cos1, second, sin2, dtype), mask=exists)
        tl.store(out + to + HALF, turned(second, cos2, -first, sin1, dtype), mask=exists)
    else:
        tl.store(out + to, turned(first, cos1, -second, sin1, dtype), mask=exists)
        tl.store(out + to + HALF, turned(second, cos2, first, sin2, dtype), mask=exists)
    if REST > 0:
        column = tl.arange(0, REST_BLOCK)[None, :]
        exists = (head < HEADS) & (column < REST)
        at = head.to(tl.int64) * head_stride + 2 * HALF + column
        to = head.to(tl.int64) * out_head_stride + 2 * HALF + column
        rest = tl.load(x + at, mask=exists, other=0.0).to(tl.float32)
        tl.store(out + to, rounded(rest, dtype), mask=exists)


@triton.jit(do_not_specialize=["tokens"])
def rotate(
    query, key, cos, sin, query_out, key_out, tokens,
    query_batch, query_head, query_token, key_batch, key_head, key_token,
    cos_batch, cos_token, sin_batch, sin_token,
    query_out_batch, query_out_head, query_out_token, key_out_batch, key_out_head, key_out_token,
    BACKWARD: tl.constexpr, QUERY_HEADS: tl.constexpr, KEY_HEADS: tl.constexpr,
    HALF: tl.constexpr, REST: tl.constexpr, QUERY_BLOCK: tl.constexpr, KEY_BLOCK: tl.constexpr,
    HALF_BLOCK: tl.constexpr, REST_BLOCK: tl.constexpr,
):  # fmt: skip
    """Rotates the heads of one of B * `tokens` tokens; the other names are strides."""
    batch = tl.program_id(0) // tokens
    token = (tl.program_id(0) - batch * tokens).to(tl.int64)
    batch = batch.to(tl.int64)
    column = tl.arange(0, HALF_BLOCK)[None, :]
    exists = column < HALF
    cos += batch * cos_batch + token * cos_token + column
    sin += batch * sin_batch + token * sin_token + column
    cos1 = tl.load(cos, mask=exists, other=0.0).to(tl.float32)
    cos2 = tl.load(cos + HALF, mask=exists, other=0.0).to(tl.float32)
    sin1 = tl.load(sin, mask=exists, other=0.0).to(tl.float32)
    sin2 = tl.load(sin + HALF, mask=exists, other=0.0).to(tl.float32)
    rotated_heads(
        query + batch * query_batch + token * query_token,
        query_out + batch * query_out_batch + token * query_out_token,
        query_head, query_out_head, cos1, cos2, sin1, sin2,
        BACKWARD, QUERY_HEADS, HALF, REST, QUERY_BLOCK, HALF_BLOCK, REST_BLOCK,
    )  # fmt: skip
    rotated_heads(
        key + batch * key_batch + token * key_token,
        key_out + batch * key_out_batch + token * key_out_token,
        key_head, key_out_head, cos1, cos2, sin1, sin2,
        BACKWARD, KEY_HEADS, HALF, REST, KEY_BLOCK, HALF_BLOCK, REST_BLOCK,
    )  # fmt: skip
