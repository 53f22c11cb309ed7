"""Batch decoding with the model's own forward: each prompt is read once, and a finished row costs nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from lydite.policy.kvcache import expand_cache, is_reserved, keep_rows, make_cache, on_device
from lydite.policy.sampler import Draw, draw_tokens

if TYPE_CHECKING:
    from lydite.policy.policy import Policy

# Finished rows are dropped once they are this share of the batch: less often, and they cost more than the copy
# of the cache that dropping them takes.
_DROP_AT: Final = 0.125


@dataclass(frozen=True, slots=True)
class Decoded:
    """One completion's tokens, the end token included, and their log-probabilities."""

    token_ids: tuple[int, ...]
    logps: tuple[float, ...]
    stopped: bool
    """True when the last token is one that ends a turn; False when the limit came first."""


@torch.no_grad()
def decode(
    policy: Policy, prompts: Sequence[Sequence[int]], copies: int, max_tokens: int, draw: Draw, uniform: Tensor
) -> list[Decoded]:
    """`copies` completions of each prompt, prompt by prompt; P prompts make N = P * copies rows.

    `uniform` [N, max_tokens] in float64 holds the number that each row draws each token with (on the CPU).
    The policy must be in evaluation mode.
    """
    device = policy.device
    tokens, mask = _left_padded(prompts, policy.pad_token_id, device)
    cache = make_cache(policy.config, tokens.shape[1])
    shared = is_reserved(cache)
    if not shared:  # each completion reads its prompt, and all rows stay to the end
        tokens, mask, copies = tokens.repeat_interleave(copies, dim=0), mask.repeat_interleave(copies, dim=0), 1
    padded = not bool(mask.all())
    positions = (mask.cumsum(dim=1) - 1).clamp_(min=0)
    hidden = policy.trunk_step(tokens, mask if padded else None, positions, cache)[:, -1]
    logits = policy.logits(hidden).repeat_interleave(copies, dim=0)
    if shared:
        expand_cache(cache, copies, tokens.shape[1] + max_tokens - 1)
    position = (positions[:, -1:] + 1).repeat_interleave(copies, dim=0)
    # One mask for the whole run: what is yet to come is seen, what pads the prompt is not.
    total = uniform.shape[0]
    seen: Tensor | None = None
    if padded:
        seen = torch.cat((mask.repeat_interleave(copies, dim=0), mask.new_ones((total, max_tokens))), dim=1)

    uniform = uniform.to(device)
    stops = torch.tensor(policy.stop_token_ids, device=device)
    chosen = torch.zeros((total, max_tokens), dtype=torch.long, device=device)
    logps = torch.zeros((total, max_tokens), device=device)
    lengths = torch.full((total,), max_tokens, dtype=torch.long)
    stopped = torch.zeros(total, dtype=torch.bool)
    rows = torch.arange(total)  # the completion that each row of the batch is
    running = torch.ones(total, dtype=torch.bool)  # by row of the batch
    for step in range(max_tokens):
        token, logp = draw_tokens(logits, uniform[rows.to(device), step], draw)
        where = rows.to(device)
        chosen[where, step], logps[where, step] = token, logp
        ended = torch.isin(token, stops).cpu() & running
        lengths[rows[ended]] = step + 1
        stopped[rows[ended]] = True
        running &= ~ended
        if step + 1 == max_tokens or not bool(running.any()):
            break
        if shared and int((~running).sum()) >= _DROP_AT * len(running):
            left = on_device(running.nonzero()[:, 0].tolist(), device)
            keep_rows(cache, left)
            token, position = token[left], position[left]
            seen = seen[left] if seen is not None else None
            rows, running = rows[running], running[running]
        width = tokens.shape[1] + step + 1
        hidden = policy.trunk_step(token[:, None], seen[:, :width] if seen is not None else None, position, cache)[
            :, -1
        ]
        logits = policy.logits(hidden)
        position = position + 1
    return _collect(chosen, logps, lengths, stopped)


def _left_padded(prompts: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens and mask [P, longest]; prompts end together, so that their next tokens share a position in the cache."""
    longest = max(len(prompt) for prompt in prompts)
    tokens = torch.full((len(prompts), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt, dtype=torch.long)
        mask[row, longest - len(prompt) :] = 1
    return tokens.to(device), mask.to(device)


def _collect(chosen: Tensor, logps: Tensor, lengths: Tensor, stopped: Tensor) -> list[Decoded]:
    tokens, probabilities = chosen.tolist(), logps.tolist()
    return [
        Decoded(tuple(tokens[row][:length]), tuple(probabilities[row][:length]), bool(stopped[row]))
        for row, length in enumerate(lengths.tolist())
    ]
