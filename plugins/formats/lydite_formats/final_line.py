"""The answer on the last line that is not empty."""

from __future__ import annotations

from lydite import FormatError, Parsed
from lydite_formats.visible import is_visible


class FinalLine:
    """The last line, behind an optional prefix such as `Answer:`, is the answer; the lines before are the reasoning."""

    def __init__(self, *, prefix: str = "") -> None:
        self.prefix = prefix.strip()

    @property
    def instructions(self) -> str:
        """What to tell the model."""
        if self.prefix:
            return (
                f'Think step by step. Then end with one line that starts with "{self.prefix}" and holds only the '
                "final answer; write nothing after it."
            )
        return "Think step by step. Then give only the final answer on a last line of its own."

    def parse(self, text: str) -> Parsed | FormatError:
        """The last line without its prefix."""
        lines = text.splitlines()
        while lines and not is_visible(lines[-1]):
            lines.pop()
        if not lines:
            return FormatError("answer.missing", "the completion is empty")
        last = lines.pop().strip()
        if self.prefix:
            if not last.startswith(self.prefix):
                return FormatError("prefix.missing", f"not behind {self.prefix!r}: {last[:40]!r}")
            last = last[len(self.prefix) :]
            if self.prefix in last:
                return FormatError("prefix.repeated", f"the last line holds {self.prefix!r} more than once")
        if not is_visible(last):
            return FormatError("answer.empty", f"nothing stands behind {self.prefix!r}")
        return Parsed(last.strip(), "\n".join(lines).strip())
