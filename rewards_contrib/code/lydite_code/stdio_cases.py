"""The column `cases`: standard inputs and the outputs that belong to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lydite import did_you_mean
from lydite_code.problems import BadTests, items_of

_FIELDS: Final = ("stdin", "stdout")


@dataclass(frozen=True, slots=True)
class Case:
    """What a script is given, and what it must print."""

    stdin: str
    stdout: str


def read_cases(column: Any, *, most: int) -> tuple[Case, ...]:
    """The cases of a sample: a list, or the JSON text of one. `most`: bytes that a program can print.

    Raises:
        BadTests: naming the case, what was expected and what was given.
    """
    items = items_of(column, name="cases", one="case")
    return tuple(_read(item, number, most) for number, item in enumerate(items, start=1))


def _read(item: Any, number: int, most: int) -> Case:
    where = f"case {number}"
    if not isinstance(item, Mapping):
        raise BadTests("tests.malformed", f"{where} must be a table with stdin and stdout, got {type(item).__name__}")
    for name in item:
        if name not in _FIELDS:
            hint = did_you_mean(str(name), _FIELDS)
            raise BadTests("tests.malformed", f"{where} has no field {name!r}{hint}")
    stdin, stdout = item.get("stdin", ""), item.get("stdout")
    if not isinstance(stdin, str) or not isinstance(stdout, str):
        wrong = "stdin" if not isinstance(stdin, str) else "stdout"
        raise BadTests("tests.malformed", f"{where}: `{wrong}` must be a text, got {item.get(wrong)!r:.80}")
    if len(stdout.encode("utf-8", "replace")) > most:
        raise BadTests("tests.malformed", f"{where}: `stdout` is longer than output_kb lets a program print")
    return Case(stdin, stdout)
