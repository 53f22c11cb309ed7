"""Packed attention by variable-length calls: two whose results are merged, or one where layers see a window.

Without a window, results are merged through their log-sum-exps:

    own     causal, over each prompt and each completion alone       o_a, l_a
    across  a group's completions against its prompt, all of it      o_b, l_b

    l = log(exp l_a + exp l_b)        o = exp(l_a - l) o_a + exp(l_b - l) o_b

Backward, each call is given the merged o and l in place of its own. Its probabilities exp(s - l) and its row sums
D = do . o are then those of the whole softmax, and dq, dk and dv of the two calls add up to the exact gradient.

Source: partial results as in FlashAttention-2 (arXiv 2307.08691, sections 2.3 and 3.1); gradients of blocks from the
whole's log-sum-exp as in Ring Attention (arXiv 2310.01889).

With a window of w tokens, a completion's keys are the last w - 1 tokens of its prompt, gathered for each completion,
and its own; queries and keys of a run end together, so that one causal call with a window is all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lydite.kernels.merge import add_rows, merge_into
from lydite.policy.layout import Layout, Places, Windowed
from lydite.policy.varlen import FLASH, Attended, Sight, VarlenCalls


def two_calls(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float, calls: VarlenCalls = FLASH
) -> Tensor:
    """The attention [S, Hq, D] of packed q [S, Hq, D], k and v [S, Hk, D], Hk a divisor of Hq."""
    places = layout.places(query.device)
    found: Tensor = _TwoCalls.apply(query, key, value, places, scale, calls)  # type: ignore[no-untyped-call]
    return found


def one_call(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, scale: float, window: int, calls: VarlenCalls = FLASH
) -> Tensor:
    """As `two_calls`, where a token sees only what is less than `window` positions behind."""
    placed = layout.windowed(window, query.device)
    found: Tensor = _OneCall.apply(query, key, value, placed, scale, window, calls)  # type: ignore[no-untyped-call]
    return found


class _TwoCalls(torch.autograd.Function):
    """Keeps q, k, v, the merged output and the merged log-sum-exp; what is gathered is gathered again."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, places: Places, scale: float, calls: VarlenCalls
    ) -> Tensor:
        output, lse, own_state = calls.forward(query, key, value, Sight(places.own, scale, causal=True))
        expected = (query.shape[1], query.shape[0])
        if tuple(lse.shape) != expected:
            raise RuntimeError(f"a log-sum-exp of shape {expected} was expected of this torch, got {tuple(lse.shape)}")
        across_state: tuple[Tensor, ...] = ()
        if places.across is not None:
            sight = Sight(places.across, scale, causal=False)
            second, second_lse, across_state = calls.forward(*_gathered(query, key, value, places), sight)
            merge_into(output, lse, second, second_lse, places.completions)
        ctx.save_for_backward(query, key, value, output, lse)
        ctx.places, ctx.scale, ctx.calls = places, scale, calls
        ctx.states = own_state, across_state  # of no use to anyone else, and without gradient
        return output

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator,unused-ignore]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, lse = ctx.saved_tensors
        places, calls, gradient = ctx.places, ctx.calls, gradient.contiguous()
        own_state, across_state = ctx.states
        whole = Attended(output, lse, own_state)
        dq, dk, dv = calls.backward(gradient, query, key, value, whole, Sight(places.own, ctx.scale, causal=True))
        if places.across is not None:
            late = places.completions
            part = Attended(output.index_select(0, late), lse.index_select(1, late), across_state)
            more_q, more_k, more_v = calls.backward(
                gradient.index_select(0, late),
                *_gathered(query, key, value, places),
                part,
                Sight(places.across, ctx.scale, causal=False),
            )
            add_rows(dq, late, more_q)
            add_rows(dk, places.prompts, more_k)
            add_rows(dv, places.prompts, more_v)
        return dq, dk, dv, None, None, None


def _gathered(query: Tensor, key: Tensor, value: Tensor, places: Places) -> tuple[Tensor, Tensor, Tensor]:
    """Queries of the completions' tokens, keys and values of the prompts'."""
    return (
        query.index_select(0, places.completions),
        key.index_select(0, places.prompts),
        value.index_select(0, places.prompts),
    )


class _OneCall(torch.autograd.Function):
    """Keeps q, k, v as they are, the output and the log-sum-exp; what is gathered is gathered again."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        placed: Windowed,
        scale: float,
        window: int,
        calls: VarlenCalls,
    ) -> Tensor:
        sight = Sight(placed.segments, scale, causal=True, window=window)
        seen = key.index_select(0, placed.keys), value.index_select(0, placed.keys)
        output, lse, state = calls.forward(query, *seen, sight)
        ctx.save_for_backward(query, key, value, output, lse)
        ctx.keys, ctx.sight, ctx.calls, ctx.state = placed.keys, sight, calls, state
        return output

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator,unused-ignore]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, lse = ctx.saved_tensors
        keys = ctx.keys
        seen = key.index_select(0, keys), value.index_select(0, keys)
        dq, dk, dv = ctx.calls.backward(
            gradient.contiguous(), query, *seen, Attended(output, lse, ctx.state), ctx.sight
        )
        return dq, _scattered(dk, keys, key), _scattered(dv, keys, value), None, None, None, None


def _scattered(gradient: Tensor, keys: Tensor, like: Tensor) -> Tensor:
    """The gradient of what was gathered, in fp32: as many parts as completions add up in a prompt's keys."""
    wide = torch.promote_types(like.dtype, torch.float32)
    total = torch.zeros(like.shape, dtype=wide, device=like.device)
    return total.index_add_(0, keys, gradient.to(wide)).to(like.dtype)
