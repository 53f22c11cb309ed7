"""Finding plugins, loading them one by one, and keeping count of who offers what.

Built-ins, installed distributions, local files and plain functions all come in through the same hooks.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Final, Literal, TypeAlias, get_args

import pluggy

from lydite import hookspecs
from lydite.contracts import Family
from lydite.errors import ConfigError, PluginError, UnknownNameError
from lydite.suggest import did_you_mean

BLOCK_VARIABLE: Final = "LYDITE_DISABLED_PLUGINS"
"""Names of distributions or entry points, separated by commas, that are never imported."""

Kind: TypeAlias = Literal[
    "rewards", "group_rewards", "formats", "datasets", "judges", "environments", "observers", "algorithms"
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
SINGULAR: Final[Mapping[Kind, str]] = {
    "rewards": "reward",
    "group_rewards": "group reward",
    "formats": "format",
    "datasets": "data set",
    "judges": "judge",
    "environments": "environment",
    "algorithms": "algorithm",
    "observers": "observer",
}


@dataclass(frozen=True, slots=True)
class Owner:
    """Where a plugin came from."""

    plugin: str
    """Name of the entry point, or the stem of a file."""
    distribution: str
    version: str
    source: Literal["entry_point", "file", "function"]
    location: str
    """What a worker process imports: the entry point's value or the file's absolute path; empty for a function."""
    sha256: str = ""
    """Over the plugin's Python files, for the run's manifest."""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}" if self.source == "entry_point" else self.distribution

    @property
    def key(self) -> str:
        """What the plugin is registered under. Two distributions may give their entry points one name."""
        return f"{self.distribution}:{self.plugin}:{self.location}"


@dataclass(frozen=True, slots=True)
class Offer:
    """One named thing that a plugin offers."""

    kind: Kind
    name: str
    thing: Callable[..., Any]
    owner: Owner


@dataclass(frozen=True, slots=True)
class Failure:
    """A plugin that could not be loaded, and why."""

    owner: Owner
    cause: str

    def __str__(self) -> str:
        return f"plugin {self.owner.plugin!r} of {self.owner} failed to load: {self.cause}"


@dataclass(frozen=True, slots=True)
class Plugins:
    """The plugins of one run: their offers by kind and name, and the hooks that observe it."""

    hooks: pluggy.HookRelay
    owners: tuple[Owner, ...]
    offers: Mapping[Kind, Mapping[str, Offer]]
    failures: tuple[Failure, ...] = ()
    not_allowed: tuple[str, ...] = ()
    """Distributions that are installed and that the run's list does not name; they were not imported."""
    _manager: pluggy.PluginManager = field(repr=False, default_factory=lambda: pluggy.PluginManager("lydite"))

    def find(self, kind: Kind, name: str) -> Offer:
        """The offer of that name.

        Raises:
            UnknownNameError: with the nearest name, and with the installed plugins that the run leaves out.
        """
        offers = self.offers[kind]
        if name in offers:
            return offers[name]
        left_out = ""
        if self.not_allowed:
            left_out = (
                f"; installed but not in this run's list of plugins: {', '.join(self.not_allowed)} "
                "(add the one you trust to `plugins`)"
            )
        raise UnknownNameError(f"no plugin offers the {SINGULAR[kind]} {name!r}{did_you_mean(name, offers)}{left_out}")

    def family(self, model_type: str) -> Family | None:
        """The first plugin's description of a model architecture, or None when no plugin knows it."""
        found = self.hooks.lydite_family(model_type=model_type)
        if found is not None and not isinstance(found, Family):
            raise PluginError(f"lydite_family must return a lydite.Family or None, got {type(found).__name__}")
        return found

    def with_functions(self, rewards: Mapping[str, Callable[..., Any]]) -> Plugins:
        """These plugins and, beside them, rewards given as plain Python functions.

        Raises:
            PluginError: when a name is taken already.
        """
        return self._with(rewards, Owner("function", "a Python function", "", "function", ""))

    def with_own(self, rewards: Mapping[str, Callable[..., Any]]) -> Plugins:
        """These plugins and, beside them, rewards of lydite's own that not every run has.

        Raises:
            PluginError: when a name is taken already.
        """
        return self._with(rewards, next(owner for owner in self.owners if owner.plugin == "builtin"))

    def _with(self, rewards: Mapping[str, Callable[..., Any]], owner: Owner) -> Plugins:
        offers = {kind: dict(self.offers[kind]) for kind in KINDS}
        for name, function in rewards.items():
            _add(offers, Offer("rewards", name, function, owner))
        return replace(self, offers=_frozen(offers))

    def observe(self, observer: object, name: str) -> None:
        """Registers an object that implements observer hooks, such as a progress display."""
        self._manager.register(observer, name=name)


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
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    manager.add_hookspecs(hookspecs)
    from_environment = [name.strip() for name in environ.get(BLOCK_VARIABLE, "").split(",") if name.strip()]
    blocked = {_canonical(name) for name in (*block, *from_environment)}
    installed = _installed()
    _check_names(allow, block, installed)
    allowed = None if allow is None else {_canonical(name) for name in allow}

    owners: list[Owner] = []
    failures: list[Failure] = []
    not_allowed: set[str] = set()

    def take(owner: Owner, load: Callable[[], object]) -> None:
        try:
            _register(manager, owner, load(), owners)
            owners.append(owner)
        except (Exception, SystemExit) as error:  # a plugin that exits on import must not end the run in silence
            failure = Failure(owner, f"{type(error).__name__}: {error}")
            if strict:
                raise PluginError(str(failure)) from error
            failures.append(failure)

    builtin = importlib.metadata.version("lydite")
    take(Owner("builtin", "lydite", builtin, "entry_point", "lydite.builtin"), lambda: _import("lydite.builtin"))
    for distribution, version, entry in installed:
        if _canonical(distribution) in blocked or _canonical(entry.name) in blocked:
            continue
        if allowed is not None and _canonical(distribution) not in allowed:
            not_allowed.add(distribution)
            continue
        owner = Owner(entry.name, distribution, version, "entry_point", entry.value, _hash_of(entry.value))
        take(owner, entry.load)
    for path in dict.fromkeys(Path(file).resolve() for file in files):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        owner = Owner(path.stem, f"file {path.name}", digest[:12], "file", str(path), digest)
        take(owner, lambda path=path: import_file(path))  # type: ignore[misc]

    offers, offer_failures = _collect(manager, {owner.key: owner for owner in owners}, strict)
    return Plugins(
        manager.hook, tuple(owners), offers, (*failures, *offer_failures), tuple(sorted(not_allowed)), manager
    )


def import_file(path: Path) -> ModuleType:
    """The module in a file, imported under a name of its own.

    Raises:
        ConfigError: when there is no such file.
    """
    if not path.is_file():
        raise ConfigError(f"--plugin {path}: there is no such file")
    name = f"lydite_file_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--plugin {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _installed() -> list[tuple[str, str, importlib.metadata.EntryPoint]]:
    """Every entry point of the group with its distribution and version, in a stable order."""
    found: dict[tuple[str, str], tuple[str, str, importlib.metadata.EntryPoint]] = {}
    for entry in importlib.metadata.entry_points(group=hookspecs.NAMESPACE):
        distribution = entry.dist
        name = distribution.name if distribution is not None else "(unknown distribution)"
        version = distribution.version if distribution is not None else ""
        found.setdefault((_canonical(name), entry.name), (name, version, entry))
    return [found[key] for key in sorted(found)]


def _check_names(allow: Sequence[str] | None, block: Sequence[str], installed: Sequence[tuple[str, str, Any]]) -> None:
    distributions = {_canonical(name) for name, _, _ in installed}
    plugins = {_canonical(entry.name) for _, _, entry in installed}
    for name in allow or ():
        if _canonical(name) not in distributions and _canonical(name) != "lydite":
            raise ConfigError(
                f"this run allows the plugin {name!r}, and no such distribution is installed"
                f"{did_you_mean(name, distributions)} (install it with: pip install {name})"
            )
    for name in block:
        if _canonical(name) not in distributions | plugins:
            raise ConfigError(
                f"--no-plugin {name}: nothing of that name is installed{did_you_mean(name, distributions)}"
            )


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


def _collect(
    manager: pluggy.PluginManager, owners: Mapping[str, Owner], strict: bool
) -> tuple[Mapping[Kind, Mapping[str, Offer]], list[Failure]]:
    offers: dict[Kind, dict[str, Offer]] = {kind: {} for kind in KINDS}
    failures: list[Failure] = []
    for kind in KINDS:
        hook = getattr(manager.hook, f"lydite_{kind}")
        for implementation in hook.get_hookimpls():
            owner = owners[implementation.plugin_name]
            try:
                offered = implementation.function()
                if not isinstance(offered, Mapping):
                    raise PluginError(f"lydite_{kind} must return {{name: thing}}, got {type(offered).__name__}")
                for name, thing in offered.items():
                    _add(offers, Offer(kind, name, thing, owner))
            except Exception as error:
                cause = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
                failure = Failure(owner, cause)
                if strict:
                    raise PluginError(str(failure)) from error
                failures.append(failure)
    return _frozen(offers), failures


def _add(offers: dict[Kind, dict[str, Offer]], offer: Offer) -> None:
    word = SINGULAR[offer.kind]
    if not isinstance(offer.name, str) or not offer.name or offer.name != offer.name.strip():
        raise PluginError(f"a {word} needs a name without spaces around it, got {offer.name!r}")
    if not callable(offer.thing):
        raise PluginError(f"the {word} {offer.name!r} must be callable, got {type(offer.thing).__name__}")
    # Rewards and group rewards are asked for in the same place of a configuration, so they share their names.
    rivals: tuple[Kind, ...] = (
        ("rewards", "group_rewards") if offer.kind in ("rewards", "group_rewards") else (offer.kind,)
    )
    for kind in rivals:
        other = offers[kind].get(offer.name)
        if other is not None:
            raise PluginError(f"the {word} {offer.name!r} is offered twice: by {other.owner} and by {offer.owner}")
    offers[offer.kind][offer.name] = offer


def _frozen(offers: Mapping[Kind, Mapping[str, Offer]]) -> Mapping[Kind, Mapping[str, Offer]]:
    return MappingProxyType({kind: MappingProxyType(dict(offers[kind])) for kind in KINDS})


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _import(name: str) -> ModuleType:
    return importlib.import_module(name)


def _hash_of(entry_value: str) -> str:
    """Over the Python files of the entry point's package, without importing it; empty where they cannot be found."""
    package = entry_value.split(":")[0].strip().split(".")[0]  # a dotted name would import what stands before the dot
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return ""
    if spec is None or spec.origin is None:
        return ""
    origin = Path(spec.origin)
    files: Iterable[Path] = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(origin.parent).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
