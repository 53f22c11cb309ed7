"""How a worker process gets a reward: imported where it has a name, pickled by value where it has none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import cloudpickle
import pluggy

from lydite import hookspecs
from lydite.errors import ConfigError
from lydite.plugins import Offer, import_file
from lydite.rewards.arguments import Wants
from lydite.rewards.calls import Kind, Terms


@dataclass(frozen=True, slots=True)
class Recipe:
    """Where one offer of a plugin is found again."""

    how: Literal["entry_point", "file", "pickle"]
    location: str = ""
    """The entry point's value, or the file's path."""
    hook: str = ""
    """The hook that offers it."""
    name: str = ""
    """The name it is offered under."""
    pickled: bytes = b""


@dataclass(frozen=True, slots=True)
class WorkerReward:
    """All that a worker must know of a reward to run it."""

    kind: Kind
    terms: Terms
    recipe: Recipe
    options: Mapping[str, Any] = field(default_factory=dict)
    judge: Recipe | None = None
    judge_options: Mapping[str, Any] = field(default_factory=dict)
    recorded: tuple[str, ...] = ()
    """Which of TRL's `log_extra` and `log_metric` the function takes."""
    uses: Mapping[str, UsedReward] = field(default_factory=dict)
    """The rewards that it calls, by its own keys."""


@dataclass(frozen=True, slots=True)
class UsedReward:
    """A reward that another one calls."""

    reward: WorkerReward
    wants: Wants
    worst: float
    """The score of a completion that broke its format, where the reward wants a plain answer."""


def recipe_for(offer: Offer) -> Recipe:
    """The recipe of an offer.

    Raises:
        ConfigError: when a plain function cannot be pickled.
    """
    source = offer.owner.source
    if source != "function":
        return Recipe(source, offer.owner.location, f"lydite_{offer.kind}", offer.name)
    function = offer.thing
    try:
        return Recipe("pickle", name=offer.name, pickled=_pickled(function))
    except Exception as error:
        raise ConfigError(
            f"reward {offer.name!r} cannot be sent to a worker process ({type(error).__name__}: {error}); let it hold "
            'nothing but plain data, or run it in the trainer with @lydite.reward(isolation="inline")'
        ) from error


def load(recipe: Recipe) -> Callable[..., Any]:
    """The function that a recipe describes.

    Raises:
        LookupError: when the plugin does not offer that name here.
        Exception: whatever importing the plugin raises.
    """
    if recipe.how == "pickle":
        function: Callable[..., Any] = cloudpickle.loads(recipe.pickled)
        return function
    if recipe.how == "file":
        plugin: object = import_file(Path(recipe.location))
    else:
        plugin = EntryPoint("plugin", recipe.location, hookspecs.NAMESPACE).load()
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    for implementation in getattr(manager.hook, recipe.hook).get_hookimpls():
        offered = dict(implementation.function())
        if recipe.name in offered:
            found: Callable[..., Any] = offered[recipe.name]
            return found
    raise LookupError(f"{recipe.location} offers no {recipe.name!r} through {recipe.hook}")


def _pickled(function: Callable[..., Any]) -> bytes:
    """By reference where a worker can import the module, by value where it cannot."""
    module = sys.modules.get(getattr(function, "__module__", None) or type(function).__module__)
    if (
        module is None
        or module.__name__ == "__main__"
        or _importable(module.__name__, getattr(module, "__file__", None))
    ):
        pickled: bytes = cloudpickle.dumps(function)
        return pickled
    cloudpickle.register_pickle_by_value(module)
    try:
        by_value: bytes = cloudpickle.dumps(function)
        return by_value
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _importable(name: str, file: str | None) -> bool:
    """Whether importing the name finds the same file; True for modules that have none."""
    if file is None:
        return True
    path: Any = None
    spec = None
    parts = name.split(".")
    for depth in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: depth + 1]), path)
        if spec is None:
            return False
        path = spec.submodule_search_locations
    return spec is not None and spec.origin == file
