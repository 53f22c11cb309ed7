"""Numbers as people write them, read exactly and in bounded time."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

LONGEST: Final = 300
"""Characters of a number. Exact arithmetic on longer ones takes time that a model could make us waste."""

# Digits are 0 to 9 only: `int` would also read the digits of every other script.
_NUMBER: Final = re.compile(
    r"""
    (?P<sign>[+\-\u2212]?)
    (?P<whole>[0-9]{1,3}(?:(?P<mark>[,\u00a0\u2009\u202f])[0-9]{3}(?:(?P=mark)[0-9]{3})*)?|[0-9]+|(?=\.[0-9]))
    (?:\.(?P<decimals>[0-9]+))?
    (?:[eE](?P<exponent>[+\-\u2212]?[0-9]{1,3})|/(?P<below>[0-9]+))?
    """,
    re.VERBOSE,
)
_MARKS: Final = str.maketrans("", "", ",\u00a0\u2009\u202f")


def read_number(text: str) -> Fraction | None:
    """The value of a text that is one number and nothing else, or None.

    Read are a sign (the Unicode minus too), thousands in groups of three, decimals, an exponent of up to three
    digits, and a fraction `3/4`.
    """
    if len(text) > LONGEST:
        return None
    found = _NUMBER.fullmatch(text)
    if found is None or (found["below"] is not None and int(found["below"]) == 0):
        return None
    decimals = found["decimals"] or ""
    value = Fraction(int((found["whole"].translate(_MARKS) or "0") + decimals), 10 ** len(decimals))
    if found["exponent"] is not None:
        value *= Fraction(10) ** int(found["exponent"].replace("\u2212", "-"))
    if found["below"] is not None:
        value /= int(found["below"])
    return -value if found["sign"] in ("-", "\u2212") else value


def has_numeral(text: str) -> bool:
    """True when some character stands for a number in any script, superscripts and fractions included."""
    return any(one.isnumeric() for one in text)
