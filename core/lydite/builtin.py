"""What lydite itself offers, through the same hooks as any plugin."""

from __future__ import annotations

from collections.abc import Mapping

from lydite.contracts import FormatFactory
from lydite.hookspecs import hookimpl
from lydite.types import FormatError, Parsed


class Plain:
    """The whole text is the answer; only an empty one breaks the format."""

    instructions = ""

    def parse(self, text: str) -> Parsed | FormatError:
        """The text without the white space around it."""
        answer = text.strip()
        return Parsed(answer) if answer else FormatError("answer.empty", "the completion is empty")


@hookimpl
def lydite_formats() -> Mapping[str, FormatFactory]:
    """The format `plain`."""
    return {"plain": Plain}
