"""Citations of American cases, as eyecite finds them, with their year and plausibility checked here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from lydite_legal.cites.editions import edition_fault
from lydite_legal.cites.found import SECTION, Cite, folded, year_fault

OLDEST: Final = 1600
_LINK: Final = r"(?:,\s?(?:at\s)?\*?\d{1,5}(?:-\d{1,5})?|,\s\d{1,4}\s[A-Z][A-Za-z0-9. ]{0,16}\s\d{1,5}|\sn\.\s?\d{1,3})"
_PARENTHESIS: Final = re.compile(rf"{_LINK}{{0,6}}\s{{0,2}}\(([^()\n]{{0,80}})\)")
_YEAR: Final = re.compile(r"(?<!\d)\d{4}(?!\d)")
_LONGER_SECTION: Final = re.compile(SECTION)


def read_cases(text: str, latest: int) -> Iterator[Cite]:
    """Full, short, id. and supra citations, and the statutes that eyecite knows, with their sections kept whole."""
    from eyecite import get_citations  # a quarter of a second, most of it lxml and the tables of reporters
    from eyecite.models import (
        FullCaseCitation,
        FullJournalCitation,
        FullLawCitation,
        IdCitation,
        ShortCaseCitation,
        SupraCitation,
    )

    everything: list[Any] = list(get_citations(text))  # eyecite's own methods carry no types
    for found in everything:
        start, end = found.span()
        shown = found.matched_text()
        if isinstance(found, FullCaseCitation | FullJournalCitation):
            yield _full(found, text, start, end, shown, latest)
        elif isinstance(found, ShortCaseCitation):
            groups = found.groups
            yield Cite("short", shown, start, end, folded(f"{groups['volume']} {_reporter(found)}"))
        elif isinstance(found, FullLawCitation):
            yield _law(found, text, start, end, shown)
        elif isinstance(found, IdCitation):
            yield Cite("id", shown, start, end, "id.")
        elif isinstance(found, SupraCitation):
            yield Cite("supra", shown, start, end, folded(found.metadata.antecedent_guess or ""))


def _full(found: Any, text: str, start: int, end: int, shown: str, latest: int) -> Cite:
    groups = found.groups
    reporter = _reporter(found)
    volume, page = _number(groups.get("volume")), _number(groups.get("page"))
    year = _year_behind(text, end)
    if year is None and found.metadata.year:
        year = _number(found.metadata.year)
    editions = tuple(found.exact_editions) + tuple(found.variation_editions)
    fault = year_fault(year, latest, OLDEST) or edition_fault(reporter, editions, volume, page, year, latest)
    if groups.get("page") is None or "_" in shown:
        fault = fault or "cite.placeholder"
    key = folded(f"{groups.get('volume')} {reporter} {groups.get('page')}")
    return Cite("case", shown, start, end, key, year=year, fault=fault)


def _law(found: Any, text: str, start: int, end: int, shown: str) -> Cite:
    section = found.groups.get("section") or ""
    at = text.rfind(section, start, end) if section else -1
    whole = _LONGER_SECTION.match(text, at) if at >= 0 else None
    if whole is not None and whole.end() > end:
        end = whole.end()
        shown = text[start:end]
    name = re.sub(r"\s*(?:§+|[Ss]ections?|[Ss]ecs?\.)\s*", " ", shown)
    return Cite("statute", shown, start, end, folded(name))


def _reporter(found: Any) -> str:
    edition = found.edition_guess or next(iter(found.all_editions), None)
    return str(edition.short_name) if edition is not None else str(found.groups.get("reporter", ""))


def _year_behind(text: str, end: int) -> int | None:
    """The year in the parenthesis behind a citation, over pinpoints and parallel citations."""
    behind = _PARENTHESIS.match(text, end)
    years = _YEAR.findall(behind[1]) if behind else []
    return int(years[-1]) if years else None


def _number(given: str | None) -> int | None:
    return int(given) if given is not None and given.isascii() and given.isdigit() and len(given) < 10 else None
