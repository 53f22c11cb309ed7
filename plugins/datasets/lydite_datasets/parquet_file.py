"""Parquet: a file, or a folder of them in the order of their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lydite import DataError, Sample
from lydite_datasets.path import existing_file
from lydite_datasets.rows import Columns, Table

_ROWS_AT_ONCE = 1000  # held as Python objects; small enough for rows with long texts


def parquet_file(
    *,
    path: str,
    prompt: str | None = None,
    messages: str | None = None,
    reference: str | None = None,
    reference_after: str | None = None,
    id: str | None = None,
) -> Iterable[Sample]:
    """The samples of a Parquet file or folder, read in blocks of 1000 rows.

    Raises:
        DataError: for a missing file or one that is not Parquet; while reading, for a missing column.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        files = sorted(folder.glob("*.parquet"))
        if not files:
            raise DataError(f"the folder {path} holds no .parquet file")
    else:
        files = [existing_file(path, ".parquet")]
    columns = Columns(prompt, messages, reference, reference_after, id)
    length = sum(_length(file) for file in files)
    return Table(path, lambda: _rows(files), columns, length)


def _length(file: Path) -> int:
    import pyarrow
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(file).num_rows)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{file}: expected a Parquet file, {error}") from None


def _rows(files: Sequence[Path]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    for file in files:
        number = 0
        try:
            with pyarrow.parquet.ParquetFile(file) as table:
                for block in table.iter_batches(batch_size=_ROWS_AT_ONCE):
                    for row in block.to_pylist():
                        number += 1
                        yield f"{file}: row {number}", row
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{file}: cannot be read after row {number}, {error}") from None
