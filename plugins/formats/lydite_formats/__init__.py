"""Formats of an answer, and the reward that pays for keeping to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lydite import Format, hookimpl
from lydite_formats.boxed import Boxed
from lydite_formats.final_line import FinalLine
from lydite_formats.followed import followed
from lydite_formats.json_object import JsonObject
from lydite_formats.number import Number
from lydite_formats.tags import Tags

__all__ = ["Boxed", "FinalLine", "JsonObject", "Number", "Tags", "followed"]


@hookimpl
def lydite_formats() -> Mapping[str, Callable[..., Format]]:
    """The formats, by name."""
    return {"tags": Tags, "boxed": Boxed, "final-line": FinalLine, "json": JsonObject, "number": Number}


@hookimpl
def lydite_rewards() -> Mapping[str, Callable[..., Any]]:
    """The reward `formats/followed`."""
    return {"formats/followed": followed}
