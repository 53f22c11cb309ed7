"""What must hold between the keys of a configuration, where each key by itself is in order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lydite.suggest import did_you_mean

if TYPE_CHECKING:
    from lydite.config import LengthConfig, RewardConfig, RunConfig


def cross_problems(config: RunConfig) -> list[str]:
    """A sentence for each thing that does not fit together, beginning with the key it is about; empty if all does."""
    problems = [*_name_problems(config.name), *_length_problems(config.length, config.rewards)]
    for name, reward in config.rewards.items():
        problems += _reward_problems(f"rewards.{name}", reward)
        problems += _reference_problems(name, reward, config.rewards)
    if config.eval is not None:
        problems += _reward_problems("eval.reward", config.eval.reward)
        problems += _alone_problems(config.eval.reward)
    if config.stack.aggregate == "normalize_then_sum" and config.train.scale_rewards != "group":
        problems.append(
            f'train.scale_rewards = "{config.train.scale_rewards}" does not go with stack.aggregate = '
            '"normalize_then_sum", which normalises each reward in its own group; leave scale_rewards at "group"'
        )
    if config.engine.use == "scripted" and not config.engine.script:
        problems.append("engine.script is what the scripted engine says, and it is empty; give it at least one answer")
    return problems


def _name_problems(name: str) -> list[str]:
    if name and name == name.strip() and name not in (".", "..") and not re.search(r"[/\\\0]", name):
        return []
    return [f"name = {name!r} cannot be the name of a folder; use one name without slashes"]


def _reward_problems(table: str, reward: RewardConfig) -> list[str]:
    problems = []
    if reward.weight_to is not None and reward.schedule_steps == 0:
        problems.append(f"{table}.weight_to needs schedule_steps, the steps until it is reached")
    if reward.weight_to is None and reward.schedule_steps > 0:
        problems.append(f"{table}.schedule_steps needs weight_to, the weight that the schedule ends at")
    for key in ("clip", "range"):
        span = getattr(reward, key)
        if span is not None and not span[0] < span[1]:
            problems.append(f"{table}.{key} goes from low to high, got {list(span)}")
    if reward.judge is None and reward.judge_options:
        problems.append(f"{table}.judge_options needs judge, the name of the judge that takes them")
    return problems


def _reference_problems(name: str, reward: RewardConfig, stack: Mapping[str, RewardConfig]) -> list[str]:
    table = f"rewards.{name}"
    problems = []
    if not re.fullmatch(r"[\w-]+", name):
        problems.append(f"{table}: a reward's name is made of letters, digits, _ and -, got {name!r}")
    for key in ("only_if", "fallback_for"):
        other = getattr(reward, key)
        if other == name:
            problems.append(f"{table}.{key} names the reward itself; name another one, or leave it out")
        elif other is not None and other not in stack:
            problems.append(f"{table}.{key} = {other!r} is no reward of this stack{did_you_mean(other, stack)}")
    return problems


def _alone_problems(reward: RewardConfig) -> list[str]:
    return [
        f"eval.reward.{key} = {getattr(reward, key)!r} names another reward, and the held-out reward stands alone; "
        "leave it out"
        for key in ("only_if", "fallback_for")
        if getattr(reward, key) is not None
    ]


def _length_problems(length: LengthConfig | None, stack: Mapping[str, RewardConfig]) -> list[str]:
    if length is None:
        return []
    problems = []
    if length.only_if not in stack:
        problems.append(
            f"length.only_if = {length.only_if!r} is no reward of this stack{did_you_mean(length.only_if, stack)}"
        )
    if length.kind == "soft_overlong" and not 1 <= length.cache <= length.max_length:
        problems.append(f"length.cache is from 1 to length.max_length = {length.max_length}, got {length.cache}")
    if length.kind == "target" and not 1 <= length.target <= length.max_length:
        problems.append(f"length.target is from 1 to length.max_length = {length.max_length}, got {length.target}")
    return problems
