"""FlashAttention's two calls in plain torch, from its definition."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from lydite.policy import packed_attention
from lydite.policy.flash_attention import two_calls
from lydite.policy.layout import Segments
from lydite.policy.varlen import Attended, Sight


class PlainCalls:
    """What FlashAttention's two calls compute, run by run; `seen` notes the runs that were asked for.

    Unless `filled`, the longest run must be just that long, and none empty.
    """

    def __init__(self, *, filled: bool = False) -> None:
        self._filled = filled
        self.seen: list[tuple[list[int], list[int], bool]] = []

    def forward(self, query: Tensor, key: Tensor, value: Tensor, sight: Sight) -> Attended:
        bounds = sight.segments.bounds_q.tolist(), sight.segments.bounds_k.tolist()
        self.seen.append((*bounds, sight.causal))
        output, lse = torch.empty_like(query), query.new_empty(query.shape[1], query.shape[0])
        for rows, columns in runs(sight.segments, filled=self._filled):
            scores = scores_of(query[rows], key[columns], sight)
            lse[:, rows] = scores.logsumexp(-1)
            output[rows] = torch.einsum("hqk,khd->qhd", scores.softmax(-1), repeated(value[columns], query))
        return Attended(output, lse, (torch.tensor(7), torch.tensor(8)))

    def backward(
        self, gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, attended: Attended, sight: Sight
    ) -> tuple[Tensor, Tensor, Tensor]:
        """FlashAttention-2 (arXiv 2307.08691), algorithm 2: P from lse, dS = P * (dP - rowsum(dO * O))."""
        assert [int(one) for one in attended.state] == [7, 8]
        dq, dk, dv = torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)
        share = query.shape[1] // key.shape[1]
        for rows, columns in runs(sight.segments, filled=self._filled):
            k, v = repeated(key[columns], query), repeated(value[columns], query)
            p = (scores_of(query[rows], key[columns], sight) - attended.lse[:, rows, None]).exp()
            row_sums = (gradient[rows] * attended.output[rows]).sum(-1).T[..., None]
            ds = p * (torch.einsum("qhd,khd->hqk", gradient[rows], v) - row_sums) * sight.scale
            dq[rows] = torch.einsum("hqk,khd->qhd", ds, k)
            dk[columns] = torch.einsum("hqk,qhd->khd", ds, query[rows]).unflatten(1, (-1, share)).sum(2)
            dv[columns] = torch.einsum("hqk,qhd->khd", p, gradient[rows]).unflatten(1, (-1, share)).sum(2)
        return dq, dk, dv


def runs(segments: Segments, *, filled: bool) -> list[tuple[slice, slice]]:
    queries, keys = pairwise(segments.bounds_q.tolist()), pairwise(segments.bounds_k.tolist())
    made = [(slice(*one), slice(*other)) for one, other in zip(queries, keys, strict=True)]
    if filled:
        return [(rows, columns) for rows, columns in made if rows.stop > rows.start]
    assert max(rows.stop - rows.start for rows, _ in made) == segments.longest_q
    assert max(columns.stop - columns.start for _, columns in made) == segments.longest_k
    assert all(rows.stop > rows.start for rows, _ in made)  # the kernel is never asked for nothing
    return made


def repeated(key: Tensor, query: Tensor) -> Tensor:
    return key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)


def scores_of(query: Tensor, key: Tensor, sight: Sight) -> Tensor:
    """Scores [Hq, T, K]; ends of queries and keys are lined up, as the kernel's documentation says."""
    scores = torch.einsum("qhd,khd->hqk", query, repeated(key, query)) * sight.scale
    if not sight.causal:
        return scores
    behind = torch.arange(len(query))[:, None] + len(key) - len(query) - torch.arange(len(key))[None, :]
    return scores.masked_fill((behind < 0) | (behind >= (sight.window or len(key))), -math.inf)


def attend_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on packed attention without windows goes the way that it goes on a GPU, with plain calls."""
    monkeypatch.setattr(packed_attention, "flash_takes", lambda query, value: True)
    monkeypatch.setattr(packed_attention, "two_calls", partial(two_calls, calls=PlainCalls(filled=True)))
