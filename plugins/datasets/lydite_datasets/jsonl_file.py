"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lydite import DataError, Sample
from lydite_datasets.path import existing_file
from lydite_datasets.rows import Columns, Table

_SHORTEST_LINE = len('{"a":1}\n')


def jsonl_file(
    *,
    path: str,
    prompt: str | None = None,
    messages: str | None = None,
    reference: str | None = None,
    reference_after: str | None = None,
    id: str | None = None,
) -> Iterable[Sample]:
    """The samples of a JSON lines file, read line by line; empty lines are passed over.

    Raises:
        DataError: for a missing file; while reading, for a broken line or a missing column.
    """
    file = existing_file(path, ".jsonl")
    columns = Columns(prompt, messages, reference, reference_after, id)
    return Table(path, lambda: _rows(file), columns, file.stat().st_size // _SHORTEST_LINE + 1)


def _rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{file}:{number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if not text.strip():
                    continue
                row = json.loads(text)
            except UnicodeDecodeError as error:
                raise DataError(f"{where}: expected UTF-8, {error.reason} at byte {error.start}") from None
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where}: expected a JSON object, {error}") from None
            if not isinstance(row, dict):
                raise DataError(f"{where}: expected a JSON object, got {type(row).__name__}")
            yield where, row
