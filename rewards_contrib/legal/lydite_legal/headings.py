"""The sections of a legal memo, found by their headings in the styles people use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from lydite_legal.lexicon import lexicon

Scheme: TypeAlias = Literal["irac", "creac"]
ORDER: Final[Mapping[Scheme, tuple[str, ...]]] = {
    "irac": ("issue", "rule", "application", "conclusion"),
    "creac": ("conclusion", "rule", "explanation", "application", "conclusion"),
}
_NUMBER: Final = r"(?:\(?(?:[IVX]{1,4}|[A-Z]|\d{1,2})[.):]\s{1,3})?"


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its canonical name, and the text below or behind its heading."""

    name: str
    text: str


def sections_of(text: str) -> list[Section]:
    """The sections in the order they stand; text before the first heading belongs to none."""
    found = list(_pattern().finditer(text))
    names = _names()
    sections = []
    for number, one in enumerate(found):
        end = found[number + 1].start() if number + 1 < len(found) else len(text)
        heading = " ".join((one["line"] or one["marked"] or one["inline"]).casefold().split())
        sections.append(Section(names[heading], text[one.end() : end].strip(" \t\n*_:#-")))
    return sections


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    return {alias: name for name, aliases in lexicon("headings")["sections"].items() for alias in aliases}


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    ordered = sorted(_names(), key=len, reverse=True)
    aliases = "|".join(r"\s".join(re.escape(word) for word in one.split()) for one in ordered)
    mark = r"(?:#{1,6}[ \t]{0,2}|[-*][ \t]{1,2})?(?:\*\*|__|\[|<)?"
    opening = rf"^[ \t]{{0,3}}{mark}{_NUMBER}(?:\*\*|__)?(?:the\s)?"
    slash = r"(?:\s?/\s?[A-Za-z]{3,14})?"  # `Application/Analysis`
    # A heading alone on its line needs no mark; before text on the same line it needs a colon, a dash or bold type.
    closing = r"(?:\s?(?:\([^()\n]{0,30}\))?(?:\]|>)?(?:\*\*|__)?[ \t]{0,2}[:.\u2013\u2014-]{0,2}(?:\*\*|__)?[ \t]*$)"
    before_text = r"(?:\s?(?:\*\*|__)?\s?(?::|\s[\u2013\u2014-]|\u2014)(?:\*\*|__)?|[.:]?(?:\*\*|__))(?=[ \t]*\S)"
    inline = r"(?<=[.!?;:\]]\s)(?:\*\*|__)?"
    return re.compile(
        rf"{opening}(?P<line>{aliases}){slash}{closing}"
        rf"|{opening}(?P<marked>{aliases}){slash}{before_text}"
        rf"|{inline}(?P<inline>{aliases})(?:\*\*|__)?:(?:\*\*|__)?",
        re.IGNORECASE | re.MULTILINE,
    )
