"""Files of saved completions, opened by what they hold, and read in groups without being held in memory."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from lydite.errors import ConfigError, DataError
from lydite.jsonl import parsed_object, read_objects
from lydite.rescore.parquet import parquet_rows
from lydite.rescore.rows import EXAMPLE, is_ours, our_row, plain_row
from lydite.rescore.saved import Saved, SavedCompletions

RUN_FILE: Final = "completions.jsonl"

Read = Callable[[Mapping[str, Any], str], Saved]


def open_saved(path: Path, *, reference: str = "reference", group_size: int | None = None) -> SavedCompletions:
    """The completions in a file of JSON lines, a run folder, a parquet file of TRL, or a folder of those.

    `reference` names the key or column with the gold answer. With `group_size`, every so many rows are a group,
    whatever they say. Every row of JSON lines is looked at here, so that none breaks off a scoring halfway.

    Raises:
        ConfigError: when there is nothing of the kind at the path.
        DataError: when it is empty, or a row is none, with file, line and what was expected.
    """
    files = _files(path)
    if files[0].suffix == ".parquet":
        return _Ordered(lambda: parquet_rows(files, reference), group_size, path)
    rows = _JsonLines(files[0], reference)
    if group_size is not None:
        return _Ordered(rows.rows, group_size, path)
    return rows


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError(f"{path}: there is no such file or folder; expected saved completions")
    if (path / RUN_FILE).is_file():
        return [path / RUN_FILE]
    tables = sorted(path.glob("*.parquet"), key=_step_in_name) or sorted(
        path.glob("completions/*.parquet"), key=_step_in_name
    )
    if not tables:
        raise ConfigError(f"{path} holds no saved completions: expected {RUN_FILE}, or TRL's completions_*.parquet")
    return tables


def _step_in_name(file: Path) -> tuple[int, str]:
    numbers = re.findall(r"\d+", file.stem)
    return int(numbers[-1]) if numbers else 0, file.name


class _Ordered:
    """Rows whose groups stand together: a group ends where the next one begins."""

    holds_tokens = False

    def __init__(self, rows: Callable[[], Iterable[Saved]], group_size: int | None, path: Path) -> None:
        self._rows = rows
        self._size = group_size
        self.regrouped = 0
        if next(iter(rows()), None) is None:
            raise DataError(f"{path} is empty: it has no completions")

    def groups(self) -> Iterator[Sequence[tuple[int, Saved]]]:
        size = self._size

        def group_of(numbered: tuple[int, Saved]) -> Hashable:
            number, row = numbered
            return row.group if size is None else number // size

        for _, rows in groupby(enumerate(self._rows()), key=group_of):
            yield list(rows)


class _JsonLines:
    """A file of JSON lines: looked through once, for what is broken in it and for which rows belong together."""

    holds_tokens = False

    def __init__(self, path: Path, reference: str) -> None:
        self._path = path
        self._read: Read = our_row
        self._offsets, self._lines = array("Q"), array("Q")  # of each row, in bytes, and as counted from 1
        self._groups = array("Q")
        self.regrouped = 0
        self._scan(reference)

    def rows(self) -> Iterator[Saved]:
        """Every row in the order of the file."""
        for line, content in read_objects(self._path, example=EXAMPLE):
            yield self._read(content, f"{self._path}:{line}")

    def groups(self) -> Iterator[Sequence[tuple[int, Saved]]]:
        if not self.regrouped:
            numbers = iter(self._groups)
            for _, rows in groupby(enumerate(self.rows()), key=lambda _: next(numbers)):
                yield list(rows)
            return
        members: dict[int, array[int]] = {}
        for row, group in enumerate(self._groups):
            members.setdefault(group, array("Q")).append(row)
        with self._path.open("rb") as file:
            for group in sorted(members):
                yield [(row, self._at(file, row)) for row in members[group]]

    def _at(self, file: Any, row: int) -> Saved:
        file.seek(self._offsets[row])
        where = f"{self._path}:{self._lines[row]}"
        return self._read(parsed_object(file.readline(), where, example=EXAMPLE), where)

    def _scan(self, reference: str) -> None:
        numbers: dict[Hashable, int] = {}
        apart: set[int] = set()
        last = -1
        for place, line, content in _placed(self._path):
            if not self._offsets and not is_ours(content):
                self._read = lambda content, where: plain_row(content, where, reference)
            saved = self._read(content, f"{self._path}:{line}")
            known = saved.group in numbers
            number = numbers.setdefault(saved.group, len(numbers))
            if known and number != last:
                apart.add(number)
            self._offsets.append(place)
            self._lines.append(line)
            self._groups.append(number)
            last = number
        if not self._offsets:
            raise DataError(f"{self._path} is empty: it has no completions; expected lines such as {EXAMPLE}")
        self.regrouped = len(apart)


def _placed(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Each object of the file with its offset in bytes and its line."""
    try:
        with path.open("rb") as lines:
            place = 0
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield place, number, parsed_object(line, f"{path}:{number}", example=EXAMPLE)
                place += len(line)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
