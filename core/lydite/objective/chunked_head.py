"""The head over chunks of tokens, and its gradients: the logits of one chunk are the largest tensor there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lydite.kernels.logps import LogitShape, tile_logps, tile_rows
from lydite.policy.head import Head, head_product, product_type


@dataclass(frozen=True, slots=True)
class Chunking:
    """How a head is run over its tokens."""

    shape: LogitShape
    chunk_size: int
    """Tokens of a chunk, at most."""
    entropy_gradient: bool = False
    """Whether entropies carry a gradient as log-probabilities do."""


def chunked_logps(hidden: Tensor, head: Head, ids: Tensor, chunking: Chunking) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies, float32 [N], of tokens [N] after hidden states [N, H].

    They carry a gradient towards what is trained: with a frozen head the hidden states, else the head as well. The
    first is ready when the forward pass ends; for the second the backward pass makes the chunks again.
    """
    trains_head = head.trainable and torch.is_grad_enabled()
    if not trains_head and not (hidden.requires_grad and torch.is_grad_enabled()):
        return _over_chunks(hidden, head.weight, head.bias, ids, chunking)
    function = _TrainableHead if trains_head else _FrozenHead
    logps, entropy = function.apply(hidden, head.weight, head.bias, ids, chunking)  # type: ignore[no-untyped-call]
    return logps, entropy


class _Chunk(NamedTuple):
    """The products [n, V] of a few tokens, and memory of that size for the slopes that are wanted."""

    own: slice
    """Which of all tokens these are."""
    product: Tensor
    slope: Tensor | None
    entropy_slope: Tensor | None


class _Tile:
    """The memory of one chunk's products and of their slopes, used again for every chunk."""

    def __init__(self, weight: Tensor, tokens: int, chunk_size: int, *, slope: bool, entropy_slope: bool) -> None:
        vocabulary, kind = weight.shape[0], weight.dtype
        self.rows = tile_rows(vocabulary, kind.itemsize, min(chunk_size, max(tokens, 1)), cuda=weight.is_cuda)
        # Rows that start on a line of the cache: cuBLAS's fastest products want 16 bytes, which an odd V is not.
        stride = -(-vocabulary // 64) * 64 if weight.is_cuda else vocabulary
        made = product_type(weight)
        self._product = torch.empty((self.rows, stride), dtype=made, device=weight.device)[:, :vocabulary]
        self._slope = self._entropy_slope = None
        if slope:
            self._slope = self._product if made is kind else self._beside(kind)
        if entropy_slope:  # never the product's own memory: the other slope is made of it next
            self._entropy_slope = self._beside(kind)

    def _beside(self, kind: torch.dtype) -> Tensor:
        product = self._product
        return torch.empty_strided(product.shape, product.stride(), dtype=kind, device=product.device)

    def chunks(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Iterator[_Chunk]:
        """The products of all tokens, chunk by chunk; each chunk takes the place of the one before."""
        for start in range(0, hidden.shape[0], self.rows):
            own = slice(start, start + self.rows)
            states = hidden[own]
            count = states.shape[0]
            yield _Chunk(
                own,
                head_product(states, weight, bias, out=self._product[:count]),
                None if self._slope is None else self._slope[:count],
                None if self._entropy_slope is None else self._entropy_slope[:count],
            )


def _over_chunks(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    ids: Tensor,
    chunking: Chunking,
    gradient: Tensor | None = None,
    entropy_gradient: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies [N]; fills `gradient` [N, H] with d logp / d hidden when it is given.

    And `entropy_gradient` [N, H] with d entropy / d hidden, when it is given.
    """
    logps = torch.empty(ids.shape, dtype=torch.float32, device=hidden.device)
    entropy = torch.empty_like(logps)
    wants, wants_entropy = gradient is not None, entropy_gradient is not None
    tile = _Tile(weight, ids.shape[0], chunking.chunk_size, slope=wants, entropy_slope=wants_entropy)
    for own, product, slope, of_entropy in tile.chunks(hidden, weight, bias):
        tile_logps(product, ids[own], chunking.shape, logps[own], entropy[own], slope=slope, entropy_slope=of_entropy)
        if gradient is not None and slope is not None:
            _towards_hidden(slope, weight, gradient[own])
        if entropy_gradient is not None and of_entropy is not None:
            _towards_hidden(of_entropy, weight, entropy_gradient[own])
    return logps, entropy


class _FrozenHead(torch.autograd.Function):
    """Log-probabilities whose gradient towards the hidden states is ready when the forward pass ends."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, ids: Tensor, chunking: Chunking
    ) -> tuple[Tensor, Tensor]:
        gradient = torch.empty_like(hidden, memory_format=torch.contiguous_format)
        of_entropy = torch.empty_like(gradient) if chunking.entropy_gradient else None
        logps, entropy = _over_chunks(hidden, weight, bias, ids, chunking, gradient, of_entropy)
        ctx.save_for_backward(gradient, of_entropy)
        if not chunking.entropy_gradient:
            ctx.mark_non_differentiable(entropy)
        return logps, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_logps: Tensor, of_entropy: Tensor) -> tuple[Tensor | None, ...]:
        gradient, entropy_gradient = ctx.saved_tensors
        # Multiplied in float32 and rounded once, without a float32 [N, H] in between.
        scaled = torch.mul(gradient, of_logps[:, None], out=torch.empty_like(gradient))
        if entropy_gradient is not None:
            scaled.add_(torch.mul(entropy_gradient, of_entropy[:, None], out=torch.empty_like(scaled)))
        return scaled, None, None, None, None


class _TrainableHead(torch.autograd.Function):
    """Log-probabilities whose backward pass makes the chunks again, for the head's gradient as well."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, ids: Tensor, chunking: Chunking
    ) -> tuple[Tensor, Tensor]:
        logps, entropy = _over_chunks(hidden, weight, bias, ids, chunking)
        ctx.save_for_backward(hidden, weight, bias, ids)
        ctx.chunking = chunking
        if not chunking.entropy_gradient:
            ctx.mark_non_differentiable(entropy)
        return logps, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_logps: Tensor, of_entropy: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, ids = cast("tuple[Tensor, Tensor, Tensor | None, Tensor]", ctx.saved_tensors)
        chunking: Chunking = ctx.chunking
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        of_hidden = torch.empty_like(hidden, memory_format=torch.contiguous_format) if wants_hidden else None
        # Summed in fp32: every chunk adds to the same numbers.
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        of_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and wants_bias else None
        tile = _Tile(weight, ids.shape[0], chunking.chunk_size, slope=True, entropy_slope=chunking.entropy_gradient)
        unread = torch.empty((2, tile.rows), dtype=torch.float32, device=weight.device)
        for own, product, slope, beside in tile.chunks(hidden, weight, bias):
            assert slope is not None
            tile_logps(
                product, ids[own], chunking.shape, *unread[:, : product.shape[0]], slope=slope, scale=of_logps[own],
                entropy_slope=beside, entropy_scale=None if beside is None else of_entropy[own],
            )  # fmt: skip
            if beside is not None:
                slope.add_(beside)
            if of_bias is not None:
                of_bias.add_(slope.sum(dim=0, dtype=torch.float32))
            if of_hidden is not None:
                _towards_hidden(slope, weight, of_hidden[own])
            if of_weight is not None:
                _add_towards_weight(slope, hidden[own].to(weight.dtype), of_weight)
        return (
            of_hidden,
            None if of_weight is None else of_weight.to(weight.dtype),
            None if of_bias is None or bias is None else of_bias.to(bias.dtype),
            None,
            None,
        )


def _towards_hidden(slope: Tensor, weight: Tensor, out: Tensor) -> None:
    """Fills `out` [n, H] with slope @ weight, rounded once to the type of `out` where a product can."""
    if out.dtype is weight.dtype:
        torch.mm(slope, weight, out=out)
    elif out.dtype is product_type(weight):
        torch.mm(slope, weight, out_dtype=out.dtype, out=out)
    else:
        out.copy_(slope @ weight)


def _add_towards_weight(slope: Tensor, hidden: Tensor, total: Tensor) -> None:
    """Adds slope.T @ hidden to float32 `total` [V, H], on a GPU without rounding the product first."""
    if slope.dtype is torch.float32:
        total.addmm_(slope.t(), hidden)
    elif product_type(slope) is torch.float32:
        torch.addmm(total, slope.t(), hidden, out_dtype=torch.float32, out=total)
    else:
        total.add_(slope.t() @ hidden)
