"""How a worker process is started: spawned, with limits, and without the user's `__main__`.

Multiprocessing runs the parent's main script again in every spawned child, so that functions of `__main__`
can be unpickled there. Rewards do not need that (see `recipe`), and it would cost: a script that imports
torch would make each worker import torch, and a script without a `__main__` guard could not spawn at all.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType

_swapping = threading.Lock()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker process may take."""

    memory_mb: int
    """Address space beyond what it starts with."""
    cpu_seconds: int
    """CPU time of one call."""


class Slot(IntEnum):
    """Places in the shared memory through which a worker says what it is doing. All hold doubles."""

    PROCESS = 0
    """Process id, from the moment the worker is set up."""
    RUNNER = 1
    """Process id of the worker that took the chunk."""
    STAGE = 2
    INDEX = 3
    """Which call of the chunk is running; ALL when they run together."""
    SINCE = 4
    """Monotonic clock at the beginning of the stage or call, in seconds."""


class Stage(IntEnum):
    """How far a worker has come with its chunk."""

    WAITING = 0
    LOADING = 1
    RUNNING = 2
    DONE = 3


ALL = -1
"""The index that stands for all calls of a chunk at once."""


class WorkerProcess(SpawnProcess):
    """A spawned process that does not run the parent's main script again."""

    def start(self) -> None:
        """Starts the process."""
        with _main_hidden():
            super().start()


class WorkerContext(SpawnContext):
    """Multiprocessing's spawn context with `WorkerProcess` as its process."""

    Process = WorkerProcess


@contextmanager
def _main_hidden() -> Iterator[None]:
    # Spawning looks at sys.modules["__main__"] to tell the child what to run first; an empty module says: nothing.
    with _swapping:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
