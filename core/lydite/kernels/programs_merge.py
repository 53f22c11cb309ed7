# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""Rows of a packed sequence that are changed where they stand, as Triton programs. `rows` says which they are."""

from __future__ import annotations

import triton
import triton.language as tl

from lydite.kernels.programs import rounded


@triton.jit(do_not_specialize=["count", "tokens"])
def merge(
    output, lse, second, second_lse, rows, count, tokens, heads, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
    TOKENS: tl.constexpr,
):  # fmt: skip
    """Of one head and TOKENS of the `count` rows, the softmax over the keys of both results."""
    token = tl.program_id(0).to(tl.int64) * TOKENS + tl.arange(0, TOKENS)
    head = tl.program_id(1).to(tl.int64)
    column = tl.arange(0, BLOCK)
    exists = token < count
    row = tl.load(rows + token, mask=exists, other=0)
    first_lse = tl.load(lse + head * tokens + row, mask=exists, other=0.0)
    other_lse = tl.load(second_lse + head * count + token, mask=exists, other=0.0)
    most = tl.maximum(first_lse, other_lse)
    merged = most + tl.log(tl.exp(first_lse - most) + tl.exp(other_lse - most))
    inside = exists[:, None] & (column < WIDTH)[None, :]
    place = (row[:, None] * heads + head) * WIDTH + column[None, :]
    own = tl.load(output + place, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(second + (token[:, None] * heads + head) * WIDTH + column[None, :], mask=inside, other=0.0)
    both = tl.exp(first_lse - merged)[:, None] * own + tl.exp(other_lse - merged)[:, None] * other.to(tl.float32)
    tl.store(output + place, rounded(both, output.dtype.element_ty), mask=inside)
    tl.store(lse + head * tokens + row, merged, mask=exists)


@triton.jit(do_not_specialize=["parts"])
def add_rows(total, more, rows, columns, parts, BLOCK: tl.constexpr):
    """total[rows[i]] += more[i], BLOCK of a row's `columns` numbers; a row has `parts` such blocks."""
    token = (tl.program_id(0) // parts).to(tl.int64)
    column = (tl.program_id(0) % parts).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = column < columns
    place = total + tl.load(rows + token) * columns + column
    added = tl.load(more + token * columns + column, mask=exists, other=0.0).to(tl.float32)
    result = tl.load(place, mask=exists, other=0.0).to(tl.float32) + added
    tl.store(place, rounded(result, total.dtype.element_ty), mask=exists)
