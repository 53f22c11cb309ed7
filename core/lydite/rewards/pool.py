"""Where verifiers run: worker processes on this host, or on those of a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lydite.config import StackConfig
from lydite.rewards.calls import Outcome
from lydite.rewards.lane import Work
from lydite.rewards.spawn import Limits
from lydite.rewards.worker import WorkerPool


class Pool(Protocol):
    """Runs calls where a verifier can be killed. Starts processes when first used."""

    def run(self, works: Sequence[Work]) -> list[list[Outcome]]:
        """The outcomes of every work's calls, in order.

        Raises:
            RewardError: when a reward cannot be loaded where it is to run, or nothing can be started there.
        """
        ...

    def close(self) -> None:
        """Ends all processes; asked to run again, it starts new ones."""
        ...


def make_pool(stack: StackConfig) -> Pool:
    """The pool that a configuration asks for.

    Raises:
        MissingExtraError: when it is Ray's, and Ray is not installed.
    """
    limits = Limits(stack.memory_mb, stack.cpu_seconds)
    if stack.executor == "ray":
        from lydite.rewards.ray_pool import RayPool

        return RayPool(workers=stack.workers, limits=limits, recycle_after=stack.recycle_after)
    return WorkerPool(workers=stack.workers, limits=limits, recycle_after=stack.recycle_after)
