"""Deciding a criterion without a judge: by a reward, a pattern or a function."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any, Final

import regex

from lydite import CallReward, Completion, Evidence, Sample, Status, Verdict
from lydite_rubric.findings import Finding, decided
from lydite_rubric.functions import arguments_of, load_function
from lydite_rubric.rubric import Criterion, FunctionCheck, RegexCheck, RewardCheck

SECONDS: Final = 1.0
"""That a pattern may take on one text."""
PASSES_AT: Final = 0.5
"""The score from which a check that only grades has passed; the same as a run's `pass_at`."""
_SHOWN: Final = 3  # pieces of a reward's own evidence that are kept


async def check(
    criterion: Criterion, completion: Completion, sample: Sample, answer: str, rewards: CallReward | None
) -> Finding:
    """What the criterion's check says. A check that fails is dropped; one that runs out of time counts against.

    Never raises what a check raises: time that the answer made a check waste is the answer's doing, everything
    else leaves the criterion undecided.
    """
    by = criterion.check
    if isinstance(by, RegexCheck):
        return _by_pattern(criterion, by, completion.text if by.of == "text" else answer)
    assert isinstance(by, RewardCheck | FunctionCheck)
    try:
        result = await _result(criterion.id, by, completion, sample, answer, rewards)
        return _finding(criterion, by, result)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a check is somebody else's code
        return Finding(None, "check.failed", (_failure(error),))


async def _result(
    id: str,
    by: RewardCheck | FunctionCheck,
    completion: Completion,
    sample: Sample,
    answer: str,
    rewards: CallReward | None,
) -> Any:
    if isinstance(by, RewardCheck):
        assert rewards is not None  # given whenever a rubric uses one
        return await rewards(id, completion, sample)
    function = load_function(by.function, by.options)  # imported already; its options are converted anew
    result = function(*arguments_of(function, completion, sample, answer))
    return await result if inspect.isawaitable(result) else result


def _by_pattern(criterion: Criterion, by: RegexCheck, text: str) -> Finding:
    try:
        found = _compiled(by.regex).search(text, timeout=SECONDS)
    except TimeoutError:
        return _slow(criterion)
    evidence = () if found is None else (Evidence(found.group()[:200], note="found"),)
    return decided((found is not None) == (by.met == "passes"), evidence)


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern)


def _finding(criterion: Criterion, by: RewardCheck | FunctionCheck, result: Any) -> Finding:
    if isinstance(result, Verdict):
        evidence = (Evidence(result.reason, note="reason"), *result.evidence[:_SHOWN])
        if result.status is Status.TIMEOUT:
            return _slow(criterion)
        if result.score is None:
            reason = "check.abstained" if result.status is Status.ABSTAIN else "check.failed"
            return Finding(None, reason, evidence, "prompt" if result.scope == "prompt" else "completion")
        passed = result.passed if by.at_least is None else None
        passes = result.score >= _bar(by) if passed is None else passed
        return decided(passes == (by.met == "passes"), evidence)
    if result is None:
        return Finding(None, "check.abstained")
    if isinstance(result, bool):
        return decided(result == (by.met == "passes"))
    if isinstance(result, int | float) and result == result:
        return decided((result >= _bar(by)) == (by.met == "passes"), (Evidence(f"{result:g}", note="score"),))
    raise TypeError(f"a check returns a bool, a number, a Verdict or None, got {type(result).__name__}")


def _bar(by: RewardCheck | FunctionCheck) -> float:
    return PASSES_AT if by.at_least is None else by.at_least


def _slow(criterion: Criterion) -> Finding:
    """Whatever counts against the answer, so that none gains by what it makes a check waste."""
    return Finding(criterion.points < 0, "check.slow")


def _failure(error: BaseException) -> Evidence:
    try:
        told = str(error)
    except Exception:  # noqa: BLE001 - a __str__ may be as broken as the check
        told = "(its message cannot be read)"
    return Evidence(f"{type(error).__name__}: {told}"[:500], note="error")
