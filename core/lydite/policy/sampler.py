"""Drawing one token a row: inverse CDF in two levels, one uniform a token, its log-prob at no extra cost.

`torch.multinomial` over a vocabulary of 49k draws 49k exponentials a row and was the hottest spot of decoding
on a CPU. Here one pass makes probabilities and the sums of blocks of them; the search then looks at one row of
block sums and one block. Where nothing is truncated, `lydite.kernels.draw` does the same on a GPU in two launches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from lydite.kernels.draw import BLOCK
from lydite.kernels.draw import draw as draw_by_kernel
from lydite.kernels.switch import is_on

_NUCLEUS_GUESS: Final = 1024  # tokens that nearly always hold top_p; sorting the whole vocabulary is the exception


@dataclass(frozen=True, slots=True)
class Draw:
    """How a token is drawn from logits."""

    temperature: float = 1.0
    """0 takes the likeliest token."""
    top_k: int = 0
    top_p: float = 1.0
    min_p: float | None = None

    @property
    def truncates(self) -> bool:
        """True when some tokens are never drawn."""
        return bool(self.top_k or self.top_p < 1 or self.min_p)


def uniforms(seed: int, sample_id: str, index: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The uniform numbers in [0, 1) that completion `index` of a sample draws its tokens with, [count].

    They depend on nothing else: not on the batch, the other samples, or `count` beyond its length.
    """
    digest = hashlib.blake2b(f"{seed}\0{index}\0{sample_id}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little"))).random(count)


def draw_tokens(logits: Tensor, uniform: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
    """Tokens [N] and their log-probabilities [N] in float32, from logits [N, V] and uniforms [N] in float64.

    The log-probability is that of the policy at the temperature (at 1 when greedy), before any truncation:
    it is what training computes. top_k, top_p and min_p decide only which tokens can be drawn.
    """
    if draw.temperature > 0 and not draw.truncates and is_on("draw", logits.device):
        return draw_by_kernel(logits, uniform, draw.temperature)
    scores = logits.float()
    if draw.temperature == 0:
        token = scores.argmax(dim=-1)
        return token, _picked(scores, token) - torch.logsumexp(scores, dim=-1)
    if draw.temperature != 1:
        scores = scores / draw.temperature
    top = scores.amax(dim=-1, keepdim=True)
    mass = torch.exp(scores - top)
    blocks = _block_sums(mass)
    normaliser = blocks.sum(dim=-1).log()
    kept = mass
    if draw.truncates:
        kept = mass * (mass >= _floor(mass, draw))
        blocks = _block_sums(kept)
    token = _search(kept, blocks, uniform)
    return token, (_picked(scores, token).double() - top[:, 0].double() - normaliser).float()


def _block_sums(mass: Tensor) -> Tensor:
    """Sums of blocks of tokens, [N, ceil(V / BLOCK)] in float64; the last block may be shorter."""
    rows, vocabulary = mass.shape
    whole = vocabulary - vocabulary % BLOCK
    sums = mass[:, :whole].reshape(rows, whole // BLOCK, BLOCK).sum(dim=-1) if whole else mass.new_empty((rows, 0))
    if whole < vocabulary:
        sums = torch.cat((sums, mass[:, whole:].sum(dim=-1, keepdim=True)), dim=1)
    return sums.double()


def _search(mass: Tensor, blocks: Tensor, uniform: Tensor) -> Tensor:
    """The first token whose cumulative share exceeds the uniform number, [N]; never one without mass."""
    ends = blocks.cumsum(dim=-1)
    target = _below(uniform * ends[:, -1], ends[:, -1])[:, None]
    block = torch.searchsorted(ends, target, right=True)
    inside = ((target - ends.gather(1, block) + blocks.gather(1, block)) / blocks.gather(1, block)).clamp_(min=0.0)
    columns = block * BLOCK + torch.arange(BLOCK, device=mass.device)
    beyond = columns >= mass.shape[1]
    members = mass.gather(1, columns.clamp(max=mass.shape[1] - 1)).double().masked_fill_(beyond, 0.0).cumsum(dim=-1)
    within = _below(inside[:, 0] * members[:, -1], members[:, -1])[:, None]
    return (block * BLOCK + torch.searchsorted(members, within, right=True))[:, 0]


def _below(value: Tensor, end: Tensor) -> Tensor:
    """The value, strictly below the end, so that a search by it stops at a step of positive height."""
    return torch.minimum(value, torch.nextafter(end, torch.zeros_like(end)))


def _floor(mass: Tensor, draw: Draw) -> Tensor:
    """The least mass that may be drawn, [N, 1]; tokens that tie with the last one kept are kept too."""
    floor = torch.zeros_like(mass[:, :1])
    if draw.top_k and draw.top_k < mass.shape[1]:
        floor = mass.topk(draw.top_k, dim=-1).values[:, -1:]
    if draw.top_p < 1:
        floor = torch.maximum(floor, _nucleus(mass * (mass >= floor), draw.top_p))
    if draw.min_p:
        floor = torch.maximum(floor, mass.amax(dim=-1, keepdim=True) * draw.min_p)
    return floor


def _nucleus(mass: Tensor, top_p: float) -> Tensor:
    """The mass of the last token of the smallest set that holds a share of top_p, [N, 1]."""
    wanted = mass.sum(dim=-1, keepdim=True, dtype=torch.float64) * top_p
    for size in (min(_NUCLEUS_GUESS, mass.shape[1]), mass.shape[1]):
        largest = mass.topk(size, dim=-1).values
        ends = largest.double().cumsum(dim=-1)
        if size == mass.shape[1] or bool((ends[:, -1:] >= wanted).all()):
            break
    last = (ends < wanted).sum(dim=-1, keepdim=True).clamp_(max=size - 1)
    return largest.gather(1, last)


def _picked(scores: Tensor, token: Tensor) -> Tensor:
    return scores.gather(1, token[:, None])[:, 0]


def uniform_table(seed: int, rows: Sequence[tuple[str, int]], count: int) -> Tensor:
    """The uniform numbers of (sample id, index) rows, [rows, count] in float64."""
    return torch.from_numpy(np.stack([uniforms(seed, sample_id, index, count) for sample_id, index in rows]))
