"""The quotations of a text: spans in quotation marks, and block quotes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_CLOSING: Final = {
    "\u201c": "\u201d",
    "\u201e": "\u201c\u201d",
    "\u00ab": "\u00bb",
    "\u2039": "\u203a",
    "\u2018": "\u2019",
    '"': '"',
    "'": "'",
}
"""Opening marks, and what closes each."""
_BLOCK: Final = re.compile(r"^[ \t]{0,3}>[ \t]?(.*)$", re.MULTILINE)
_PARAGRAPH: Final = re.compile(r"\n[ \t]*\n")


@dataclass(frozen=True, slots=True)
class Quote:
    """One quotation; `closed` is False where its closing mark is missing."""

    text: str
    closed: bool = True


def quotes_in(text: str) -> Iterator[Quote]:
    """The quotations of each paragraph, the outermost where they are nested; block quotes, lines joined."""
    for paragraph in _PARAGRAPH.split(text):
        lines = _BLOCK.findall(paragraph)
        if lines:
            yield Quote(" ".join(lines).strip(" \"'\u201c\u201d"))
        yield from _marked(_BLOCK.sub("", paragraph) if lines else paragraph)


def _marked(text: str) -> Iterator[Quote]:
    place = 0
    never_close: set[str] = set()  # looked for to the end of the text once, so that nobody looks again
    while place < len(text):
        closing = _CLOSING.get(text[place])
        if closing is None or closing in never_close or not _opens(text, place):
            place += 1
            continue
        end = _end(text, place + 1, closing)
        if end < 0:
            never_close.add(closing)
            if text[place] in "\u2018'":  # an apostrophe, as in 'tis
                place += 1
                continue
            yield Quote(text[place + 1 :], closed=False)
            return
        yield Quote(text[place + 1 : end])
        place = end + 1


def _opens(text: str, place: int) -> bool:
    before = text[place - 1] if place else " "
    after = text[place + 1] if place + 1 < len(text) else " "
    if text[place] in "\"'":  # 12" is a length, and don't has an apostrophe
        return (before.isspace() or before in "([{:-\u2013\u2014*_") and not after.isspace()
    return not after.isspace()


def _end(text: str, start: int, closing: str) -> int:
    """Where the quotation closes; an apostrophe inside a word closes nothing. -1 when it does not close."""
    for place in range(start, len(text)):
        if text[place] in closing:
            after = text[place + 1] if place + 1 < len(text) else " "
            if text[place] in "'\u2019" and (after.isalnum() or text[place - 1].isspace()):
                continue
            return place
    return -1
