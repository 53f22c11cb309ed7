"""Is the answer the task once more? "2 + 3" equals 5, and `x + x` equals `2x`, but saying so answers nothing."""

from __future__ import annotations

import re
from typing import Any, Final

LONGEST: Final = 20_000
"""Characters of a prompt that are looked at, from its end."""
_SPACING: Final = re.compile(r"\\left|\\right|\\[,;!:]|\\quad|\\displaystyle|\\d(?=frac)|[\s$]|\\[()\[\]]")
_VALUE: Final = re.compile(r"[-+]?(?:[\d.,]+(?:/\d+)?%?|\\frac\{?\d+\}?\{?\d+\}?|\\?[A-Za-z]+|\([-\d.,/]*\))")
"""A number, a fraction, one letter or word, a point: it may stand in a task and be its answer all the same."""


def restates(text: str, prompt: Any, reference: Any) -> bool:
    """Whether the answer is a formula that stands in the task as it is, and is not how the reference is written."""
    said = _plain(text)
    if not said or _VALUE.fullmatch(said):
        return False
    golds = reference if isinstance(reference, list | tuple) else [reference]
    if any(said == _plain(str(one)) for one in golds):
        return False
    asked = _plain(_text_of(prompt)[-LONGEST:])
    place = asked.find(said)
    while place >= 0:
        # Part of a longer formula is no copy of it: `x+1` in `2x+1`.
        before, after = asked[:place][-1:], asked[place + len(said) :][:1]
        if not _goes_on(before, said[0]) and not _goes_on(after, said[-1]):
            return True
        place = asked.find(said, place + 1)
    return False


def _goes_on(neighbour: str, end: str) -> bool:
    return (neighbour.isdigit() and end.isdigit()) or (bool(neighbour) and neighbour in "^_*/+-\\{}")


def _plain(text: str) -> str:
    return _SPACING.sub("", text).rstrip(".?!,:;=")


def _text_of(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list | tuple):
        return "\n".join(str(one["content"]) for one in prompt if one["role"] == "user")
    return ""
