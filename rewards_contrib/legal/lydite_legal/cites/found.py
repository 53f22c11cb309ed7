"""One citation as it stands in a text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["case", "statute", "neutral", "eu", "short", "id", "supra", "named", "malformed"]
"""`short`, `id`, `supra` point back; `named` is a case or act by its name alone; `malformed` looks like a citation."""

FAULTS: Final = (
    "year.future",
    "year.range",
    "edition.year",
    "volume.range",
    "page.range",
    "title.range",
    "section.range",
    "court.year",
    "number.range",
    "reporter.unknown",
    "court.unknown",
    "section.missing",
    "cite.placeholder",
)
"""Every reason why a citation cannot be what it says."""

SECTION: Final = r"\d{1,6}[A-Za-z]{0,3}(?:[-.:/]\d{1,6}[A-Za-z]{0,2}){0,4}(?:\s?\([A-Za-z0-9]{1,5}\)){0,6}"
"""A section, kept whole: `240.10b-5`, `2000e-2(a)(1)`, `2A:14-2`."""


@dataclass(frozen=True, slots=True)
class Cite:
    """A citation, where it stands (characters of the text that was read), and what is wrong with it."""

    kind: Kind
    text: str
    start: int
    end: int
    key: str
    """The same for two ways of writing the same citation, without pinpoints of a case: `347 u.s. 483`."""
    name: str = ""
    """The parties or the act, where the text gives them."""
    year: int | None = None
    section: str = ""
    """Of an act that is cited by its name."""
    fault: str = ""
    """One of `FAULTS`, or empty."""


def folded(text: str) -> str:
    """A key's way of writing: lower case, single spaces, one kind of dash, none around dots."""
    text = re.sub(r"[\u2010-\u2015]", "-", text.casefold())
    return " ".join(re.sub(r"\.\s+(?=\w)", ".", text).split())


def year_fault(year: int | None, latest: int, earliest: int = 1200) -> str:
    """`year.future`, `year.range`, or nothing."""
    if year is None:
        return ""
    return "year.future" if year > latest else "year.range" if year < earliest else ""
