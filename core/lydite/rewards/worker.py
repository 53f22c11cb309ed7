"""Rewards in killable processes: every call has a deadline, and no verifier takes others down with it.

The pool has lanes. A lane is a pebble pool of one process, which is started when it is first needed and thrown
away whole, with its process group, when a call in it overruns, dies or leaves it tired. What was in its chunk
besides the guilty call is then asked again, each call by itself.
"""

from __future__ import annotations

import pickle
import signal
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Final

from lydite.errors import RewardError
from lydite.rewards.calls import Call, Outcome
from lydite.rewards.lane import LOAD_SECONDS, Lane, Portion, Work
from lydite.rewards.serve import Reply
from lydite.rewards.spawn import ALL, Limits, Stage
from lydite.rewards.verdicts import failed
from lydite.types import Verdict

LARGEST_CHUNK: Final = 16  # calls; hides the 1.5 ms that a message costs, and little has to be repeated after a kill
LOOK_AGAIN: Final = 0.1  # seconds between looks at workers that say nothing
MOST_FAILED_STARTS: Final = 2


class WorkerPool:
    """Runs calls in worker processes. Starts them when first used; `close` leaves none behind."""

    def __init__(self, *, workers: int, limits: Limits, recycle_after: int = 1000) -> None:
        self._lanes = [Lane(limits) for _ in range(workers)]
        self._limits = limits
        self._recycle_after = recycle_after
        self._failed_starts = 0
        self._running = threading.Lock()
        self._finalizer = weakref.finalize(self, _discard_all, self._lanes)

    def close(self) -> None:
        """Kills all workers and their children; the pool can be used again, and starts new ones then."""
        _discard_all(self._lanes)

    def run(self, works: Sequence[Work]) -> list[list[Outcome]]:
        """The outcomes of every work's calls, in order.

        Raises:
            RewardError: when a reward cannot be loaded in a worker, or workers do not start.
        """
        with self._running:
            results: list[list[Outcome | None]] = [[None] * len(work.calls) for work in works]
            queue = deque(portions_of(works, len(self._lanes)))
            try:
                while queue or any(lane.future is not None for lane in self._lanes):
                    self._fill(queue, works)
                    self._await(works)
                    for lane in self._lanes:
                        self._look_at(lane, works, queue, results)
            finally:  # left early, by Ctrl-C or an error: nothing that still runs may meet the next call
                for lane in self._lanes:
                    if lane.future is not None:
                        lane.discard()
        return [[outcome for outcome in row if outcome is not None] for row in results]

    def _fill(self, queue: deque[Portion], works: Sequence[Work]) -> None:
        for lane in self._lanes:
            if queue and lane.future is None:
                if lane.calls >= self._recycle_after:
                    lane.discard()
                portion = queue.popleft()
                lane.send(portion, works[portion.work])

    def _await(self, works: Sequence[Work]) -> None:
        busy = [lane for lane in self._lanes if lane.future is not None]
        soonest = min(lane.ends_at(works) for lane in busy) - time.monotonic()
        wait([lane.future for lane in busy], min(max(soonest, 0.001), LOOK_AGAIN), FIRST_COMPLETED)  # type: ignore[misc]

    def _look_at(
        self, lane: Lane, works: Sequence[Work], queue: deque[Portion], results: list[list[Outcome | None]]
    ) -> None:
        portion = lane.portion
        if lane.future is None or portion is None:
            return
        if lane.future.done():
            try:
                reply: Reply = pickle.loads(lane.take())  # noqa: S301 - written by our own code in the worker
            except Exception as error:  # noqa: BLE001 - a verifier may raise anything
                lane.portion = portion
                self._put_right(lane, works, queue, results, exitcode=getattr(error, "exitcode", None))
                return
            self._accept(reply, lane, portion, works[portion.work], queue, results)
        elif lane.ends_at(works) < time.monotonic():
            self._put_right(lane, works, queue, results, overdue=True)
        elif lane.vanished():
            self._put_right(lane, works, queue, results, exitcode=0)

    def _accept(
        self,
        reply: Reply,
        lane: Lane,
        portion: Portion,
        work: Work,
        queue: deque[Portion],
        results: list[list[Outcome | None]],
    ) -> None:
        self._failed_starts = 0
        if reply.broken:
            raise _unloadable(work, reply.broken)
        if reply.unknown:
            lane.forget(work.key)
            queue.appendleft(portion)
            return
        for place, outcome in zip(portion.places, reply.outcomes, strict=True):
            results[portion.work][place] = outcome
        if reply.tired:
            lane.discard()

    def _put_right(
        self,
        lane: Lane,
        works: Sequence[Work],
        queue: deque[Portion],
        results: list[list[Outcome | None]],
        *,
        overdue: bool = False,
        exitcode: int | None = None,
    ) -> None:
        """Throws the lane's process away, blames the call that was running, and asks about the others again."""
        portion, stage, index = lane.portion, lane.stage, lane.index
        assert portion is not None
        work = works[portion.work]
        lane.discard()
        if stage is Stage.LOADING:
            what = f"it took more than {LOAD_SECONDS:.0f} s" if overdue else f"the process ended ({_ending(exitcode)})"
            raise _unloadable(work, what)
        if stage is Stage.WAITING:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise RewardError(
                    f"worker processes do not start ({_ending(exitcode)}); what they printed is above. Check that "
                    f"`{sys.executable} -c 'import lydite.rewards.serve'` works, and that stack.memory_mb = "
                    f"{self._limits.memory_mb} leaves them room"
                )
            queue.appendleft(portion)
            return
        # A worker that is done and cannot say so was crippled by any of its calls, as one that runs all at once.
        unclear = stage is Stage.DONE or index == ALL
        guilty = (
            portion.places[index : index + 1] if not unclear else portion.places if len(portion.places) == 1 else ()
        )
        for place in guilty:
            verdict = self._blame(work, work.calls[place], overdue and stage is Stage.RUNNING, exitcode)
            results[portion.work][place] = Outcome((verdict,) * work.calls[place].size, verdict.seconds)
        queue.extendleft(Portion(portion.work, (one,)) for one in reversed(portion.places) if one not in guilty)

    def _blame(self, work: Work, call: Call, overdue: bool, exitcode: int | None) -> Verdict:
        if overdue:
            return Verdict.timeout(seconds=work.timeout * call.size)
        if exitcode == -signal.SIGXCPU:
            return Verdict.timeout("deadline.cpu", seconds=float(self._limits.cpu_seconds))
        name = work.reward.terms.name
        return failed("worker.died", f"reward {name!r} ended its worker process ({_ending(exitcode)})")


def portions_of(works: Sequence[Work], workers: int) -> list[Portion]:
    """The calls of these works in chunks of like size, about two for each worker."""
    portions = []
    for number, work in enumerate(works):
        count = len(work.calls)
        size = min(LARGEST_CHUNK, max(1, -(-count // (2 * workers))))
        portions += [Portion(number, tuple(range(first, min(first + size, count)))) for first in range(0, count, size)]
    return portions


def _discard_all(lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        lane.discard()


def _unloadable(work: Work, cause: str) -> RewardError:
    owner = f" of {work.owner}" if work.owner else ""
    return RewardError(f"reward {work.reward.terms.name!r}{owner} cannot be loaded in a worker process: {cause}")


def _ending(exitcode: int | None) -> str:
    if exitcode is None:
        return "it broke off the connection"
    if exitcode == -signal.SIGKILL:
        return "killed, perhaps because the system ran out of memory"
    return f"signal {-exitcode}" if exitcode < 0 else f"exit code {exitcode}"
