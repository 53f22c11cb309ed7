"""How hard samples are, where a column of theirs says so."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lydite.errors import ConfigError, DataError
from lydite.suggest import did_you_mean
from lydite.types import Sample


def difficulties(samples: Sequence[Sample], column: str) -> list[float]:
    """The numbers of a column, in the order of the samples.

    Raises:
        ConfigError: when a sample does not have the column.
        DataError: when one has something else than a number there.
    """
    found = []
    for sample in samples:
        if column not in sample.columns:
            raise ConfigError(
                f"sampling.difficulty_column = {column!r}: sample {sample.id!r} has no such column"
                f"{did_you_mean(column, sample.columns)}"
            )
        value = sample.columns[column]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(
                f"sampling.difficulty_column = {column!r} must be a finite number in every sample, and sample "
                f"{sample.id!r} has {value!r:.80}"
            )
        found.append(float(value))
    return found
