"""Verifiers on other hosts: a Ray cluster's actors, each of which has a worker process of its own beside it.

Ray carries calls and outcomes. What holds a verifier to its deadline, its memory and its CPU time is what does so on
this host: a pool of one killable process (`worker`), in the actor. A verifier never runs in an actor itself.
"""

from __future__ import annotations

import logging
import os
import pickle
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lydite.errors import MissingExtraError, RewardError
from lydite.rewards.calls import Outcome
from lydite.rewards.lane import Portion, Work
from lydite.rewards.ray_host import Host, handed_on, longest, message_for
from lydite.rewards.spawn import Limits
from lydite.rewards.verdicts import failed
from lydite.rewards.worker import portions_of

logger = logging.getLogger("lydite")

MOST_LOST: Final = 3
"""Actors that one call may take along before it has failed; and for each worker, actors lost before the run stops."""
PATIENCE: Final = 300.0  # seconds for a first actor to start, on a cluster that may have to start a host for it
LOOK_AGAIN: Final = 1.0  # seconds between looks at actors that say nothing
_NO_TELEMETRY: Final = {"RAY_USAGE_STATS_ENABLED": "0"}


@dataclass(slots=True, eq=False)
class _Member:
    """An actor, and what it is doing."""

    actor: Any
    answer: Any
    """What it has to answer next: that it has started, or a portion's outcomes. None while it is idle."""
    portion: Portion | None = None
    """None while it starts or is idle."""
    ends_at: float = 0.0
    """On the monotonic clock: it is given up when it has not answered by then."""


class RayPool:
    """Runs calls on a Ray cluster: that of RAY_ADDRESS, else one that runs on this host, else one that it starts.

    Starts actors when first used, each with one CPU of the cluster; `close` ends them. Those that find no CPU are
    waited for while others work.
    """

    def __init__(self, *, workers: int, limits: Limits, recycle_after: int = 1000) -> None:
        """Raises:
        MissingExtraError: when Ray is not installed.
        """
        self._ray = _imported()
        self._workers = workers
        self._settings = (limits, recycle_after)
        self._members: list[_Member] = []
        self._lost = 0
        self._told = False

    def close(self) -> None:
        """Ends the actors and their worker processes; the pool can be used again, and starts new ones then."""
        members, self._members = self._members, []
        if not self._ray.is_initialized():
            return
        done = [one.actor.close.remote() for one in members if one.portion is None and one.answer is None]
        self._ray.wait(done, num_returns=len(done), timeout=10.0) if done else None
        for one in members:
            self._ray.kill(one.actor)

    def run(self, works: Sequence[Work]) -> list[list[Outcome]]:
        """The outcomes of every work's calls, in order.

        Raises:
            RewardError: when a reward cannot be loaded where it is to run, no cluster or none of its CPUs is to be
                had, or hosts are lost one after another.
            ConfigError: when what a reward is given cannot be sent.
        """
        self._start()
        results: list[list[Outcome | None]] = [[None] * len(work.calls) for work in works]
        queue = deque(portions_of(works, self._workers))
        losses: Counter[tuple[int, int]] = Counter()
        begun = time.monotonic()
        whole = False
        try:
            while queue or any(one.portion is not None for one in self._members):
                self._hand_out(queue, works)
                for member, late in self._answered():
                    portion, member.portion = member.portion, None
                    outcomes = None
                    if late:
                        self._replace(member, "it did not answer")
                    else:
                        outcomes = self._taken(member)
                    if portion is None:
                        continue
                    if outcomes is None:
                        self._ask_again(portion, works, losses, queue, results)
                        continue
                    for place, outcome in zip(portion.places, outcomes, strict=True):
                        results[portion.work][place] = outcome
                self._check_started(begun)
            whole = True
        finally:
            if not whole:  # left early, by Ctrl-C or an error: nothing that still runs may meet the next call
                self.close()
        return [[outcome for outcome in row if outcome is not None] for row in results]

    def _start(self) -> None:
        if not self._ray.is_initialized():
            try:
                self._ray.init(log_to_driver=False, configure_logging=False, include_dashboard=False)
            except (ConnectionError, RuntimeError, ValueError) as error:
                where = os.environ.get("RAY_ADDRESS")
                raise RewardError(
                    f"no Ray cluster at {where or 'this host'}: {str(error).partition(chr(10))[0]}; "
                    f"look at RAY_ADDRESS = {where!r}, and at the cluster with `ray status`"
                ) from error
        while len(self._members) < self._workers:
            self._members.append(self._member())

    def _member(self) -> _Member:
        environment = {"env_vars": handed_on(os.environ)}
        actor = self._ray.remote(Host).options(num_cpus=1, runtime_env=environment).remote(*self._settings)
        return _Member(actor, actor.ready.remote())

    def _hand_out(self, queue: deque[Portion], works: Sequence[Work]) -> None:
        """Gives every idle member a portion."""
        for member in self._members:
            if queue and member.answer is None:
                portion = queue.popleft()
                work = works[portion.work]
                member.answer = member.actor.run.remote(message_for(work, portion))
                member.portion, member.ends_at = portion, time.monotonic() + longest(work, portion)

    def _answered(self) -> list[tuple[_Member, bool]]:
        """The members that have answered, and, marked as late, those that should have; waits a moment for the first."""
        asked = [one for one in self._members if one.answer is not None]
        done, _ = self._ray.wait([one.answer for one in asked], num_returns=1, timeout=LOOK_AGAIN)
        now = time.monotonic()
        late = [one for one in asked if one.portion is not None and one.ends_at < now and one.answer not in done]
        return [(one, False) for one in asked if one.answer in done] + [(one, True) for one in late]

    def _taken(self, member: _Member) -> list[Outcome] | None:
        """What the actor answered, which is idle then; None when it has only started, or is gone, and another begun.

        Raises:
            RewardError: when it cannot do the work, or too many are gone.
        """
        answer, member.answer = member.answer, None
        try:
            content: bytes | str = self._ray.get(answer)
        except self._ray.exceptions.RayActorError as error:
            self._replace(member, str(error).partition("\n")[0])
            return None
        except self._ray.exceptions.RayError as error:
            raise RewardError(f"Ray cannot run the rewards: {str(error).partition(chr(10))[0]}") from error
        if isinstance(content, str):
            return None
        self._lost = 0
        told: list[Outcome] | str = pickle.loads(content)  # noqa: S301 - written by our own code there
        if isinstance(told, str):
            raise RewardError(told)
        return told

    def _replace(self, member: _Member, cause: str) -> None:
        """Begins another actor in place of one that is gone, or whose host is there and does not answer.

        Raises:
            RewardError: when as many as `MOST_LOST` for each worker went, and nothing was answered in between.
        """
        self._lost += 1
        if self._lost >= MOST_LOST * self._workers:
            raise RewardError(
                f"{self._lost} of Ray's actors were lost one after another ({cause}); look at the cluster with "
                "`ray status`"
            )
        self._ray.kill(member.actor)
        self._members[self._members.index(member)] = self._member()

    def _ask_again(
        self,
        portion: Portion,
        works: Sequence[Work],
        losses: Counter[tuple[int, int]],
        queue: deque[Portion],
        results: list[list[Outcome | None]],
    ) -> None:
        """Asks others about what a lost actor was asked, each call by itself, for it may be one that took it along."""
        for place in portion.places:
            call, key = works[portion.work].calls[place], (portion.work, place)
            losses[key] += len(portion.places) == 1
            if losses[key] < MOST_LOST:
                queue.append(Portion(portion.work, (place,)))
                continue
            name = works[portion.work].reward.terms.name
            verdict = failed("worker.died", f"reward {name!r} was lost with {MOST_LOST} of Ray's actors")
            results[portion.work][place] = Outcome((verdict,) * call.size, verdict.seconds)

    def _check_started(self, begun: float) -> None:
        """Raises RewardError when no actor starts; says once that some do not, while others work."""
        starting = [one for one in self._members if one.answer is not None and one.portion is None]
        waited = time.monotonic() - begun
        if not starting or (self._told and len(starting) < len(self._members)) or waited < PATIENCE / 10:
            return
        cpus = self._ray.cluster_resources().get("CPU", 0.0)
        free = self._ray.available_resources().get("CPU", 0.0)
        said = (
            f"{len(starting)} of {len(self._members)} workers have not started on Ray's cluster within {waited:.0f} s: "
            f"it has {cpus:.0f} CPUs, {free:.0f} of them free, and each worker takes one, of each process of a run"
        )
        if len(starting) == len(self._members) and waited >= PATIENCE:
            raise RewardError(f"{said}; lower stack.workers, or look at the cluster with `ray status`")
        if not self._told:
            self._told = True
            logger.warning("%s", said)


def _imported() -> Any:
    os.environ.update(_NO_TELEMETRY)  # read by Ray when it is imported or starts a cluster
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError('stack.executor = "ray" needs Ray: pip install "lydite[ray]"') from error
    return ray
