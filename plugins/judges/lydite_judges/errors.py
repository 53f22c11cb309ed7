"""Why a judge gave no opinion."""

from __future__ import annotations

from lydite import LyditeError


class JudgeError(LyditeError, RuntimeError):
    """The judge gave no opinion: it cannot be reached, refuses, or replies with something else than text."""


class BudgetSpent(JudgeError):  # noqa: N818 - a state that a reward tells from an outage
    """The judge is not asked, because the run's `max_cost` would be passed."""

    reason = "judge.budget"


def is_spent(error: BaseException | None) -> bool:
    """Whether a spent budget is behind an exception that a reward's judge raised."""
    for _ in range(20):  # a chain of causes may be a ring
        if error is None or isinstance(error, BudgetSpent):
            return error is not None
        error = error.__cause__ or error.__context__
    return False
