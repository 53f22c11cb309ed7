"""A task of reasoning-gym by its name. The package takes a second to import, so it is imported when asked for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lydite import DataError, did_you_mean


def make_task(name: str, config: Mapping[str, Any]) -> Any:
    """The task with that configuration: `task[index]` is an entry, `task.score_answer` its scorer.

    Raises:
        DataError: for a task or a setting that there is not, or one of a value that the task refuses.
    """
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

    if name not in DATASETS:
        raise DataError(f"reasoning-gym has no task {name!r}{did_you_mean(name, DATASETS)}")
    known = {field.name for field in dataclasses.fields(DATASETS[name][1])}
    for key in config:
        if key not in known:
            raise DataError(f"the reasoning-gym task {name!r} has no setting {key!r}{did_you_mean(key, known)}")
    try:
        return reasoning_gym.create_dataset(name, **config)
    except (AssertionError, TypeError, ValueError) as error:
        raise DataError(f"the reasoning-gym task {name!r} refuses its config {dict(config)}: {error}") from error


def scorer(name: str, config: Mapping[str, Any]) -> Any:
    """The task as `make_task` gives it, made once in each process."""
    return _scorer(name, json.dumps(config, sort_keys=True))


@lru_cache(maxsize=16)
def _scorer(name: str, config: str) -> Any:
    return make_task(name, json.loads(config))
