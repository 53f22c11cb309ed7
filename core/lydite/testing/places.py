"""A reward called from elsewhere within a worker: from a thread, from a running event loop, or under observation.

Verdicts must not depend on where a reward is called, and what is called here can be killed like any other call.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from lydite.rewards.recipe import Recipe, load

Place: TypeAlias = Literal["thread", "event loop", "watched"]


class InputChanged(Exception):  # noqa: N818 - its name becomes part of a verdict's reason
    """The reward changed what it was given."""


class Placed:
    """A reward under its recipe that is called from another place, with the signature that it has itself."""

    def __init__(self, recipe: Recipe, place: Place, signature: inspect.Signature) -> None:
        self._recipe = recipe
        self._place: Place = place
        self.__signature__ = signature
        self._function: Callable[..., Any] = load(recipe)

    def __reduce__(self) -> tuple[Any, ...]:
        return Placed, (self._recipe, self._place, self.__signature__)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """What the reward returns, awaited if need be.

        Raises:
            InputChanged: when it is watched and an argument is not afterwards what it was before.
        """
        if self._place == "thread":
            return _in_thread(lambda: _finished(self._function(*arguments, **named)))
        if self._place == "event loop":
            return asyncio.run(_in_loop(self._function, arguments, named))
        given = [one for one in (*arguments, *named.values()) if not callable(one)]  # not a judge, nor a recorder
        before = _copied(given)
        result = _finished(self._function(*arguments, **named))
        if before is not None and before != given:
            raise InputChanged("an argument was changed")
        return result


def bare_signature(function: Callable[..., Any]) -> inspect.Signature:
    """The function's parameters by name and kind, without annotations and values that might not be picklable."""
    parameters = []
    for one in inspect.signature(function).parameters.values():
        default = inspect.Parameter.empty if one.default is inspect.Parameter.empty else None
        parameters.append(one.replace(annotation=inspect.Parameter.empty, default=default))
    return inspect.Signature(parameters)


def _finished(result: Any) -> Any:
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Any) -> Any:
    return await result


async def _in_loop(function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    result = function(*arguments, **named)
    return await result if inspect.isawaitable(result) else result


def _in_thread(call: Callable[[], Any]) -> Any:
    outcome: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # noqa: BLE001 - a verifier may raise anything; it is raised again below
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return outcome[0]


def _copied(given: list[Any]) -> list[Any] | None:
    try:
        return copy.deepcopy(given)
    except Exception:  # noqa: BLE001 - what cannot be copied cannot be compared either
        return None
