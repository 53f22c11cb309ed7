"""An author's table of cases: JSON lines, read whole and checked before anything is judged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from lydite.errors import DataError
from lydite.jsonl import parsed_object
from lydite.suggest import did_you_mean
from lydite.types import Message

WORDS: Final = ("pass", "fail", "abstain", "error")
Expected: TypeAlias = str | float | tuple[float, float]
"""One of `WORDS`, a score, or the lowest and highest score."""
MOST_PROBLEMS: Final = 5
"""Broken lines that one message names."""

_ROW_KEYS: Final = (
    "completion", "completions", "expected", "reference", "prompt", "answer", "reasoning", "options", "columns",
    "gold", "note", "id", "tokens", "finish_reason",
)  # fmt: skip
_HEADER_KEYS: Final = (
    "allow", "options", "judge", "judge_options", "format", "format_options", "timeout", "pays_for", "range",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One row: a completion, or all completions of a prompt, and what a reward must say of them."""

    completions: tuple[str, ...]
    expected: tuple[Expected, ...]
    """One for each completion."""
    line: int
    id: str
    prompt: str | tuple[Message, ...] = ""
    reference: Any = None
    answer: str | None = None
    """The parsed answer; None: what the format finds."""
    reasoning: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    gold: bool = False
    """The completion is the gold answer as a model would write it."""
    note: str = ""
    tokens: int | None = None
    """Length in tokens; None: guessed from the text."""
    finish_reason: str = "stop"

    @property
    def grouped(self) -> bool:
        """Whether the row holds several completions of one prompt."""
        return len(self.completions) > 1


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A table and what its first line says about all of it."""

    path: Path
    cases: tuple[Case, ...]
    allow: Mapping[str, str] = field(default_factory=dict)
    """Names of items that may fail, each with the reason."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options for rows that give none of that name."""
    judge: str | None = None
    judge_options: Mapping[str, Any] = field(default_factory=dict)
    format: str | None = None
    format_options: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    """Seconds for one completion; None: what the reward declares."""
    pays_for: Literal["answer", "form"] | None = None
    """For a function that does not say it of itself, such as one written for TRL."""
    range: tuple[float, float] | None = None
    """Lowest and highest score of a function that declares none."""
    remedy: str = ""
    """What to do about a row that comes out otherwise, where no author wrote the rows; they may be few then."""


class _BrokenLineError(ValueError):
    """What is wrong with a line."""


def read_cases(path: Path, *, known_items: Iterable[str] = ()) -> CaseFile:
    """The cases of a file.

    `known_items` are the names that `allow` may take.

    Raises:
        DataError: when there is no such file, it holds no case, or lines are broken: with line numbers and with what
            was expected.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such case file; write one JSON object a line, such as {_EXAMPLE}")
    header: dict[str, Any] = {}
    cases: list[Case] = []
    problems: list[str] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = parsed_object(line, f"{path}:{number}", example=_EXAMPLE)
            if not cases and not header and "completion" not in row and "completions" not in row:
                header = _header(row, tuple(known_items))
            else:
                cases.append(_case(row, number))
        except _BrokenLineError as problem:
            problems.append(f"{path}:{number}: {problem}")
        except DataError as problem:
            problems.append(str(problem))
    problems += _repeated(path, cases)
    if problems:
        more = len(problems) - MOST_PROBLEMS
        listed = "\n".join(problems[:MOST_PROBLEMS])
        raise DataError(listed + (f"\nand {more} more broken lines" if more > 0 else ""))
    if not cases:
        raise DataError(f"{path}: the case file holds no case; a case is one JSON object a line, such as {_EXAMPLE}")
    return CaseFile(path, tuple(cases), **header)


_EXAMPLE: Final = '{"completion": "4", "expected": "pass", "reference": "4", "prompt": "2 + 2 =", "gold": true}'


def _header(row: Mapping[str, Any], known_items: tuple[str, ...]) -> dict[str, Any]:
    if not set(row) <= set(_HEADER_KEYS):
        odd = next(key for key in row if key not in _HEADER_KEYS)
        near = did_you_mean(odd, (*_ROW_KEYS, *_HEADER_KEYS))
        raise _BrokenLineError(f"a case needs `completion`, and a first line without it takes no key {odd!r}{near}")
    allow = row.get("allow", {})
    if not isinstance(allow, dict) or not all(isinstance(why, str) and why.strip() for why in allow.values()):
        raise _BrokenLineError(
            '`allow` is a table of items and reasons, such as {"two-answers": "why that is right here"}'
        )
    for name in allow:
        if known_items and name not in known_items:
            raise _BrokenLineError(f"`allow` names {name!r}, and no item is called so{did_you_mean(name, known_items)}")
    for key in ("options", "judge_options", "format_options"):
        _is(row, key, dict, "a table of options")
    for key in ("judge", "format"):
        _is(row, key, str, "a name")
    timeout = row.get("timeout")
    if timeout is not None and not (_is_number(timeout) and timeout > 0):
        raise _BrokenLineError(f"`timeout` is a number of seconds greater than 0, got {timeout!r}")
    if row.get("pays_for", "answer") not in ("answer", "form"):
        raise _BrokenLineError(f'`pays_for` is "answer" or "form", got {row["pays_for"]!r}')
    return {**row, "range": _span(row["range"])} if "range" in row else dict(row)


def _span(given: Any) -> tuple[float, float]:
    if isinstance(given, list) and len(given) == 2 and all(_is_number(one) for one in given) and given[0] < given[1]:
        return float(given[0]), float(given[1])
    raise _BrokenLineError(f"`range` is a list of two numbers, the lowest and the highest score, got {given!r}")


def _case(row: Mapping[str, Any], line: int) -> Case:
    for key in row:
        if key not in _ROW_KEYS:
            raise _BrokenLineError(f"there is no key {key!r}{did_you_mean(key, _ROW_KEYS)}")
    completions = _completions(row)
    if "expected" not in row:
        raise _BrokenLineError(f"`expected` is missing; it is {_SPOKEN}")
    expected = _expected(row["expected"], len(completions), several="completions" in row)
    for key in ("options", "columns"):
        _is(row, key, dict, "a table")
    for key in ("answer", "reasoning", "note", "finish_reason"):
        _is(row, key, str, "a string")
    _is(row, "gold", bool, "true or false")
    if row.get("gold") and ("completions" in row or expected[0] in ("fail", "abstain", "error")):
        raise _BrokenLineError("a row with `gold` has one completion, and it is expected to pass or to get a score")
    tokens = row.get("tokens")
    if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1):
        raise _BrokenLineError(f"`tokens` is a whole number of at least 1, got {tokens!r}")
    if row.get("finish_reason", "stop") not in ("stop", "length"):
        raise _BrokenLineError(f'`finish_reason` is "stop" or "length", got {row["finish_reason"]!r}')
    return Case(
        completions,
        expected,
        line,
        str(row.get("id", f"line {line}")),
        _prompt(row.get("prompt", "")),
        row.get("reference"),
        row.get("answer"),
        row.get("reasoning", ""),
        row.get("options", {}),
        row.get("columns", {}),
        bool(row.get("gold", False)),
        row.get("note", ""),
        tokens,
        row.get("finish_reason", "stop"),
    )


_SPOKEN: Final = '"pass", "fail", "abstain", "error", a score, or [lowest, highest]'


def _completions(row: Mapping[str, Any]) -> tuple[str, ...]:
    if ("completion" in row) == ("completions" in row):
        raise _BrokenLineError(
            "a case has either `completion`, a string, or `completions`, a list of strings for one prompt"
        )
    given = row.get("completions", [row.get("completion")])
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        word = "a list of strings" if "completions" in row else "a string"
        raise _BrokenLineError(f"`completion{'s' if 'completions' in row else ''}` is {word}, got {_kind(row)}")
    return tuple(given)


def _kind(row: Mapping[str, Any]) -> str:
    return type(row.get("completions", row.get("completion"))).__name__


def _expected(given: Any, count: int, *, several: bool) -> tuple[Expected, ...]:
    if not several:
        return (_one_expected(given),)
    if not isinstance(given, list) or len(given) != count:
        raise _BrokenLineError(f"with `completions`, `expected` is a list of {count}, one for each")
    return tuple(_one_expected(one) for one in given)


def _one_expected(given: Any) -> Expected:
    if isinstance(given, str) and given in WORDS:
        return given
    if _is_number(given):
        return float(given)
    if isinstance(given, list) and len(given) == 2 and all(_is_number(one) for one in given) and given[0] <= given[1]:
        return (float(given[0]), float(given[1]))
    near = did_you_mean(given, WORDS) if isinstance(given, str) else ""
    raise _BrokenLineError(f"`expected` is {_SPOKEN}; got {given!r}{near}")


def _prompt(given: Any) -> str | tuple[Message, ...]:
    if isinstance(given, str):
        return given
    if isinstance(given, list) and all(
        isinstance(one, dict)
        and {"role", "content"} <= set(one)
        and all(isinstance(text, str) for text in one.values())
        for one in given
    ):
        return tuple(Message(role=one["role"], content=one["content"]) for one in given)
    raise _BrokenLineError('`prompt` is a string or a list of messages such as {"role": "user", "content": "..."}')


def _is(row: Mapping[str, Any], key: str, kind: type, spoken: str) -> None:
    if key in row and not isinstance(row[key], kind):
        raise _BrokenLineError(f"`{key}` is {spoken}, got {type(row[key]).__name__}")


def _is_number(given: Any) -> bool:
    return isinstance(given, (int, float)) and not isinstance(given, bool) and math.isfinite(given)


def _repeated(path: Path, cases: list[Case]) -> list[str]:
    seen: dict[str, int] = {}
    problems = []
    for case in cases:
        if case.id in seen:
            problems.append(f"{path}:{case.line}: the id {case.id!r} stands at line {seen[case.id]} already")
        seen.setdefault(case.id, case.line)
    return problems
