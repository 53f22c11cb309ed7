"""The entries of a task as samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from lydite import DataError, Sample
from lydite_reasoning_gym.gym import make_task


def tasks(
    *, task: str, size: Annotated[int, Field(ge=1)] = 10_000, seed: int = 0, config: Mapping[str, Any] | None = None
) -> Iterator[Sample]:
    """Up to `size` entries of a task, made one by one as they are asked for.

    `config` holds the task's own settings. The column `task` carries name, config and entry for the reward.

    Raises:
        DataError: for a task or a setting that reasoning-gym does not have.
    """
    own = dict(config or {})
    for name in ("size", "seed"):
        if name in own:
            raise DataError(f"give {name} as an option beside `task`, not inside `config`")
    return _entries(make_task(task, {**own, "size": size, "seed": seed}), task, own, size)


def _entries(made: Any, task: str, config: Mapping[str, Any], size: int) -> Iterator[Sample]:
    for index in range(size):
        entry = dict(made[index])
        carried = {"name": task, "config": dict(config), "entry": entry}
        yield Sample(f"{task}-{index}", str(entry["question"]), entry["answer"], {"task": carried})
