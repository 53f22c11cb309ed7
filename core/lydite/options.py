"""Options of a plugin's function: its keyword-only parameters, checked against what a configuration gives."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from lydite.errors import ConfigError
from lydite.suggest import did_you_mean


def option_parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a function or class, by name."""
    parameters = inspect.signature(function).parameters
    return {name: one for name, one in parameters.items() if one.kind is inspect.Parameter.KEYWORD_ONLY}


def positional_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names that a function wants to be given, in order."""
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(name for name, one in inspect.signature(function).parameters.items() if one.kind in by_place)


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The resolved annotations of a function or class; empty where they cannot be resolved."""
    target = function.__init__ if inspect.isclass(function) else function
    if not inspect.isroutine(target):
        target = type(target).__call__
    try:
        return typing.get_type_hints(target, include_extras=True)  # constraints such as Field(ge=0) are extras
    except (NameError, TypeError, AttributeError):
        return {}


def check_options(what: str, function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given options, converted to the types that the function's annotations name.

    `what` names the thing in messages, for example `reward 'math/equivalent'`.

    Raises:
        ConfigError: on an option the function does not have, one that is missing, or one of a wrong type.
    """
    parameters = option_parameters(function)
    every = inspect.signature(function).parameters.values()
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in every)
    hints = hints_of(function)
    for name in given:
        if name not in parameters and not takes_any:
            raise ConfigError(f"{what} has no option {name!r}{did_you_mean(name, parameters)}")
    for name, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and name not in given:
            raise ConfigError(f"{what} needs the option {name!r}, and it is not given")
    return {name: _converted(what, name, value, hints.get(name, Any)) for name, value in given.items()}


def _converted(what: str, name: str, value: Any, annotation: Any) -> Any:
    adapter: TypeAdapter[Any]
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # pydantic refuses a config for models and dataclasses of its own
        adapter = TypeAdapter(annotation)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise ConfigError(
            f"option {name!r} of {what} must be {type_name(annotation)}, got {value!r} ({problem})"
        ) from None


def type_name(annotation: Any) -> str:
    """A type as a reader of a message knows it: `float`, `list[str]`, `'all' or 'any'`."""
    if typing.get_origin(annotation) is typing.Annotated:
        return type_name(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(repr(one) for one in typing.get_args(annotation))
    if inspect.isclass(annotation) and not typing.get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")
