"""Observers that plugins offer, such as trackers: made with their options, and kept from stopping a run.

A tracker that cannot start is an error, told before the first step, when it costs nothing. Once the run goes on an
outage of the tracker is a warning: what it missed lies in the run's own files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from lydite.config import RunConfig
from lydite.contracts import Observer
from lydite.errors import ConfigError, PluginError
from lydite.hookspecs import hookimpl
from lydite.options import check_options
from lydite.plugins import Offer, Plugins
from lydite.types import RunInfo, RunResult, StepReport

logger = logging.getLogger("lydite")
GIVE_UP: Final = 3
"""Calls in a row that may fail; an observer that fails more is told nothing any more."""


class ObserverStartError(PluginError):
    """An observer failed at the start of a run; the message says which."""


class Watching:
    """One observer of a run, under its name. Only what it raises at the start gets through."""

    def __init__(self, name: str, observer: Observer) -> None:
        self.name = name
        self._observer = observer
        self._started = False
        self._failed = 0

    @hookimpl
    def lydite_start(self, run: RunInfo) -> None:
        """Passes it on.

        Raises:
            ObserverStartError: when the observer fails.
        """
        self._started = True
        try:
            self._observer.start(run)
        except Exception as error:
            raise ObserverStartError(
                f"{self.name} cannot start: {type(error).__name__}: {error}; mend that and go on with --resume, or "
                "leave it out (--no-plugin)"
            ) from error

    @hookimpl
    def lydite_step(self, report: StepReport) -> None:
        """Passes it on."""
        self._try(f"did not take step {report.step}", lambda: self._observer.step(report))

    @hookimpl
    def lydite_finish(self, result: RunResult) -> None:
        """Passes it on."""
        self._try("did not take the end of the run", lambda: self._observer.finish(result))

    def close(self) -> None:
        """Closes an observer that was started, once."""
        started, self._started = self._started, False
        if started:
            self._failed = 0  # whatever it holds, it is asked to let go of it
            self._try("did not close", self._observer.close)

    def _try(self, what: str, call: Callable[[], None]) -> None:
        if self._failed >= GIVE_UP:
            return
        try:
            call()
            self._failed = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, the run matters more
            self._failed += 1
            after = "it is told nothing any more, and the run goes on" if self._failed == GIVE_UP else "the run goes on"
            logger.warning("%s %s (%s: %s); %s", self.name, what, type(error).__name__, error, after)


def make_observers(config: RunConfig, plugins: Plugins, *, blocked: bool) -> tuple[Watching, ...]:
    """The observers that the run's plugins offer, with their options; they are told of the run from now on.

    `blocked` says that plugins are left out on purpose: options of an observer that is not there are then passed over.

    Raises:
        UnknownNameError: on options of an observer that no plugin offers, unless `blocked`.
        ConfigError: on wrong options, and when what is made is no observer.
    """
    offers = plugins.offers["observers"]
    for name in config.observers:
        if name not in offers and blocked:
            logger.warning("[observers.%s]: no plugin offers this observer now, and its options are passed over", name)
        else:
            plugins.find("observers", name)  # raises, with the observer that was meant
    made = tuple(_made(offer, config.observers.get(offer.name, {})) for offer in offers.values())
    for one in made:
        plugins.observe(one, one.name)
    return made


def _made(offer: Offer, given: dict[str, object]) -> Watching:
    observer = offer.thing(**check_options(f"observer {offer.name!r}", offer.thing, given))
    if not isinstance(observer, Observer):
        raise ConfigError(
            f"observer {offer.name!r} of {offer.owner} gives a {type(observer).__name__}, which lacks one of start, "
            "step, finish and close"
        )
    return Watching(f"the observer {offer.name!r} of {offer.owner}", observer)
