"""Statutes, regulations and rules of court: federal, some states, acts by name and year, articles of treaties."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from lydite_legal.cites.found import SECTION, Cite, Kind, folded, year_fault
from lydite_legal.lexicon import lexicon

_SUBSECTIONS: Final = r"(?:\([A-Za-z0-9]{1,5}\)){0,4}"
_STATE_FORMS: Final = (
    r"\d{1,4}\s(?:ILCS|Ill\.\sComp\.\sStat\.)\s\d{1,4}/\d{1,4}[-.\w]{0,12}",
    rf"N\.Y\.\sC\.P\.L\.R\.\s(?:§\s?)?\d{{1,5}}{_SUBSECTIONS}",
    rf"Mass\.\sGen\.\sLaws\sch\.\s\d{{1,4}}[A-Z]?,\s§\s?\d{{1,4}}[A-Z]?{_SUBSECTIONS}",
    r"(?:RCW|ORS|NRS|KRS|MCL|RSMo|N\.J\.S\.A\.)\s(?:§\s?)?\d[\w:]{0,6}(?:[.-]\d{1,6}[A-Za-z]{0,2}){1,3}",
)
"""What eyecite does not know of the states."""
_STATE: Final = re.compile(rf"(?<![\w.])(?:{'|'.join(_STATE_FORMS)})(?!\w)")
_CONSTITUTION: Final = re.compile(
    r"(?<![\w.])U\.S\.\sConst\.,?\s(art|amend)\.\s([IVX]{1,6}|\d{1,2})(?:,\s§\s?(\d{1,2}))?(?:,\scl\.\s?\d{1,2})?(?!\w)"
)
_PARTS_OF_CONSTITUTION: Final = {"art": 7, "amend": 27}
_ROMAN: Final = {
    tens * "X" + ones: 10 * tens + number
    for tens in range(3)
    for number, ones in enumerate(("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"))
}
_MARK: Final = r"(?:§{1,2}|[Ss]ections?|[Ss]ecs?\.|[Pp]arts?|[Pp]ts?\.)"
_FEDERAL: Final = re.compile(
    rf"(?<![\w.])(\d{{1,4}})\s{{0,2}}(U\.?\s?S\.?\s?C|C\.?\s?F\.?\s?R)(?![A-Za-z])\.?(?:\s?[AS]\.)?\s{{0,2}}(?:{_MARK}\s{{0,2}})?({SECTION})?"
)
_RULES: Final = re.compile(
    rf"(?<!\w)(?:Fed\.\s?R\.\s?(Civ|Crim|App|Bankr)\.\s?P\.|Fed\.\s?R\.\s?(Evid)\.)\s?(?:[Rr]ule\s)?({SECTION})?"
)
_ARTICLE: Final = re.compile(
    r"(?<!\w)(?:Art(?:icle|ikel)?s?\.?)\s{1,2}(\d{1,4}[a-z]?)((?:\s?\(\w{1,3}\)|\sAbs\.\s?\d{1,2}|\slit\.\s?[a-z]){0,4})"
    r"(?:\sof)?(?:\sthe)?\s([A-Z][A-Za-z]{1,7})(?!\w)"
)
_PARAGRAPH: Final = re.compile(
    r"§{1,2}\s?(\d{1,4}[a-z]?)((?:\s?\(\d{1,2}\)|\sAbs\.\s?\d{1,2}|\sS\.\s?\d{1,2}|\sNr\.\s?\d{1,2}){0,4})\s([A-Z][A-Za-z]{1,6})(?!\w)"
)
_CAPITAL: Final = r"[A-Z][A-Za-z'\u2019-]{1,30}"
_JOINED: Final = r"(?:of|and|the|to|for|in|on|from|by|with)"
_ACT: Final = re.compile(
    rf"(?<!\w)((?:{_CAPITAL}(?:\s{_JOINED}){{0,2}},?\s){{1,8}}(?:Act|Code|Rules|Regulations|Ordinance|Statute))(?!\w)"
    rf"(?:\s(?:of\s)?\(?(\d{{4}})(?!\d)\)?)?(?:\s\([A-Z][A-Za-z]{{1,10}}\))?"
    rf"(?:,?\s(?:§{{1,2}}\s?|(?:ss?|[Ss]ections?|[Ss]ecs?|[Aa]rt(?:icle)?s?|[Rr]eg(?:ulation)?s?|[Rr](?:ule)?s?|[Pp]ara(?:graph)?s?)\.?\s)({SECTION}))?"
)
_SECTION_OF: Final = re.compile(
    rf"(?<!\w)(?:[Ss]ections?|[Ss]s?\.?|§{{1,2}}|[Aa]rticles?|[Rr]ules?|[Rr]egulations?)\s?({SECTION})\s(?:of|in)\s(?:the\s)?\Z"
)
_LEADING: Final = re.compile(
    r"^(?:(?:The|This|That|Under|In|See|Per|By|And|But|Cf|Also|Since|Because|Although|As|If|Both|Section|Article|of)\s)+",
    re.IGNORECASE,
)


def read_statutes(text: str, latest: int) -> Iterator[Cite]:
    """Statutes in all the ways that this module knows; a section that is missing or out of range is a fault."""
    yield from _federal(text)
    yield from _rules(text)
    yield from _instruments(text)
    yield from _acts(text, latest)
    yield from _constitution(text)
    for found in _STATE.finditer(text):
        yield Cite("statute", found[0], *found.span(), folded(found[0]))


def _federal(text: str) -> Iterator[Cite]:
    for found in _FEDERAL.finditer(text):
        code = "u.s.c." if found[2].startswith("U") else "c.f.r."
        most = lexicon("codes")["titles"][code]
        section = (found[3] or "").rstrip("-.:/")
        if not section:
            yield Cite("malformed", found[0], *found.span(), code, fault="section.missing")
            continue
        fault = "" if 1 <= int(found[1]) <= most else "title.range"
        key = f"{int(found[1])} {code} {folded(section).replace(' ', '')}"
        yield Cite("statute", found[0], *found.span(), key, fault=fault)


def _constitution(text: str) -> Iterator[Cite]:
    for found in _CONSTITUTION.finditer(text):
        number = int(found[2]) if found[2].isdigit() else _ROMAN.get(found[2], 0)
        fault = "" if 1 <= number <= _PARTS_OF_CONSTITUTION[found[1]] else "section.range"
        key = f"u.s.const. {found[1]} {number} {found[3] or ''}".strip()
        yield Cite("statute", found[0], *found.span(), key, fault=fault)


def _rules(text: str) -> Iterator[Cite]:
    for found in _RULES.finditer(text):
        book = (found[1] or found[2]).casefold()
        if not found[3]:
            yield Cite("malformed", found[0], *found.span(), book, fault="section.missing")
            continue
        low, high = lexicon("codes")["rules"][book]
        number = _leading_number(found[3])
        fault = "" if low <= number <= high else "section.range"
        yield Cite("statute", found[0], *found.span(), f"fed.r.{book} {folded(found[3]).replace(' ', '')}", fault=fault)


def _instruments(text: str) -> Iterator[Cite]:
    """`Article 6(1)(f) GDPR`, `\u00a7 433 Abs. 1 BGB`: of instruments whose number of articles the table has."""
    tables = ((_ARTICLE, lexicon("codes")["articles"]), (_PARAGRAPH, lexicon("codes")["paragraphs"]))
    for pattern, table in tables:
        for found in pattern.finditer(text):
            most = table.get(found[3])
            if most is None:
                continue
            fault = "" if 1 <= _leading_number(found[1]) <= most else "section.range"
            key = folded(f"{found[3]} {found[1]}{found[2].replace(' ', '')}")
            yield Cite("statute", found[0], *found.span(), key, fault=fault)


def _acts(text: str, latest: int) -> Iterator[Cite]:
    for found in _ACT.finditer(text):
        lead = _LEADING.match(found[1])
        name = found[1][lead.end() :] if lead else found[1]
        if len(name.split()) < 2:
            continue
        year = int(found[2]) if found[2] else None
        start, section = found.start(1) + (lead.end() if lead else 0), found[3] or ""
        before = _SECTION_OF.search(text, max(0, start - 60), start) if not section else None
        if before is not None:
            start, section = before.start(), before[1]
        kind: Kind = "statute" if year or section else "named"
        section = folded(section.replace(" ", "").rstrip("-.:/"))
        key = folded(f"{name} {year or ''} {section}")
        shown, fault = text[start : found.end()], year_fault(year, latest)
        yield Cite(kind, shown, start, found.end(), key, folded(name), year, section, fault)


def _leading_number(section: str) -> int:
    digits = re.match(r"\d{1,6}", section)
    return int(digits[0]) if digits else 0
