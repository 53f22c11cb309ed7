"""A file of records in the order of the rows they are about, whatever the order in which they come."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Final

from lydite.errors import ConfigError

_NOT_YET: Final = 2**64 - 1


class Spool:
    """Takes numbered records, and puts them into a file in the order of their numbers when all of them are there.

    Use it as a context manager: the file appears at its end, whole, or not at all when something is raised. That
    it can be written there is tried at the beginning, before any work is done.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(path.name + ".draft")
        self._lines: IO[bytes] = TemporaryFile()  # noqa: SIM115 - closed at the end of the context
        self._places = array("Q")
        self._in_order = True
        self._size = 0

    def write(self, number: int, record: Mapping[str, Any]) -> None:
        """Takes the record of a row."""
        line = _line(record)
        self._in_order &= number == len(self._places)
        while len(self._places) <= number:
            self._places.append(_NOT_YET)
        self._places[number] = self._size
        self._size += self._lines.write(line)

    def __enter__(self) -> Spool:
        try:
            if self._path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._draft.touch()
            self._draft.unlink()
        except OSError as error:
            self._lines.close()
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._lines.close()

    def _finish(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._draft.open("wb") as out:
                for line in self._ordered():
                    out.write(line)
            self._draft.replace(self._path)
        except OSError as error:
            self._draft.unlink(missing_ok=True)
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}") from None

    def _ordered(self) -> Any:
        self._lines.seek(0)
        if self._in_order:
            yield from self._lines
            return
        for place in self._places:
            if place != _NOT_YET:
                self._lines.seek(place)
                yield self._lines.readline()


def _line(record: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:  # half a surrogate pair has no form in UTF-8, and one in JSON
        return (json.dumps(record, allow_nan=False) + "\n").encode()
