# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""The Triton programs for NF4 weights. Importing this module needs triton.

A Triton program is compiled from its source, so its arguments carry no types but `constexpr`. Sizes are in weights,
`words` are four bytes of eight weights. The sixteen values of NF4 lie in shared memory, and every weight is one
look-up, one product in float32 and one rounding: exactly bitsandbytes' numbers.
"""

from __future__ import annotations

import os

import triton
import triton.language as tl

# The interpreter keeps bfloat16 as plain 16-bit integers: it truncates where a GPU rounds, and multiplies the bits.
INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


@triton.jit
def rounded(value, dtype: tl.constexpr):
    """Float32 values in `dtype`, rounded to nearest, ties to even."""
    if INTERPRETED and dtype == tl.bfloat16:
        bits = value.to(tl.uint32, bitcast=True)
        bits += 0x7FFF + ((bits >> 16) & 1)
        result = (bits >> 16).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        result = value.to(dtype)
    return result


@triton.jit
def block_scales(absmax, absmax_code, absmax2, offset, block, exists, NESTED: tl.constexpr):
    """The float32 scales of blocks; without fused multiply-adds, since bitsandbytes rounds twice."""
    if NESTED:
        own = tl.load(absmax_code + tl.load(absmax + block, mask=exists, other=0).to(tl.int32))
        scales = own * tl.load(absmax2 + block // 256, mask=exists, other=0.0) + tl.load(offset)
    else:
        scales = tl.load(absmax + block, mask=exists, other=0.0)
    return scales


@triton.jit
def half(words, PLACE: tl.constexpr):
    """The 4 bits of the weight at PLACE of eight: the first of two weights is the high half of its byte."""
    return (words >> (4 * (PLACE ^ 1))) & 15


@triton.jit
def unpacked(words, table, scales, ROWS: tl.constexpr, BLOCKS: tl.constexpr, dtype: tl.constexpr):
    """Weights [ROWS, 64 * BLOCKS] of words [ROWS, 8 * BLOCKS] and scales [ROWS, BLOCKS].

    Joins put the eight halves of a word side by side, each in the registers of the thread that loaded the word;
    a join's new axis is the fastest, so the place's lowest bit is joined last.
    """
    even = tl.join(tl.join(half(words, 0), half(words, 4)), tl.join(half(words, 2), half(words, 6)))
    odd = tl.join(tl.join(half(words, 1), half(words, 5)), tl.join(half(words, 3), half(words, 7)))
    values = tl.gather(table, tl.join(even, odd).reshape(ROWS * BLOCKS * 64), 0)
    weights = values.reshape(ROWS, BLOCKS, 64) * scales[:, :, None]
    return rounded(weights.reshape(ROWS, BLOCKS * 64), dtype)


@triton.jit
def dequantise(
    words, code, absmax, absmax_code, absmax2, offset, out, blocks, row_blocks, row_stride,
    NESTED: tl.constexpr, FLAT: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Unpacks TILE blocks; block b goes to row b // row_blocks of `out`, whose rows follow each other where FLAT."""
    block = tl.program_id(0) * TILE + tl.arange(0, TILE)
    exists = block < blocks
    table = tl.load(code + tl.arange(0, 16))
    packed = tl.load(words + block[:, None] * 8 + tl.arange(0, 8)[None, :], mask=exists[:, None], other=0)
    scales = block_scales(absmax, absmax_code, absmax2, offset, block[:, None], exists[:, None], NESTED)
    weights = unpacked(packed, table, scales, TILE, 1, out.dtype.element_ty)
    if FLAT:
        start = block.to(tl.int64) * 64  # more weights than 32 bits count would still be right
    else:
        row = block // row_blocks
        start = row.to(tl.int64) * row_stride + (block - row * row_blocks) * 64
    tl.store(out + start[:, None] + tl.arange(0, 64)[None, :], weights, mask=exists[:, None])


@triton.jit
def linear(
    x, words, code, absmax, absmax_code, absmax2, offset, out, rows, columns, features,
    row_words, row_blocks, x_stride, out_stride, part_stride, part_features, part_words,
    NESTED: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """out[part, m, n] = the sum over one part of the features of x[m, k] * W[n, k], for BM rows and BN columns.

    The features and those of a part are multiples of BK, so that only rows and columns can be missing.
    The product is computed transposed, W x^T: Hopper's matrix units take 64 rows at a time, and there are always
    64 columns of the weight while a decoding step may have one row of x. Their left operand may also lie in
    registers, which is where weights are unpacked.
    """
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    m = tl.program_id(1) * BM + tl.arange(0, BM)
    part = tl.program_id(2)
    begin = part * part_features
    end = tl.minimum(begin + part_features, features)
    BLOCKS: tl.constexpr = BK // 64
    held = tl.minimum(n, columns - 1)[:, None]  # beyond the last column the last is read again, and not stored
    words += held * row_words + part * part_words + tl.arange(0, BK // 8)[None, :]
    block = held * row_blocks + begin // 64 + tl.arange(0, BLOCKS)[None, :]
    x += m[None, :] * x_stride + begin + tl.arange(0, BK)[:, None]
    table = tl.load(code + tl.arange(0, 16))
    total = tl.zeros((BN, BM), tl.float32)
    for _ in tl.range(begin, end, BK, num_stages=STAGES):
        packed = tl.load(words)
        features_of_x = tl.load(x, mask=m[None, :] < rows, other=0.0)
        scales = block_scales(absmax, absmax_code, absmax2, offset, block, block >= 0, NESTED)
        weights = unpacked(packed, table, scales, BN, BLOCKS, x.dtype.element_ty)
        if INTERPRETED:
            total += tl.dot(weights.to(tl.float32), features_of_x.to(tl.float32), input_precision="ieee")
        else:
            total = tl.dot(weights, features_of_x, total, input_precision="ieee")
        words += BK // 8
        x += BK
        block += BLOCKS
    at = part * part_stride + m[None, :] * out_stride + n[:, None]
    tl.store(out + at, rounded(total, out.dtype.element_ty), mask=(m[None, :] < rows) & (n[:, None] < columns))


@triton.jit
def add_parts(parts, out, columns, out_stride, part_stride, PARTS: tl.constexpr, TILE: tl.constexpr):
    """out[m, n] = the sum of parts[p, m, n], always in the order of p, so that the same sum is drawn again."""
    m = tl.program_id(1)
    n = tl.program_id(0) * TILE + tl.arange(0, TILE)
    exists = n < columns
    parts += m * columns + n
    total = tl.load(parts, mask=exists, other=0.0)
    for _ in tl.static_range(1, PARTS):
        parts += part_stride
        total += tl.load(parts, mask=exists, other=0.0)
    tl.store(out + m * out_stride + n, rounded(total, out.dtype.element_ty), mask=exists)
