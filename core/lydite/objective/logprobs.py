"""Log-probabilities and entropies of tokens from hidden states, without the logits as a whole.

The head runs over chunks of tokens, so that a tile [chunk, V] is the largest tensor there is; a chunk has
`chunk_size` tokens, or fewer where `lydite.kernels.logps.tile_rows` says so. Matrix products stay in the head's own
type on a CPU (bf16 is five times as fast there as fp32, and it is what the sampler does) and are summed into fp32 on a
GPU; everything after them is fp32. Policy, old policy and reference take this one road, so the ratio of equal policies
is exactly 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from lydite.kernels.logps import LogitShape
from lydite.objective.chunked_head import Chunking, chunked_logps

if TYPE_CHECKING:
    from lydite.objective.batch import Batch
    from lydite.policy.head import Head


class TokenLogps(NamedTuple):
    """Log-probability and entropy, in nats, for each token asked about; both fp32 and of one shape."""

    logps: Tensor
    entropy: Tensor
    """Carries a gradient where it was asked for; else it is a figure to watch."""


def token_logps(
    hidden: Tensor,
    head: Head,
    token_ids: Tensor,
    *,
    temperature: float,
    chunk_size: int,
    entropy_gradient: bool = False,
) -> TokenLogps:
    """Log-probability of each token [N] given the hidden state [N, H] before it, and that distribution's entropy.

    With a frozen head the gradient towards the hidden states is made while the tile of logits is there,
    which saves computing it again: d logp / d hidden is kept as [N, H]. With a trainable head the tiles
    are computed again in the backward pass, where the head's own gradient is formed. `entropy_gradient` gives the
    entropy a gradient as well, at the price of one more product with the head and another [N, H].

    Raises:
        ValueError: on shapes that do not fit together, a temperature that is not positive, or a chunk of
            less than one token.

    Source: p(v) = softmax(z / temperature); d logp_t / d z_v = ([v = t] - p_v) / temperature, and of the entropy h
    d h / d z_v = -p_v (log p_v + h) / temperature. Forming a gradient in the forward pass follows Liger Kernel's
    FusedLinearCrossEntropy (arXiv 2410.10989).
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
    shape = LogitShape(head.logit_scale, head.softcap, temperature)
    return TokenLogps(*chunked_logps(hidden, head, token_ids, Chunking(shape, chunk_size, entropy_gradient)))


def completion_logps(hidden: Tensor, batch: Batch, head: Head, *, temperature: float, chunk_size: int) -> TokenLogps:
    """The same for a batch's completions, [B, T], from the policy's hidden states [B, L, H]; 0 where masked.

    Only the positions that `completion_mask` keeps go through the head.

    Raises:
        ValueError: when the hidden states are not those of the batch.
    """
    states = predictors_of(hidden, batch)
    return scattered_logps(states, batch, head, temperature=temperature, chunk_size=chunk_size)


def predictors_of(hidden: Tensor, batch: Batch) -> Tensor:
    """The states [N, H] that predict the tokens that `completion_mask` keeps, in its row-major order.

    `hidden` [B, L, H] are the policy's hidden states of the batch.

    Raises:
        ValueError: when the hidden states are not those of the batch.
    """
    if hidden.shape[:2] != batch.input_ids.shape:
        raise ValueError(
            f"hidden states [B, L, H] of a batch [B, L] = {tuple(batch.input_ids.shape)} were expected, "
            f"got {tuple(hidden.shape)}"
        )
    width, longest, places = hidden.shape[1], batch.completion_mask.shape[1], batch.trained_places()
    row, column = places // longest, places % longest
    before = width - longest - 1 + column  # the state one column earlier predicts the token
    return hidden.reshape(-1, hidden.shape[2]).index_select(0, row * width + before)


def scattered_logps(
    states: Tensor,
    batch: Batch,
    head: Head,
    *,
    temperature: float,
    chunk_size: int,
    entropy_gradient: bool = False,
) -> TokenLogps:
    """Log-probabilities and entropies [B, T], 0 where masked, from the states that predict the kept tokens.

    `states` [N, H] are in the row-major order of `completion_mask`, which keeps N tokens.
    """
    places = batch.trained_places()
    logps, entropy = token_logps(
        states,
        head,
        batch.completion_ids.reshape(-1).index_select(0, places),
        temperature=temperature,
        chunk_size=chunk_size,
        entropy_gradient=entropy_gradient,
    )
    shape = batch.completion_mask.shape
    blank = torch.zeros(shape.numel(), dtype=torch.float32, device=states.device)
    return TokenLogps(*(blank.index_copy(0, places, found).view(shape) for found in (logps, entropy)))
