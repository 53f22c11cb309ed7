"""Verifiers on other hosts: a Ray cluster's actors, each of which has a worker process of its own beside it.

Ray carries calls and outcomes. What holds a verifier to its deadline, its memory and its CPU time is what does so on
this host: a pool of one killable process (`worker`), in the actor. A verifier never runs in an actor itself.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import cloudpickle

from lydite.errors import ConfigError, MissingExtraError, RewardError
from lydite.rewards.calls import Outcome
from lydite.rewards.lane import Portion, Work
from lydite.rewards.spawn import Limits
from lydite.rewards.worker import WorkerPool, portions_of

MOST_LOST: Final = 3  # actors in a row that may go with their host before the run stops
OURS: Final = "LYDITE_"  # variables of the environment that workers elsewhere get too
_NO_TELEMETRY: Final = {"RAY_USAGE_STATS_ENABLED": "0"}


class RayPool:
    """Runs calls on a Ray cluster: that of RAY_ADDRESS, else one that runs on this host, else one that it starts.

    Starts actors when first used, each with one CPU of the cluster; `close` ends them.
    """

    def __init__(self, *, workers: int, limits: Limits, recycle_after: int = 1000) -> None:
        """Raises:
        MissingExtraError: when Ray is not installed.
        """
        self._ray = _imported()
        self._workers = workers
        self._settings = (limits, recycle_after)
        self._actors: list[Any] = []
        self._lost = 0

    def close(self) -> None:
        """Ends the actors and their worker processes; the pool can be used again, and starts new ones then."""
        actors, self._actors = self._actors, []
        if not self._ray.is_initialized():
            return
        done = [actor.close.remote() for actor in actors]
        self._ray.wait(done, num_returns=len(done), timeout=10.0) if done else None
        for actor in actors:
            self._ray.kill(actor)

    def run(self, works: Sequence[Work]) -> list[list[Outcome]]:
        """The outcomes of every work's calls, in order.

        Raises:
            RewardError: when a reward cannot be loaded where it is to run, or hosts are lost one after another.
            ConfigError: when what a reward is given cannot be sent.
        """
        self._start()
        results: list[list[Outcome | None]] = [[None] * len(work.calls) for work in works]
        queue = deque(portions_of(works, self._workers))
        idle, busy = list(self._actors), dict[Any, tuple[Any, Portion]]()
        try:
            while queue or busy:
                while queue and idle:
                    actor, portion = idle.pop(), queue.popleft()
                    busy[actor.run.remote(_message(works[portion.work], portion))] = (actor, portion)
                (done, *_), _rest = self._ray.wait(list(busy), num_returns=1)
                actor, portion = busy.pop(done)
                outcomes = self._taken(done)
                if outcomes is None:
                    idle.append(self._replaced(actor))
                    queue.appendleft(portion)
                    continue
                idle.append(actor)
                for place, outcome in zip(portion.places, outcomes, strict=True):
                    results[portion.work][place] = outcome
        finally:
            if busy:  # left early, by Ctrl-C or an error: nothing that still runs may meet the next call
                self.close()
        return [[outcome for outcome in row if outcome is not None] for row in results]

    def _start(self) -> None:
        if not self._ray.is_initialized():
            self._ray.init(log_to_driver=False, configure_logging=False, include_dashboard=False)
        while len(self._actors) < self._workers:
            self._actors.append(self._actor())

    def _actor(self) -> Any:
        ours = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
        made = self._ray.remote(_Host).options(num_cpus=1, runtime_env={"env_vars": ours})
        return made.remote(*self._settings)

    def _taken(self, done: Any) -> list[Outcome] | None:
        """What an actor answered; None when it is gone with its host."""
        try:
            told: list[Outcome] | str = pickle.loads(self._ray.get(done))  # noqa: S301 - written by our own code there
        except self._ray.exceptions.RayActorError as error:
            self._lost += 1
            if self._lost >= MOST_LOST:
                raise RewardError(
                    f"{self._lost} of Ray's actors were lost one after another ({str(error).partition(chr(10))[0]}); "
                    "look at the cluster with `ray status`"
                ) from error
            return None
        self._lost = 0
        if isinstance(told, str):
            raise RewardError(told)
        return told

    def _replaced(self, actor: Any) -> Any:
        new = self._actor()
        self._actors[self._actors.index(actor)] = new
        return new


class _Host:
    """An actor: a pool of one worker process on whatever host Ray puts it."""

    def __init__(self, limits: Limits, recycle_after: int) -> None:
        self._pool = WorkerPool(workers=1, limits=limits, recycle_after=recycle_after)

    def run(self, message: bytes) -> bytes:
        """The pickled outcomes of a pickled work, or why it cannot be done here."""
        work: Work = pickle.loads(message)  # noqa: S301 - written by the trainer
        try:
            return pickle.dumps(self._pool.run([work])[0], protocol=5)
        except RewardError as error:
            return pickle.dumps(f"on {os.uname().nodename}: {error}", protocol=5)

    def close(self) -> None:
        """Ends the worker process."""
        self._pool.close()


def _message(work: Work, portion: Portion) -> bytes:
    try:
        message: bytes = cloudpickle.dumps(replace(work, calls=tuple(work.calls[place] for place in portion.places)))
    except Exception as error:
        raise ConfigError(
            f"what reward {work.reward.terms.name!r} is given cannot be sent to another host "
            f"({type(error).__name__}: {error}); columns and options must be plain data"
        ) from error
    return message


def _imported() -> Any:
    os.environ.update(_NO_TELEMETRY)  # read by Ray when it is imported or starts a cluster
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError('stack.executor = "ray" needs Ray: pip install "lydite[ray]"') from error
    return ray
