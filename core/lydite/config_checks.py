"""What must hold between the keys of a configuration, where each key by itself is in order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from lydite.suggest import did_you_mean

if TYPE_CHECKING:
    from lydite.config import LengthConfig, RewardConfig, RunConfig

EPISODE_REWARD: Final = "environment"
"""Name of the reward that is what a run's environment paid."""
ENGINE_JUDGE: Final = "engine"
"""Name of the judge that asks the run's own model."""


def cross_problems(config: RunConfig) -> list[str]:
    """A sentence for each thing that does not fit together, beginning with the key it is about; empty if all does."""
    problems = [*_name_problems(config.name), *_length_problems(config.length, config.rewards)]
    for name, reward in config.rewards.items():
        problems += _reward_problems(f"rewards.{name}", reward)
        problems += _reference_problems(name, reward, config.rewards)
    if config.eval is not None:
        problems += _reward_problems("eval.reward", config.eval.reward)
        problems += _alone_problems(config.eval.reward)
    problems += _aggregate_problems(config)
    problems += _environment_problems(config)
    problems += _sharding_problems(config)
    problems += _executor_problems(config)
    problems += _sampling_problems(config)
    problems += _observer_problems(config)
    if config.engine.use == "scripted" and not config.engine.script:
        problems.append("engine.script is what the scripted engine says, and it is empty; give it at least one answer")
    return problems


def surprises(config: RunConfig) -> list[str]:
    """A sentence for each thing that is allowed and has hardly been meant, beginning with its key; empty if none is."""
    train = config.train
    updates = train.max_steps * train.updates_per_step
    if train.warmup_steps < updates:
        return []
    height = train.learning_rate * updates / (train.warmup_steps + 1)
    return [
        f"train.warmup_steps = {train.warmup_steps}, and the run makes {updates} updates: the rate rises to "
        f"{height:.3g} and never reaches train.learning_rate = {train.learning_rate:.3g}; take fewer warmup_steps or "
        "more max_steps"
    ]


def _aggregate_problems(config: RunConfig) -> list[str]:
    if config.stack.aggregate != "normalize_then_sum":
        return []
    for key in ("advantage_estimator", "scale_rewards"):
        value = getattr(config.train, key)
        if value != "group":  # one is enough: an estimator brings its own scale along
            return [
                f'train.{key} = "{value}" does not go with stack.aggregate = "normalize_then_sum", which normalises '
                f'each reward in its own group; leave {key} at "group"'
            ]
    return []


def _environment_problems(config: RunConfig) -> list[str]:
    if config.environment is not None:
        return []
    asked = {f"rewards.{name}": reward for name, reward in config.rewards.items()}
    asked |= {"eval.reward": config.eval.reward} if config.eval is not None else {}
    return [
        f'{table}.use = "{EPISODE_REWARD}" is what an environment paid, and this run has none; add an [environment]'
        for table, reward in asked.items()
        if reward.use == EPISODE_REWARD
    ]


def _sampling_problems(config: RunConfig) -> list[str]:
    sampling, defaults = config.sampling, type(config.sampling).model_fields
    problems = [
        f"sampling.pass_by names {name!r}, which is no reward of this stack{did_you_mean(name, config.rewards)}"
        for name in sampling.pass_by
        if name not in config.rewards
    ]
    needs = {
        "difficulty_column": ('order = "curriculum"', sampling.order == "curriculum"),
        "target": ('order = "frontier"', sampling.order == "frontier"),
        "exploration": ('order = "frontier"', sampling.order == "frontier"),
        "retire_after": ("retire_at", sampling.retire_at is not None),
        "retest_every": ("retire_at", sampling.retire_at is not None),
    }
    for key, (needed, there) in needs.items():
        value = getattr(sampling, key)
        if value != defaults[key].default and not there:
            problems.append(
                f"sampling.{key} = {value!r} has no meaning without sampling.{needed}; set it, or leave {key} out"
            )
    if sampling.max_refills or sampling.flat_groups == "drop":
        problems += _flat_group_problems(config)
    return problems


def _flat_group_problems(config: RunConfig) -> list[str]:
    """Where groups whose rewards do not differ teach something, they must not be taken for useless."""
    teacher = None
    if config.algorithm == "ppo":
        teacher = 'algorithm = "ppo", whose baseline is a value head'
    elif config.algorithm == "grpo" and config.train.advantage_estimator == "reinforce_plus_plus":
        teacher = 'train.advantage_estimator = "reinforce_plus_plus", whose baseline is the mean of the step'
    if teacher is None:
        return []
    key = "max_refills" if config.sampling.max_refills else "flat_groups"
    return [
        f"sampling.{key} = {getattr(config.sampling, key)!r} replaces or drops groups whose rewards do not differ, and "
        f"they teach something under {teacher}; leave it out"
    ]


def _sharding_problems(config: RunConfig) -> list[str]:
    if config.distributed.strategy != "fsdp2":
        return []
    base = 'distributed.strategy = "fsdp2" shares out a frozen base in 16 or 32 bit, '
    problems = []
    if config.model.quantization != "none":
        problems.append(
            f'{base}and model.quantization = "{config.model.quantization}" packs weights into blocks that cannot be '
            'cut; take model.quantization = "none", or distributed.strategy = "ddp" (a base in 4 bit is a quarter the '
            "size)"
        )
    if not config.lora.enabled:
        problems.append(f'{base}and lora.enabled = false trains it; leave LoRA on, or take strategy = "ddp"')
    if config.engine.use == "vllm":
        problems.append(f'{base}and engine.use = "vllm" needs all of it in each process; take engine.use = "hf"')
    if config.train.activation_offloading:
        problems.append(f"{base}and does not go with train.activation_offloading = true; leave it out")
    if config.train.cuda_graphs:
        problems.append(
            f"{base}fetched anew for each pass, and train.cuda_graphs = true wants it in one place; leave it out"
        )
    if ENGINE_JUDGE in _judges(config):
        problems.append(f'{base}and a judge "{ENGINE_JUDGE}" would have one process ask the model alone; take another')
    return problems


def _executor_problems(config: RunConfig) -> list[str]:
    if config.stack.executor != "ray" or ENGINE_JUDGE not in _judges(config):
        return []
    return [
        f'stack.executor = "ray" runs verifiers on other hosts, and the judge "{ENGINE_JUDGE}" answers on this one '
        'alone; take executor = "local", or a judge that has an address'
    ]


def _judges(config: RunConfig) -> set[str | None]:
    rewards = [*config.rewards.values(), *([config.eval.reward] if config.eval is not None else [])]
    return {reward.judge for reward in rewards}


def _observer_problems(config: RunConfig) -> list[str]:
    return [
        f"observers.{name} is a table of the observer's options, got {options!r}; write a table [observers.{name}]"
        for name, options in config.observers.items()
        if not isinstance(options, dict)
    ]


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
    if length.only_if is None and length.kind != "soft_overlong":
        problems.append(
            f'length.only_if is missing: kind = "{length.kind}" pays for a length, which only a right answer may earn; '
            "name the reward that must have passed"
        )
    if length.only_if is not None and length.only_if not in stack:
        problems.append(
            f"length.only_if = {length.only_if!r} is no reward of this stack{did_you_mean(length.only_if, stack)}"
        )
    if length.kind == "soft_overlong" and not 1 <= length.cache <= length.max_length:
        problems.append(f"length.cache is from 1 to length.max_length = {length.max_length}, got {length.cache}")
    if length.kind == "target" and not 1 <= length.target <= length.max_length:
        problems.append(f"length.target is from 1 to length.max_length = {length.max_length}, got {length.target}")
    return problems
