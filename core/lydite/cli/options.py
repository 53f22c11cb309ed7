"""Options on the command line: `key=value`, with the value read as TOML where it is TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from lydite.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def options_from(flag: str, given: Sequence[str] | None) -> dict[str, Any]:
    """The options by name; a value that is no TOML, such as a bare word, is text.

    Raises:
        ConfigError: on a text without a name or an equals sign, and on a name that comes twice.
    """
    options: dict[str, Any] = {}
    for text in given or ():
        key, sign, value = text.partition("=")
        key = key.strip()
        if not sign or not key:
            raise ConfigError(f"{flag} {text}: expected key=value, such as tolerance=0.01")
        if key in options:
            raise ConfigError(f"{flag} {text}: {key!r} is given twice")
        options[key] = _value(value.strip())
    return options


def names_of_given(options: DataclassInstance) -> list[str]:
    """Those of a record's options that were given, as they are typed; None and False were left out."""
    given = {one.name: getattr(options, one.name) for one in fields(options)}
    return [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None and value is not False]


def _value(text: str) -> Any:
    try:
        content = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return content["value"] if len(content) == 1 else text
