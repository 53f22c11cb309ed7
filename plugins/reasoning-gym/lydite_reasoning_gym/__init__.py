"""The tasks of reasoning-gym: questions without end, each scored by the task that made it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lydite import Environment, Sample, hookimpl
from lydite_reasoning_gym.score import score
from lydite_reasoning_gym.tasks import tasks
from lydite_reasoning_gym.tries import Tries

__all__ = ["Tries", "score", "tasks"]


@hookimpl
def lydite_datasets() -> Mapping[str, Callable[..., Iterable[Sample]]]:
    """The data set `reasoning-gym`."""
    return {"reasoning-gym": tasks}


@hookimpl
def lydite_environments() -> Mapping[str, Callable[..., Environment]]:
    """The environment `reasoning-gym/tries`."""
    return {"reasoning-gym/tries": Tries}


@hookimpl
def lydite_rewards() -> Mapping[str, Callable[..., Any]]:
    """The reward `reasoning-gym/score`."""
    return {"reasoning-gym/score": score}
