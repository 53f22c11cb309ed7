"""A judge that any OpenAI-compatible server can be, and a reward that asks it a closed question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lydite import hookimpl
from lydite_judges.chat import JudgeError, openai
from lydite_judges.question import yes

__all__ = ["JudgeError", "openai", "yes"]


@hookimpl
def lydite_judges() -> Mapping[str, Callable[..., Awaitable[str]]]:
    """The judge `openai`."""
    return {"openai": openai}


@hookimpl
def lydite_rewards() -> Mapping[str, Callable[..., Any]]:
    """The reward `judge/yes`."""
    return {"judge/yes": yes}
