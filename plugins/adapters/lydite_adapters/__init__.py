"""Reward functions of other trainers in lydite, and lydite's rewards in other trainers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lydite import did_you_mean, hookimpl
from lydite_adapters.gym_in import gym
from lydite_adapters.trl_in import trl
from lydite_adapters.verifiers_in import verifiers, verifiers_group
from lydite_adapters.verifiers_task import verifiers_task
from lydite_adapters.verl_in import verl

if TYPE_CHECKING:
    from lydite_adapters.trl_out import TrlRewards, trl_reward_funcs

__all__ = [
    "TrlRewards",
    "gym",
    "trl",
    "trl_reward_funcs",
    "verifiers",
    "verifiers_group",
    "verifiers_task",
    "verl",
]


@hookimpl
def lydite_rewards() -> Mapping[str, Callable[..., Any]]:
    """Functions that judge one completion, and TRL's, which judge a whole step."""
    return {
        "adapters/trl": trl,
        "adapters/verl": verl,
        "adapters/verifiers": verifiers,
        "adapters/verifiers-task": verifiers_task,
        "adapters/reasoning-gym": gym,
    }


@hookimpl
def lydite_group_rewards() -> Mapping[str, Callable[..., Any]]:
    """Functions that judge all completions of a prompt."""
    return {"adapters/verifiers-group": verifiers_group}


def __getattr__(name: str) -> Any:
    if name not in ("TrlRewards", "trl_reward_funcs"):
        raise AttributeError(f"lydite_adapters has no attribute {name!r}{did_you_mean(name, __all__)}")
    from lydite_adapters import trl_out  # the way out needs the whole stack, which a worker process does not

    return getattr(trl_out, name)
