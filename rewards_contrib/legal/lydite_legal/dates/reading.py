"""Dates as people write them; what could be two different dates is none."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Numeric: TypeAlias = Literal["us", "eu", "refuse"]
"""How 03/04/2024 reads: March 4, 3 April, or not at all."""

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"), ("february", "feb"), ("march", "mar"), ("april", "apr"), ("may",), ("june", "jun"),
            ("july", "jul"), ("august", "aug"), ("september", "sept", "sep"), ("october", "oct"), ("november", "nov"),
            ("december", "dec"),
        ),
        start=1,
    )
    for name in names
}  # fmt: skip
_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTH: Final = rf"(?:{'|'.join(sorted(_MONTHS, key=len, reverse=True))})"
_WEEKDAYS: Final = "|".join((*_DAYS, *(day[:3] for day in _DAYS)))
_WEEKDAY: Final = rf"(?:(?P<weekday>{_WEEKDAYS})\.?,?\s{{1,2}}(?:the\s|,\s)?)?"
_DATE: Final = re.compile(
    rf"(?<![\w.]){_WEEKDAY}(?:"
    rf"(?P<y1>\d{{4}})(?P<sep>[-/.])(?P<m1>\d{{1,2}})(?P=sep)(?P<d1>\d{{1,2}})"
    rf"|(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?\s{{1,2}}(?:day\sof\s|of\s)?(?P<m2>{_MONTH})\.?,?\s{{1,2}}(?P<y2>\d{{4}})"
    rf"|(?P<m3>{_MONTH})\.?\s{{1,2}}(?:the\s)?(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?,?\s{{1,2}}(?P<y3>\d{{4}})"
    rf"|(?P<a>\d{{1,2}})(?P<mark>[/.-])(?P<b>\d{{1,2}})(?P=mark)(?P<y4>\d{{4}})"
    r")(?![\w/]|[.-]\d)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class DateSpan:
    """A date in a text. `date` is None when it cannot be read; `fault` says why, or that the weekday is wrong."""

    text: str
    start: int
    end: int
    date: datetime.date | None
    fault: Literal["", "date.ambiguous", "date.invalid", "weekday.wrong"] = ""


def read_dates(text: str, numeric: Numeric = "refuse") -> Iterator[DateSpan]:
    """Every full date: ISO, `15 March 2024`, `March 15, 2024`, `15.03.2024`, `03/15/2024`, with or without weekday.

    Dotted dates are day first, as wherever dots are used. Of slashes and dashes, `numeric` decides, unless only one
    reading is a date.
    """
    for found in _DATE.finditer(text):
        date = _date(found, numeric)
        if isinstance(date, str):
            yield DateSpan(found[0], *found.span(), None, date)
            continue
        weekday = found["weekday"]
        wrong = weekday and not _DAYS[date.weekday()].startswith(weekday.casefold())
        yield DateSpan(found[0], *found.span(), date, "weekday.wrong" if wrong else "")


def _date(found: re.Match[str], numeric: Numeric) -> datetime.date | Literal["date.ambiguous", "date.invalid"]:
    if found["y1"]:
        return _valid(int(found["y1"]), int(found["m1"]), int(found["d1"]))
    if found["y2"]:
        return _valid(int(found["y2"]), _MONTHS[found["m2"].casefold()], int(found["d2"]))
    if found["y3"]:
        return _valid(int(found["y3"]), _MONTHS[found["m3"].casefold()], int(found["d3"]))
    first, second, year = int(found["a"]), int(found["b"]), int(found["y4"])
    if found["mark"] == "." or numeric == "eu":
        return _valid(year, second, first)
    if numeric == "us":
        return _valid(year, first, second)
    if first == second or first > 12 or second > 12:
        return _valid(year, min(first, second), max(first, second))
    return "date.ambiguous"


def _valid(year: int, month: int, day: int) -> datetime.date | Literal["date.invalid"]:
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return "date.invalid"
