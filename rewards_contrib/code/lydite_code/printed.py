"""Does what a script printed equal the expected output? All of it is compared, never the lines that both have."""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

Whitespace: TypeAlias = Literal["exact", "trailing", "tokens"]
"""`exact`: byte for byte. `trailing`: spaces at the ends of lines and empty lines at the end do not matter.
`tokens`: only the words and their order matter, not where lines break."""

LONGEST_NUMBER: Final = 64
"""Characters; longer words are compared as texts."""
_OF_NUMBERS: Final = frozenset("0123456789+-.eE")


def prints_the_same(expected: str, output: bytes, *, whitespace: Whitespace = "trailing", tolerance: float = 0) -> bool:
    """Whether the whole output is the expected one.

    With a tolerance, a decimal number such as 0.5 or 1e-3 may be met by any number within it, relative or absolute;
    whole numbers and everything else stay exact, and the words of each line are compared.
    """
    try:
        text = output.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if whitespace == "exact":
        return text == expected
    ours, theirs = _lines(expected), _lines(text)
    if whitespace == "tokens":
        ours, theirs = [" ".join(ours)], [" ".join(theirs)]
    elif not tolerance:
        return ours == theirs
    return len(ours) == len(theirs) and all(
        _same_words(one.split(), other.split(), tolerance) for one, other in zip(ours, theirs, strict=True)
    )


def _lines(text: str) -> list[str]:
    lines = [line.rstrip(" \t\r") for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_words(ours: list[str], theirs: list[str], tolerance: float) -> bool:
    return len(ours) == len(theirs) and all(
        one == other or (tolerance > 0 and _near(one, other, tolerance))
        for one, other in zip(ours, theirs, strict=True)
    )


def _near(one: str, other: str, tolerance: float) -> bool:
    if one.lstrip("+-").isdigit():
        return False
    wanted, found = _decimal(one), _decimal(other)
    if wanted is None or found is None:
        return False
    return math.isclose(wanted, found, rel_tol=tolerance, abs_tol=tolerance)


def _decimal(word: str) -> float | None:
    if len(word) > LONGEST_NUMBER or not _OF_NUMBERS.issuperset(word):
        return None
    try:
        return float(word)
    except ValueError:
        return None
