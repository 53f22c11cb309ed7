"""Whether a processor multiplies a 16-bit type in software, as many do: a run then takes far longer than in float32."""

from __future__ import annotations

import time
from functools import cache
from typing import Final

import torch

_SLOW: Final = 2.0  # times as long as in float32: half the memory is worth less than that
_ROWS, _WIDTH, _TRIES = 128, 512, 7


def slowness(dtype: torch.dtype) -> float | None:
    """How many times as long a product of this type takes on the CPU as in float32; None where it may be used."""
    slower = times_as_slow(dtype)
    return slower if slower > _SLOW else None


@cache
def times_as_slow(dtype: torch.dtype) -> float:
    """How many times as long a product takes on the CPU as in float32; measured once, in less than 100 ms."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other where other processes want the cores as well
    try:
        return _seconds(dtype) / _seconds(torch.float32)
    finally:
        torch.set_num_threads(threads)


def _seconds(dtype: torch.dtype) -> float:
    """Of this thread's own time, that of the fastest of a few."""
    x, weight = torch.ones(_ROWS, _WIDTH, dtype=dtype), torch.ones(_WIDTH, _WIDTH, dtype=dtype)
    found = []
    for _ in range(_TRIES):
        begun = time.thread_time()
        torch.nn.functional.linear(x, weight)
        found.append(time.thread_time() - begun)
    return min(found)
