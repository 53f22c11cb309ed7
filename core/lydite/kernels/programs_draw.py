# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""The Triton programs that draw a token from each row of logits. Importing this module needs triton.

A row's vocabulary is cut into blocks of tokens, some blocks into a group. Scores are logits over the temperature.
"""

from __future__ import annotations

import triton
import triton.language as tl

NOTHING = tl.constexpr(float("-inf"))


@triton.jit
def scores_of(logits, token, vocabulary, temperature):
    """Float32 scores of tokens of a row, -inf beyond the vocabulary."""
    return tl.load(logits + token, mask=token < vocabulary, other=NOTHING).to(tl.float32) / temperature


@triton.jit
def masses_of(scores, top):
    """exp(score - top), where top is the greatest of them; 0 each where all of them are -inf."""
    return tl.exp(scores - tl.where(top == NOTHING, 0.0, top))


@triton.jit
def block_masses(
    logits, tops, masses, vocabulary, stride, blocks, groups, temperature, BLOCK: tl.constexpr, GROUP: tl.constexpr
):  # fmt: skip
    """Of one group of a row the greatest score, and of each of its GROUP blocks the sum of exp(score - greatest)."""
    group = tl.program_id(0)
    row = tl.program_id(1).to(tl.int64)
    block = group * GROUP + tl.arange(0, GROUP)
    token = block[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    scores = scores_of(logits + row * stride, token, vocabulary, temperature)
    top = tl.max(tl.max(scores, 1), 0)
    tl.store(tops + row * groups + group, top)
    tl.store(masses + row * blocks + block, tl.sum(masses_of(scores, top), 1), mask=block < blocks)


@triton.jit
def pick(
    logits, tops, masses, uniform, tokens, logps, vocabulary, stride, blocks, groups, temperature,
    BLOCK: tl.constexpr, GROUP: tl.constexpr, MOST: tl.constexpr,
):  # fmt: skip
    """The first token of a row whose cumulative share exceeds the uniform number, and its log-probability.

    A block with mass, and in it a token with mass, are looked for, so that rounding never leads to one without.
    """
    row = tl.program_id(0).to(tl.int64)
    logits += row * stride
    tops += row * groups
    block = tl.arange(0, MOST)
    exists = block < blocks
    of_group = tl.load(tops + block // GROUP, mask=exists, other=NOTHING)
    top = tl.max(of_group, 0)
    own = tl.load(masses + row * blocks + block, mask=exists, other=0.0).to(tl.float64)
    mass = own * masses_of(of_group, top).to(tl.float64)
    ends = tl.cumsum(mass, 0)
    total = tl.max(ends, 0)
    target = tl.load(uniform + row) * total
    first = tl.min(tl.where((ends > target) & (mass > 0), block, MOST), 0)
    chosen = tl.where(first < MOST, first, tl.max(tl.where(mass > 0, block, 0), 0))
    held = tl.sum(tl.where(block == chosen, mass, 0.0), 0)
    before = tl.sum(tl.where(block == chosen, ends, 0.0), 0) - held
    inside = tl.maximum((target - before) / held, 0.0)

    column = tl.arange(0, BLOCK)
    scores = scores_of(logits, chosen * BLOCK + column, vocabulary, temperature)
    member = masses_of(scores, tl.load(tops + chosen // GROUP)).to(tl.float64)
    upto = tl.cumsum(member, 0)
    within = inside * tl.max(upto, 0)
    earliest = tl.min(tl.where((upto > within) & (member > 0), column, BLOCK), 0)
    place = tl.where(earliest < BLOCK, earliest, tl.max(tl.where(member > 0, column, 0), 0))
    score = tl.sum(tl.where(column == place, scores, 0.0), 0)
    tl.store(tokens + row, (chosen * BLOCK + place).to(tl.int64))
    tl.store(logps + row, (score.to(tl.float64) - top.to(tl.float64) - tl.log(total)).to(tl.float32))
