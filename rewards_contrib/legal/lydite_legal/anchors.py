"""Where an answer says that it now gives its result: `Answer: yes`, `**Holding:** No`, `The deadline is ...`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_MARKS: Final = r"[\s*_#>\-\u2022`\"'(\[{\\]{0,12}"
_LEAD: Final = (
    r"(?:(?:so|thus|therefore|hence|accordingly|and|my|our|the|in conclusion|final|short|court|court's)[,:]?\s){0,4}"
)
_SEPARATOR: Final = (
    r"(?:[*_`]{0,3}\s{0,2}[:=\u2013\u2014]\s{0,2}"
    r"|[*_`]{0,3}\s(?:-\s|is(?:\s?:)?\s|was\s|would be\s|falls on\s|are\s))"
)


@dataclass(frozen=True, slots=True)
class Statement:
    """What stands behind an anchor, to the end of its line."""

    anchor: str
    """In lower case."""
    text: str
    at_line_start: bool


@lru_cache(maxsize=32)
def _pattern(anchors: tuple[str, ...]) -> re.Pattern[str]:
    ordered = sorted(anchors, key=len, reverse=True)
    words = "|".join(r"\s".join(re.escape(part) for part in one.split()) for one in ordered)
    lead = rf"(?:^{_MARKS}{_LEAD}|(?<=[.!?;]\s){_LEAD}|\b(?:the|final|court)\s)"
    followed = rf"{lead}(?P<anchor>{words}){_SEPARATOR}(?P<rest>[^\n]*)"
    alone = rf"^{_MARKS}{_LEAD}(?P<alone>{words})[*_`]{{0,3}}\s?:?[*_`]{{0,3}}\s*$"
    return re.compile(rf"{followed}|{alone}", re.IGNORECASE | re.MULTILINE)


def statements(text: str, anchors: Sequence[str]) -> list[Statement]:
    """The statements in order. An anchor alone on its line speaks for the next line that holds something."""
    found: list[Statement] = []
    lines = text.split("\n")
    pattern = _pattern(tuple(anchors))
    for number, line in enumerate(lines):
        for one in pattern.finditer(line):
            rest = one["rest"]
            if rest is None or not rest.strip(" *_`"):
                rest = next((later for later in lines[number + 1 :] if any(map(str.isalnum, later))), "")
            nested = pattern.search(rest) if rest else None
            said = rest if nested is None else rest[: nested.start()]
            found.append(Statement(_anchor(one), plain(said), one.start() == 0))
            if nested is not None:
                found.append(Statement(_anchor(nested), plain(nested["rest"] or ""), False))
    return found


def _anchor(found: re.Match[str]) -> str:
    return " ".join((found["anchor"] or found["alone"]).casefold().split())


def plain(text: str) -> str:
    """A line without marks of Markdown, LaTeX and tags around it."""
    text = re.sub(r"\\(?:boxed|text|textbf|mathrm)\s?\{", "", text)
    text = re.sub(r"</?[A-Za-z][\w-]{0,20}>", " ", text)
    return re.sub(r"[*_`{}$]", "", text).strip(" \t\"'()[]\u201c\u201d\u2018\u2019>#-\u2022")


def last_line(text: str) -> str:
    """The last line that holds something, without its marks; empty for an empty text."""
    lines = [one for one in (plain(line) for line in text.split("\n")) if one]
    return lines[-1] if lines else ""
