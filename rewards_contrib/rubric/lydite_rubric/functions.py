"""A user's own function as a check: imported by name, and called with what its parameters name.

A rubric file that names functions is code of whoever wrote it: reading it imports the modules.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from lydite import Completion, FormatError, Sample, did_you_mean
from lydite.options import check_options

NAMES: Final = ("completion", "sample", "text", "answer", "reasoning", "reference", "prompt", "columns")
"""What a function may ask for positionally."""
_PATH: Final = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)\Z")
_BY_PLACE: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def load_function(path: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """The function at `module:function` with its options bound; it is called with `arguments_of`.

    Raises:
        ValueError: when it cannot be imported, asks for what a check is not given, or has not these options.
    """
    matched = _PATH.match(path)
    if matched is None:
        raise ValueError(f"`function` is 'module:function', got {path!r}")
    module_name, name = matched.groups()
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a broken module may raise anything
        raise ValueError(
            f"function {path!r}: the module {module_name!r} cannot be imported ({type(error).__name__}: {error})"
        ) from None
    function = getattr(module, name, None)
    if not callable(function):
        functions = [one for one, thing in vars(module).items() if inspect.isroutine(thing) and not one.startswith("_")]
        raise ValueError(f"function {path!r}: {module_name} has no function {name!r}{did_you_mean(name, functions)}")
    for wanted in _wanted(function, path):
        if wanted not in NAMES:
            raise ValueError(
                f"function {path!r} asks for {wanted!r}, which a check is not given{did_you_mean(wanted, NAMES)}"
            )
    return partial(function, **check_options(f"function {path!r}", function, options))


def arguments_of(function: Callable[..., Any], completion: Completion, sample: Sample, answer: str) -> list[Any]:
    """What a loaded function's positional parameters name, in their order."""
    parsed = completion.parsed
    known: dict[str, Any] = {
        "completion": completion,
        "sample": sample,
        "text": completion.text,
        "answer": answer,
        "reasoning": "" if isinstance(parsed, FormatError) else parsed.reasoning,
        "reference": sample.reference,
        "prompt": sample.prompt,
        "columns": sample.columns,
    }
    return [known[name] for name in _wanted(function, "")]


def _wanted(function: Callable[..., Any], path: str) -> list[str]:
    """The positional parameters, up to the first of a strange name that has a default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise ValueError(
            f"function {path!r}: its parameters cannot be read; wrap it in a function of your own"
        ) from None
    wanted = []
    for one in parameters:
        if one.kind not in _BY_PLACE:
            continue
        if one.name not in NAMES and one.default is not inspect.Parameter.empty:
            break
        wanted.append(one.name)
    return wanted
