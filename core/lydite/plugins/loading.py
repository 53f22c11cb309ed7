"""Loading plugins one by one, so that a failure names who is to blame.

Built-ins, installed distributions and local files all come in through the same hooks.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import pluggy

from lydite import hookspecs
from lydite.errors import ConfigError, PluginError
from lydite.plugins.files import digest_of_package, import_file
from lydite.plugins.installed import canonical, check_names, installed_plugins
from lydite.plugins.offers import KINDS, Failure, Kind, Offer, Owner, add_offer, frozen_offers
from lydite.plugins.registry import Plugins
from lydite.suggest import did_you_mean

BLOCK_VARIABLE: Final = "LYDITE_DISABLED_PLUGINS"
"""Names of distributions or entry points, separated by commas, that are never imported."""
BUILTIN: Final = "lydite.builtin"


def load_plugins(
    *,
    allow: Sequence[str] | None = None,
    block: Sequence[str] = (),
    files: Sequence[str | Path] = (),
    strict: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> Plugins:
    """The plugins that a run may use.

    `allow` names distributions (None: every installed one); `block` and the environment variable
    `LYDITE_DISABLED_PLUGINS` name distributions or entry points to leave out; `files` are local modules,
    allowed by being named. With `strict`, the first failure is raised; without, failures are collected.

    Raises:
        ConfigError: when an allowed distribution is not installed, or a name to block does not exist.
        PluginError: when a plugin fails to load (strict), or two offer the same name.
    """
    from_environment = [name.strip() for name in environ.get(BLOCK_VARIABLE, "").split(",") if name.strip()]
    blocked = {canonical(name) for name in (*block, *from_environment)}
    installed = installed_plugins()
    check_names(allow, block, installed)
    allowed = None if allow is None else {canonical(name) for name in allow}

    loading = _Loading(strict)
    loading.take(_builtin(), lambda: importlib.import_module(BUILTIN))
    not_allowed: set[str] = set()
    for distribution, version, entry in installed:
        if canonical(distribution) in blocked or canonical(entry.name) in blocked:
            continue
        if allowed is not None and canonical(distribution) not in allowed:
            not_allowed.add(distribution)
            continue
        digest = digest_of_package(entry.value)
        loading.take(Owner(entry.name, distribution, version, "entry_point", entry.value, digest), entry.load)
    for path in dict.fromkeys(Path(file).resolve() for file in files):
        loading.take(_owner_of(path), lambda path=path: import_file(path))  # type: ignore[misc]
    offers = loading.offers()
    return Plugins(
        loading.manager.hook,
        tuple(loading.owners),
        offers,
        tuple(loading.failures),
        tuple(sorted(not_allowed)),
        loading.manager,
    )


def _builtin() -> Owner:
    return Owner("builtin", "lydite", importlib.metadata.version("lydite"), "entry_point", BUILTIN)


def _owner_of(path: Path) -> Owner:
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return Owner(path.stem, f"file {path.name}", digest[:12], "file", str(path), digest)


class _Loading:
    """The plugins that were loaded so far, and what went wrong. With `strict`, the first failure is raised."""

    def __init__(self, strict: bool) -> None:
        self.manager = pluggy.PluginManager(hookspecs.NAMESPACE)
        self.manager.add_hookspecs(hookspecs)
        self.owners: list[Owner] = []
        self.failures: list[Failure] = []
        self._strict = strict

    def take(self, owner: Owner, load: Callable[[], object]) -> None:
        """Loads and registers one plugin."""
        try:
            _register(self.manager, owner, load(), self.owners)
            self.owners.append(owner)
        except (Exception, SystemExit) as error:  # a plugin that exits on import must not end the run in silence
            failure = Failure(owner, f"{type(error).__name__}: {error}")
            if self._strict and isinstance(error, ConfigError):
                raise  # a file that is not there is no plugin that fails
            if self._strict:
                raise PluginError(str(failure)) from error
            self.failures.append(failure)

    def offers(self) -> Mapping[Kind, Mapping[str, Offer]]:
        """What all of them offer. A plugin whose hook fails offers what it could until then."""
        owners = {owner.key: owner for owner in self.owners}
        found: dict[Kind, dict[str, Offer]] = {kind: {} for kind in KINDS}
        for kind in KINDS:
            for implementation in getattr(self.manager.hook, f"lydite_{kind}").get_hookimpls():
                owner = owners[implementation.plugin_name]
                try:
                    offered = implementation.function()
                    if not isinstance(offered, Mapping):
                        raise PluginError(f"lydite_{kind} must return {{name: thing}}, got {type(offered).__name__}")
                    for name, thing in offered.items():
                        add_offer(found, Offer(kind, name, thing, owner))
                except Exception as error:
                    cause = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
                    failure = Failure(owner, cause)
                    if self._strict:
                        raise PluginError(str(failure)) from error
                    self.failures.append(failure)
        return frozen_offers(found)


def _register(manager: pluggy.PluginManager, owner: Owner, plugin: object, others: Sequence[Owner]) -> None:
    taken = manager.get_name(plugin)
    if taken is not None:
        other = next(one for one in others if one.key == taken)
        raise PluginError(f"{owner.location} is the plugin {other.plugin!r} of {other} already")
    known = {name for name in vars(hookspecs) if name.startswith("lydite_")}
    module = plugin.__name__ if isinstance(plugin, ModuleType) else ""
    for name, thing in vars(plugin).items() if isinstance(plugin, ModuleType) else ():
        if not name.startswith("lydite_") or not inspect.isfunction(thing) or thing.__module__ != module:
            continue
        marked = hasattr(thing, f"{hookspecs.NAMESPACE}_impl")
        if not marked and name in known:
            raise PluginError(f"{name} is not marked as a hook; put @lydite.hookimpl above it")
        if marked and name not in known:
            raise PluginError(f"there is no hook {name!r}{did_you_mean(name, known)}")
    try:
        manager.register(plugin, name=owner.key)
        manager.check_pending()
    except pluggy.PluginValidationError:
        if manager.get_name(plugin) is not None:  # how far pluggy gets before it raises differs between versions
            manager.unregister(plugin)
        raise
