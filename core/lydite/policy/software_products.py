"""Whether a processor multiplies a 16-bit type in software, as many do: a run then takes far longer than in float32."""

from __future__ import annotations

import time
from functools import cache
from typing import Final

import torch

SLOW: Final = 2.0
"""Times as long as in float32: half the memory is worth less than that."""
_ROWS, _WIDTH, _TRIES = 64, 512, 5


@cache
def times_as_slow(dtype: torch.dtype) -> float:
    """How many times as long a product takes on the CPU as in float32; measured once, in a few milliseconds."""
    return _seconds(dtype) / _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    """Of the fastest of a few: another process may be in the way of some."""
    x, weight = torch.ones(_ROWS, _WIDTH, dtype=dtype), torch.ones(_WIDTH, _WIDTH, dtype=dtype)
    found = []
    for _ in range(_TRIES):
        begun = time.perf_counter()
        torch.nn.functional.linear(x, weight)
        found.append(time.perf_counter() - begun)
    return min(found)
