"""Variable-length attention as torch has it built in: many runs of queries and keys in one call, and its gradient.

Source: FlashAttention-2 (arXiv 2307.08691), as in torch.ops.aten, which is what torch.nn.attention.varlen calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor

from lydite.policy.layout import Segments

WIDEST_HEAD: Final = 256  # numbers of a head: what FlashAttention-2 is built for
_OLDEST: Final = (8, 0)  # compute capability
# Wider heads than this need, in the backward pass, the shared memory that these capabilities have.
_WIDE_HEAD: Final = 192
_LARGE_SHARED_MEMORY: Final = frozenset({(8, 0), (9, 0), (10, 0)})


@dataclass(frozen=True, slots=True)
class Sight:
    """What the queries of a call see, run by run, and the factor on their scores."""

    segments: Segments
    scale: float
    causal: bool
    """Whether a query sees only keys up to its own; the ends of a run of queries and its run of keys are lined up."""
    window: int | None = None
    """With `causal`: of the keys up to its own, a query sees only the last so many."""


class Attended(NamedTuple):
    """What a call gives, and wants back for its gradient."""

    output: Tensor
    """[T, Hq, D]"""
    lse: Tensor
    """The log-sum-exp of each row's scores, [Hq, T] fp32."""
    state: tuple[Tensor, ...]
    """What else the gradient takes."""


class VarlenCalls(Protocol):
    """A variable-length attention over q [T, Hq, D], k and v [K, Hk, D] and its gradient, in two calls."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, sight: Sight) -> Attended:
        """The output of each query, with what `backward` takes."""
        ...

    def backward(
        self, gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, attended: Attended, sight: Sight
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of q, k and v, for the softmax whose output and log-sum-exp are given."""
        ...


@dataclass(frozen=True, slots=True)
class FlashCalls:
    """torch's own FlashAttention-2."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, sight: Sight) -> Attended:
        """As `VarlenCalls.forward`."""
        output, lse, random_state, unused, _ = torch.ops.aten._flash_attention_forward(
            query, key, value, *_bounds(sight.segments), 0.0, sight.causal, False,
            scale=sight.scale, **_reach(sight.window),
        )  # fmt: skip
        return Attended(output, lse, (random_state, unused))

    def backward(
        self, gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, attended: Attended, sight: Sight
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `VarlenCalls.backward`."""
        dq, dk, dv = torch.ops.aten._flash_attention_backward(
            gradient, query, key, value, attended.output, attended.lse, *_bounds(sight.segments), 0.0, sight.causal,
            *attended.state, scale=sight.scale, **_reach(sight.window),
        )  # fmt: skip
        return dq, dk, dv


def _reach(window: int | None) -> dict[str, int]:
    return {} if window is None else {"window_size_left": window - 1, "window_size_right": 0}


def _bounds(segments: Segments) -> tuple[Tensor, Tensor, int, int]:
    # At a longest run of 1 the kernel swaps heads and rows, as for decoding, and the log-sum-exp has another order.
    return segments.bounds_q, segments.bounds_k, max(2, segments.longest_q), max(2, segments.longest_k)


FLASH: Final[VarlenCalls] = FlashCalls()


def flash_takes(query: Tensor, value: Tensor) -> bool:
    """True where torch's FlashAttention-2 can compute with tensors like these, forward and backward."""
    width = query.shape[-1]
    if not query.is_cuda or query.dtype not in (torch.bfloat16, torch.float16) or value.shape[-1] != width:
        return False
    if width > WIDEST_HEAD or width % 8 or not torch.backends.cuda.is_flash_attention_available():
        return False
    capability = torch.cuda.get_device_capability(query.device)
    return capability >= _OLDEST and (width <= _WIDE_HEAD or capability in _LARGE_SHARED_MEMORY)
