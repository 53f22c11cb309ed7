"""Calling a reward and making outcomes of whatever comes back; the same in the trainer and in a worker."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from lydite.contracts import JudgeMessages
from lydite.rewards.calls import Call, Outcome
from lydite.rewards.recipe import WorkerReward, load
from lydite.rewards.spawn import WorkerProcess
from lydite.rewards.trl_style import Recorder, accepted, recorder_for
from lydite.rewards.using import caller
from lydite.rewards.verdicts import failed, from_exception, lift, lift_all
from lydite.types import Verdict

SETTLING: Final = 0.2  # seconds that a cancelled coroutine has to clean up


Invoke: TypeAlias = Callable[[Call, Recorder | None], Any]
"""Calls a reward and gives its raw result, or the awaitable of one."""


class JudgeFailure(Exception):  # noqa: N818 - an outage of the judge, told apart from the reward's own errors
    """Raised inside a reward when its judge cannot be reached."""


def callable_for(
    reward: WorkerReward, function: Callable[..., Any] | None = None, judge: Callable[..., Any] | None = None
) -> Invoke:
    """A function of a call that gives the reward's raw result, or its awaitable.

    The reward and its judge are loaded by their recipes where they are not given.
    """
    called = function if function is not None else load(reward.recipe)
    bound = None
    if reward.judge is not None:
        bound = _bound(judge if judge is not None else load(reward.judge), reward.judge_options, reward.judge.name)
    others = caller(reward.uses, callable_for) if reward.uses else None
    by_place = [
        name
        for name, one in inspect.signature(called).parameters.items()
        if one.kind is inspect.Parameter.POSITIONAL_ONLY
    ]

    def invoke(call: Call, recorder: Recorder | None) -> Any:
        arguments = dict(call.arguments)
        if bound is not None:
            arguments["judge"] = bound
        if others is not None:
            arguments["rewards"] = others
        if reward.kind == "batch":
            if recorder is not None:
                arguments.update({name: getattr(recorder, name) for name in reward.recorded})
            arguments = accepted(called, arguments)
        first = [arguments.pop(name) for name in by_place if name in arguments]
        return called(*first, **arguments, **reward.options)

    return invoke


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling the function gives a coroutine, as far as can be told beforehand."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def outcome_of(reward: WorkerReward, call: Call, result: Any, recorder: Recorder | None, seconds: float) -> Outcome:
    """The outcome for a result that a reward returned."""
    try:
        if reward.kind == "completion":
            verdicts: tuple[Verdict, ...] = (lift(result, reward.terms),)
        else:
            verdicts = lift_all(result, reward.terms, call.size)
            verdicts = recorder.annotate(verdicts) if recorder is not None else verdicts
    except Exception as error:  # noqa: BLE001 - a result may be a hostile object that raises when it is looked at
        return Outcome((from_exception(error, reward.terms),) * call.size, seconds)
    return Outcome(verdicts, seconds, recorder.means() if recorder is not None else {})


def outcome_of_exception(reward: WorkerReward, call: Call, error: BaseException, seconds: float) -> Outcome:
    """The outcome for an exception that a reward let out. A judge's outage is the prompt's fault, not the text's.

    A judge's exception may carry its own code as `reason`, such as `judge.budget`.
    """
    outage = _outage_in(error)
    said = getattr(outage.__cause__, "reason", None) if outage is not None else None
    verdict = (
        failed(
            said if isinstance(said, str) else "judge.failed",
            f"the judge of reward {reward.terms.name!r} failed: {outage}",
            scope="prompt",
        )
        if outage is not None
        else from_exception(error, reward.terms)
    )
    return Outcome((verdict,) * call.size, seconds)


def run_one(invoke: Invoke, reward: WorkerReward, call: Call, timeout: float) -> Outcome:
    """The outcome of one synchronous call; a result that must be awaited after all is awaited, with the deadline."""
    recorder = recorder_for(reward.kind, reward.recorded)
    began = time.perf_counter()
    try:
        result = invoke(call, recorder)
    except BaseException as error:  # noqa: BLE001 - a verifier may raise anything
        _let_interrupts_through(error)
        return outcome_of_exception(reward, call, error, time.perf_counter() - began)
    if inspect.isawaitable(result):
        with event_loop() as loop:
            outcomes, _ = loop.run_until_complete(together(lambda _c, _r: result, reward, [call], timeout))
        return outcomes[0]
    return outcome_of(reward, call, result, recorder, time.perf_counter() - began)


async def together(
    invoke: Invoke, reward: WorkerReward, calls: Sequence[Call], timeout: float
) -> tuple[list[Outcome], bool]:
    """The outcomes of asynchronous calls that run at the same time, and whether some of them would not stop.

    Each call has `timeout` seconds for each completion that it judges, from the common start.
    """

    async def one(call: Call) -> Outcome:
        recorder = recorder_for(reward.kind, reward.recorded)
        began = time.perf_counter()
        try:
            result = invoke(call, recorder)
            if inspect.isawaitable(result):
                result = await result
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a verifier may raise anything
            _let_interrupts_through(error)
            return outcome_of_exception(reward, call, error, time.perf_counter() - began)
        return outcome_of(reward, call, result, recorder, time.perf_counter() - began)

    async def in_time(call: Call) -> tuple[Outcome, asyncio.Task[Outcome] | None]:
        task = asyncio.ensure_future(one(call))
        limit = timeout * call.size
        await asyncio.wait(
            [task], timeout=limit
        )  # not wait_for, which waits for ever where a cancellation is swallowed
        if task.done() and not task.cancelled():
            return task.result(), None
        if task.cancelled():
            cancelled = failed("raised.CancelledError", f"reward {reward.terms.name!r} cancelled itself")
            return Outcome((cancelled,) * call.size), None
        task.cancel()
        return Outcome((Verdict.timeout(seconds=limit),) * call.size, limit), task

    pairs = await asyncio.gather(*(in_time(call) for call in calls))
    late = [task for _, task in pairs if task is not None]
    if late:
        await asyncio.wait(late, timeout=SETTLING)
    return [outcome for outcome, _ in pairs], any(not task.done() for task in late)


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop of its own, closed at the end without waiting for what would not stop."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


def _bound(judge: Callable[..., Any], options: Mapping[str, Any], name: str) -> Callable[[JudgeMessages], Any]:
    async def ask(messages: JudgeMessages) -> str:
        try:
            reply: str = await judge(messages, **options)
        except Exception as error:
            raise JudgeFailure(f"{name}: {type(error).__name__}: {error}") from error
        return reply

    return ask


def _outage_in(error: BaseException | None) -> JudgeFailure | None:
    seen = 0
    while error is not None and seen < 20:  # a chain of causes may be a ring
        if isinstance(error, JudgeFailure):
            return error
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None


def _let_interrupts_through(error: BaseException) -> None:
    # In the trainer, Ctrl-C is the user's. A worker never sees it: there, the verifier raised it.
    if isinstance(error, KeyboardInterrupt) and not isinstance(multiprocessing.current_process(), WorkerProcess):
        raise error
