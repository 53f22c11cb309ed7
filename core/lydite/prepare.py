"""Everything about a run that can be checked before a model is loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lydite.config import FormatConfig, RewardConfig, RunConfig
from lydite.config_checks import surprises
from lydite.contracts import AlgorithmFactory, Format
from lydite.data import Data, check_references, difficulties, load_data, repeated_prompts
from lydite.environments import Environments, make_environments
from lydite.errors import ConfigError
from lydite.options import check_options
from lydite.plugins import Plugins, load_plugins
from lydite.rewards import RewardStack, build_eval_stack, build_stack
from lydite.rewards.calls import Spread, here
from lydite.types import Sample
from lydite.watching import Watching, make_observers

logger = logging.getLogger("lydite")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run whose names, options, data and references have been found to be in order."""

    config: RunConfig
    plugins: Plugins
    format: Format
    stack: RewardStack
    eval_stack: RewardStack | None
    data: Data
    environments: Environments | None = None
    observers: tuple[Watching, ...] = ()

    def close(self) -> None:
        """Closes the observers, and ends the verifiers' processes."""
        for observer in self.observers:
            observer.close()
        self.stack.close()
        if self.eval_stack is not None:
            self.eval_stack.close()


def prepare(
    config: RunConfig,
    *,
    block: Sequence[str] = (),
    functions: Mapping[str, Callable[..., Any]] | None = None,
    spread: Spread = here,
) -> Prepared:
    """The run's plugins, rewards, format and data, checked; `functions` are rewards given as Python functions.

    `spread` says which process of the run makes which calls of a reward, where it has several.

    Raises:
        ConfigError: on an unknown name or option, or a reward that asks for a column the data lacks.
        PluginError: when a plugin fails to load.
        DataError: when data is missing, empty or malformed, a reference fails its own verifier, or an environment
            cannot begin with the first sample.
    """
    plugins = load_plugins(allow=config.plugins, block=block, files=config.plugin_files)
    if functions:
        plugins = plugins.with_functions(functions)
    algorithm_factory(config, plugins)
    observers = make_observers(config, plugins, blocked=bool(block))
    form = make_format(config.format, plugins)
    environments = make_environments(config.environment, plugins) if config.environment is not None else None
    stack = build_stack(config, plugins, form, spread=spread)
    eval_stack = None
    if config.eval is not None:
        eval_stack = build_eval_stack(config, plugins, form, pool=stack.pool, spread=spread)
    prepared: Prepared | None = None
    try:
        data = load_data(config, plugins)
        stack.check_columns(_columns(data.train))
        if config.sampling.difficulty_column is not None:
            difficulties(data.train, config.sampling.difficulty_column)
        if eval_stack is not None:
            eval_stack.check_columns(_columns(data.heldout))
        data = check_references(data, stack.judge_references, config.data.check_reference)
        if environments is not None:
            environments.opening(data.train[0])
        _warn(config, data)
        prepared = Prepared(config, plugins, form, stack, eval_stack, data, environments, observers)
    finally:
        if prepared is None:
            stack.close()
            if eval_stack is not None:
                eval_stack.close()
    return prepared


def _warn(config: RunConfig, data: Data) -> None:
    """Says once what is allowed and will surprise."""
    # With an environment, equal prompts may be the beginnings of different episodes.
    copies = repeated_prompts(data.train) if config.environment is None else None
    for line in (*surprises(config), *([copies] if copies else [])):
        logger.warning("%s", line)


def algorithm_factory(config: RunConfig, plugins: Plugins) -> AlgorithmFactory:
    """What makes the run's algorithm of a policy and the configuration, its options given.

    Raises:
        UnknownNameError: when nobody offers it.
        ConfigError: on wrong options.
    """
    offer = plugins.find("algorithms", config.algorithm)
    return partial(
        offer.thing, **check_options(f"algorithm {config.algorithm!r}", offer.thing, config.algorithm_options)
    )


def make_format(config: FormatConfig, plugins: Plugins) -> Format:
    """The format that a configuration names.

    Raises:
        UnknownNameError: when no plugin offers it.
        ConfigError: on wrong options, and when what is made is no format.
    """
    offer = plugins.find("formats", config.use)
    options = check_options(f"format {config.use!r}", offer.thing, config.options)
    made = offer.thing(**options)
    if not isinstance(made, Format):
        raise ConfigError(
            f"format {config.use!r} of {offer.owner} gives a {type(made).__name__}, which has no instructions and parse"
        )
    return made


def with_function_rewards(config: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """A configuration that uses every given function: those that no reward names get weight 1 and their own name."""
    rewards = dict(config.get("rewards", {}))
    used = {reward.use if isinstance(reward, RewardConfig) else reward.get("use") for reward in rewards.values()}
    for name in functions:
        if name in used:
            continue
        if name in rewards:
            raise ConfigError(f"the reward {name!r} is given as a function, and [rewards.{name}] uses something else")
        rewards[name] = {"use": name}
    return {**config, "rewards": rewards}


def _columns(samples: Sequence[Sample]) -> frozenset[str]:
    """The columns that every sample has."""
    return frozenset.intersection(*(frozenset(sample.columns) for sample in samples))
