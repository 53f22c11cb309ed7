"""How long the parts of a step take, and how much memory the process holds. Figures for people, never for resume."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch


class Stopwatch:
    """Seconds spent in named parts of one step, with the device's queue waited for."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start = self._now()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the time inside to `time/{name}`."""
        start = self._now()
        try:
            yield
        finally:
            self.seconds[f"time/{name}"] = self.seconds.get(f"time/{name}", 0.0) + self._now() - start

    @property
    def total(self) -> float:
        """Seconds since the stopwatch was made."""
        return self._now() - self._start

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def memory(device: torch.device) -> dict[str, float]:
    """Bytes held now and at most so far: of the GPU where there is one, else of this process."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return {
            "memory/rss_bytes": float(psutil.Process().memory_info().rss),
            "memory/device_bytes": float(total - free),
            "memory/peak_bytes": float(torch.cuda.max_memory_reserved(device)),
        }
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "memory/rss_bytes": float(psutil.Process().memory_info().rss),
        "memory/peak_bytes": float(kibibytes * 1024),
    }


@contextmanager
def settled_objects() -> Iterator[None]:
    """While open, the garbage collector leaves alone what exists already.

    A model, an engine and the libraries around them are a million objects and more that live as long as the run; going
    through them all takes tenths of a second, and happened in the middle of steps.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
