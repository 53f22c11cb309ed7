"""Rubrics as rewards for lydite: weighted criteria in a file, checked by rules and by judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lydite import hookimpl
from lydite_rubric.reading import read_rubric
from lydite_rubric.rubric import Criterion, Rubric
from lydite_rubric.score import score

__all__ = ["Criterion", "Rubric", "read_rubric", "score"]


@hookimpl
def lydite_rewards() -> Mapping[str, Callable[..., Any]]:
    """The reward `rubric/score`."""
    return {"rubric/score": score}
