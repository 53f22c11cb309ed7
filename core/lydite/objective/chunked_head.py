"""The head over chunks of tokens, and its gradients: the logits of one chunk are the largest tensor there is."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lydite.kernels.logps import LogitShape, tile_logps, tile_rows
from lydite.policy.head import head_product, product_type


class _Tile:
    """The memory of one chunk's products and of their slope, used again for every chunk."""

    def __init__(
        self, weight: Tensor, tokens: int, chunk_size: int, *, slope: bool, entropy_slope: bool = False
    ) -> None:
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

    def product(self, count: int) -> Tensor:
        return self._product[:count]

    def slope(self, count: int) -> Tensor:
        assert self._slope is not None
        return self._slope[:count]

    def entropy_slope(self, count: int) -> Tensor:
        assert self._entropy_slope is not None
        return self._entropy_slope[:count]


def over_chunks(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    ids: Tensor,
    shape: LogitShape,
    chunk_size: int,
    gradient: Tensor | None = None,
    entropy_gradient: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies [N]; fills `gradient` [N, H] with d logp / d hidden when it is given.

    And `entropy_gradient` [N, H] with d entropy / d hidden, when it is given.
    """
    logps = torch.empty(ids.shape, dtype=torch.float32, device=hidden.device)
    entropy = torch.empty_like(logps)
    tile = _Tile(
        weight, ids.shape[0], chunk_size, slope=gradient is not None, entropy_slope=entropy_gradient is not None
    )
    for start in range(0, ids.shape[0], tile.rows):
        own = slice(start, start + tile.rows)
        count = ids[own].shape[0]
        product = head_product(hidden[own], weight, bias, out=tile.product(count))
        slope = None if gradient is None else tile.slope(count)
        of_entropy = None if entropy_gradient is None else tile.entropy_slope(count)
        tile_logps(product, ids[own], shape, logps[own], entropy[own], slope=slope, entropy_slope=of_entropy)
        if gradient is not None and slope is not None:
            _towards_hidden(slope, weight, gradient[own])
        if entropy_gradient is not None and of_entropy is not None:
            _towards_hidden(of_entropy, weight, entropy_gradient[own])
    return logps, entropy


def frozen_head_logps(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    ids: Tensor,
    shape: LogitShape,
    chunk_size: int,
    entropy_gradient: bool = False,
) -> tuple[Tensor, Tensor]:
    """The same, and log-probabilities carry a gradient towards the hidden states alone; entropies if asked for."""
    logps, entropy = _FrozenHead.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, ids, shape, chunk_size, entropy_gradient
    )
    return logps, entropy


def trainable_head_logps(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    ids: Tensor,
    shape: LogitShape,
    chunk_size: int,
    entropy_gradient: bool = False,
) -> tuple[Tensor, Tensor]:
    """The same, and the gradient is towards hidden states, weight and bias."""
    logps, entropy = _TrainableHead.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, ids, shape, chunk_size, entropy_gradient
    )
    return logps, entropy


class _FrozenHead(torch.autograd.Function):
    """Log-probabilities whose gradient towards the hidden states is ready when the forward pass ends."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        ids: Tensor,
        shape: LogitShape,
        chunk_size: int,
        entropy_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        gradient = torch.empty_like(hidden, memory_format=torch.contiguous_format)
        of_entropy = torch.empty_like(gradient) if entropy_gradient else None
        logps, entropy = over_chunks(hidden, weight, bias, ids, shape, chunk_size, gradient, of_entropy)
        ctx.save_for_backward(gradient, of_entropy)
        if not entropy_gradient:
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
        return scaled, None, None, None, None, None, None


class _TrainableHead(torch.autograd.Function):
    """Log-probabilities whose backward pass makes the tiles again, for the head's gradient as well."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        ids: Tensor,
        shape: LogitShape,
        chunk_size: int,
        entropy_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        logps, entropy = over_chunks(hidden, weight, bias, ids, shape, chunk_size)
        ctx.save_for_backward(hidden, weight, bias, ids)
        ctx.shape, ctx.chunk_size, ctx.entropy_gradient = shape, chunk_size, entropy_gradient
        if not entropy_gradient:
            ctx.mark_non_differentiable(entropy)
        return logps, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_logps: Tensor, of_entropy: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, ids = cast("tuple[Tensor, Tensor, Tensor | None, Tensor]", ctx.saved_tensors)
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        of_hidden = torch.empty_like(hidden, memory_format=torch.contiguous_format) if wants_hidden else None
        # Summed in fp32: every chunk adds to the same numbers.
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        of_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and wants_bias else None
        tile = _Tile(weight, ids.shape[0], ctx.chunk_size, slope=True, entropy_slope=ctx.entropy_gradient)
        unread = torch.empty((2, tile.rows), dtype=torch.float32, device=weight.device)
        for start in range(0, ids.shape[0], tile.rows):
            own = slice(start, start + tile.rows)
            count = ids[own].shape[0]
            product, slope = head_product(hidden[own], weight, bias, out=tile.product(count)), tile.slope(count)
            logps, entropy = unread[:, :count]
            beside = tile.entropy_slope(count) if ctx.entropy_gradient else None
            tile_logps(
                product,
                ids[own],
                ctx.shape,
                logps,
                entropy,
                slope=slope,
                scale=of_logps[own],
                entropy_slope=beside,
                entropy_scale=None if beside is None else of_entropy[own],
            )
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
