"""Rows of a table, made into samples: which column is the prompt, the reference, the id."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lydite import DataError, Message, Sample, did_you_mean
from lydite_datasets.template import fields_of, fill


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column means what. None stands for the column of the usual name, where the data has one."""

    prompt: str | None
    """A column's name, or a template such as `"{question}"`."""
    messages: str | None
    """A column with a conversation: a list of {role, content}. Takes the place of the prompt."""
    reference: str | None
    reference_after: str | None
    """The reference is what stands behind the last of these marks, such as `####` in GSM8K."""
    id: str | None
    """None, and no column `id`: the number of the row, from 0."""

    def __post_init__(self) -> None:
        if self.prompt is not None and self.messages is not None:
            raise DataError(
                f"prompt = {self.prompt!r} and messages = {self.messages!r} both say what is asked; give one of them"
            )
        if self.prompt is not None and "{" in self.prompt:
            fields_of(self.prompt)

    def sample(self, row: Mapping[str, Any], number: int, where: str) -> Sample:
        """The row as a sample; `where` tells a reader of an error which row it is.

        Raises:
            DataError: when a column is missing, or does not hold what it should.
        """
        used: set[str] = set()

        def value(column: str, option: str) -> Any:
            if column not in row:
                raise DataError(f"{where}: there is no column {column!r} ({option}){did_you_mean(column, row)}")
            used.add(column)
            return row[column]

        prompt: str | tuple[Message, ...]
        if self.messages is not None or (self.prompt is None and "prompt" not in row and "messages" in row):
            prompt = _messages(value(self.messages or "messages", "messages"), where)
        elif self.prompt is not None and "{" in self.prompt:
            prompt = fill(self.prompt, {name: value(name, "prompt") for name in fields_of(self.prompt)})
        else:
            given = value(self.prompt or "prompt", "prompt")
            # A conversation under the name `prompt` is how TRL writes its data sets.
            prompt = _messages(given, where) if isinstance(given, list | tuple) else _text(given, "the prompt", where)
        reference = None
        if self.reference is not None or "reference" in row:
            reference = _json(value(self.reference or "reference", "reference"))
            if self.reference_after is not None:
                reference = _behind(reference, self.reference_after, where)
        named = self.id is not None or "id" in row
        id_ = str(value(self.id or "id", "id")) if named else str(number)
        rest = {name: _json(one) for name, one in row.items() if name not in used or _in_template(self.prompt, name)}
        return Sample(id_, prompt, reference, rest)


@dataclass(frozen=True)
class Table:
    """The samples of a table, read anew at each iteration; a table that ends says about how long it is."""

    what: str
    """For messages: `data.jsonl`."""
    rows: Callable[[], Iterator[tuple[str, Mapping[str, Any]]]]
    """Gives each row with where it stands."""
    columns: Columns
    about: int | None
    """A number of rows that is not too small; None for a stream whose end is not known."""

    def __iter__(self) -> Iterator[Sample]:
        number = -1
        for number, (where, row) in enumerate(self.rows()):
            yield self.columns.sample(row, number, where)
        if number < 0:
            raise DataError(f"{self.what} holds no rows")

    def __length_hint__(self) -> int:
        return NotImplemented if self.about is None else self.about


def _in_template(prompt: str | None, name: str) -> bool:
    """Whether a column is only a part of the prompt: a reward may still ask for it by name."""
    return prompt is not None and "{" in prompt and name in fields_of(prompt)


def _text(value: Any, what: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {what} must be text that is not empty, got {value!r}")
    return value


def _messages(value: Any, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise DataError(f"{where}: messages must be a list of {{role, content}}, got {str(value)[:80]!r}")
    found: list[Message] = []
    for one in value:
        if (
            not isinstance(one, Mapping)
            or not isinstance(one.get("role"), str)
            or not isinstance(one.get("content"), str)
        ):
            raise DataError(f"{where}: a message must hold the texts `role` and `content`, got {str(one)[:80]!r}")
        found.append(Message(role=one["role"], content=one["content"]))
    return tuple(found)


def _behind(reference: Any, mark: str, where: str) -> str:
    text = _text(reference, "a reference under reference_after", where)
    _, found, answer = text.rpartition(mark)
    if not found or not answer.strip():
        raise DataError(f"{where}: nothing stands behind {mark!r} in the reference {text[-60:]!r}")
    return answer.strip()


def _json(value: Any) -> Any:
    """The value in JSON terms where it has them: dates and decimals as text, tuples as lists."""
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta | decimal.Decimal):
        return str(value)
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): _json(one) for name, one in value.items()}
    return value
