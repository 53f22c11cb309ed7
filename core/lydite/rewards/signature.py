"""What a reward's signature asks for: names of `GIVEN`, columns of the data, options."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

from lydite.contracts import GIVEN
from lydite.errors import ConfigError
from lydite.options import hints_of, option_parameters, positional_names
from lydite.rewards.calls import Kind
from lydite.rewards.trl_style import PROVIDED

GIVEN_TO_GROUPS: Final = frozenset({"group", "sample", "prompt", "reference", "judge"})
"""What a group reward may be given; the rest of `GIVEN` belongs to a single completion."""
_CATCH_ALL: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def wanted(
    what: str, kind: Kind, function: Callable[..., Any], options: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The names of GIVEN, the required and the optional columns that the function takes.

    Raises:
        ConfigError: when a group reward asks for what belongs to one completion, and when a function takes the
            completion for a text or names nothing at all.
    """
    parameters = inspect.signature(function).parameters
    names = positional_names(function)
    if kind == "batch":
        # TRL passes everything by keyword, so a keyword-only parameter without default or option is a column too.
        names += tuple(
            one
            for one, parameter in option_parameters(function).items()
            if is_required(parameter) and one not in options
        )
        names = tuple(one for one in names if one not in PROVIDED)
        return (), *_split(names, parameters)
    if not names and any(one.kind in _CATCH_ALL for one in parameters.values()):
        raise ConfigError(
            f"{what} names nothing that it judges, and *args and **kwargs are given nothing; name what it needs: "
            "text, answer, reference, a column of the data, ..."
        )
    if "completion" in names and hints_of(function).get("completion") is str:
        raise ConfigError(
            f"{what} takes `completion: str`, and a completion is a lydite.Completion; name `text: str` for the whole "
            "text, or `answer: str` for the answer that the format found"
        )
    given = tuple(one for one in names if one in GIVEN)
    for one in given:
        if kind == "group" and one not in GIVEN_TO_GROUPS:
            raise ConfigError(
                f"{what} is a group reward and asks for {one!r}; it can have: {', '.join(sorted(GIVEN_TO_GROUPS))}"
            )
    return given, *_split(tuple(one for one in names if one not in GIVEN), parameters)


def _split(
    names: tuple[str, ...], parameters: Mapping[str, inspect.Parameter]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    required = tuple(one for one in names if is_required(parameters[one]))
    return required, tuple(one for one in names if one not in required)


def is_required(parameter: inspect.Parameter) -> bool:
    """Whether the parameter has no default."""
    return parameter.default is inspect.Parameter.empty


def options_alone(function: Callable[..., Any], given: Mapping[str, Any]) -> Callable[..., Any]:
    """A function with nothing but the options of a TRL-style one.

    Its `**kwargs` are TRL's columns and not a licence for any option, and what TRL provides, or a column that is
    asked for by keyword, is no option either.
    """
    hints = hints_of(function)
    options = [
        parameter
        for one, parameter in option_parameters(function).items()
        if one not in PROVIDED and (one in given or not is_required(parameter))
    ]

    def alone() -> None: ...

    vars(alone)["__signature__"] = inspect.Signature(options)
    alone.__annotations__ = {one.name: hints.get(one.name, Any) for one in options}
    return alone


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether the function can be given an argument of that name."""
    return name in inspect.signature(function).parameters or takes_any(function)


def takes_any(function: Callable[..., Any]) -> bool:
    """Whether the function has `**kwargs`."""
    return any(one.kind is inspect.Parameter.VAR_KEYWORD for one in inspect.signature(function).parameters.values())


def plain_str(function: Callable[..., Any]) -> bool:
    """Whether the answer is annotated as str and nothing else."""
    hint = hints_of(function).get("answer")
    if hint is None:
        annotation = inspect.signature(function).parameters["answer"].annotation
        return annotation is str or annotation == "str"
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return False
    return hint is str
