"""Every reason that a rubric's verdict, or that of one of its criteria, can have."""

from __future__ import annotations

from typing import Final

OF_RUBRIC: Final = (
    "rubric.scored",
    "gate.failed",
    "answer.missing",
    "answer.empty",
    "answer.opening",
    "answer.short",
    "answer.long",
)
"""Of a rubric with a score."""
OF_CRITERION: Final = ("criterion.met", "criterion.unmet", "criterion.unasked", "check.slow")
DROPPED: Final = (
    "check.abstained",
    "check.failed",
    "judge.failed",
    "judge.slow",
    "judge.missing",
    "judge.unclear",
    "quote.missing",
)
"""Of a criterion that nobody could decide, and of a rubric that has no score because of it."""
BROKEN: Final = frozenset(["judge.failed", "judge.slow", "judge.missing", "check.failed"])
"""Of those, the ones that mean that something broke; the others mean that something could not tell."""
REASONS: Final = frozenset([*OF_RUBRIC, *OF_CRITERION, *DROPPED])
