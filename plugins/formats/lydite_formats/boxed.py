r"""The answer in the last `\boxed{...}`, as in mathematical texts."""

from __future__ import annotations

from lydite import FormatError, Parsed
from lydite_formats.visible import is_visible

_OPENING = "\\boxed{"


class Boxed:
    r"""The last `\boxed{...}` holds the answer; what stands before it is the reasoning.

    A box counts only behind the last `after` mark, where the text has one: models draft boxes while they
    think, and a draft is no answer.
    """

    def __init__(self, *, after: str = "</think>") -> None:
        self.after = after

    @property
    def instructions(self) -> str:
        """What to tell the model."""
        return "Think step by step, then put only the final answer in \\boxed{} at the very end."

    def parse(self, text: str) -> Parsed | FormatError:
        """The content of the last box; one that is left open is an error, not a reason to take an earlier one."""
        mark = text.rfind(self.after) if self.after else -1
        start = text.rfind(_OPENING, mark + len(self.after) if mark >= 0 else 0)
        if start < 0:
            return FormatError("box.missing", "there is no \\boxed{...} where the answer belongs")
        inside = start + len(_OPENING)
        end = _closing_brace(text, inside)
        if end < 0:
            return FormatError("box.unclosed", "the last \\boxed{ is never closed")
        if not is_visible(text[inside:end]):
            return FormatError("box.empty", "the last \\boxed{} is empty")
        return Parsed(text[inside:end].strip(), text[:start].strip())


def _closing_brace(text: str, inside: int) -> int:
    r"""Where the brace that opened just before `inside` closes, or -1; `\{` and `\}` do not count."""
    depth, place = 1, inside
    while place < len(text):
        one = text[place]
        if one == "\\":
            place += 1  # the next character is escaped
        elif one == "{":
            depth += 1
        elif one == "}":
            depth -= 1
            if depth == 0:
                return place
        place += 1
    return -1
