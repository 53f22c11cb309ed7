"""The plugins of one run: what can be found in them by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pluggy

from lydite.contracts import Family
from lydite.errors import PluginError, UnknownNameError
from lydite.plugins.offers import KINDS, SINGULAR, Failure, Kind, Offer, Owner, add_offer, frozen_offers
from lydite.suggest import close_to, did_you_mean


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
        if self.not_allowed and close_to(name, offers) is None:
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
            add_offer(offers, Offer("rewards", name, function, owner))
        return replace(self, offers=frozen_offers(offers))

    def observe(self, observer: object, name: str) -> None:
        """Registers an object that implements observer hooks, such as a progress display."""
        self._manager.register(observer, name=name)
