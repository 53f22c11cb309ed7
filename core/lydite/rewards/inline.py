"""Rewards that declared themselves cheap, run in the trainer: no deadline can be kept here, only measured.

Coroutines run on an event loop in a thread of their own, because the trainer's thread may have a loop already,
as it does in a notebook; theirs is a deadline that holds as long as they await.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

from lydite.rewards.calls import Call, Outcome
from lydite.rewards.invoke import callable_for, run_one, together
from lydite.rewards.recipe import WorkerReward


class InlineRunner:
    """Runs calls in this process."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(
        self,
        function: Callable[..., Any],
        judge: Callable[..., Any] | None,
        reward: WorkerReward,
        calls: Sequence[Call],
        timeout: float,
        *,
        concurrent: bool,
    ) -> list[Outcome]:
        """The outcomes of the calls, in order."""
        invoke = callable_for(reward, function, judge)
        if not concurrent:
            return [run_one(invoke, reward, call, timeout) for call in calls]
        outcomes, _ = asyncio.run_coroutine_threadsafe(
            together(invoke, reward, calls, timeout), self._running()
        ).result()
        return outcomes

    def close(self) -> None:
        """Stops the event loop, if one was started."""
        loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=1.0)
        if not thread.is_alive():
            loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="lydite-inline-rewards", daemon=True)
            self._thread.start()
        return self._loop
