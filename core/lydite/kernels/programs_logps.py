# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""The Triton programs of `lydite.kernels.logps`: a tile of the head's products is read once to sum, once for the slope.

Symbols: x[v] is the head's product for vocabulary entry v, z[v] the logit that it becomes, t the target, m the largest
logit met, "others" all entries but the target. Every number but a stored slope is float32.

    log p_t = -softplus(log sum_others exp(z - m) - (z_t - m))        keeps its digits where p_t is nearly 1
    entropy = log sum exp(z - m) - sum exp(z - m) (z - m) / sum exp(z - m)
    d log p_t / d z_t = sum_others / sum,    d log p_t / d z_v = -exp(z_v - m) / sum
    d entropy / d z_v = -exp(z_v - m) / sum (z_v - m - mean),    mean = sum exp(z - m) (z - m) / sum

Source: sums that follow a growing maximum are Milakov and Gimelshein's (arXiv 1805.02867), equations 2 to 4, kept
here by each lane for itself and merged at the end.
"""

from __future__ import annotations

import triton
import triton.language as tl

from lydite.kernels.programs import rounded

LOWEST = tl.constexpr(-3.4e38)  # instead of -inf, which would make a lane that met nothing -inf - -inf


@triton.jit
def logits_of(products, first, last, cap, CAPPED: tl.constexpr):
    """The logits: products times `first`, and where CAPPED cap * tanh of that, times `last`."""
    logits = products.to(tl.float32) * first
    if CAPPED:
        e = tl.exp(-2.0 * tl.abs(logits))  # of a negative number, which overflows nowhere
        logits = tl.where(logits < 0, e - 1.0, 1.0 - e) / (1.0 + e) * cap * last
    return logits


@triton.jit
def bend_of(products, first):
    """1 - tanh^2 of products times `first`, as 4 e / (1 + e)^2: it keeps its digits where tanh is nearly 1."""
    e = tl.exp(-2.0 * tl.abs(products.to(tl.float32) * first))
    return 4.0 * e / ((1.0 + e) * (1.0 + e))


@triton.jit
def log1p(u):
    """log(1 + u) for 0 <= u <= 1, to float32's last digits: 2 atanh(u / (2 + u)), whose series ends below 2e-9."""
    s = u / (2.0 + u)
    q = s * s
    series = 1.0 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13 + q / 15))))))
    return 2.0 * s * series


@triton.jit
def fold(
    products, ids, partial, vocabulary, stride, parts, first, last, cap,
    CAPPED: tl.constexpr, PART: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """partial[:, row, part] = (m, sum exp(z - m), sum exp(z - m) (z - m)) over the others in one part of a row."""
    program = tl.program_id(0)
    row = program // parts
    part = program - row * parts
    target = tl.load(ids + row).to(tl.int32)
    products += row.to(tl.int64) * stride
    begin = part * PART
    end = tl.minimum(begin + PART, vocabulary)
    lane_max = tl.full((BLOCK,), LOWEST, tl.float32)
    lane_sum = tl.zeros((BLOCK,), tl.float32)
    lane_weighted = tl.zeros((BLOCK,), tl.float32)
    for start in range(begin, end, BLOCK):
        v = start + tl.arange(0, BLOCK)
        counts = (v < end) & (v != target)
        logits = logits_of(tl.load(products + v, mask=v < end, other=0.0), first, last, cap, CAPPED)
        logits = tl.where(counts, logits, LOWEST)
        highest = tl.maximum(lane_max, logits)
        back = lane_max - highest
        shrink = tl.exp(back)
        away = logits - highest
        e = tl.where(counts, tl.exp(away), 0.0)
        # A lane that met nothing yet has no sum to shift, and no finite way to shift it.
        shifted = lane_weighted + tl.where(lane_sum == 0.0, 0.0, back * lane_sum)
        lane_weighted = shrink * shifted + e * away
        lane_sum = shrink * lane_sum + e
        lane_max = highest
    highest = tl.max(lane_max, axis=0)
    back = lane_max - highest
    shrink = tl.exp(back)
    at = partial + row * parts + part
    size = tl.num_programs(0)
    tl.store(at, highest)
    tl.store(at + size, tl.sum(shrink * lane_sum, axis=0))
    shifted = lane_weighted + tl.where(lane_sum == 0.0, 0.0, back * lane_sum)
    tl.store(at + 2 * size, tl.sum(shrink * shifted, axis=0))


@triton.jit
def merge(
    products, ids, partial, logps, entropy, terms, stride, parts, first, last, cap,
    CAPPED: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """logps[row] and entropy[row] from a row's parts; terms[row] = (m, 1 / sum, sum_others / sum, mean) for slopes."""
    row = tl.program_id(0)
    target = tl.load(ids + row)
    target_logit = logits_of(tl.load(products + row.to(tl.int64) * stride + target), first, last, cap, CAPPED)
    part = tl.arange(0, PARTS)
    exists = part < parts
    at = partial + row * parts + part
    size = tl.num_programs(0) * parts
    part_max = tl.load(at, mask=exists, other=LOWEST)
    part_sum = tl.load(at + size, mask=exists, other=0.0)
    part_weighted = tl.load(at + 2 * size, mask=exists, other=0.0)
    highest = tl.maximum(tl.max(part_max, axis=0), target_logit)
    back = part_max - highest
    shrink = tl.exp(back)
    others = tl.sum(shrink * part_sum, axis=0)
    shifted = part_weighted + tl.where(part_sum == 0.0, 0.0, back * part_sum)
    away = target_logit - highest
    own = tl.exp(away)
    total = others + own
    weighted = tl.sum(shrink * shifted, axis=0) + own * away
    tl.store(entropy + row, tl.log(total) - weighted / total)
    odds = tl.log(others) - away
    tl.store(logps + row, -(tl.maximum(odds, 0.0) + log1p(tl.exp(-tl.abs(odds)))))
    tl.store(terms + 4 * row, highest)
    tl.store(terms + 4 * row + 1, 1.0 / total)
    tl.store(terms + 4 * row + 2, others / total)
    tl.store(terms + 4 * row + 3, weighted / total)


@triton.jit
def slopes(
    products, ids, terms, scale, out, vocabulary, stride, out_stride, blocks, first, last, cap, factor,
    CAPPED: tl.constexpr, SCALED: tl.constexpr, ENTROPY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out[row, v] = d log p_t / d x[v], or d entropy / d x[v] where ENTROPY, times scale[row] where SCALED.

    `out` may be `products` themselves.
    """
    program = tl.program_id(0)
    row = program // blocks
    v = (program - row * blocks) * BLOCK + tl.arange(0, BLOCK)
    exists = v < vocabulary
    far = row.to(tl.int64)
    x = tl.load(products + far * stride + v, mask=exists, other=0.0)
    highest = tl.load(terms + 4 * row)
    inverse = tl.load(terms + 4 * row + 1)
    if SCALED:
        factor *= tl.load(scale + row)
    away = logits_of(x, first, last, cap, CAPPED) - highest
    slope = -tl.exp(away) * inverse
    if ENTROPY:
        slope *= away - tl.load(terms + 4 * row + 3)
    else:
        target = tl.load(ids + row).to(tl.int32)
        slope = tl.where(v == target, tl.load(terms + 4 * row + 2), slope)
    slope *= factor
    if CAPPED:
        slope *= bend_of(x, first)
    tl.store(out + far * out_stride + v, rounded(slope, out.dtype.element_ty), mask=exists)
