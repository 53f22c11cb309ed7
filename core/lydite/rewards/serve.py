"""What runs inside a worker process: it sets its limits, loads rewards by their recipes, and answers chunks.

A worker says through shared memory (`Slot`) what it is doing, so that the trainer can hold every single call to
its deadline and, when the worker has to be killed or dies, knows whose call it was.
"""

from __future__ import annotations

import asyncio
import math
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Any, Final

from lydite.rewards.calls import Call, Outcome
from lydite.rewards.invoke import Invoke, callable_for, run_one, together
from lydite.rewards.recipe import WorkerReward
from lydite.rewards.spawn import ALL, Limits, Slot, Stage
from lydite.rewards.verdicts import failed

ORPHAN_CHECK: Final = 1.0  # seconds between looks at whether the trainer still lives


@dataclass(frozen=True, slots=True)
class Chunk:
    """Calls of one reward that a worker answers in one go."""

    key: str
    """Names the reward between trainer and worker."""
    reward: WorkerReward | None
    """Left out where this worker has seen it already."""
    calls: tuple[Call, ...]
    timeout: float
    """Seconds for one completion."""
    concurrent: bool
    """Runs the calls together under one event loop."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A worker's answer to a chunk."""

    outcomes: tuple[Outcome, ...] = ()
    unknown: bool = False
    """The worker does not know the reward and must be sent it."""
    broken: str = ""
    """Why the reward cannot be loaded here."""
    tired: bool = False
    """The worker should be replaced: memory ran out in it, or something in it would not stop."""


_rewards: dict[str, tuple[WorkerReward, Invoke]] = {}
_loops: list[asyncio.AbstractEventLoop] = []
_setup: dict[str, Any] = {}


def prepare(limits: Limits, slots: MutableSequence[float]) -> None:
    """Makes this process a worker: its own process group, no terminal, limits, and an end once the trainer ends."""
    os.setsid()  # so that one signal reaches this worker and all that its verifiers start
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ceiling = _address_space() + limits.memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    _setup.update(limits=limits, slots=slots)
    slots[Slot.PROCESS] = os.getpid()


def answer(message: bytes) -> bytes:
    """The pickled `Reply` to a pickled `Chunk`."""
    slots, worker = _setup["slots"], os.getpid()
    slots[Slot.RUNNER], slots[Slot.SINCE] = worker, time.monotonic()
    slots[Slot.STAGE] = Stage.LOADING
    reply = _reply(pickle.loads(message), slots, worker)  # noqa: S301 - written by the trainer
    slots[Slot.STAGE] = Stage.DONE
    return pickle.dumps(reply, protocol=5)


def _reply(chunk: Chunk, slots: MutableSequence[float], worker: int) -> Reply:
    if chunk.key not in _rewards:
        if chunk.reward is None:
            return Reply(unknown=True)
        try:
            _rewards[chunk.key] = (chunk.reward, callable_for(chunk.reward))
        except BaseException as error:  # noqa: BLE001 - a verifier may raise anything
            return Reply(broken=f"{type(error).__name__}: {error}")
    reward, invoke = _rewards[chunk.key]
    if chunk.concurrent:
        return _run_together(reward, invoke, chunk, slots)
    outcomes = []
    for index, call in enumerate(chunk.calls):
        _begin(slots, index, 1)
        try:
            outcomes.append(run_one(invoke, reward, call, chunk.timeout))
        finally:
            if os.getpid() != worker:  # a child that a verifier forked has no business here
                os._exit(0)
    outcomes, tired = _memory_named(reward, outcomes)
    return Reply(tuple(outcomes), tired=tired)


def _run_together(reward: WorkerReward, invoke: Invoke, chunk: Chunk, slots: MutableSequence[float]) -> Reply:
    if not _loops:
        _loops.append(asyncio.new_event_loop())  # one for good: clients that a verifier keeps are tied to their loop
    _begin(slots, 0 if len(chunk.calls) == 1 else ALL, len(chunk.calls))
    outcomes, restless = _loops[0].run_until_complete(together(invoke, reward, chunk.calls, chunk.timeout))
    outcomes, tired = _memory_named(reward, outcomes)
    return Reply(tuple(outcomes), tired=tired or restless)


def _begin(slots: MutableSequence[float], index: int, calls: int) -> None:
    """Starts the clocks of a call: its CPU time here, its deadline in the trainer."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    allowed = math.ceil(used.ru_utime + used.ru_stime) + _setup["limits"].cpu_seconds * calls
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (allowed if hard < 0 else min(allowed, hard), hard))
    slots[Slot.SINCE] = time.monotonic()
    slots[Slot.INDEX] = index
    slots[Slot.STAGE] = Stage.RUNNING


def _memory_named(reward: WorkerReward, outcomes: list[Outcome]) -> tuple[list[Outcome], bool]:
    """The outcomes with memory errors under their own reason, and whether there were any."""
    limit = _setup["limits"].memory_mb
    named = []
    for outcome in outcomes:
        if any(one.reason == "raised.MemoryError" for one in outcome.verdicts):
            detail = f"reward {reward.terms.name!r} asked for more than stack.memory_mb = {limit} MB"
            verdicts = tuple(failed("worker.memory", detail) for _ in outcome.verdicts)
            outcome = Outcome(verdicts, outcome.seconds)
        named.append(outcome)
    return named, any(before is not after for before, after in zip(outcomes, named, strict=True))


def _address_space() -> int:
    """Bytes of address space that this process has now."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - one line, before any import that a plugin needs
        return int(file.read().split()[0]) * resource.getpagesize()


def _die_with(parent: int) -> None:
    """Ends this worker and its children once the trainer is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_CHECK)
    os.killpg(0, signal.SIGKILL)
