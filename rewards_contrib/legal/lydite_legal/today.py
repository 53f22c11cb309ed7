"""The year that no citation can be later than."""

from __future__ import annotations

import datetime


def latest_year(given: int | None) -> int:
    """The given year, or this one: verdicts on citations from the future change with the calendar, and no others."""
    return datetime.datetime.now(tz=datetime.UTC).year if given is None else given
