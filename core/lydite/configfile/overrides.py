"""`--set key=value`: which key is meant, what value is meant, and where it goes."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from lydite.config import RunConfig
from lydite.configfile.fields import ANY, Path, all_fields, find_field
from lydite.errors import ConfigError
from lydite.suggest import did_you_mean


def apply_overrides(content: Mapping[str, Any], overrides: Sequence[str]) -> tuple[dict[str, Any], dict[Path, str]]:
    """The content with every override put in, and the text of the override behind each path it set.

    A key is a dotted path (`train.learning_rate`) or the last name of exactly one (`learning_rate`). A value
    is read as TOML, or else taken as a string; an empty one takes the key out, which brings its default back.

    Raises:
        ConfigError: when a key is unknown, could mean several, or lies inside something that is no table.
    """
    result = plain_tables(content)
    origins: dict[Path, str] = {}
    for text in overrides:
        key, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"--set {text}: expected key=value, such as learning_rate=1e-5")
        path = _resolve(text, _parts(text, key.strip()), result)
        _put(text, result, path, value.strip())
        origins[path] = f"--set {text}"
    return result, origins


def plain_tables(content: Mapping[str, Any]) -> dict[str, Any]:
    """A copy made of dicts alone, so that Python objects of a configuration can be changed like a file's tables."""

    def plain(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return plain_tables(value.model_dump())
        return plain_tables(value) if isinstance(value, Mapping) else copy.copy(value)

    return {key: plain(value) for key, value in content.items()}


def _parts(text: str, key: str) -> Path:
    try:
        table = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        raise ConfigError(
            f"--set {text}: {key!r} is not a key; expected a name or a dotted path, such as learning_rate or "
            "train.learning_rate"
        ) from None
    parts: list[str] = []
    inner: Any = table
    while isinstance(inner, dict) and len(inner) == 1:
        name, inner = next(iter(inner.items()))
        parts.append(name)
    if isinstance(inner, dict):
        raise ConfigError(f"--set {text}: expected one key")
    return tuple(parts)


def _resolve(text: str, given: Path, content: Mapping[str, Any]) -> Path:
    if given[0] in RunConfig.model_fields:
        _check_named_table(text, given, content)
        return given
    known = list(_settable(content))
    dotted = ".".join(given)
    matches = [path for path in known if path[-1] == dotted]
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(".".join(path) for path in matches)
        raise ConfigError(f"--set {text}: {dotted!r} could be any of {listed}; write the one you mean in full")
    absent = [path for path in all_fields() if path[-1] == dotted and ANY not in path]
    if absent:
        key, table = ".".join(absent[0]), ".".join(absent[0][:-1])
        raise ConfigError(f"--set {text}: {key} is part of [{table}], which this configuration does not have")
    suggestion = did_you_mean(dotted, [".".join(path) for path in known])
    raise ConfigError(f"--set {text}: there is no key {dotted!r}{suggestion}")


def _check_named_table(text: str, given: Path, content: Mapping[str, Any]) -> None:
    """A key of a table whose name the user chose, [rewards.NAME], is one of a table that is there, or begins one.

    Raises:
        ConfigError: when there is no such table, and the key alone does not make one.
    """
    tables = _at(content, given[:1])
    new = len(given) > 2 and isinstance(tables, dict) and given[1] not in tables
    if new and (given[0], ANY) in all_fields() and given[2] != "use":
        written = ".".join(given[:2])
        raise ConfigError(f"--set {text}: this configuration has no [{written}]{did_you_mean(given[1], tables)}")


def _settable(content: Mapping[str, Any]) -> Iterator[Path]:
    """Every path that this configuration has or could have: tables that are left out altogether are not entered."""
    for pattern, field in all_fields().items():
        if pattern[-1] == ANY:
            continue
        for path in _named(pattern, content):
            if not _reachable(path, content):
                continue
            if field.takes_options:
                yield from _leaves(path, _at(content, path))
            elif field.table is None:
                yield path


def _named(pattern: Path, content: Mapping[str, Any]) -> list[Path]:
    if ANY not in pattern:
        return [pattern]
    tables = _at(content, pattern[: pattern.index(ANY)])
    return [tuple(name if part == ANY else part for part in pattern) for name in tables or ()]


def _reachable(path: Path, content: Mapping[str, Any]) -> bool:
    """False inside a table that is absent and stays absent by default, such as [eval] or [length]."""
    for depth in range(1, len(path)):
        table = find_field(path[:depth])
        optional = table is not None and not table.required and table.default is None
        if optional and _at(content, path[:depth]) is None:
            return False
    return True


def _leaves(path: Path, value: Any) -> Iterator[Path]:
    for name, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, dict):
            yield from _leaves((*path, name), inner)
        else:
            yield (*path, name)


def _at(content: Any, path: Path) -> Any:
    for part in path:
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _put(text: str, content: dict[str, Any], path: Path, value: str) -> None:
    table = content
    for depth, part in enumerate(path[:-1], 1):
        if value == "" and part not in table:
            return
        inner = table.setdefault(part, {})
        if inner is None:
            inner = table[part] = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {text}: {'.'.join(path[:depth])} is {inner!r}, which has no keys of its own")
        table = inner
    if value == "":
        table.pop(path[-1], None)
    else:
        table[path[-1]] = _value(value)


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text
