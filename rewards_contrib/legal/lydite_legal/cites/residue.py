"""What looks like a citation and is none: unknown reporters, dangling sections, placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from lydite_legal.cites.found import Cite

_PLACEHOLDER: Final = re.compile(
    r"\[(?:insert\s)?(?:citation|cite|authority|case|statute|source)(?:\s(?:needed|omitted|here|tk))?\]"
    r"|_{2,}\s[A-Z][A-Za-z. ]{0,12}\s(?:_{2,}|\d{1,5})|\d{1,4}\s[A-Z][A-Za-z. ]{0,12}\s_{2,}"
    r"|\bXXX?\s[A-Z][A-Za-z.0-9 ]{0,12}\sXXX?\b",
    re.IGNORECASE,
)
_REPORTER: Final = re.compile(
    r"(?<![\w.$])\d{1,5}\s(?:[A-Z][A-Za-z']{0,12}\.\s?){1,4}(?:\d(?:d|th|st|rd)\s)?\s?\d{1,6}"
    r"(?=(?:,\s\d{1,5})?\s?\([^()\n]{0,40}\d{4}\))"
)
_DANGLING: Final = re.compile(r"§(?:\s?§)?(?!\s{0,2}(?:[A-Za-z]{0,3}[-.]?\d|§))")
_NO_PAGE: Final = re.compile(
    r"(?<![\w.])\d{1,4}\s(?:U\.\s?S\.|S\.\s?Ct\.|F\.\s?(?:2d|3d|4th)|F\.\s?Supp\.(?:\s?[23]d)?)\s?\("
)


def read_residue(text: str) -> Iterator[Cite]:
    """Malformed citations; those that overlap a good one are left to the caller to drop."""
    patterns = (
        (_PLACEHOLDER, "cite.placeholder"),
        (_REPORTER, "reporter.unknown"),
        (_NO_PAGE, "page.range"),
        (_DANGLING, "section.missing"),
    )
    for pattern, fault in patterns:
        for found in pattern.finditer(text):
            yield Cite("malformed", found[0], *found.span(), found[0].casefold(), fault=fault)
