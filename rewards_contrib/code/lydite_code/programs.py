"""The program in a completion: the last fenced block, or the whole answer where there is no fence.

The rule, in full. What stands before the last `</think>` does not count, nor what follows a `<think>` that is not
closed. Of what is left, the fenced blocks are read as Markdown has them; those marked with another language than
Python (`text`, `bash`, `json`, ...) are no programs, nor are those without any mark once there is one marked as Python.
The last program counts, whatever came before it; nothing is joined. An answer whose last fence is never closed was cut
off, and has no program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LONGEST: Final = 100_000
"""Characters of an answer; a longer one is no program to run."""
LANGUAGES: Final = frozenset({"python", "python3", "py", "py3"})
"""What may stand behind the opening fence of a program, in capitals or not."""


@dataclass(frozen=True, slots=True)
class Found:
    """A program, or why there is none."""

    program: str | None
    reason: str = ""
    """`code.missing`, `code.unclosed`, `code.long` or `code.several`."""


def find_program(answer: str, *, only_one: bool = False) -> Found:
    """The program in an answer. With `only_one`, two different programs are none."""
    if len(answer) > LONGEST:
        return Found(None, "code.long")
    text = _after_thinking(answer)
    blocks, unclosed = _fenced(text)
    if unclosed:
        return Found(None, "code.unclosed")
    if blocks is None:
        return Found(text) if text.strip() else Found(None, "code.missing")
    if not blocks or not blocks[-1].strip():
        return Found(None, "code.missing")
    if only_one and len({block.strip() for block in blocks}) > 1:
        return Found(None, "code.several")
    return Found(blocks[-1])


def _after_thinking(text: str) -> str:
    text = text.rpartition("</think>")[2]
    return text.partition("<think>")[0]


def _fenced(text: str) -> tuple[list[str] | None, bool]:
    """The Python blocks of a text, None where it has no fence at all, and whether the last fence is open."""
    blocks: list[tuple[str, str]] = []
    fence, language, indent, lines = "", "", 0, list[str]()
    for line in text.split("\n"):
        bare = line.strip()
        mark = _mark(bare)
        if not fence:
            if mark:
                fence, language = mark, bare[len(mark) :].strip().split(" ")[0].lower()
                indent, lines = len(line) - len(line.lstrip(" ")), []
        elif mark and bare == mark and mark[0] == fence[0] and len(mark) >= len(fence):
            blocks.append((language, "".join(f"{one}\n" for one in lines)))
            fence = ""
        else:
            spaces = len(line) - len(line.lstrip(" "))
            lines.append(line[min(spaces, indent) :])
    if not blocks:
        return None, bool(fence)
    wanted = LANGUAGES if any(one in LANGUAGES for one, _ in blocks) else {""}
    return [block for one, block in blocks if one in wanted], bool(fence)


def _mark(line: str) -> str:
    """The fence that a line begins with: three or more backticks or tildes, and no backtick behind backticks."""
    for one in "`~":
        mark = line[: len(line) - len(line.lstrip(one))]
        if len(mark) >= 3 and not (one == "`" and "`" in line[len(mark) :]):
            return mark
    return ""
