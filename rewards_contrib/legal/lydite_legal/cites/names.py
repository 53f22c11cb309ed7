"""Cases by the names of their parties."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_WORD: Final = r"[A-Z][\w&'\u2019-]{0,30}"
_LINK: Final = r"(?:of|the|and|de|van|von|der|la|&)"
_CASE: Final = re.compile(
    rf"(?<!\w)((?:{_WORD}(?:\s{_LINK}){{0,2}}\.?,?\s){{1,7}})(?:v|vs)\.?\s"
    rf"((?:the\s)?{_WORD}(?:(?:\s{_LINK}){{0,2}}\s{_WORD}){{0,7}})"
)
_IN_RE: Final = re.compile(rf"(?<!\w)(?:In re|Re|Ex parte)\s({_WORD}(?:\s{_WORD}){{0,5}})")
_LEADING: Final = frozenset(
    (
        *("in", "see", "under", "per", "as", "cf", "also", "the", "since", "because", "while", "whereas", "although"),
        *("but", "and", "both", "following", "applying", "unlike", "like", "accord", "compare", "citing", "quoting"),
        *("by", "on", "at", "for", "with", "from", "here", "thus", "therefore", "court", "holding", "answer", "rule"),
        *("issue", "authority", "yes", "no"),
    )
)


@dataclass(frozen=True, slots=True)
class CaseName:
    """A case's name, and where it stands."""

    text: str
    start: int
    end: int
    first: tuple[str, ...]
    """Words of the first party in lower case."""
    second: tuple[str, ...]
    """Words of the second party; empty for `In re` names."""

    def same_as(self, fuller: CaseName) -> bool:
        """Whether this is the other case, perhaps shortened: the words next to the `v.` are what it goes by."""
        if bool(self.second) != bool(fuller.second) or self.first[-1] not in fuller.first:
            return False
        return not self.second or self.second[0] in fuller.second


def read_names(text: str) -> Iterator[CaseName]:
    """`Marsh v. Dell`, `In re Marsh`; words that open a sentence are no part of the name."""
    for found in _CASE.finditer(text):
        words = [word.strip(",.") for word in found[1].split()]
        skipped = 0
        while skipped < len(words) - 1 and words[skipped].casefold() in _LEADING:
            skipped += 1
        start = text.index(found[1].split()[skipped], found.start(1)) if skipped else found.start(1)
        first = tuple(word.casefold() for word in words[skipped:])
        second = tuple(word.casefold() for word in found[2].removeprefix("the ").split())
        yield CaseName(text[start : found.end()], start, found.end(), first, second)
    for found in _IN_RE.finditer(text):
        yield CaseName(found[0], *found.span(), tuple(word.casefold() for word in found[1].split()), ())
