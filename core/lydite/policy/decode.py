"""Batch decoding with the model's own forward: each prompt is read once, and a finished row costs nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from lydite.policy.kvcache import expand_cache, is_reserved, keep_rows, make_cache, on_device
from lydite.policy.past import Past, lay_out
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
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    copies: int,
    max_tokens: int,
    draw: Draw,
    uniform: Tensor,
    past: Past | None = None,
) -> list[Decoded]:
    """`copies` completions of each prompt, prompt by prompt; P prompts make N = P * copies rows.

    `uniform` [N, max_tokens] in float64 holds the number that each row draws each token with (on the CPU).
    With `past`, of the same weights, what it has of the prompts is not read again, and it gets what is computed
    here; an architecture whose past is more than keys and values reads everything. The policy must be in evaluation
    mode.
    """
    device = policy.device
    tokens, mask = _left_padded(prompts, policy.pad_token_id, device)
    width = tokens.shape[1]
    cache = make_cache(policy.config, width if copies > 1 else width + max_tokens - 1)
    shared = is_reserved(cache)
    past = past if shared else None
    unread = width if past is None else lay_out(cache, prompts, past)
    if not shared:  # each completion reads its prompt, and all rows stay to the end
        tokens, mask, copies = tokens.repeat_interleave(copies, dim=0), mask.repeat_interleave(copies, dim=0), 1
    padded = not bool(mask.all())
    positions = (mask.cumsum(dim=1) - 1).clamp_(min=0)
    hidden = policy.trunk_step(tokens[:, -unread:], mask if padded else None, positions[:, -unread:], cache)[:, -1]
    logits = policy.logits(hidden).repeat_interleave(copies, dim=0)
    if shared:
        expand_cache(cache, copies, width + max_tokens - 1)
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
            if past is not None:
                _keep(past, cache, prompts, width, rows, ~running, chosen, lengths)
            left = on_device(running.nonzero()[:, 0].tolist(), device)
            keep_rows(cache, left)
            token, position = token[left], position[left]
            seen = seen[left] if seen is not None else None
            rows, running = rows[running], running[running]
        known = seen[:, : width + step + 1] if seen is not None else None
        hidden = policy.trunk_step(token[:, None], known, position, cache)[:, -1]
        logits = policy.logits(hidden)
        position = position + 1
    if past is not None:
        _keep(past, cache, prompts, width, rows, torch.ones_like(running), chosen, lengths)
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


def _keep(
    past: Past,
    cache: Any,
    prompts: Sequence[Sequence[int]],
    width: int,
    rows: Tensor,
    done: Tensor,
    chosen: Tensor,
    lengths: Tensor,
) -> None:
    """Gives the past the rows of the batch that are done, all but their last tokens, which were not read."""
    copies = len(chosen) // len(prompts)
    sequences = []
    for completion in rows[done].tolist():
        prompt = prompts[completion // copies]
        said = chosen[completion, : int(lengths[completion]) - 1].tolist()
        sequences.append((width - len(prompt), (*prompt, *said)))
    past.put(cache, done.nonzero()[:, 0].tolist(), sequences)


def _collect(chosen: Tensor, logps: Tensor, lengths: Tensor, stopped: Tensor) -> list[Decoded]:
    tokens, probabilities = chosen.tolist(), logps.tolist()
    return [
        Decoded(tuple(tokens[row][:length]), tuple(probabilities[row][:length]), bool(stopped[row]))
        for row, length in enumerate(lengths.tolist())
    ]
