"""Calls of environments within their time: in threads that a call which hangs can be left behind in."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Called(Generic[T]):
    """What came of a call."""

    value: T | None = None
    error: BaseException | None = None
    seconds: float = 0.0
    late: bool = False
    """It took longer than it was given; its value is dropped."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """What to call, and the seconds that it may take."""

    function: Callable[[], T]
    seconds: float


class Lanes:
    """So many threads; call i of each round runs in thread i modulo their number, always in order.

    Objects that belong to the thread that made them (database connections, event loops) so stay in it, and with one
    lane, code with global state sees the same order of calls every time. A call that does not come back in its time
    keeps its thread, and the calls behind it go on in a new one.
    """

    def __init__(self, number: int) -> None:
        self._lanes = [_Lane() for _ in range(number)]

    def run(self, calls: Sequence[tuple[int, Call[T]]]) -> Iterator[Called[T]]:
        """What came of each call, in order and as it comes; each is given with the number that decides its lane."""
        jobs = [(self._lanes[number % len(self._lanes)], _Job(call)) for number, call in calls]
        for lane, job in jobs:
            lane.put(job)
        return (lane.answer(job) for lane, job in jobs)

    def close(self) -> None:
        """Ends the threads; those that hang end with the process."""
        for lane in self._lanes:
            lane.close()


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    call: Call[T]
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    start: float = 0.0
    seconds: float = 0.0
    value: T | None = None
    error: BaseException | None = None

    def run(self) -> None:
        self.start = time.monotonic()
        self.begun.set()
        try:
            self.value = self.call.function()
        except BaseException as error:  # noqa: BLE001 - whatever a plugin raises is told where the call is answered
            self.error = error
        self.seconds = time.monotonic() - self.start
        self.ended.set()


class _Lane:
    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job[object] | None] = queue.SimpleQueue()
        self._left: threading.Event | None = None

    def put(self, job: _Job[T]) -> None:
        if self._left is None:
            self._start()
        self._jobs.put(job)  # type: ignore[arg-type]  # a lane does not look at what its jobs give

    def answer(self, job: _Job[T]) -> Called[T]:
        job.begun.wait()  # those before it have been waited for
        ended = job.ended.wait(max(job.call.seconds - (time.monotonic() - job.start), 0.0))
        if ended and job.seconds <= job.call.seconds:
            return Called(job.value, job.error, job.seconds)
        if not ended:
            assert self._left is not None
            self._left.set()
            self._start()
        return Called(seconds=job.call.seconds, late=True)

    def close(self) -> None:
        if self._left is not None:
            self._jobs.put(None)
            self._left = None

    def _start(self) -> None:
        self._left = threading.Event()
        threading.Thread(target=_work, args=(self._jobs, self._left), name="lydite-environment", daemon=True).start()


def _work(jobs: queue.SimpleQueue[_Job[object] | None], left: threading.Event) -> None:
    while not left.is_set():
        job = jobs.get()
        if job is None:
            return
        job.run()
