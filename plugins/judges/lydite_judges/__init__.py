"""Judges that are models, a server's or the run's own, and a reward that asks one a closed question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lydite import hookimpl
from lydite_judges.canary import Canary, canaries
from lydite_judges.chat import openai
from lydite_judges.errors import BudgetSpent, JudgeError
from lydite_judges.fence import fenced, nonce_of, sanitised
from lydite_judges.limits import Limits
from lydite_judges.question import yes
from lydite_judges.run_model import engine

__all__ = [
    "BudgetSpent",
    "Canary",
    "JudgeError",
    "Limits",
    "canaries",
    "engine",
    "fenced",
    "nonce_of",
    "openai",
    "sanitised",
    "yes",
]


@hookimpl
def lydite_judges() -> Mapping[str, Callable[..., Awaitable[str]]]:
    """The judges `openai` and `engine`."""
    return {"openai": openai, "engine": engine}


@hookimpl
def lydite_rewards() -> Mapping[str, Callable[..., Any]]:
    """The reward `judge/yes`."""
    return {"judge/yes": yes}
