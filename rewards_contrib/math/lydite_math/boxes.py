r"""The last `\boxed{}` of a text, by counting braces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_OPENINGS: Final = ("\\boxed", "\\fbox")
_FURTHEST_APART: Final = 80
_MOST: Final = 40
_BETWEEN: Final = re.compile(
    r"(?:[\s,;&$]|\\[,;! ()\[\]\\]|\\q?quad|\\text\s{0,2}\{[^{}]{0,40}\}|\\(?:and|or|vee|lor|cup)(?![a-z])|and|or)*",
)


@dataclass(frozen=True, slots=True)
class Boxed:
    """What stands in the last box, or in the last boxes if they stand side by side."""

    content: str | None
    """None for a box that is never closed."""
    end: int
    """Where the last box ends."""


def last_boxed(text: str) -> Boxed | None:
    """The content of the last box; several boxes side by side are a list. None when there is no box."""
    start = _last_opening(text, len(text))
    if start is None:
        return None
    content, end = _content(text, start)
    if content is None:
        return Boxed(None, len(text))
    contents, last_end = [content], end
    while len(contents) < _MOST:
        before = _last_opening(text, start)
        if before is None:
            break
        content, end = _content(text, before)
        if content is None or end > start or start - end > _FURTHEST_APART:
            break
        if _BETWEEN.fullmatch(text, end, start) is None:
            break
        contents.append(content)
        start = before
    distinct = list(dict.fromkeys(one.strip() for one in reversed(contents)))
    return Boxed(distinct[0] if len(distinct) == 1 else ", ".join(distinct), last_end)


def _last_opening(text: str, before: int) -> int | None:
    start = max(text.rfind(one, 0, before) for one in _OPENINGS)
    return None if start < 0 else start


def _content(text: str, start: int) -> tuple[str | None, int]:
    """What the box that starts here holds, and where it ends; None when it is never closed."""
    place = start + (6 if text.startswith("\\boxed", start) else 5)
    while place < len(text) and text[place].isspace():
        place += 1
    if place >= len(text):
        return None, len(text)
    if text[place] != "{":
        end = place + 1
        while end < len(text) and text[end].isalnum() and text[place].isalnum():
            end += 1
        return text[place:end], end
    depth = 0
    for end in range(place, len(text)):
        character = text[end]
        if character == "{" and text[end - 1] != "\\":
            depth += 1
        elif character == "}" and text[end - 1] != "\\":
            depth -= 1
            if depth == 0:
                return text[place + 1 : end], end + 1
    return None, len(text)
