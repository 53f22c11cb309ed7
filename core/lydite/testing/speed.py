"""Section `speed`: how long a call takes, over everything that the author's table asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lydite.testing.results import Item
from lydite.testing.subject import Subject

NAMES: Final = ("within-the-deadline",)


def check_speed(subject: Subject, asked: Sequence[float]) -> tuple[Item, ...]:
    """The median and the 99th percentile of a call, which must lie below the deadline. `asked` are seconds of calls."""
    seconds = sorted(asked)
    if not seconds:
        return (Item(NAMES[0], "skipped", note="nothing was called"),)
    middle, late = percentile(seconds, 0.5), percentile(seconds, 0.99)
    figure = f"p50 {middle * 1000:.2f} ms, p99 {late * 1000:.2f} ms over {len(seconds)} calls"
    if late > subject.spec.timeout:
        return (
            Item(
                NAMES[0], "failed", got=figure, expected=f"less than its deadline of {subject.spec.timeout:g} s",
                note="make it faster, or declare the time it needs with @lydite.reward(timeout=...)",
            ),
        )  # fmt: skip
    return (Item(NAMES[0], "ok", note=figure),)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share of the ordered values lies, by the nearest rank."""
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
