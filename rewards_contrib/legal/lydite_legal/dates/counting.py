"""When a period ends: the day of the event does not count, the last day does."""

from __future__ import annotations

import calendar
import datetime
from collections.abc import Collection
from typing import Final, Literal, TypeAlias

Counting: TypeAlias = Literal["calendar", "business"]
Roll: TypeAlias = Literal["none", "next", "previous"]
"""What happens to a last day on a weekend or holiday."""
LONGEST: Final = 20_000
"""Days that a period may have, some 54 years."""
_ONE_DAY: Final = datetime.timedelta(days=1)


def count_deadline(
    start: datetime.date,
    *,
    days: int = 0,
    months: int = 0,
    counting: Counting = "calendar",
    holidays: Collection[datetime.date] = (),
    roll: Roll = "none",
) -> datetime.date:
    """The last day of a period of `months` and then `days` after the start.

    Months end on the day of the same number, or on the month's last day where it has none. Business days are Monday to
    Friday without the holidays. `roll` moves a last day that is no business day.

    Raises:
        ValueError: when the period is negative, empty, or longer than `LONGEST` days.
    """
    if days < 0 or months < 0 or not 0 < days + 30 * months <= LONGEST:
        raise ValueError(f"a period takes from 1 to {LONGEST} days, got days = {days} and months = {months}")
    last = _months_later(start, months)
    if counting == "calendar":
        last += days * _ONE_DAY
    else:
        left = days
        while left:
            last += _ONE_DAY
            left -= _is_business_day(last, holidays)
    step = {"none": datetime.timedelta(), "next": _ONE_DAY, "previous": -_ONE_DAY}[roll]
    while step and not _is_business_day(last, holidays):
        last += step
    return last


def _is_business_day(day: datetime.date, holidays: Collection[datetime.date]) -> bool:
    return day.weekday() < 5 and day not in holidays


def _months_later(start: datetime.date, months: int) -> datetime.date:
    years, month = divmod(start.month - 1 + months, 12)
    year = start.year + years
    return datetime.date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))
