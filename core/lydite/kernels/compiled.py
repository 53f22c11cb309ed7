"""How many Triton programs a run had to wait for, and for how long.

Triton compiles a program when it is first launched with arguments of a new kind, and keeps it on disk for later runs.
Once a run's first steps are done nothing should be compiled any more, however long the rows of its batches are; a log
that counts them shows it. All of the process's programs are counted, a library's as well as lydite's.

Source: `triton.knobs.compilation.listener`, in Triton from 3.4 on.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Compiled:
    """Programs that were made ready for their first launch."""

    anew: int = 0
    """Compiled."""
    kept: int = 0
    """Read from Triton's cache on disk, where an earlier run had left them."""
    seconds: float = 0.0
    """Spent on both."""


class CompileCount:
    """Counts by listening to Triton's compiler, beside whoever listened before."""

    def __init__(self, before: Any = None) -> None:
        self._before = before
        self._lock = threading.Lock()  # backward passes launch from a thread of their own
        self._so_far = Compiled()

    def __call__(self, **heard: Any) -> None:
        """Triton's interface, of which `cache_hit` and `times`, in microseconds, are counted.

        Another Triton may tell more, or less: no launch fails for the sake of a count.
        """
        hit, seconds = bool(heard.get("cache_hit")), getattr(heard.get("times"), "total", 0) / 1e6
        with self._lock:
            one = self._so_far
            self._so_far = Compiled(one.anew + (not hit), one.kept + hit, one.seconds + seconds)
        if self._before is not None:
            self._before(**heard)

    def take(self) -> Compiled:
        """What was counted since the last time, and forgets it."""
        with self._lock:
            counted, self._so_far = self._so_far, Compiled()
        return counted


def count_programs(device: torch.device) -> CompileCount | None:
    """Counts from now on; None where Triton compiles nothing for this device, or does not tell.

    Asked again, it gives the count that is there already.
    """
    if device.type != "cuda":
        return None
    try:
        from triton import knobs
    except ImportError:  # no Triton, or one before 3.4
        return None
    heard = knobs.compilation.listener
    if not isinstance(heard, CompileCount):
        heard = CompileCount(heard)
        knobs.compilation.listener = heard
    return heard


def told(when: str, counted: Compiled) -> str:
    """A line for the log about what a part of the run had to wait for; empty for nothing."""
    waited = []
    if counted.anew:
        waited.append(f"{counted.anew} {_programs(counted.anew)} to be compiled")
    if counted.kept:
        waited.append(f"{counted.kept} {_programs(counted.kept)} that an earlier run left")
    return f"kernels: {when} waited {counted.seconds:.1f} s for {' and '.join(waited)}" if waited else ""


def _programs(count: int) -> str:
    return "program" if count == 1 else "programs"
