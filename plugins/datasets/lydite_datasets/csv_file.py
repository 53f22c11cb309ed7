"""Comma-separated values: the first row names the columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lydite import DataError, Sample
from lydite_datasets.path import existing_file
from lydite_datasets.rows import Columns, Table


def csv_file(
    *,
    path: str,
    delimiter: str = ",",
    prompt: str | None = None,
    messages: str | None = None,
    reference: str | None = None,
    reference_after: str | None = None,
    id: str | None = None,
) -> Iterable[Sample]:
    """The samples of a CSV file, read row by row; every value is text.

    Raises:
        DataError: for a missing file; while reading, for a row that does not fit its header or a missing column.
    """
    if len(delimiter) != 1:
        raise DataError(f"delimiter is one character, got {delimiter!r}")
    file = existing_file(path, ".csv")
    columns = Columns(prompt, messages, reference, reference_after, id)
    return Table(path, lambda: _rows(file, delimiter), columns, file.stat().st_size + 1)


def _rows(file: Path, delimiter: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # Strict: a quote in the middle of nowhere is an error, not a guess.
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header: list[str] | None = None
        last = 0
        try:
            for row in reader:
                where, last = f"{file}:{last + 1}", reader.line_num
                if not row:
                    continue
                if header is None:
                    header = _header(row, where)
                elif len(row) != len(header):
                    raise DataError(f"{where}: expected {len(header)} values as in the header, got {len(row)}")
                else:
                    yield where, dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise DataError(f"{file}:{last + 1}: expected comma-separated values, {error}") from None
        except UnicodeDecodeError as error:
            # The file is decoded in blocks, so the line cannot be told.
            raise DataError(f"{file}: expected UTF-8 after line {last}, {error.reason}") from None


def _header(row: list[str], where: str) -> list[str]:
    for name in row:
        if not name or row.count(name) > 1:
            raise DataError(f"{where}: the header's names must differ and not be empty, got {row}")
    return row
