"""The code that an answer offers: its last fenced block, or all of it."""

from __future__ import annotations

import re
from typing import Final

_FENCE: Final = re.compile(r"^[ \t]*```[^\n`]*$", re.MULTILINE)
_THOUGHT: Final = "</think>"


def unfenced(text: str) -> str:
    """What stands in the last closed fence behind any reasoning, or the whole text where there is none."""
    answer = text.rpartition(_THOUGHT)[2].strip()
    marks = list(_FENCE.finditer(answer))
    if len(marks) < 2:
        return answer
    # Fences come in pairs; a last one that nothing closes holds no finished answer.
    opening, closing = marks[len(marks) // 2 * 2 - 2 : len(marks) // 2 * 2]
    return answer[opening.end() : closing.start()].strip()
