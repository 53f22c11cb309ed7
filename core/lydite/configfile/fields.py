"""Every key of a configuration with its type in words, read off the classes in `lydite.config`.

One description serves the errors, the lookup of `--set` names, and the generated reference.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from lydite.config import RunConfig, Section

Path: TypeAlias = tuple[str, ...]
"""A key with the tables around it, outermost first."""
ANY: Final = "*"
"""Stands for the name that the user chose, as in `rewards.*.weight`."""

_TYPES: Final[Mapping[Any, str]] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple[str, ...]: 'a list of strings, such as ["one", "two"]',
    tuple[float, float]: "a list of two numbers, such as [0.0, 1.0]",
    dict[str, Any]: "a table of options",
}
_LIMITS: Final = (("ge", "of at least"), ("gt", "greater than"), ("le", "of at most"), ("lt", "less than"))


@dataclass(frozen=True, slots=True)
class ConfigField:
    """One key of the configuration."""

    path: Path
    """A name of the user's own stands as `ANY`."""
    expected: str
    """What it takes, in words: `a whole number of at least 2`."""
    choices: tuple[str, ...]
    """The strings it takes, where they are a closed set."""
    required: bool
    default: Any
    description: str
    table: type[Section] | None
    """The class of its content, when the key is a table or a table of such tables."""

    @property
    def takes_options(self) -> bool:
        """True for a table whose keys belong to something that a plugin offers."""
        return self.expected == _TYPES[dict[str, Any]]


@cache
def all_fields() -> Mapping[Path, ConfigField]:
    """Every key that a configuration can have, outer tables before what is in them."""
    return {field.path: field for field in _walk(RunConfig, ())}


def find_field(path: Path) -> ConfigField | None:
    """The key that a path of an actual configuration leads to, or None when there is no such key."""
    fields = all_fields()
    if path in fields:
        return fields[path]
    return fields.get((path[0], ANY, *path[2:])) if len(path) > 1 else None


def keys_in(table: Path) -> dict[str, ConfigField]:
    """The keys of a table, by their own names; empty for a table without fixed keys."""
    pattern = (table[0], ANY, *table[2:]) if len(table) > 1 and (table[0], ANY) in all_fields() else table
    return {path[-1]: field for path, field in all_fields().items() if path[:-1] == pattern and path[-1] != ANY}


def _walk(section: type[Section], path: Path) -> Iterator[ConfigField]:
    for name, info in section.model_fields.items():
        field = _field((*path, name), info)
        yield field
        if field.table is None:
            continue
        if _is_named_tables(info.annotation):
            expected = f"a table [{'.'.join((*path, name))}.NAME]"
            yield ConfigField((*path, name, ANY), expected, (), True, None, _summary(field.table), field.table)
            yield from _walk(field.table, (*path, name, ANY))
        else:
            yield from _walk(field.table, (*path, name))


def _field(path: Path, info: FieldInfo) -> ConfigField:
    kind = _bare(info.annotation)
    table = _table_class(kind)
    literals = get_args(kind) if get_origin(kind) is Literal else ()
    choices = tuple(one for one in literals if isinstance(one, str))
    if table is not None:
        expected = f"tables [{'.'.join((*path, 'NAME'))}]" if _is_named_tables(kind) else f"a table [{'.'.join(path)}]"
    elif choices:
        switch = [_TYPES[bool]] if len(choices) < len(literals) else []
        expected = " or ".join([*(f'"{choice}"' for choice in choices), *switch])
    else:
        expected = _TYPES[kind] + _limits(info)
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    description = inspect.cleandoc(info.description or "") or _summary(table)
    return ConfigField(path, expected, choices, info.is_required(), default, description, table)


def _bare(annotation: Any) -> Any:
    """The annotation without `| None` and without what pydantic hangs on it."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (UnionType, Union):
        rest = [one for one in get_args(annotation) if one is not NoneType]
        assert len(rest) == 1, f"a configuration's field has one type, got {annotation}"
        return _bare(rest[0])
    return annotation


def _table_class(kind: Any) -> type[Section] | None:
    inner = get_args(kind)[1] if _is_named_tables(kind) else kind
    return inner if inspect.isclass(inner) and issubclass(inner, Section) else None


def _is_named_tables(kind: Any) -> bool:
    return get_origin(kind) is dict and get_args(kind)[1] is not Any


def _limits(info: FieldInfo) -> str:
    parts = []
    for attribute, words in _LIMITS:
        for one in info.metadata:
            limit = getattr(one, attribute, None)
            if limit is not None:
                parts.append(f" {words} {limit:g}")
    return " and".join(parts)


def _summary(section: type[Section] | None) -> str:
    return inspect.cleandoc(section.__doc__ or "") if section is not None else ""
