"""Prompts made from the columns of a row: `"{question} Choose one of: {choices}"`."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter
from typing import Any

from lydite import DataError


def fields_of(template: str) -> list[str]:
    """The names in braces, in order; `{{` and `}}` stand for braces themselves.

    Raises:
        DataError: when a brace is left open, or braces hold anything but a name.
    """
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise DataError(f"the template {template!r} is broken: {error} (write {{{{ and }}}} for braces)") from None
    fields: list[str] = []
    for _, field, spec, conversion in parts:
        if not field or spec or conversion:
            raise DataError(f"braces in the template {template!r} must hold the name of a column and nothing else")
        fields.append(field)
    return fields


def fill(template: str, values: Mapping[str, Any]) -> str:
    """The template with each `{name}` replaced by that value as text.

    A name is looked up as it stands: `{a.b}` is a column called `a.b`, never an attribute of `a`.
    """
    parts: list[str] = []
    for literal, field, _, _ in Formatter().parse(template):
        parts.append(literal)
        if field is not None:
            parts.append(str(values[field]))
    return "".join(parts)
