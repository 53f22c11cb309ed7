"""Observers that plugins offer: made with checked options, told in order, and kept from stopping a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lydite.config import RunConfig
from lydite.errors import ConfigError, LyditeError, PluginError, UnknownNameError
from lydite.observers import tell_finish, tell_start, tell_step
from lydite.plugins import Plugins, load_plugins
from lydite.types import RunInfo, RunResult, StepReport
from lydite.watching import GIVE_UP, Watching, make_observers

RUN = RunInfo("run", "runs/run", 9, {}, {})

SOURCE = """
import lydite

TOLD = []

class Notes:
    def __init__(self, *, color: str = "red", size: int = 1) -> None:
        self.options = (color, size)
        TOLD.append("made")
    def start(self, run): TOLD.append(("start", run.name, *self.options))
    def step(self, report): TOLD.append(("step", report.step))
    def finish(self, result): TOLD.append("finish")
    def close(self): TOLD.append("close")

@lydite.hookimpl
def lydite_observers():
    return {"notes": Notes}
"""


class Breaking:
    """Fails in the calls it is given, and counts all of them."""

    def __init__(self, *fails: str) -> None:
        self.fails = set(fails)
        self.called: list[str] = []

    def _call(self, name: str) -> None:
        self.called.append(name)
        if name in self.fails:
            raise ConnectionError("no route to host")

    def start(self, run: RunInfo) -> None:
        self._call("start")

    def step(self, report: StepReport) -> None:
        self._call("step")

    def finish(self, result: RunResult) -> None:
        self._call("finish")

    def close(self) -> None:
        self._call("close")


def config(**tables: Any) -> RunConfig:
    return RunConfig.model_validate(
        {"model": {"path": "m"}, "data": {"use": "d"}, "rewards": {"r": {"use": "r"}}, **tables}
    )


def step(number: int) -> StepReport:
    return StepReport(number, 9, {}, {}, None)


def watched(observer: Breaking) -> tuple[Watching, Plugins]:
    plugins = load_plugins(allow=())
    watching = Watching("the observer 'notes' of lydite-notes 1.0", observer)
    plugins.observe(watching, "notes")
    return watching, plugins


@pytest.fixture
def notes(install: Callable[..., Path]) -> Plugins:
    install("lydite-notes", SOURCE)
    return load_plugins(allow=["lydite-notes"])


def told(plugins: Plugins) -> list[Any]:
    return plugins.offers["observers"]["notes"].thing.__init__.__globals__["TOLD"]  # type: ignore[no-any-return]


def test_allowed_is_active_and_told_everything_in_order(notes: Plugins) -> None:
    (observer,) = make_observers(config(), notes, blocked=False)
    assert told(notes) == ["made"]
    tell_start(notes, RUN)
    tell_step(notes, step(1))
    tell_finish(notes, RunResult("runs/run", {}))
    observer.close()
    observer.close()
    assert told(notes) == ["made", ("start", "run", "red", 1), ("step", 1), "finish", "close"]


def test_an_observer_of_a_run_that_never_began_is_not_closed(notes: Plugins) -> None:
    (observer,) = make_observers(config(), notes, blocked=False)
    observer.close()
    assert told(notes) == ["made"]


def test_its_table_holds_its_options(notes: Plugins) -> None:
    make_observers(config(observers={"notes": {"color": "blue", "size": 3}}), notes, blocked=False)
    tell_start(notes, RUN)
    assert told(notes)[-1] == ("start", "run", "blue", 3)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"notes": {"colour": "red"}}, "observer 'notes' has no option 'colour'; did you mean 'color'"),
        ({"notes": {"size": "three"}}, "option 'size' of observer 'notes' must be int, got 'three'"),
        ({"note": {}}, "no plugin offers the observer 'note'; did you mean 'notes'"),
    ],
)
def test_slips_are_told_before_the_run(notes: Plugins, tables: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_observers(config(observers=tables), notes, blocked=False)
    assert message in str(caught.value).replace("?", "").replace('"', "'")


def test_an_observer_that_is_installed_and_not_allowed_is_pointed_to(install: Callable[..., Path]) -> None:
    install("lydite-notes", SOURCE)
    with pytest.raises(UnknownNameError, match=r"installed but not in this run's list of plugins: .*lydite-notes"):
        make_observers(config(observers={"notes": {}}), load_plugins(allow=[]), blocked=False)


def test_options_of_an_observer_that_is_left_out_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="lydite"):
        assert make_observers(config(observers={"notes": {}}), load_plugins(allow=[]), blocked=True) == ()
    assert "its options are passed over" in caplog.text


def test_what_is_no_table_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ValueError, match=r"observers.notes is a table of the observer's options, got 'red'"):
        config(observers={"notes": "red"})


def test_what_is_no_observer_is_refused(install: Callable[..., Path]) -> None:
    install(
        "lydite-notes",
        "import lydite\n@lydite.hookimpl\ndef lydite_observers(): return {'notes': Bad}\nclass Bad: ...\n",
    )
    with pytest.raises(ConfigError, match="gives a Bad, which lacks one of start, step, finish and close"):
        make_observers(config(), load_plugins(allow=["lydite-notes"]), blocked=False)


def test_one_that_cannot_start_stops_the_run_before_its_first_step() -> None:
    observer = Breaking("start")
    watching, plugins = watched(observer)
    with pytest.raises(PluginError) as caught:
        tell_start(plugins, RUN)
    assert isinstance(caught.value, LyditeError)
    assert str(caught.value).startswith("the observer 'notes' of lydite-notes 1.0 cannot start: ConnectionError: no ro")
    watching.close()
    assert observer.called == ["start", "close"]


def test_an_outage_is_a_warning_and_three_in_a_row_end_it(caplog: pytest.LogCaptureFixture) -> None:
    observer = Breaking("step")
    watching, plugins = watched(observer)
    tell_start(plugins, RUN)
    with caplog.at_level(logging.WARNING, logger="lydite"):
        for number in range(1, 7):
            tell_step(plugins, step(number))
        tell_finish(plugins, RunResult("runs/run", {}))
        watching.close()
    assert observer.called == ["start", *["step"] * GIVE_UP, "close"]
    lines = [one.getMessage() for one in caplog.records]
    assert len(lines) == GIVE_UP
    assert lines[0] == (
        "the observer 'notes' of lydite-notes 1.0 did not take step 1 (ConnectionError: no route to host); "
        "the run goes on"
    )
    assert lines[-1].endswith("it is told nothing any more, and the run goes on")


def test_an_outage_that_passes_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    observer = Breaking()
    _, plugins = watched(observer)
    tell_start(plugins, RUN)
    with caplog.at_level(logging.WARNING, logger="lydite"):
        for number in range(1, 13):
            observer.fails = {"step"} if number % GIVE_UP else set()
            tell_step(plugins, step(number))
    assert observer.called.count("step") == 12


def test_an_end_that_fails_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    watching, plugins = watched(Breaking("finish", "close"))
    tell_start(plugins, RUN)
    with caplog.at_level(logging.WARNING, logger="lydite"):
        tell_finish(plugins, RunResult("runs/run", {}))
        watching.close()
    assert [one.getMessage().split(" (")[0].split("1.0 ")[1] for one in caplog.records] == [
        "did not take the end of the run",
        "did not close",
    ]
