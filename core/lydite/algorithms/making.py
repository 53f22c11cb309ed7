"""From the name in a configuration to the algorithm."""

from __future__ import annotations

from typing import cast

from lydite.algorithms.protocol import Algorithm
from lydite.config import RunConfig
from lydite.errors import ConfigError
from lydite.plugins import Plugins, load_plugins
from lydite.policy import Policy
from lydite.prepare import algorithm_factory

_METHODS = ("parameters", "learning_rate", "material", "begin")


def make_algorithm(policy: Policy, config: RunConfig, plugins: Plugins | None = None) -> Algorithm:
    """The algorithm that a run's configuration names; without `plugins`, one of lydite's own.

    Raises:
        UnknownNameError: when nobody offers it.
        ConfigError: on wrong options, and when what is made is no algorithm.
    """
    found = plugins if plugins is not None else load_plugins(allow=())
    made = algorithm_factory(config, found)(policy, config)
    absent = [name for name in _METHODS if not callable(getattr(made, name, None))]
    if absent:
        raise ConfigError(
            f"algorithm {config.algorithm!r} of {found.find('algorithms', config.algorithm).owner} gives a "
            f"{type(made).__name__}, which has no {', '.join(absent)}; see lydite.algorithms.Algorithm"
        )
    return cast(Algorithm, made)
