"""From rewards to advantages: how much better a completion did than what was to be expected of its prompt.

Plain float64 arithmetic on what the reward stack scored; no tensors. A completion whose reward is None
gets advantage 0 and is no part of any mean or standard deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from lydite.objective.advantages.decoupled import decoupled_advantages
from lydite.objective.advantages.deviations import Values
from lydite.objective.advantages.group import Scale, total_advantages
from lydite.objective.advantages.leave_one_out import leave_one_out_advantages
from lydite.objective.advantages.pass_at_k import pass_at_k_advantages
from lydite.objective.advantages.reinforce_plus_plus import (
    reinforce_plus_plus_advantages,
    reinforce_plus_plus_baseline_advantages,
)
from lydite.suggest import did_you_mean
from lydite.types import Scored

if TYPE_CHECKING:
    from lydite.config import RunConfig, TrainConfig

__all__ = [
    "Aggregate",
    "Estimator",
    "Scale",
    "configured_advantages",
    "decoupled_advantages",
    "estimated_advantages",
    "leave_one_out_advantages",
    "pass_at_k_advantages",
    "reinforce_plus_plus_advantages",
    "reinforce_plus_plus_baseline_advantages",
    "total_advantages",
    "with_advantages",
    "with_configured_advantages",
]

Aggregate: TypeAlias = Literal["sum_then_normalize", "normalize_then_sum"]
Estimator: TypeAlias = Literal[
    "group", "leave_one_out", "reinforce_plus_plus", "reinforce_plus_plus_baseline", "pass_at_k"
]


def with_advantages(
    scored: Scored,
    *,
    scale: Scale,
    aggregate: Aggregate,
    estimator: Estimator = "group",
    pass_at_k: int = 4,
    pass_reward: float = 1.0,
) -> Scored:
    """The same step with every `ScoredCompletion.advantage` filled in.

    `sum_then_normalize` takes the total rewards of each group to `estimated_advantages`. `normalize_then_sum` is
    GDPO, which takes the components to `decoupled_advantages`. It always divides by deviations in the group, so
    `scale` and `estimator` must be "group".

    Raises:
        ValueError: on an unknown scale, aggregate or estimator, and on what does not go together.

    Source: the epsilon and the treatment of None as in TRL 1.16; else see each estimator.
    """
    if aggregate not in get_args(Aggregate):
        raise ValueError(f"unknown aggregate {aggregate!r}{did_you_mean(str(aggregate), get_args(Aggregate))}")
    if aggregate == "sum_then_normalize":
        rewards = [[one.reward for one in group.completions] for group in scored.groups]
        found = estimated_advantages(
            rewards, estimator=estimator, scale=scale, pass_at_k=pass_at_k, pass_reward=pass_reward
        )
        return _filled(scored, found)
    for name, given in (("scale_rewards", scale), ("advantage_estimator", estimator)):
        if given != "group":
            raise ValueError(
                f"{name} = {given!r} has no meaning with aggregate = 'normalize_then_sum', which divides by each "
                f"reward's own deviation; take {name} = 'group', or aggregate = 'sum_then_normalize'"
            )
    return _filled(scored, decoupled_advantages(scored.groups))


def with_configured_advantages(scored: Scored, config: RunConfig) -> Scored:
    """`with_advantages` as a run's configuration asks for."""
    train = config.train
    return with_advantages(
        scored,
        scale=train.scale_rewards,
        aggregate=config.stack.aggregate,
        estimator=train.advantage_estimator,
        pass_at_k=train.pass_at_k,
        pass_reward=train.pass_reward,
    )


def configured_advantages(rewards: Sequence[Values], train: TrainConfig) -> list[list[float]]:
    """`estimated_advantages` as a run's configuration asks for."""
    return estimated_advantages(
        rewards,
        estimator=train.advantage_estimator,
        scale=train.scale_rewards,
        pass_at_k=train.pass_at_k,
        pass_reward=train.pass_reward,
    )


def estimated_advantages(
    rewards: Sequence[Values], *, estimator: Estimator, scale: Scale, pass_at_k: int = 4, pass_reward: float = 1.0
) -> list[list[float]]:
    """Advantages [P][G] of total rewards [P][G] by the estimator of that name; 0 where the reward is None.

    `scale` is for "group" and "leave_one_out", `pass_at_k` and `pass_reward` for "pass_at_k"; the others have none.

    Raises:
        ValueError: on an unknown scale or estimator, and on a scale that the estimator does not have.
    """
    for name, given, known in (("scale", scale, get_args(Scale)), ("estimator", estimator, get_args(Estimator))):
        if given not in known:
            raise ValueError(f"unknown {name} {given!r}{did_you_mean(str(given), known)}")
    if estimator == "group":
        return total_advantages(rewards, scale)
    if estimator == "leave_one_out":
        if scale == "group":
            raise ValueError("leave_one_out takes scale = 'none' or 'batch', got 'group'")
        return leave_one_out_advantages(rewards, scale)
    if estimator == "reinforce_plus_plus":
        return reinforce_plus_plus_advantages(rewards)
    if estimator == "reinforce_plus_plus_baseline":
        return reinforce_plus_plus_baseline_advantages(rewards)
    return pass_at_k_advantages(rewards, pass_at_k, pass_reward)


def _filled(scored: Scored, advantages: Sequence[Sequence[float]]) -> Scored:
    groups = tuple(
        replace(
            group,
            completions=tuple(
                replace(one, advantage=advantage) for one, advantage in zip(group.completions, of_group, strict=True)
            ),
        )
        for group, of_group in zip(scored.groups, advantages, strict=True)
    )
    return replace(scored, groups=groups)
