"""Spelling of what stands beside numbers: currencies, primes, squares of units, times of day, unit vectors."""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = r"[0-9][0-9,.]*[0-9]|[0-9]"
_CURRENCY: Final = re.compile(
    rf"(^|[=(\[,;])(\s?-?)\s{{0,3}}(?:\\text\s?\{{\s?)?(euros|pounds sterling|yen)(?:\s?\}})?\s{{1,3}}({_NUMBER})"
    r"(\s?(?:hundred|thousand|million|billion|trillion)(?![A-Za-z]))?(?![0-9]|\s?[A-Za-z\\(^/])"
)
_PRIME: Final = re.compile(r"(?<=[0-9])\s?\^\s?\{?\s?('{1,2})\s?\}?")
_SECONDS: Final = re.compile(r"(?<=[0-9])\"")
_ABBREVIATED: Final = re.compile(r"\b(sq|cu)\.\s?(?=[A-Za-z])")
_COMMA: Final = re.compile(r"\\text\s?\{\s?,\s?\}")
_VECTOR: Final = re.compile(
    r"\\(?:mathbf|boldsymbol|bm|vec|hat|widehat|bold)\s?\{?\s?(?:\\(?:mathbf|boldsymbol|bm|hat|vec)\s?\{?\s?)?"
    r"(?:\\([ij])math|([ijk]))(?![A-Za-z])\s?\}{0,2}"
)
_TIME: Final = re.compile(
    r"(?:\\text\s?\{)?\s?([0-9]{1,2})(?::([0-9]{2}))?[\s}~]{0,4}(?:\\text\s?\{)?\s?([AaPp])\.?\s?[Mm]\.?\s?\}?"
)


def unit_vectors(text: str) -> str:
    r"""The text with `\hat{\imath}` and `\mathbf{i}` as unit vectors, where there are two of them at least."""
    if "\\" not in text or len({found[0] or found[1] for found in _VECTOR.findall(text)}) < 2:
        return text
    return _VECTOR.sub(lambda found: f"\\unitvector{{{found[1] or found[2]}}}", text)


def marked(text: str) -> str:
    """The text with its currencies behind the numbers, its primes and its squared units in one spelling."""
    if "'" in text or '"' in text:
        text = _SECONDS.sub("''", _PRIME.sub(r"\1", text))
    if "." in text:
        text = _ABBREVIATED.sub(r"\1 ", text)
    if "\\text" in text:
        text = _COMMA.sub(", ", text)
    if "euros" in text or "sterling" in text or "yen" in text:
        text = _CURRENCY.sub(r"\1\2\4\5 \\text{\3}", text)
    return text


def time_of_day(text: str) -> str | None:
    """`2:30 pm` for a text that is such a time however it is written, or None."""
    found = _TIME.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= 12 or int(found[2] or 0) > 59:
        return None
    return f"{int(found[1])}:{found[2] or '00'} {found[3].lower()}m"
