"""Numbers as doses write them: thousands in groups, fractions, words; and the two ways of writing that kill."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

LONGEST: Final = 15
"""Characters of a number; no dose needs more."""

PATTERN: Final = (
    r"(?<![\w.,^])(?:[0-9]{1,3}(?:,[0-9]{3}){1,4}(?:\.[0-9]+)?"
    r"|(?:[0-9]{1,3} )?[0-9]{1,2}/[0-9]{1,2}|[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?![0-9^,]*[0-9^])"
)
"""A number in lower-case text; what it means says `read_number`."""

_ONES: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS: Final = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_WORD: Final = "|".join(sorted([*_ONES, *_TENS, *_SCALES], key=len, reverse=True))
_FIRST: Final = "|".join(sorted([*_ONES, *_TENS], key=len, reverse=True))
_SPELLED: Final = re.compile(rf"\b(?:{_FIRST})(?:[\s-]+(?:and\s+)?(?:{_WORD}))*\b(?!\s+times)")
_AND_A_HALF: Final = re.compile(r"\b([0-9]{1,4}) and a half\b")
_HALF: Final = re.compile(r"\bhalf an?\b|\b1 half\b|\bhalf\b(?=\s+(?:tablet|capsule))")


@dataclass(frozen=True, slots=True)
class Number:
    """A value, and whether it is written so that a lost point changes the dose."""

    value: float
    naked: bool
    """".5": read as 5 when the point is not seen."""
    trailing: bool
    """"1.0": read as 10 when the point is not seen."""


def read_number(text: str) -> Number | None:
    """The number that a match of `PATTERN` stands for, or None when it has too many digits or divides by zero."""
    if len(text) > LONGEST:
        return None
    if "/" in text:
        whole, _, part = text.rpartition(" ")
        above, _, below = part.partition("/")
        if int(below) == 0:
            return None
        return Number(float(int(whole or 0) + Fraction(int(above), int(below))), naked=False, trailing=False)
    digits = text.replace(",", "")
    return Number(float(digits), naked=digits.startswith("."), trailing="." in digits and digits.endswith("0"))


def with_digits(text: str) -> str:
    """Lower-case text with its number words in digits: "five milligrams" to "5 milligrams"."""
    text = _SPELLED.sub(lambda found: str(_spelled_value(found[0])), text)
    return _HALF.sub("0.5", _AND_A_HALF.sub(r"\1.5", text))


def _spelled_value(words: str) -> int:
    total = part = 0
    for word in re.findall(r"[a-z]+", words):
        if word in _ONES:
            part += _ONES.index(word)
        elif word in _TENS:
            part += 20 + 10 * _TENS.index(word)
        elif word == "hundred":
            part = max(part, 1) * 100
        elif word in _SCALES:
            total, part = total + max(part, 1) * _SCALES[word], 0
    return total + part
