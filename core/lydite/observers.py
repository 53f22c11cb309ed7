"""Telling observers what happens in a run, and naming the one that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lydite.distributed import current
from lydite.errors import PluginError
from lydite.plugins import Plugins
from lydite.types import RunInfo, RunResult, StepReport
from lydite.watching import ObserverStartError


def tell_start(plugins: Plugins, run: RunInfo) -> None:
    """Calls every plugin's `lydite_start`.

    Raises:
        PluginError: when one of them raises.
    """
    _tell(plugins, "lydite_start", run=run)


def tell_step(plugins: Plugins, report: StepReport) -> None:
    """Calls every plugin's `lydite_step`.

    Raises:
        PluginError: when one of them raises.
    """
    _tell(plugins, "lydite_step", report=report)


def tell_finish(plugins: Plugins, result: RunResult) -> None:
    """Calls every plugin's `lydite_finish`.

    Raises:
        PluginError: when one of them raises.
    """
    _tell(plugins, "lydite_finish", result=result)


def _tell(plugins: Plugins, hook: str, **told: RunInfo | StepReport | RunResult) -> None:
    if current().is_main:  # of a run in several processes one speaks
        with _naming(plugins, hook):
            getattr(plugins.hooks, hook)(**told)


@contextmanager
def _naming(plugins: Plugins, hook: str) -> Iterator[None]:
    try:
        yield
    except ObserverStartError:  # says itself who it is
        raise
    except Exception as error:
        raise PluginError(
            f"{_raiser(plugins, hook, error)} failed in its {hook}: {type(error).__name__}: {error}; "
            f"the run has stopped, and goes on with --resume once that is mended or left out (--no-plugin)"
        ) from error


def _raiser(plugins: Plugins, hook: str, error: Exception) -> str:
    """Whose function the error came through; pluggy itself does not tell."""
    names = {owner.key: str(owner) for owner in plugins.owners}
    implementations = {
        getattr(one.function, "__code__", None): one.plugin_name for one in getattr(plugins.hooks, hook).get_hookimpls()
    }
    trace = error.__traceback__
    while trace is not None:
        found = implementations.get(trace.tb_frame.f_code)
        if found is not None:
            return f"the observer of {names[found]}" if found in names else f"the observer {found!r}"
        trace = trace.tb_next
    return f"an observer, one of {', '.join(sorted(implementations.values()))},"
