"""The tables that TRL's trainer writes with `log_completions`: a file for each logged step.

Their columns are `step`, `prompt`, `completion`, one for each reward function, whatever functions logged with
`log_extra`, and `advantage`. The columns of the data set are not among them; see `gold`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lydite.errors import DataError, MissingExtraError
from lydite.rescore.saved import Saved, number_of, prompt_of, spoken_prompt, text_of, whole_number_of
from lydite.types import Sample

ROWS_AT_ONCE: Final = 1024
_OWN: Final = frozenset({"step", "prompt", "completion", "advantage"})


def parquet_rows(files: Sequence[Path], reference: str) -> Iterator[Saved]:
    """Every row of the files in order; the columns that TRL did not make itself are the sample's.

    Raises:
        MissingExtraError: without pyarrow.
        DataError: when a file is no parquet, lacks a column, or a row is of another kind.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError(
            "reading parquet needs pyarrow; install it with: pip install 'lydite[train]'"
        ) from error
    for file in files:
        try:
            table = pyarrow.parquet.ParquetFile(file)
        except (OSError, pyarrow.ArrowException) as error:
            raise DataError(f"{file}: expected a parquet file of TRL's completions, {error}") from None
        missing = {"prompt", "completion"} - set(table.schema_arrow.names)
        if missing:
            raise DataError(
                f"{file}: expected the columns prompt and completion, as TRL's trainer writes them; it has "
                f"{', '.join(table.schema_arrow.names)}"
            )
        number = 0
        for batch in table.iter_batches(batch_size=ROWS_AT_ONCE):
            for content in batch.to_pylist():
                yield _row(content, f"{file}, row {number}", reference)
                number += 1


def _row(content: Mapping[str, Any], where: str, reference: str) -> Saved:
    prompt = prompt_of(content["prompt"], where, "prompt")
    text = spoken_prompt(prompt)
    columns = {key: value for key, value in content.items() if key not in _OWN and not key.startswith("__")}
    step = whole_number_of(content, "step", where)
    return Saved(
        where,
        (step, text),
        Sample(text, prompt, columns.get(reference), columns),
        text,
        text_of(content["completion"], where, "completion"),
        has_reference=reference in columns,
        step=step,
        advantage=number_of(content, "advantage", where),
    )
