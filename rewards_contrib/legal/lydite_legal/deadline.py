"""The date on which a period ends."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any, Final

from lydite import Verdict, reward
from lydite_legal.anchors import last_line, statements
from lydite_legal.dates import Numeric, count_deadline, read_dates
from lydite_legal.spoken import spoken

ANCHORS: Final = (
    "answer", "deadline", "due date", "final date", "last day", "time limit", "limitation period ends", "expiry date",
    "period ends", "date", "result", "conclusion",
)  # fmt: skip
_BEFORE_DATE: Final = re.compile(
    r"(?:on|by|no later than|not later than|until|at the latest on|at the end of|midnight on"
    r"|(?:the\s)?close of business on)?\s?(?:the\s)?",
    re.IGNORECASE,
)
_LEADS_UP: Final = re.compile(r"\b(?:is|was|be|on|by|than|until|at)\s(?:the\s)?\Z", re.IGNORECASE)
_IS_ABOUT_IT: Final = re.compile(
    r"\b(?:deadline|due|last day|must|no later|at the latest|expires?|ends?)\b", re.IGNORECASE
)
_DENIES: Final = re.compile(r"\b(?:not|never|n't|before|after|from|or)\b(?!\s(?:later|after)\s)", re.IGNORECASE)
_OTHER: Final = re.compile(r"(?<!\w)(?:or|alternatively|perhaps|maybe)(?!\w)|/\s", re.IGNORECASE)


@reward(range=(0.0, 1.0), isolation="worker", pays_for="answer")
def deadline(
    answer: str,
    reference: Any,
    start: str | None = None,
    days: int | None = None,
    months: int | None = None,
    counting: str | None = None,
    holidays: Any = None,
    roll: str | None = None,
    *,
    numeric: Numeric = "refuse",
    anchors: Sequence[str] = ANCHORS,
) -> Verdict:
    """1 when the date that the answer ends on is the reference's; else 0.

    The date stands right behind an anchor (`Deadline: 15 March 2024`, `the last day is 2024-03-15`), is all of the last
    line, or closes a last sentence such as `It must be filed by 15 March 2024.` All anchored dates must agree, and an
    anchored line holds one date. Without a reference, the columns `start` (ISO), `days`, `months`, `counting`
    ("calendar" or "business"), `holidays` (ISO dates) and `roll` ("none", "next" or "previous") say how it is counted;
    with both, they must agree.
    """
    wanted = _wanted(reference, start, days, months, counting, holidays, roll)
    if isinstance(wanted, Verdict):
        return wanted
    text = spoken(answer)
    if text is None:
        return Verdict(0.0, passed=False, reason="text.long")
    if not text.strip():
        return Verdict(0.0, passed=False, reason="answer.empty")
    said = _stated(text, tuple(anchors), numeric)
    if not said:
        return Verdict(0.0, passed=False, reason="date.missing")
    for one in said:
        if isinstance(one, str):
            return Verdict(0.0, passed=False, reason=one)
    if len(set(said)) > 1:
        return Verdict(0.0, passed=False, reason="date.several", parsed=" | ".join(str(one) for one in said))
    right = said[-1] == wanted
    return Verdict(float(right), passed=right, reason="date.right" if right else "date.wrong", parsed=str(said[-1]))


def _stated(text: str, anchors: tuple[str, ...], numeric: Numeric) -> list[datetime.date | str]:
    """The date of each statement, or the reason why it gives none."""
    stated = statements(text, anchors)
    said: list[datetime.date | str] = []
    for one in stated:
        date = _read(one.text, numeric)
        if date is not None:
            said.append(date)
        elif one.at_line_start and one.anchor == stated[-1].anchor:
            # A line that promises the result and has no date; prose under an earlier heading promised nothing.
            said.append("date.unclear" if one.text else "date.missing")
    closing = _read(last_line(text), numeric, alone=True)
    if closing is None and not stated:
        closing = _at_the_end(last_line(text), numeric)
    if closing is not None:
        said.append(closing)
    return said


def _at_the_end(line: str, numeric: Numeric) -> datetime.date | str | None:
    """The date that closes a sentence such as `The appeal must be filed by 4 July 2025.`; None when it is another."""
    sentence = line[max(line.rfind(mark, 0, -1) for mark in (". ", "! ", "? ", "; ")) + 1 :]
    found = list(read_dates(sentence, numeric))
    if len(found) != 1 or sentence[found[0].end :].strip(" .!"):
        return None
    before = sentence[: found[0].start]
    if not _LEADS_UP.search(before) or not _IS_ABOUT_IT.search(before) or _DENIES.search(before):
        return None
    return found[0].fault or found[0].date


def _read(statement: str, numeric: Numeric, *, alone: bool = False) -> datetime.date | str | None:
    """The date that a statement begins with (or, `alone`, is), a reason code, or None when it does not."""
    found = list(read_dates(statement, numeric))
    if not found:
        return None
    first = found[0]
    lead = _BEFORE_DATE.match(statement)
    if lead is None or lead.end() < first.start:
        return None
    if alone and statement[first.end :].strip(" .!"):
        return None
    if first.fault:
        return first.fault
    others = {one.date for one in found if one.date is not None} | {one.fault for one in found if one.fault}
    if len(others) > 1 or _OTHER.search(statement, first.end):
        return "date.several"
    return first.date


def _wanted(
    reference: Any, start: Any, days: Any, months: Any, counting: Any, holidays: Any, roll: Any
) -> datetime.date | Verdict:
    """The right date, or the verdict that says why there is none."""
    counted = None
    if start is not None and (days is not None or months is not None):
        try:
            counted = count_deadline(
                _iso(start),
                days=_whole(days),
                months=_whole(months),
                counting=_one_of(counting, ("calendar", "business")),
                holidays=frozenset(_iso(one) for one in holidays or ()),
                roll=_one_of(roll, ("none", "next", "previous")),
            )
        except (ValueError, TypeError, OverflowError):
            return Verdict.error("columns.unreadable", scope="prompt")
    if reference is None:
        return Verdict.abstain("reference.missing", scope="prompt") if counted is None else counted
    try:
        given = _iso(reference)
    except (ValueError, TypeError):
        return Verdict.abstain("reference.not_a_date", scope="prompt")
    if counted is not None and counted != given:
        return Verdict.error("reference.conflict", scope="prompt")
    return given


def _iso(given: Any) -> datetime.date:
    if not isinstance(given, str):
        raise TypeError(f"a date is an ISO text such as '2024-03-15', got {given!r}")
    return datetime.date.fromisoformat(given.strip())


def _whole(given: Any) -> int:
    if given is None:
        return 0
    if isinstance(given, bool) or given != int(given):
        raise ValueError(f"a number of days or months is whole, got {given!r}")
    return int(given)


def _one_of(given: Any, known: tuple[Any, ...]) -> Any:
    if given is None:
        return known[0]
    if given not in known:
        raise ValueError(f"expected one of {known}, got {given!r}")
    return given
