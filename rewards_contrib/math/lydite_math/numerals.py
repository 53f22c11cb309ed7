"""Numbers in words."""

from __future__ import annotations

import re
from typing import Final

_SMALL: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_UNITS: Final = {name: value for value, name in enumerate(_SMALL)}
_ROUND: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_TENS: Final = {name: 10 * value for value, name in enumerate(_ROUND, start=2)}
_SCALES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_PARTS: Final = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "twelfth": 12, "hundredth": 100,
}  # fmt: skip
_WORDS: Final = re.compile(r"(?:\\text\s?\{)?\s?(?:(minus|negative)\s)?([A-Za-z]+(?:[ -][A-Za-z]+){0,9})\s?\}?")


def numeral(text: str) -> str | None:
    r"""The number that the whole text says in words, in digits: `twenty-one`, `two thirds`; None for all else."""
    found = _WORDS.fullmatch(text.strip())
    if found is None:
        return None
    words = found[2].casefold().replace("-", " ").split()
    said = _fraction(words) or _whole(words)
    return None if said is None else f"-{said}" if found[1] else said


def _fraction(words: list[str]) -> str | None:
    if len(words) < 2 and words != ["half"]:
        return None
    below = _PARTS.get(words[-1].removesuffix("s")) or (2 if words[-1] == "halves" else None)
    above = "1" if words[:-1] in ([], ["a"], ["an"]) else _whole(words[:-1])
    return None if below is None or above is None else f"\\frac{{{above}}}{{{below}}}"


def _whole(words: list[str]) -> str | None:
    total = group = 0
    free = 3
    """How many digits the next word may still fill: after "twenty" only one."""
    scale = 10**12
    for place, word in enumerate(words):
        if word == "and" and 0 < place < len(words) - 1 and words[place - 1] in ("hundred", *_SCALES):
            continue
        if word in _UNITS and (free >= 2 or (free == 1 and 0 < _UNITS[word] < 10)):
            group, free = group + _UNITS[word], 0
        elif word in _TENS and free >= 2:
            group, free = group + _TENS[word], 1
        elif word == "hundred" and 0 < group < 100 and free < 2:
            group, free = group * 100, 2
        elif word in _SCALES and _SCALES[word] < scale and group:
            scale = _SCALES[word]
            total, group, free = total + group * scale, 0, 3
        else:
            return None
    return str(total + group) if words else None
