"""Each tag stands in the completion exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from lydite import Completion, Verdict, reward


@reward(range=(0.0, 1.0), isolation="inline")
def tag_counts(
    completion: Completion, *, tags: Annotated[Sequence[str], Field(min_length=1)] = ("think", "answer")
) -> Verdict:
    """The share of opening and closing tags that stand exactly once: partial pay on the way to a format.

    It passes only when all do, and each opens before it closes and after the one before has closed.
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
    in_order = places == sorted(places)
    return Verdict(1.0, passed=in_order, reason="tags.once" if in_order else "tags.order")
