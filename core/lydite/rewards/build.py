"""From a configuration to a stack: everything that can be wrong with its rewards is found here, before any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lydite.config import LengthConfig, RewardConfig, RunConfig, StackConfig
from lydite.contracts import Format
from lydite.errors import ConfigError
from lydite.plugins import Plugins
from lydite.rewards.binding import Binding, bind
from lydite.rewards.cache import VerdictCache
from lydite.rewards.calls import Spread, here
from lydite.rewards.cascade import Cascade
from lydite.rewards.compose import Rule
from lydite.rewards.episode import with_episode_reward
from lydite.rewards.pool import Pool, make_pool
from lydite.rewards.shaping import NAME as LENGTH
from lydite.rewards.shaping import LengthShaping
from lydite.rewards.stack import RewardStack
from lydite.rewards.window import ErrorWindow


def build_stack(config: RunConfig, plugins: Plugins, format: Format, *, spread: Spread = here) -> RewardStack:
    """The rewards that a run trains on. No process is started before something is scored.

    `spread` says which process of a run makes which calls.

    Raises:
        UnknownNameError: when nobody offers a reward or judge of that name.
        ConfigError: on wrong options, and on rewards that contradict each other.
    """
    plugins = with_episode_reward(config, plugins)
    return _build(config.rewards, config.length, config.stack, config.train.max_steps, plugins, format, None, spread)


def build_eval_stack(
    config: RunConfig, plugins: Plugins, format: Format, *, pool: Pool | None = None, spread: Spread = here
) -> RewardStack:
    """The one reward of the held-out evaluation, under the name of its metric.

    It uses the worker processes of `pool`, say those of the training stack, or else has its own.

    Raises:
        ConfigError: when the configuration has no evaluation, or as `build_stack` does.
    """
    if config.eval is None:
        raise ConfigError("this run has no [eval] table, so there is no held-out reward")
    name, reward, plugins = config.eval.metric, config.eval.reward, with_episode_reward(config, plugins)
    return _build({name: reward}, None, config.stack, config.train.max_steps, plugins, format, pool, spread)


def _build(
    rewards: Mapping[str, RewardConfig],
    length: LengthConfig | None,
    stack: StackConfig,
    max_steps: int,
    plugins: Plugins,
    format: Format,
    pool: Pool | None,
    spread: Spread,
) -> RewardStack:
    bindings = {name: bind(name, reward, plugins) for name, reward in rewards.items()}
    rules = {name: _rule(name, reward, bindings[name]) for name, reward in rewards.items()}
    for name, reward in rewards.items():
        _check_relations(name, reward, rewards)
    phases = _phases(rewards, bindings)
    shaping = None
    if length is not None:
        if LENGTH in rewards:
            raise ConfigError(
                f"a reward is called {LENGTH!r}, the name of the component that [length] makes; rename it"
            )
        shaping = LengthShaping(length)
        rules[LENGTH] = shaping.rule
    if all(rule.weight == 0 and not rule.weight_to and not rule.gate for rule in rules.values()):
        raise ConfigError("every reward has weight 0, so that nothing can be learned; give one of them a weight")
    return RewardStack(
        phases=phases,
        rules=rules,
        cascades={
            name: Cascade(one.fallback_for, one.fallback_share)
            for name, one in rewards.items()
            if one.fallback_for is not None
        },
        length=shaping,
        format=format,
        max_steps=max_steps,
        windows={
            name: ErrorWindow(one.spoken, size=stack.error_window, max_share=stack.max_error_share)
            for name, one in bindings.items()
        },
        pool=pool or make_pool(stack),
        owns_pool=pool is None,
        cache=VerdictCache(stack.cache_size),
        spread=spread,
    )


def _rule(name: str, reward: RewardConfig, binding: Binding) -> Rule:
    if reward.rescale is not None:
        if binding.range is None:
            raise ConfigError(
                f"rewards.{name}.rescale starts from the reward's range, and {reward.use!r} declares none; "
                f"give it with rewards.{name}.range = [low, high]"
            )
        if reward.rescale[0] == reward.rescale[1]:
            raise ConfigError(
                f"rewards.{name}.rescale maps everything onto {reward.rescale[0]}; give two different ends"
            )
    return Rule(
        weight=reward.weight,
        weight_to=reward.weight_to,
        schedule_steps=reward.schedule_steps,
        gate=reward.gate,
        gate_score=reward.gate_score,
        pass_at=reward.pass_at,
        clip=reward.clip,
        rescale=reward.rescale,
        only_if=reward.only_if,
        range=binding.range,
    )


def _check_relations(name: str, reward: RewardConfig, rewards: Mapping[str, RewardConfig]) -> None:
    before = reward.fallback_for
    if before is not None and rewards[before].gate:
        raise ConfigError(
            f"rewards.{name}.fallback_for = {before!r} is a gate: what it stops has its total already, so there is "
            "nothing to fall back to; drop the one or the other"
        )
    if reward.gate and before is not None:
        raise ConfigError(f"rewards.{name} is a gate and a fallback; a gate must be asked about every completion")


def _phases(rewards: Mapping[str, RewardConfig], bindings: Mapping[str, Binding]) -> Sequence[Sequence[Binding]]:
    """The rewards in the order in which they can be asked: each fallback after what it falls back from."""
    phases: list[list[Binding]] = []
    left = dict(bindings)
    done: set[str] = set()
    while left:
        ready = [name for name in left if rewards[name].fallback_for is None or rewards[name].fallback_for in done]
        if not ready:
            raise ConfigError(f"the rewards {', '.join(sorted(left))} fall back on each other in a circle")
        phases.append([left.pop(name) for name in ready])
        done.update(ready)
    return phases
