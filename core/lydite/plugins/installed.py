"""The plugins that are installed: the entry points of lydite's group."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import NamedTuple

from lydite import hookspecs
from lydite.errors import ConfigError
from lydite.suggest import close_to, did_you_mean


class Installed(NamedTuple):
    """An entry point and the distribution that it belongs to."""

    distribution: str
    version: str
    entry: importlib.metadata.EntryPoint


def installed_plugins() -> list[Installed]:
    """Every entry point of the group with its distribution and version, in a stable order."""
    found: dict[tuple[str, str], Installed] = {}
    for entry in importlib.metadata.entry_points(group=hookspecs.NAMESPACE):
        distribution = entry.dist
        name = distribution.name if distribution is not None else "(unknown distribution)"
        version = distribution.version if distribution is not None else ""
        found.setdefault((canonical(name), entry.name), Installed(name, version, entry))
    return [found[key] for key in sorted(found)]


def check_names(allow: Sequence[str] | None, block: Sequence[str], installed: Sequence[Installed]) -> None:
    """Nothing, when everything that a run allows or blocks by name is installed.

    Raises:
        ConfigError: with the nearest name.
    """
    distributions = {canonical(one.distribution) for one in installed}
    plugins = {canonical(one.entry.name) for one in installed}
    for name in allow or ():
        if canonical(name) not in distributions and canonical(name) != "lydite":
            near = close_to(name, distributions)  # whoever misspelt a name must not be told to install it
            todo = f"did you mean {near!r}?" if near else f"install it with: pip install {name}"
            raise ConfigError(f"this run allows the plugin {name!r}, and no such distribution is installed; {todo}")
    for name in block:
        if canonical(name) not in distributions | plugins:
            raise ConfigError(
                f"--no-plugin {name}: nothing of that name is installed{did_you_mean(name, distributions)}"
            )


def canonical(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return name.lower().replace("_", "-").replace(".", "-")
