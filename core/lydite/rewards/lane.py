"""One worker process at a time, what it is doing, and how it is thrown away."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import cloudpickle
import pebble

from lydite.errors import ConfigError
from lydite.rewards.calls import Call
from lydite.rewards.recipe import WorkerReward
from lydite.rewards.serve import Chunk, answer, prepare
from lydite.rewards.spawn import ALL, Limits, Slot, Stage, WorkerContext

START_SECONDS: Final = 60.0  # for a process to start and take its chunk
LOAD_SECONDS: Final = 120.0  # for importing a plugin with all it needs
GRACE: Final = 0.5  # seconds in which coroutines that are past their deadline may end by themselves
DEAD_FOR: Final = 0.5  # seconds that a worker must be at it before its absence is looked into


@dataclass(frozen=True, slots=True)
class Work:
    """Calls of one reward."""

    key: str
    """Unlike that of any other reward of this pool."""
    reward: WorkerReward
    calls: Sequence[Call]
    timeout: float
    """Seconds for one completion; a call that judges several has as many times that."""
    concurrent: bool = False
    """The calls are asynchronous and share a worker's event loop."""
    owner: str = ""
    """Distribution and version, for messages."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Some calls of one work, by their places."""

    work: int
    places: tuple[int, ...]


class Lane:
    """One worker process at a time, and what it is doing."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._context = WorkerContext()
        self._pool: Any = None
        self._slots: Any = None
        self._known: set[str] = set()
        self._sent_at = 0.0
        self.portion: Portion | None = None
        self.future: Future[bytes] | None = None
        self.calls = 0
        """Calls since the process was started."""

    def send(self, portion: Portion, work: Work) -> None:
        """Hands the calls to the process, starting one if there is none."""
        for attempt in (1, 2):
            if self._pool is None:
                self._slots = self._context.RawArray(ctypes.c_double, len(Slot))
                self._pool = pebble.ProcessPool(
                    max_workers=1, initializer=prepare, initargs=(self._limits, self._slots), context=self._context
                )
            message = message_for(work, portion, with_reward=work.key not in self._known)
            self._slots[Slot.STAGE] = Stage.WAITING
            try:
                self.future = self._pool.schedule(answer, args=(message,))
                break
            except RuntimeError:  # the process died while it had nothing to do
                self.discard()
                if attempt == 2:
                    raise
        self.portion, self._sent_at = portion, time.monotonic()
        self._known.add(work.key)
        self.calls += len(portion.places)

    def take(self) -> bytes:
        """The reply to what was sent; the lane is idle afterwards.

        Raises:
            Exception: when the process ended before it could reply.
        """
        future, self.future, self.portion = self.future, None, None
        assert future is not None
        return future.result()

    def forget(self, key: str) -> None:
        """Notes that the process does not have this reward after all."""
        self._known.discard(key)

    @property
    def stage(self) -> Stage:
        """How far the process says it is."""
        return Stage(int(self._slots[Slot.STAGE]))

    @property
    def index(self) -> int:
        """Which call of the chunk is running, or ALL."""
        return int(self._slots[Slot.INDEX])

    def ends_at(self, works: Sequence[Work]) -> float:
        """The time, on the monotonic clock, at which this lane is overdue unless it gets on."""
        assert self.portion is not None
        stage = self.stage
        if stage in (Stage.WAITING, Stage.DONE):
            return self._sent_at + START_SECONDS if stage is Stage.WAITING else self._since() + START_SECONDS
        if stage is Stage.LOADING:
            return self._since() + LOAD_SECONDS
        work, index = works[self.portion.work], self.index
        places = self.portion.places if index == ALL else self.portion.places[index : index + 1]
        limit = work.timeout * max(work.calls[place].size for place in places)
        return self._since() + limit + (GRACE if work.concurrent else 0.0)

    def vanished(self) -> bool:
        """Whether the process that took the chunk is gone, by an exit that pebble takes for a good one."""
        runner = int(self._slots[Slot.RUNNER])
        if self.stage is Stage.WAITING or runner == 0 or time.monotonic() - self._since() < DEAD_FOR:
            return False
        try:
            os.kill(runner, 0)
        except ProcessLookupError:
            return True
        return False

    def discard(self) -> None:
        """Kills the process with its whole group. The next `send` starts another."""
        pool, slots = self._pool, self._slots
        self._pool, self.future, self.portion, self.calls = None, None, None, 0
        self._known.clear()
        if pool is None:
            return
        pool.stop()  # first, so that pebble starts no other process in place of the one that is killed
        for process in {int(slots[Slot.PROCESS]), int(slots[Slot.RUNNER])} - {0}:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process, signal.SIGKILL)
        pool.join()
        # A process that was still starting when it was killed has a group of its own only by now.
        late = int(slots[Slot.PROCESS])
        if late:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(late, signal.SIGKILL)

    def _since(self) -> float:
        return float(self._slots[Slot.SINCE])


def message_for(work: Work, portion: Portion, *, with_reward: bool) -> bytes:
    """The pickled chunk of these calls.

    Raises:
        ConfigError: when an argument or option cannot be pickled.
    """
    calls = tuple(work.calls[place] for place in portion.places)
    chunk = Chunk(work.key, work.reward if with_reward else None, calls, work.timeout, work.concurrent)
    try:
        return pickle.dumps(chunk, protocol=5)
    except Exception:  # noqa: BLE001, S110 - cloudpickle takes more, and is slower
        pass
    try:
        message: bytes = cloudpickle.dumps(chunk)
    except Exception as error:
        raise ConfigError(
            f"what reward {work.reward.terms.name!r} is given cannot be sent to a worker process "
            f"({type(error).__name__}: {error}); columns and options must be plain data"
        ) from error
    return message
