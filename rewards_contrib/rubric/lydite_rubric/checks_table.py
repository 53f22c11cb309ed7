"""The `check` of a criterion, as its table in the file gives it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar

import regex

from lydite import did_you_mean
from lydite_rubric.functions import load_function
from lydite_rubric.rubric import Check, FunctionCheck, RegexCheck, RewardCheck, Turn

KINDS: Final = ("use", "regex", "function")
"""The key that says what kind of check it is."""
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "use": ("use", "options", "at_least", "met"),
    "regex": ("regex", "of", "met"),
    "function": ("function", "options", "at_least", "met"),
}
LONGEST_PATTERN: Final = 4_000
_TURNS: Final[tuple[Turn, ...]] = ("passes", "fails")
_SIDES: Final[tuple[Literal["answer", "text"], ...]] = ("answer", "text")
_Word = TypeVar("_Word", bound=str)


def check_of(table: Any) -> Check:
    """The check that a table describes; a pattern is compiled and a function imported, to see that they can be.

    Raises:
        ValueError: on the first fault.
    """
    if not isinstance(table, Mapping):
        raise ValueError(f"`check` is a table with one of {_listed(KINDS)}, got {table!r}")
    kinds = [one for one in KINDS if one in table]
    if len(kinds) > 1:
        raise ValueError(f"`check` has {_listed(kinds)}; one check has one of them")
    if not kinds:
        unknown = next(iter(table), None)
        meant = did_you_mean(str(unknown), KINDS) if unknown is not None else ""
        raise ValueError(f"`check` needs one of {_listed(KINDS)}, got {dict(table)!r}{meant}")
    kind = kinds[0]
    for key in table:
        if key not in _KEYS[kind]:
            raise ValueError(f"a check with `{kind}` has no key {key!r}{did_you_mean(str(key), _KEYS[kind])}")
    value = table[kind]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"`{kind}` is a text that is not empty, got {value!r}")
    met = _choice(table, "met", _TURNS)
    if kind == "regex":
        return RegexCheck(_pattern(value), _choice(table, "of", _SIDES), met)
    options, at_least = _options(table), _at_least(table)
    if kind == "use":
        return RewardCheck(value, options, at_least, met)
    load_function(value, options)
    return FunctionCheck(value, options, at_least, met)


def _pattern(given: str) -> str:
    if len(given) > LONGEST_PATTERN:
        raise ValueError(f"`regex` has at most {LONGEST_PATTERN} characters, got {len(given)}")
    try:
        regex.compile(given)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ValueError(f"`regex` is not a regular expression: {error}, got {given!r}") from None
    return given


def _choice(table: Mapping[str, Any], key: str, choices: tuple[_Word, ...]) -> _Word:
    """The value under the key, by default the first choice."""
    value = table.get(key, choices[0])
    for one in choices:
        if one == value:
            return one
    raise ValueError(f"`{key}` is {' or '.join(map(repr, choices))}, got {value!r}{did_you_mean(str(value), choices)}")


def _options(table: Mapping[str, Any]) -> Mapping[str, Any]:
    options = table.get("options", {})
    if not isinstance(options, Mapping):
        raise ValueError(f"`options` is a table, got {options!r}")
    return dict(options)


def _at_least(table: Mapping[str, Any]) -> float | None:
    value = table.get("at_least")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"`at_least` is a number, got {value!r}")
    return float(value)


def _listed(names: Any) -> str:
    return ", ".join(f"`{one}`" for one in names)
