"""Shaping by length: pure functions of a completion's tokens, all clamped at the ends.

Periodic or open-ended shapes can be gamed (an unclamped cosine pays full again at twice the limit), so beyond
`max_length` every shape keeps the value it has there.
"""

from __future__ import annotations

import math


def soft_overlong(tokens: int, *, max_length: int, cache: int) -> float:
    """0 up to `max_length - cache` tokens, then falling in a straight line to -1 at `max_length`.

    With `cache` 0 it is a step: 0 up to `max_length`, -1 beyond.

    Source: DAPO (arXiv 2503.14476), equation 13.
    """
    allowed = max_length - cache
    if tokens <= allowed:
        return 0.0
    if tokens >= max_length:
        return -1.0
    return (allowed - tokens) / cache


def cosine(tokens: int, *, max_length: int) -> float:
    """1 at no tokens, falling along half a cosine to 0 at `max_length`; 0 from there on.

    Source: Demystifying Long Chain-of-Thought Reasoning (arXiv 2502.03373), equation 1, with ends 1 and 0.
    """
    progress = min(tokens, max_length) / max_length
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def target(tokens: int, *, max_length: int, target: int) -> float:
    """1 at `target` tokens, falling in straight lines to 0 at no tokens and at `max_length`; 0 from there on.

    A target at the limit itself is met by everything that reaches the limit.
    """
    length = min(tokens, max_length)
    return length / target if length <= target else (max_length - length) / (max_length - target)
