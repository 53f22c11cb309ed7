"""Asking a judge about an answer, all criteria at once. What goes wrong drops a criterion and never decides it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

from lydite import Evidence, Message
from lydite_rubric.findings import Finding, decided
from lydite_rubric.questions import Case, ask_one, ask_together
from lydite_rubric.quotes import stands_in
from lydite_rubric.replies import Opinion, opinion_in, opinions_in
from lydite_rubric.rubric import Criterion, JudgeCheck

Judge: TypeAlias = Callable[[Sequence[Message]], Awaitable[object]]
SETTLING: Final = 0.2
"""Seconds that a question which was given up has to clean up."""
_SHOWN: Final = 300


async def ask(
    judge: Judge | None, criteria: Sequence[Criterion], case: Case, *, together: bool, seconds: float, text: str
) -> Mapping[str, Finding]:
    """By id, what the judge found about each criterion, within that many seconds.

    A judge that raises, is late, replies with something else than it was asked for, or shows words that the answer
    does not have, leaves the criterion undecided. `text` is the completion's text, for the places of quotations.
    """
    if judge is None:
        told = Evidence("the rubric asks a judge, and the reward's table names none; add `judge`", note="error")
        return dict.fromkeys((one.id for one in criteria), Finding(None, "judge.missing", (told,), "judge"))
    if together:
        questions = {"": asyncio.ensure_future(_several(judge, criteria, case, text))}
    else:
        questions = {one.id: asyncio.ensure_future(_several(judge, (one,), case, text, alone=True)) for one in criteria}
    tasks = list(questions.values())
    try:
        await asyncio.wait(
            tasks, timeout=seconds
        )  # not wait_for, which waits for ever where a cancellation is swallowed
    finally:
        late = [one for one in tasks if not one.done()]
        for one in late:
            one.cancel()
    if late:
        await asyncio.wait(late, timeout=SETTLING)
    told = Evidence(f"no reply within {seconds:g} s", note="error")
    findings = dict.fromkeys((one.id for one in criteria), Finding(None, "judge.slow", (told,), "judge"))
    for task in tasks:
        if task.done() and not task.cancelled() and task not in late:
            findings.update(task.result())
    return findings


async def _several(
    judge: Judge, criteria: Sequence[Criterion], case: Case, text: str, *, alone: bool = False
) -> dict[str, Finding]:
    try:
        reply = await judge(ask_one(case, criteria[0]) if alone else ask_together(case, criteria))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it was, the judge has no opinion
        told = Evidence(f"{type(error).__name__}: {error}"[:_SHOWN], note="error")
        return dict.fromkeys((one.id for one in criteria), Finding(None, "judge.failed", (told,), "judge"))
    single = opinion_in(reply) if alone else None
    opinions = {} if single is None else {criteria[0].id: single}
    if not alone:
        opinions = opinions_in(reply, [one.id for one in criteria])
    unclear = Finding(None, "judge.unclear", (Evidence(str(reply)[:_SHOWN], note="reply"),), "judge")
    return {
        one.id: unclear if one.id not in opinions else _weighed(one, opinions[one.id], case.answer, text)
        for one in criteria
    }


def _weighed(criterion: Criterion, opinion: Opinion, answer: str, text: str) -> Finding:
    """The opinion as a finding; a "met" that cannot show its words is void."""
    assert isinstance(criterion.check, JudgeCheck)
    found = bool(opinion.quote) and stands_in(opinion.quote, answer)
    if opinion.met and criterion.check.quote and not found:
        return Finding(None, "quote.missing", (Evidence(opinion.quote[:_SHOWN], note="not found"),), "judge")
    if not opinion.met or not found:
        return decided(opinion.met)
    return decided(True, (_quotation(opinion.quote, text),))


def _quotation(quote: str, text: str) -> Evidence:
    start = text.find(quote)
    if start < 0:  # found but for its spelling
        return Evidence(quote[:_SHOWN], note="quote")
    return Evidence(quote[:_SHOWN], start, start + len(quote), note="quote")
