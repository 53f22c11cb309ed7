"""A short text with one number in it, and that number is the answer."""

from __future__ import annotations

import re
from typing import Final

from lydite import FormatError, Parsed

# Every part is a run of one class of characters with a fixed first character, so matching cannot backtrack far.
_NUMBER: Final = re.compile(r"[+\-\u2212]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:/\d+)?")
# `2-3` is a range and `a-1` a name: a sign counts only where nothing that could own it stands before.
_OWNS_SIGN: Final = re.compile(r"[\w.,)\]]")


class Number:
    """The only number of a text of at most `max_length` characters, such as `It is 42.`"""

    def __init__(self, *, max_length: int = 80) -> None:
        if max_length < 1:
            raise ValueError(f"max_length is a positive number of characters, got {max_length}")
        self.max_length = max_length

    @property
    def instructions(self) -> str:
        """What to tell the model."""
        return "Reply with the final answer as a single number, written in digits, and no other number."

    def parse(self, text: str) -> Parsed | FormatError:
        """The number as it was written, without a trailing full stop or comma."""
        text = text.strip()
        if len(text) > self.max_length:
            return FormatError("text.long", f"{len(text)} characters, at most {self.max_length} are allowed")
        found = list(_NUMBER.finditer(text))
        if not found:
            return FormatError("number.missing", "there is no number written in digits")
        if len(found) > 1:
            return FormatError("number.several", f"{len(found)} numbers stand where one is expected")
        number, start = found[0].group(), found[0].start()
        if not number.replace("\u2212", "-").isascii():
            return FormatError("number.unreadable", f"{number!r} is not written with the digits 0 to 9")
        if start and number[0] in "+-\u2212" and _OWNS_SIGN.match(text[start - 1]):
            number = number[1:]
        return Parsed(number.rstrip(","))
