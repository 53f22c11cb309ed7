"""What stands at an import path such as `package.module:name`."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from lydite import RewardUse, did_you_mean


@lru_cache(maxsize=64)
def imported(path: str) -> Any:
    """The object at `package.module:name`, where the name may have dots. Modules of the current folder are found too.

    Raises:
        ValueError: when the path is none, its module cannot be imported, or holds no such name.
    """
    module_name, colon, name = path.partition(":")
    if not colon or not module_name or not name:
        raise ValueError(f"expected an import path such as 'package.module:function', got {path!r}")
    if "" not in sys.path and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # a script such as `lydite` starts without it, and TRL's looks there
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:
        raise ValueError(f"{module_name} cannot be imported ({type(error).__name__}: {error})") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{module_name} has no {name!r}{did_you_mean(part, _public(found))}")
        found = getattr(found, part)
    return found


def function_at(path: str) -> Callable[..., Any]:
    """The function, or whatever else can be called, at an import path.

    Raises:
        ValueError: as `imported`, and when what is there cannot be called.
    """
    found = imported(path)
    if not callable(found):
        raise ValueError(f"{path} is a {type(found).__name__}, and not a function")
    return found  # type: ignore[no-any-return]


def checked(option: str, example: str) -> Callable[[Mapping[str, Any]], Mapping[str, RewardUse]]:
    """For `@lydite.reward(uses=...)`: uses no other reward, and imports the option's path while it is still early."""

    def check(options: Mapping[str, Any]) -> Mapping[str, RewardUse]:
        path = options.get(option)
        if not path:
            raise ValueError(f"the option {option!r} is needed: an import path such as {example!r}")
        function_at(path)
        return {}

    return check


def named_arguments(function: Callable[..., Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the known arguments that the function has a parameter for; all of them where it takes `**kwargs`."""
    parameters = inspect.signature(function).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return dict(known)
    return {name: value for name, value in known.items() if name in parameters}


def _public(thing: Any) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]
