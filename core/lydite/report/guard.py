"""The rule that a display never stops a run."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar


class Display(Protocol):
    """An observer that shows a run."""

    broken: bool
    """True once it has failed; from then on it does nothing."""

    def close(self) -> None:
        """Gives back what it holds, such as the terminal's cursor; as often as you like."""


_Shown = TypeVar("_Shown", bound=Display)
_Told = ParamSpec("_Told")


def quiet(hook: Callable[Concatenate[_Shown, _Told], None]) -> Callable[Concatenate[_Shown, _Told], None]:
    """The hook, except that a failure ends the display, with one line on stderr, instead of the run."""

    def guarded(self: _Shown, /, *told: _Told.args, **named: _Told.kwargs) -> None:
        if self.broken:
            return
        try:
            hook(self, *told, **named)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run matters more
            self.broken = True
            _give_up(self, error)

    # pluggy matches arguments by name, and finds the names of the hook itself through `__wrapped__`.
    functools.update_wrapper(guarded, hook)
    return guarded


def _give_up(display: Any, error: Exception) -> None:
    try:
        display.close()
    except Exception as second:  # noqa: BLE001 - the terminal may be gone altogether
        error = second
    if sys.stderr is None:
        return
    with suppress(OSError):  # it may be in a file on the very disk that is full
        print(f"the display stopped ({type(error).__name__}: {error}); the run goes on", file=sys.stderr)
