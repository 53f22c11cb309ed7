"""Citations of the European Union: cases, ECLI (of member states too), CELEX numbers, acts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from lydite_legal.cites.found import Cite, year_fault

FIRST_YEAR: Final = 1952
MOST_CASES: Final = 1_500
"""More than the court was ever asked in one year."""
_FIRST_IN: Final = {"C": 1989, "T": 1989, "F": 2005}
_YEAR_FIRST_SINCE: Final = 2015
"""Since then regulations, too, are numbered year/number."""
_CASE: Final = re.compile(r"(?<![\w/])(?:(?:Joined\s)?Cases?\s)?([CTF])[-\u2010-\u2013](\d{1,5})/(\d{2})(?![\w/])")
_OLD_CASE: Final = re.compile(r"(?<!\w)(?:Joined\s)?Cases?\s(\d{1,4})/(\d{2})(?![\w/])")
"""Before the Court of First Instance there was no letter to tell its cases by."""
_ECLI: Final = re.compile(
    r"(?<!\w)ECLI:([A-Z]{2}):([A-Z][A-Z0-9]{0,6}):(\d{4}):([A-Z0-9]{1,25}(?:\.[A-Z0-9]{1,25}){0,3})"
)
_ECLI_BROKEN: Final = re.compile(r"(?<!\w)ECLI:(?!\s)[^\s,;)]{1,60}")
_CELEX: Final = re.compile(r"(?<![\w.])([1-9])(\d{4})([A-Z]{1,2})(\d{4})(?:\(\d{2}\))?(?!\w)")
_ACT: Final = re.compile(
    r"(?<!\w)(Regulation|Directive|Decision)\s(?:\((EU|EC|EEC|Euratom|EU, Euratom)\)\s)?(?:No\.?\s)?(\d{1,4})/(\d{1,4})"
    r"(?:/(EU|EC|EEC|Euratom|JHA|CFSP))?(?!\w)"
)


def read_european(text: str, latest: int) -> Iterator[Cite]:
    """`C-131/12`, `ECLI:EU:C:2014:317`, `62012CJ0131`, `Regulation (EU) 2016/679`, `Directive 95/46/EC`."""
    for found in _CASE.finditer(text):
        year = _full_year(int(found[3]), latest)
        fault = ""
        if year < _FIRST_IN[found[1]] or (found[1] == "F" and year > 2016):
            fault = "court.year"
        elif not 1 <= int(found[2]) <= MOST_CASES:
            fault = "number.range"
        key = f"{found[1]}-{int(found[2])}/{found[3]}".casefold()
        yield Cite("eu", found[0], *found.span(), key, year=year, fault=fault)
    for found in _OLD_CASE.finditer(text):
        year = 1900 + int(found[2])
        fault = "" if FIRST_YEAR < year <= _FIRST_IN["C"] else "court.year"
        yield Cite("eu", found[0], *found.span(), f"{int(found[1])}/{found[2]}", year=year, fault=fault)
    whole = set()
    for found in _ECLI.finditer(text):
        whole.add(found.start())
        year = int(found[3])
        key = found[0].casefold().rstrip(".")
        yield Cite("eu", found[0], *found.span(), key, year=year, fault=year_fault(year, latest, 1800))
    for found in _ECLI_BROKEN.finditer(text):
        if found.start() not in whole:
            yield Cite("malformed", found[0], *found.span(), found[0].casefold(), fault="court.unknown")
    for found in _CELEX.finditer(text):
        year = int(found[2])
        fault = year_fault(year, latest, FIRST_YEAR - 1)
        yield Cite("eu", found[0], *found.span(), found[0].casefold(), year=year, fault=fault)
    for found in _ACT.finditer(text):
        year, number = _of_act(found[1], found[3], found[4], latest)
        fault = year_fault(year, latest, FIRST_YEAR)
        yield Cite("eu", found[0], *found.span(), f"{found[1]} {year}/{number}".casefold(), year=year, fault=fault)


def _of_act(kind: str, first: str, second: str, latest: int) -> tuple[int, int]:
    """The year and the number of an act: regulations were numbered number/year until 2014, directives never."""
    as_first, as_second = _full_year(int(first), latest), _full_year(int(second), latest)
    plausible = FIRST_YEAR <= as_second <= latest and len(second) in (2, 4)
    if kind == "Regulation" and not (len(first) == 4 and as_first >= _YEAR_FIRST_SINCE) and plausible:
        return as_second, int(first)
    return as_first, int(second)


def _full_year(year: int, latest: int) -> int:
    if year >= 100:
        return year
    return 1900 + year if year >= FIRST_YEAR - 1900 and 2000 + year > latest else 2000 + year
