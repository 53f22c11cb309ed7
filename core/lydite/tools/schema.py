"""What a Python function looks like to a model, and calling it with what the model gave."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import ConfigDict, ValidationError, validate_call

from lydite.errors import MissingExtraError, PluginError

# Models write `calculate(42)` where the parameter is text.
_LENIENT: Final = ConfigDict(arbitrary_types_allowed=True, coerce_numbers_to_str=True)


class Tool:
    """A function that a model may call. Its name, signature and docstring are all that the model knows of it.

    Raises:
        PluginError: when it is no function, or an async one, and when a parameter has no type or no description, or
            cannot be given by name.
        MissingExtraError: when transformers, which reads the docstring, is not installed.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not inspect.isroutine(function) or inspect.iscoroutinefunction(function):
            raise PluginError(
                f"a tool is a plain function or a method, with a name and a docstring of its own, got {function!r:.200}"
                + ("; give one that waits for it (asyncio.run)" if inspect.iscoroutinefunction(function) else "")
            )
        self.name = function.__name__
        self.schema = _schema(function)
        """As chat templates take it: `{"type": "function", "function": {...}}`."""
        self.parameters = tuple(inspect.signature(function).parameters)
        self._call = validate_call(config=_LENIENT)(function)

    def call(self, positional: Sequence[Any], named: Mapping[str, Any]) -> str:
        """The result as text: a string as it is, anything else as JSON.

        What went wrong is told in the same way, since the model may do better next time: arguments that do not fit,
        and what the function raised, begin with `error: `.
        """
        try:
            result = self._call(*positional, **named)
            return result if isinstance(result, str) else json.dumps(result, default=str, ensure_ascii=False)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            return f"error: {self.name}: argument {where}: {first['msg']}"
        except Exception as error:  # noqa: BLE001 - a tool may raise anything, and the model is told
            return f"error: {type(error).__name__}: {error}"


def _schema(function: Callable[..., Any]) -> Mapping[str, Any]:
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
            raise PluginError(
                f"the tool {function.__name__} takes {parameter}, which a model cannot give by name; a tool's "
                "parameters are ordinary or keyword-only ones"
            )
    try:
        from transformers.utils import get_json_schema
        from transformers.utils.chat_template_utils import DocstringParsingException, TypeHintParsingException
    except ImportError as error:
        raise MissingExtraError('tools need transformers; install it with: pip install "lydite[train]"') from error
    try:
        found: dict[str, Any] = get_json_schema(function)
    except (DocstringParsingException, TypeHintParsingException) as error:
        raise PluginError(
            f"the tool {function.__name__} cannot be described to a model: {error} A tool has a type for every "
            "parameter, and a docstring that says what it does and, under `Args:`, what each parameter is"
        ) from error
    return found
