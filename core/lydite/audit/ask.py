"""Asking a verifier about labelled rows, one after the other in a warm worker process, as a run would ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lydite.audit.labelled import Labelled
from lydite.config import RewardConfig, StackConfig
from lydite.contracts import GIVEN, Format
from lydite.errors import DataError
from lydite.plugins import Plugins
from lydite.rewards.binding import Binding, bind
from lydite.rewards.calls import Call, Outcome
from lydite.rewards.compose import Rule, worst_of
from lydite.rewards.inline import InlineRunner
from lydite.rewards.lane import Work
from lydite.rewards.requests import requests_for
from lydite.rewards.spawn import Limits
from lydite.rewards.verdicts import settled
from lydite.rewards.worker import WorkerPool
from lydite.suggest import close_to
from lydite.types import Completion, Group, Parsed, Status, Verdict

TOGETHER: Final = 16  # calls of an asynchronous reward that wait at the same time
_LOST: Final = ("worker.died", "worker.memory")


@dataclass(frozen=True, slots=True)
class Verifier:
    """A reward by name, and what it is asked with."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    pass_at: float = 0.5
    timeout: float | None = None
    judge: str | None = None
    judge_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the verifier said of one row."""

    row: Labelled
    verdict: Verdict
    """With `passed` settled: a timeout and an error have not passed."""
    seconds: float | None
    """Wall time of the call where it ran; None when no call was needed."""

    @property
    def accepted(self) -> bool | None:
        """Whether the row passed; None when the verifier abstained."""
        return None if self.verdict.status is Status.ABSTAIN else bool(self.verdict.passed)


@dataclass(frozen=True, slots=True)
class Asked:
    """A verifier, bound, and its judgements of all rows in order."""

    binding: Binding
    judgements: tuple[Judgement, ...]


def ask(verifier: Verifier, rows: Sequence[Labelled], plugins: Plugins, *, format: Format | None = None) -> Asked:
    """The judgements of every row, in order.

    Rows are asked one at a time, so that none waits for another while its clock runs, after a warm-up that no
    figure counts; asynchronous rewards, which mostly wait, are asked several at a time. Without `format` the
    prediction is both the completion's text and its whole answer.

    Raises:
        UnknownNameError: when nobody offers the reward, or its judge.
        ConfigError: on wrong options.
        DataError: when a row lacks a column or the gold answer that the reward needs.
        RewardError: when the reward cannot be loaded, or workers do not start.
    """
    bindings = _bindings(verifier, rows, plugins)
    groups = [Group(row.sample, (_completion(row, format),)) for row in rows]
    asked = [_Question(row, binding, group) for row, binding, group in zip(rows, bindings, groups, strict=True)]
    with _Asking(len(rows)) as asking:
        judged = asking.judge(asked)
    judgements = tuple(
        Judgement(one.row, _settled(one.binding, verdict, verifier.pass_at), seconds)
        for one, (verdict, seconds) in zip(asked, judged, strict=True)
    )
    return Asked(bindings[0], judgements)


def _settled(binding: Binding, verdict: Verdict, pass_at: float) -> Verdict:
    return settled(verdict, pass_at=pass_at, verifier=binding.offer.name, version=binding.version)


class _Question:
    """One row as a call, or as a verdict that is certain without one."""

    def __init__(self, row: Labelled, binding: Binding, group: Group) -> None:
        self.row, self.binding = row, binding
        worst = worst_of(Rule(range=binding.range), 1.0)
        requests = requests_for(binding, [group], [((),)], [(0, 0)], worst=worst, step=1, max_steps=1)
        self.known: Verdict | None = requests.known.get((0, 0))
        self.call: Call | None = requests.calls[0].call if requests.calls else None


class _Asking:
    """One worker process for all rows, and the event loop of inline rewards."""

    def __init__(self, rows: int) -> None:
        stack = StackConfig()
        # A worker is not replaced for its age: a new one is cold, and its first call would count as slow.
        self._pool = WorkerPool(
            workers=1, limits=Limits(stack.memory_mb, stack.cpu_seconds), recycle_after=100 * (rows + 1)
        )
        self._inline = InlineRunner()
        self._warm: set[int] = set()

    def __enter__(self) -> _Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self._inline.close()
        self._pool.close()

    def judge(self, questions: Sequence[_Question]) -> list[tuple[Verdict, float | None]]:
        """Verdict and seconds of each question, in order."""
        found: list[tuple[Verdict, float | None]] = []
        for portion in _portions(questions):
            calls = [one.call for one in portion if one.call is not None]
            outcomes = iter(self._outcomes(portion[0].binding, calls) if calls else ())
            for one in portion:
                if one.known is not None:
                    found.append((one.known, None))
                    continue
                outcome = next(outcomes)
                found.append((outcome.verdicts[0], outcome.seconds))
        return found

    def _outcomes(self, binding: Binding, calls: Sequence[Call]) -> list[Outcome]:
        if id(binding) not in self._warm:
            self._warm.add(id(binding))
            self._run(binding, calls[:1])
        outcomes = self._run(binding, calls)
        if any(_took_its_worker_along(one) for one in outcomes):
            self._warm.clear()  # the next call meets a new process
        return outcomes

    def _run(self, binding: Binding, calls: Sequence[Call]) -> list[Outcome]:
        if binding.isolation == "inline":
            judge = None if binding.judge is None else binding.judge.thing
            return self._inline.run(
                binding.offer.thing, judge, binding.in_worker, calls, binding.timeout, concurrent=binding.is_async
            )
        owner = str(binding.offer.owner)
        work = Work(str(id(binding)), binding.in_worker, calls, binding.timeout, binding.is_async, owner)
        return self._pool.run([work])[0]


def _portions(questions: Sequence[_Question]) -> Iterator[list[_Question]]:
    """Questions that are asked together: alone, or several of one asynchronous reward."""
    portion: list[_Question] = []
    for one in questions:
        full = portion and (
            one.binding is not portion[0].binding or not one.binding.is_async or len(portion) == TOGETHER
        )
        if full:
            yield portion
            portion = []
        portion.append(one)
    if portion:
        yield portion


def _took_its_worker_along(outcome: Outcome) -> bool:
    return any(one.status is Status.TIMEOUT or one.reason in _LOST for one in outcome.verdicts)


def _bindings(verifier: Verifier, rows: Sequence[Labelled], plugins: Plugins) -> list[Binding]:
    """The verifier for each row, bound once for all rows that have the same options."""
    bound: dict[str, Binding] = {}
    bindings = []
    for row in rows:
        options = {**verifier.options, **row.options}
        key = json.dumps(options, sort_keys=True, default=str)
        if key not in bound:
            config = RewardConfig(
                use=verifier.name,
                options=options,
                timeout=verifier.timeout,
                judge=verifier.judge,
                judge_options=dict(verifier.judge_options),
            )
            bound[key] = bind(verifier.name, config, plugins)
        _check_row(bound[key], row)
        bindings.append(bound[key])
    return bindings


def _check_row(binding: Binding, row: Labelled) -> None:
    if not row.has_gold and "reference" in (*binding.given, *binding.columns):
        raise DataError(f"{row.where}: {binding.spoken} compares with a gold answer, and the row has no 'gold'")
    for column in binding.columns:
        if column not in row.sample.columns and not (binding.kind == "batch" and column == "reference"):
            near = close_to(column, {*row.sample.columns, *GIVEN})
            raise DataError(
                f"{row.where}: {binding.spoken} asks for the column {column!r}"
                + (f"; did you mean {near!r}? Else" if near else ";")
                + f' give it as "columns": {{"{column}": ...}}, which has {sorted(row.sample.columns)}'
            )


def _completion(row: Labelled, format: Format | None) -> Completion:
    parsed = Parsed(row.pred) if format is None or row.form == "answer" else format.parse(row.pred)
    return Completion(row.pred, parsed, row.pred)
