"""Each tag stands in the completion exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from lydite import Completion, Verdict, reward


@reward(range=(0.0, 1.0), isolation="inline", pays_for="form")
def tag_counts(
    completion: Completion, *, tags: Annotated[Sequence[str], Field(min_length=1)] = ("think", "answer")
) -> Verdict:
    """The share of opening and closing tags that stand exactly once: partial pay on the way to a format.

    Tags with nothing between them count as missing. It passes only when all stand, and each opens before it closes
    and after the one before has closed.
    """
    text = completion.text
    marks = [mark for tag in tags for mark in (f"<{tag}>", f"</{tag}>")]
    counts = [text.count(mark) for mark in marks]
    once = sum(count == 1 for count in counts)
    if once < len(marks):
        missing = counts.count(0)
        reason = "tags.missing" if missing else "tags.repeated"
        return Verdict(once / len(marks), passed=False, reason=reason)
    places = [text.find(mark) for mark in marks]
    pairs = [(places[at] + len(marks[at]), places[at + 1]) for at in range(0, len(marks), 2)]
    empty = sum(not _has_text(text[start:end]) for start, end in pairs if start <= end)
    if empty:
        return Verdict(1.0 - empty / len(pairs), passed=False, reason="tags.empty")
    in_order = places == sorted(places)
    # Half: every tag is there, and none is where it belongs.
    return Verdict(1.0 if in_order else 0.5, passed=in_order, reason="tags.once" if in_order else "tags.order")


def _has_text(between: str) -> bool:
    return any(one.isprintable() and not one.isspace() for one in between)
