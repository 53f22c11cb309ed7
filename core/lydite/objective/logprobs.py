"""Log-probabilities and entropies of tokens from hidden states, without the logits as a whole.

The head runs over chunks of tokens, so that a tile [chunk, V] is the largest tensor there is. Matrix
products stay in the head's own type on a CPU (bf16 is five times as fast there as fp32, and it is what
the sampler does) and are summed into fp32 on a GPU; everything after them is fp32. Policy, old policy
and reference take this one road, so the ratio of equal policies is exactly 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from lydite.policy.head import head_product

if TYPE_CHECKING:
    from lydite.objective.batch import Batch
    from lydite.policy.head import Head


class TokenLogps(NamedTuple):
    """Log-probability and entropy, in nats, for each token asked about; both fp32 and of one shape."""

    logps: Tensor
    entropy: Tensor
    """Carries no gradient: it is a figure to watch."""


def token_logps(hidden: Tensor, head: Head, token_ids: Tensor, *, temperature: float, chunk_size: int) -> TokenLogps:
    """Log-probability of each token [N] given the hidden state [N, H] before it, and that distribution's entropy.

    With a frozen head the gradient towards the hidden states is made while the tile of logits is there,
    which saves computing it again: d logp / d hidden is kept as [N, H]. With a trainable head the tiles
    are computed again in the backward pass, where the head's own gradient is formed.

    Raises:
        ValueError: on shapes that do not fit together, a temperature that is not positive, or a chunk of
            less than one token.

    Source: p(v) = softmax(z / temperature); d logp_t / d z_v = ([v = t] - p_v) / temperature. Forming it in
    the forward pass follows Liger Kernel's FusedLinearCrossEntropy (arXiv 2410.10989).
    """
    if hidden.dim() != 2 or token_ids.shape != hidden.shape[:1] or hidden.shape[1] != head.weight.shape[1]:
        raise ValueError(
            f"token_logps takes hidden states [N, H], a head [V, H] and token ids [N]; got {tuple(hidden.shape)}, "
            f"{tuple(head.weight.shape)} and {tuple(token_ids.shape)}"
        )
    if temperature <= 0:
        raise ValueError(f"the temperature of log-probabilities is a positive number, got {temperature}")
    if chunk_size < 1:
        raise ValueError(f"chunk_size is a number of tokens of at least 1, got {chunk_size}")
    shape = _Shape(head.logit_scale, head.softcap, temperature, chunk_size)
    if torch.is_grad_enabled() and head.trainable:
        logps, entropy = _TrainableHead.apply(  # type: ignore[no-untyped-call]
            hidden, head.weight, head.bias, token_ids, shape
        )
    elif torch.is_grad_enabled() and hidden.requires_grad:
        logps, entropy = _FrozenHead.apply(  # type: ignore[no-untyped-call]
            hidden, head.weight, head.bias, token_ids, shape
        )
    else:
        logps, entropy = _over_chunks(hidden, head.weight, head.bias, token_ids, shape)
    return TokenLogps(logps, entropy)


def completion_logps(hidden: Tensor, batch: Batch, head: Head, *, temperature: float, chunk_size: int) -> TokenLogps:
    """The same for a batch's completions, [B, T], from the policy's hidden states [B, L, H]; 0 where masked.

    Only the positions that `completion_mask` keeps go through the head.

    Raises:
        ValueError: when the hidden states are not those of the batch.
    """
    if hidden.shape[:2] != batch.input_ids.shape:
        raise ValueError(
            f"hidden states [B, L, H] of a batch [B, L] = {tuple(batch.input_ids.shape)} were expected, "
            f"got {tuple(hidden.shape)}"
        )
    mask = batch.completion_mask
    row, column = mask.nonzero(as_tuple=True)
    width = hidden.shape[1]
    before = width - mask.shape[1] - 1 + column  # the state one column earlier predicts the token
    states = hidden.reshape(-1, hidden.shape[2]).index_select(0, row * width + before)
    return scattered_logps(states, batch, head, temperature=temperature, chunk_size=chunk_size)


def scattered_logps(states: Tensor, batch: Batch, head: Head, *, temperature: float, chunk_size: int) -> TokenLogps:
    """Log-probabilities and entropies [B, T], 0 where masked, from the states that predict the kept tokens.

    `states` [N, H] are in the row-major order of `completion_mask`, which keeps N tokens.
    """
    mask = batch.completion_mask
    logps, entropy = token_logps(
        states, head, batch.completion_ids[mask], temperature=temperature, chunk_size=chunk_size
    )
    blank = torch.zeros(mask.shape, dtype=torch.float32, device=states.device)
    return TokenLogps(blank.masked_scatter(mask, logps), blank.masked_scatter(mask, entropy))


@dataclass(frozen=True, slots=True)
class _Shape:
    """What happens to the head's product before the softmax, and how many tokens at a time."""

    logit_scale: float
    softcap: float | None
    temperature: float
    chunk_size: int


class _Tile(NamedTuple):
    logps: Tensor
    """[n]"""
    entropy: Tensor
    """[n]"""
    slope: Tensor | None
    """[n, V] d logp / d (weight @ h + bias), where it was asked for."""


def _tile(hidden: Tensor, weight: Tensor, bias: Tensor | None, ids: Tensor, shape: _Shape, *, slope: bool) -> _Tile:
    """One chunk, in two fp32 tiles of [n, V] (three with a softcap and a slope)."""
    product = head_product(hidden, weight, bias)
    # A product that is fp32 already is this function's own, and is overwritten; float() would not copy it.
    z = product if product.dtype == torch.float32 else product.float()
    del product
    if shape.logit_scale != 1.0:
        z.mul_(shape.logit_scale)
    bend: Tensor | None = None
    if shape.softcap is not None:
        z.div_(shape.softcap).tanh_()
        bend = (z * z).neg_().add_(1.0) if slope else None
        z.mul_(shape.softcap)
    if shape.temperature != 1.0:
        z.div_(shape.temperature)
    z.sub_(z.amax(dim=1, keepdim=True))
    target = ids[:, None]
    z_target = z.gather(1, target)
    e = z.exp()
    entropy_sum = z.mul_(e).sum(dim=1)
    del z
    total = e.sum(dim=1)
    entropy = total.log() - entropy_sum / total
    # Others apart from the target: log p and 1 - p keep their digits where the model is nearly certain,
    # which is where a difference from log(1) would round them away.
    e.scatter_(1, target, 0.0)
    logps = -F.softplus(e.sum(dim=1).log() - z_target.squeeze(1))
    if not slope:
        return _Tile(logps, entropy, None)
    e.div_(total[:, None]).neg_()
    e.scatter_(1, target, -torch.expm1(logps)[:, None])
    if bend is not None:
        e.mul_(bend)
    factor = shape.logit_scale / shape.temperature
    return _Tile(logps, entropy, e.mul_(factor) if factor != 1.0 else e)


def _over_chunks(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, ids: Tensor, shape: _Shape, gradient: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies [N]; fills `gradient` [N, H] with d logp / d hidden when it is given."""
    logps = torch.empty(ids.shape, dtype=torch.float32, device=hidden.device)
    entropy = torch.empty_like(logps)
    for start in range(0, ids.shape[0], shape.chunk_size):
        own = slice(start, start + shape.chunk_size)
        tile = _tile(hidden[own], weight, bias, ids[own], shape, slope=gradient is not None)
        logps[own], entropy[own] = tile.logps, tile.entropy
        if gradient is not None:
            assert tile.slope is not None
            gradient[own] = tile.slope.to(weight.dtype) @ weight
        del tile  # or this chunk's slope would be there beside the next one's two tiles
    return logps, entropy


class _FrozenHead(torch.autograd.Function):
    """Log-probabilities whose gradient towards the hidden states is ready when the forward pass ends."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, ids: Tensor, shape: _Shape
    ) -> tuple[Tensor, Tensor]:
        gradient = torch.empty_like(hidden)
        logps, entropy = _over_chunks(hidden, weight, bias, ids, shape, gradient)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(entropy)
        return logps, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_logps: Tensor, of_entropy: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (of_logps[:, None] * gradient).to(gradient.dtype), None, None, None, None


class _TrainableHead(torch.autograd.Function):
    """Log-probabilities whose backward pass makes the tiles again, for the head's gradient as well."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, ids: Tensor, shape: _Shape
    ) -> tuple[Tensor, Tensor]:
        logps, entropy = _over_chunks(hidden, weight, bias, ids, shape)
        ctx.save_for_backward(hidden, weight, bias, ids)
        ctx.shape = shape
        ctx.mark_non_differentiable(entropy)
        return logps, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_logps: Tensor, of_entropy: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, ids = cast("tuple[Tensor, Tensor, Tensor | None, Tensor]", ctx.saved_tensors)
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        of_hidden = torch.empty_like(hidden) if wants_hidden else None
        # Summed in fp32: every chunk adds to the same numbers.
        of_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        of_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and wants_bias else None
        for start in range(0, ids.shape[0], ctx.shape.chunk_size):
            own = slice(start, start + ctx.shape.chunk_size)
            slope = _tile(hidden[own], weight, bias, ids[own], ctx.shape, slope=True).slope
            assert slope is not None
            slope.mul_(of_logps[own, None])
            if of_bias is not None:
                of_bias.add_(slope.sum(dim=0))
            small = slope.to(weight.dtype)
            del slope
            if of_hidden is not None:
                of_hidden[own] = small @ weight
            if of_weight is not None:
                of_weight.add_(small.T @ hidden[own].to(weight.dtype))
        return (
            of_hidden,
            None if of_weight is None else of_weight.to(weight.dtype),
            None if of_bias is None or bias is None else of_bias.to(bias.dtype),
            None,
            None,
        )
