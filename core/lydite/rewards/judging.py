"""Getting verdicts: from the cache, from an equal completion of the same step, in the trainer, or from a worker."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lydite.rewards.binding import Binding
from lydite.rewards.cache import VerdictCache
from lydite.rewards.calls import Call, Outcome, Spread, here
from lydite.rewards.inline import InlineRunner
from lydite.rewards.lane import Work
from lydite.rewards.metrics import mean
from lydite.rewards.pool import Pool
from lydite.rewards.requests import Place, Request, Requests, split_batch
from lydite.types import Status, Verdict

LOST_WORKER: Final = ("worker.died", "worker.memory")
_numbers = itertools.count()  # so that stacks which share a pool do not share names in it


@dataclass(frozen=True, slots=True)
class Judged:
    """What one reward said."""

    verdicts: Mapping[Place, Verdict]
    seconds: tuple[float, ...]
    """Of every call that was made."""
    logged: Mapping[str, float]
    """What the reward logged through TRL's `log_metric`."""


class Judging:
    """Runs the requests of several rewards, all of them through the same worker processes.

    `spread` says which process of the run makes which calls.
    """

    def __init__(self, pool: Pool, inline: InlineRunner, cache: VerdictCache, spread: Spread = here) -> None:
        self._pool = pool
        self._inline = inline
        self._cache = cache
        self._spread = spread
        self._number = next(_numbers)

    def judge(self, asked: Sequence[tuple[Binding, Requests]]) -> list[Judged]:
        """The verdicts on everything that each reward is asked, in the order of the rewards.

        Raises:
            RewardError: when a reward cannot be loaded, or workers do not start.
        """
        fresh = [self._not_known(requests) for _, requests in asked]
        outcomes = self._run([(binding, todo) for (binding, _), todo in zip(asked, fresh, strict=True)])
        self._retry_lost_batches(asked, fresh, outcomes)
        return [
            self._gathered(requests, todo, done)
            for (_, requests), todo, done in zip(asked, fresh, outcomes, strict=True)
        ]

    def _not_known(self, requests: Requests) -> list[Request]:
        """The requests to run: of equal ones only the first, and none that the cache can answer."""
        todo: list[Request] = []
        seen: set[str] = set()
        for request in requests.calls:
            if request.key is None:
                todo.append(request)
            elif request.key not in seen and self._cache.get(request.key) is None:
                seen.add(request.key)
                todo.append(request)
        return todo

    def _run(self, asked: Sequence[tuple[Binding, Sequence[Request]]]) -> list[list[Outcome]]:
        """The outcomes of each reward's requests, whichever process of the run makes the calls."""
        every = [(number, request) for number, (_, todo) in enumerate(asked) for request in todo]

        def run_here(places: Sequence[int]) -> list[Outcome]:
            own: list[list[Request]] = [[] for _ in asked]
            for place in places:
                own[every[place][0]].append(every[place][1])
            chosen = [(binding, todo) for (binding, _), todo in zip(asked, own, strict=True)]
            return [outcome for done in self._run_here(chosen) for outcome in done]

        outcomes = iter(self._spread(len(every), run_here))
        return [[next(outcomes) for _ in todo] for _, todo in asked]

    def _run_here(self, asked: Sequence[tuple[Binding, Sequence[Request]]]) -> list[list[Outcome]]:
        outcomes: list[list[Outcome]] = [[] for _ in asked]
        works: list[Work] = []
        owners: list[int] = []
        for number, (binding, todo) in enumerate(asked):
            calls = [request.call for request in todo]
            if not calls:
                continue
            if binding.isolation == "inline":
                outcomes[number] = self._run_inline(binding, calls)
            else:
                owners.append(number)
                works.append(self._work(binding, calls))
        if works:
            for number, done in zip(owners, self._pool.run(works), strict=True):
                outcomes[number] = done
        return outcomes

    def _run_inline(self, binding: Binding, calls: Sequence[Call]) -> list[Outcome]:
        return self._inline.run(
            binding.offer.thing,
            None if binding.judge is None else binding.judge.thing,
            binding.in_worker,
            calls,
            binding.timeout,
            concurrent=binding.is_async,
        )

    def _work(self, binding: Binding, calls: Sequence[Call]) -> Work:
        return Work(
            key=f"{self._number}:{binding.name}",
            reward=binding.in_worker,
            calls=calls,
            timeout=binding.timeout,
            concurrent=binding.is_async,
            owner=str(binding.offer.owner),
        )

    def _retry_lost_batches(
        self,
        asked: Sequence[tuple[Binding, Requests]],
        fresh: list[list[Request]],
        outcomes: list[list[Outcome]],
    ) -> None:
        """Asks a batch function that hung or took its worker along about one completion at a time."""
        lost = [
            number
            for number, (binding, _) in enumerate(asked)
            if binding.kind == "batch" and any(_is_lost(one) and len(one.verdicts) > 1 for one in outcomes[number])
        ]
        if not lost:
            return
        pieces = [[piece for request in fresh[number] for piece in split_batch(request)] for number in lost]
        again = self._run([(asked[number][0], todo) for number, todo in zip(lost, pieces, strict=True)])
        for number, todo, done in zip(lost, pieces, again, strict=True):
            fresh[number], outcomes[number] = todo, done

    def _gathered(self, requests: Requests, todo: Sequence[Request], done: Sequence[Outcome]) -> Judged:
        verdicts: dict[Place, Verdict] = dict(requests.known)
        by_key: dict[str, tuple[Verdict, ...]] = {}
        for request, outcome in zip(todo, done, strict=True):
            verdicts.update(zip(request.places, outcome.verdicts, strict=True))
            if request.key is not None:
                by_key[request.key] = outcome.verdicts
        for request in requests.calls:
            if request.key is None or request.places[0] in verdicts:
                continue
            equal = by_key.get(request.key) or self._cache.get(request.key)
            assert equal is not None
            verdicts.update(zip(request.places, equal, strict=True))
        for key, given in by_key.items():  # last, so that nothing that was counted on has been pushed out
            self._cache.put(key, given)
        return Judged(verdicts, tuple(one.seconds for one in done), _means(done))


def _is_lost(outcome: Outcome) -> bool:
    return any(one.status is Status.TIMEOUT or one.reason in LOST_WORKER for one in outcome.verdicts)


def _means(outcomes: Sequence[Outcome]) -> dict[str, float]:
    names = dict.fromkeys(name for one in outcomes for name in one.logged)
    return {name: mean([one.logged[name] for one in outcomes if name in one.logged]) for name in names}
