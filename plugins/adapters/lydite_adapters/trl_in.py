"""TRL's reward functions by import path: `f(prompts, completions, completion_ids, **columns) -> list`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from lydite import reward
from lydite_adapters.imported import checked, function_at, named_arguments


@reward(uses=checked("function", "trl.rewards:think_format_reward"), timeout=30.0)
def trl(
    prompts: list[Any],
    completions: list[Any],
    completion_ids: list[list[int]],
    trainer_state: Any,
    log_extra: Any,
    log_metric: Any,
    *,
    function: str = "",
    arguments: Mapping[str, Any] | None = None,
    **columns: list[Any],
) -> Any:
    """What a reward function written for TRL gives, called as TRL's trainer calls it, over a whole step.

    `function` is its import path. With `arguments` it is a maker of reward functions, and called with them once.
    None abstains, exceptions are errors, and a list of another length is an error for all of them.
    """
    known = {
        "prompts": prompts,
        "completions": completions,
        "completion_ids": completion_ids,
        "trainer_state": trainer_state,
        "log_extra": log_extra,
        "log_metric": log_metric,
        **columns,
    }
    called = _made(function, None if arguments is None else json.dumps(arguments, sort_keys=True))
    return called(**named_arguments(called, known))


@lru_cache(maxsize=64)
def _made(path: str, arguments: str | None) -> Callable[..., Any]:
    found = function_at(path)
    if arguments is None:
        return found
    made = found(**json.loads(arguments))
    if not callable(made):
        raise TypeError(f"{path} with these arguments gives a {type(made).__name__}, and no reward function")
    return made  # type: ignore[no-any-return]
