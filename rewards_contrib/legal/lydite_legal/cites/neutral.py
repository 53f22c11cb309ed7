"""Neutral citations and the law reports of common law countries outside the United States."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from lydite_legal.cites.found import Cite, folded, year_fault
from lydite_legal.lexicon import lexicon

_BRACKETED: Final = re.compile(
    r"\[(\d{4})\]\s{0,2}(?:(\d{1,2})\s)?([A-Z][A-Za-z]{0,7}(?:\s(?:Civ|Crim|ER|Rep|Cas|R))?)(?:\s{1,2}(\d{1,5})(?!\d))?"
    r"(?:\s\((Admin|Ch|QB|KB|Fam|Comm|TCC|Pat|IPEC|Costs|Admlty|AAC|IAC|LC|TC)\))?"
)
_UNBRACKETED: Final = re.compile(r"(?<![\w\[(-])(\d{4})\s([A-Z]{2,5})\s(\d{1,5})(?!\w|\.\d)")


def read_neutral(text: str, latest: int) -> Iterator[Cite]:
    """`[2019] UKSC 41`, `2019 SCC 5`, `[1932] AC 562`; a bracketed year before an unknown court is malformed."""
    courts, reports = lexicon("courts")["bracketed"], lexicon("courts")["reports"]
    for found in _BRACKETED.finditer(text):
        year, court = int(found[1]), found[3]
        key = folded(f"[{year}] {found[2] or ''} {court} {found[4] or ''}")
        span = found.span()
        if court in courts:
            number = int(found[4]) if found[4] else 0
            fault = year_fault(year, latest) or _court_fault(courts[court], year, number)
            yield Cite("neutral", found[0], *span, key, year=year, fault=fault)
        elif court in reports:
            fault = year_fault(year, latest) or ("number.range" if not found[4] else "")
            first, last = reports[court]
            if not fault and not first <= year <= (last or latest):
                fault = "edition.year"
            yield Cite("neutral", found[0], *span, key, year=year, fault=fault)
        elif found[4] and court.upper() == court:
            yield Cite("malformed", found[0], *span, key, year=year, fault="court.unknown")
    plain = lexicon("courts")["unbracketed"]
    for found in _UNBRACKETED.finditer(text):
        year, court = int(found[1]), found[2]
        if court in plain:
            fault = year_fault(year, latest) or _court_fault(plain[court], year, int(found[3]))
            yield Cite("neutral", found[0], *found.span(), folded(found[0]), year=year, fault=fault)


def _court_fault(court: list[int | None], year: int, number: int) -> str:
    first, last, most = court
    if (first is not None and year < first) or (last is not None and year > last):
        return "court.year"
    return "" if most is None or 1 <= number <= most else "number.range"
