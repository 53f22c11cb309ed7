"""The authorities that a task gives, and which of them a text cites, in full or by a short form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from lydite_legal.cites import Cite, read_cites
from lydite_legal.cites.names import CaseName
from lydite_legal.cites.reading import case_name

ANY_YEAR: Final = 9999
"""Whether a citation could exist is the business of `legal/citation`, so no year is too late here."""
_BARE_SECTION: Final = re.compile(
    r"(?<!\w)(?:§{1,2}\s?|(?:[Ss]ections?|[Rr]ules?|[Aa]rticles?)\s)(\d{1,5}[A-Za-z]{0,2}(?:[-.]\d{1,4})?)(?:\s?\(\w{1,4}\)){0,4}"
)
_SPACES: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Authority:
    """One given authority: its text, and the citations and names read in it."""

    text: str
    cites: tuple[Cite, ...]

    @property
    def names(self) -> tuple[CaseName, ...]:
        """Parties, where it is a case."""
        return tuple(name for one in self.cites if (name := case_name(one)) is not None)

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of its full citations."""
        return tuple(one.key for one in self.cites if one.kind not in ("id", "supra", "short", "named", "malformed"))


@dataclass(slots=True)
class Citing:
    """What a text cites."""

    listed: list[tuple[Cite, str]] = field(default_factory=list)
    """Citations of given authorities, with the authority."""
    refused: list[tuple[Cite, str]] = field(default_factory=list)
    """Citations that are not allowed, with the reason."""
    used: set[int] = field(default_factory=set)
    """Numbers of the given authorities that are cited."""


@dataclass(frozen=True, slots=True)
class Given:
    """The authorities of a task."""

    authorities: tuple[Authority, ...]

    @property
    def empty(self) -> bool:
        """Whether the task gives none."""
        return not self.authorities

    def cited_in(self, text: str) -> Citing:
        """Every citation of the text, sorted into those of given authorities and others."""
        citing = Citing()
        cites = read_cites(text, ANY_YEAR)
        for one in cites:
            number, reason = self._which(one, citing)
            if number is None:
                citing.refused.append((one, reason))
            else:
                citing.listed.append((one, self.authorities[number].text))
                citing.used.add(number)
        self._add_literal(text, citing)
        self._add_bare_sections(text, cites, citing)
        return citing

    def _which(self, cite: Cite, so_far: Citing) -> tuple[int | None, str]:
        """The number of the authority that a citation means; None with a reason when it is none of them."""
        if cite.kind == "malformed":
            return None, "cite.malformed"
        if cite.kind == "id":
            return (max(so_far.used), "") if so_far.used else (None, "reference.dangling")
        if cite.kind == "supra":
            number = self._by_word(cite.key) if cite.key else next(iter(so_far.used), None)
            return number, "reference.dangling"
        name = case_name(cite)
        for number, authority in enumerate(self.authorities):
            same_name = name is not None and any(name.same_as(one) for one in authority.names)
            if cite.kind == "named":
                acts = {one.name for one in authority.cites if one.kind in ("statute", "named")}
                if same_name or (name is None and cite.name in acts):
                    return number, ""
            elif cite.kind == "short":
                if any(key.rsplit(" ", 1)[0] == cite.key for key in authority.keys):
                    return number, ""
            elif any(_same_key(cite.key, key) for key in authority.keys) or _same_act(cite, authority):
                wrong = name is not None and bool(authority.names) and not same_name
                return (None, "name.wrong") if wrong else (number, "")
        return None, "reference.dangling" if cite.kind == "short" else "authority.unlisted"

    def _by_word(self, word: str) -> int | None:
        for number, authority in enumerate(self.authorities):
            if any(word in (*name.first, *name.second) for name in authority.names):
                return number
        return None

    def _add_literal(self, text: str, citing: Citing) -> None:
        """Authorities in a form that no reader knows count when they stand in the text as given."""
        plain = _SPACES.sub(" ", text.casefold())
        for number, authority in enumerate(self.authorities):
            wanted = _SPACES.sub(" ", authority.text.casefold()).strip(" .")
            if authority.keys or authority.names or not wanted:
                continue
            at = plain.find(wanted)
            if at >= 0 and not _inside_word(plain, at, at + len(wanted)):
                citing.listed.append((Cite("named", authority.text, 0, 0, wanted), authority.text))
                citing.used.add(number)

    def _add_bare_sections(self, text: str, cites: Sequence[Cite], citing: Citing) -> None:
        """`section 9` alone: the section of a given act, or of none."""
        sections = {_section_of(key): number for number, one in enumerate(self.authorities) for key in one.keys}
        literal = " ".join(one.text for one in self.authorities)
        for found in _BARE_SECTION.finditer(text):
            if any(one.start < found.end() and found.start() < one.end for one in cites):
                continue
            number = sections.get(found[1].casefold())
            cite = Cite("short", found[0], *found.span(), found[1])
            if number is not None:
                citing.listed.append((cite, self.authorities[number].text))
                citing.used.add(number)
            elif not re.search(rf"(?<![\w.]){re.escape(found[1])}(?!\w)", literal):
                citing.refused.append((cite, "authority.unlisted"))


def given_by(column: Any, question: str) -> Given:
    """The authorities of the column, or those that the question names when the column is None.

    Raises:
        TypeError: when the column is no text and no list of texts.
    """
    if column is None:
        return _in_question(question)
    if isinstance(column, str):
        column = column.splitlines()
    if not isinstance(column, list | tuple) or not all(isinstance(one, str) for one in column):
        raise TypeError(f"authorities are a list of texts, or one text with a line each; got {column!r:.80}")
    return _listed(tuple(one.strip() for one in column if one.strip()))


@lru_cache(maxsize=64)
def _listed(texts: tuple[str, ...]) -> Given:
    return Given(tuple(Authority(text, read_cites(text, ANY_YEAR)) for text in texts))


@lru_cache(maxsize=64)
def _in_question(question: str) -> Given:
    """Every citation of the question is an authority of its own; a name alone counts with its citation's."""
    cites = [one for one in read_cites(question, ANY_YEAR) if one.kind not in ("id", "supra", "short", "malformed")]
    return Given(tuple(Authority(one.text, (one,)) for one in cites))


def _same_key(cited: str, given: str) -> bool:
    """The same citation, one of them perhaps with a subsection more."""
    return cited == given or cited.startswith(f"{given}(") or given.startswith(f"{cited}(")


def _same_act(cite: Cite, authority: Authority) -> bool:
    """The same act and section, where one of the two leaves out the year or the section."""
    if cite.kind != "statute" or not cite.name:
        return False
    return any(
        one.name == cite.name
        and (one.year is None or cite.year is None or one.year == cite.year)
        and (not one.section or not cite.section or _same_key(cite.section, one.section))
        for one in authority.cites
    )


def _section_of(key: str) -> str:
    return key.rsplit(" ", 1)[-1].split("(", 1)[0]


def _inside_word(text: str, start: int, end: int) -> bool:
    before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    after = end < len(text) and text[end].isalnum() and text[end - 1].isalnum()
    return before or after
