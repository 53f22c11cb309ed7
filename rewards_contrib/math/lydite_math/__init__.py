"""Rewards on mathematical answers: numbers, sets, intervals, tuples, relations, matrices, units, formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lydite import hookimpl
from lydite_math.equivalent import equivalent

__all__ = ["equivalent"]


@hookimpl
def lydite_rewards() -> Mapping[str, Callable[..., Any]]:
    """The reward, by name."""
    return {"math/equivalent": equivalent}
