"""Could this volume of this reporter have come out in that year? From reporters-db, and a table of our own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from lydite_legal.lexicon import lexicon

SLACK: Final = 1
"""Years around an edition's dates: volumes are bound after the decisions they hold."""
MOST_PAGES: Final = 6_000
"""No bound volume has more pages; databases such as WL number their documents instead."""


def edition_fault(
    reporter: str, editions: Sequence[Any], volume: int | None, page: int | None, year: int | None, latest: int
) -> str:
    """`volume.range`, `page.range`, `edition.year`, or nothing.

    `reporter` is the edition's short name, such as `F.3d`; `editions` are eyecite's candidates, each with `start` and
    `end`. A candidate that fits is enough.
    """
    if volume is not None and volume < 1:
        return "volume.range"
    if reporter in ("WL", "LEXIS") or "LEXIS" in reporter:
        return "edition.year" if volume and year and abs(volume - year) > SLACK else ""
    if page is not None and not 1 <= page <= MOST_PAGES:
        return "page.range"
    table = lexicon("volumes")["reporters"].get(reporter)
    if table is not None and volume is not None:
        return _against_table(table, volume, year, latest)
    if year is None or not editions:
        return ""
    fits = any(
        (one.start is None or one.start.year - SLACK <= year) and (one.end is None or year <= one.end.year + SLACK)
        for one in editions
    )
    return "" if fits else "edition.year"


def _against_table(table: dict[str, Any], volume: int, year: int | None, latest: int) -> str:
    points: list[list[int]] = table["points"]
    last_volume, last_year = points[-1]
    slope = (last_volume - points[-2][0]) / max(1, last_year - points[-2][1])
    # An open reporter grows on: half as fast again as of late, and two years' worth, before a volume is refused.
    most = last_volume if table["closed"] else last_volume + slope * (1.5 * max(0, latest - last_year) + 2)
    if volume > most:
        return "volume.range"
    if year is None:
        return ""
    expected = _year_of(points, volume, slope)
    # Behind the last point the reporter's pace is a guess, which grows with the distance.
    spare = table["tolerance"] + max(0.0, (expected - last_year) / 2)
    return "edition.year" if abs(year - expected) > spare else ""


def _year_of(points: list[list[int]], volume: int, slope: float) -> float:
    if volume <= points[0][0]:
        return points[0][1]
    for (low, since), (high, until) in pairwise(points):
        if volume <= high:
            return since + (until - since) * (volume - low) / (high - low)
    return points[-1][1] + (volume - points[-1][0]) / slope
