"""Sources of samples: files, Hugging Face data sets, and sums made up on the spot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from lydite import Sample, hookimpl
from lydite_datasets.arithmetic import arithmetic
from lydite_datasets.csv_file import csv_file
from lydite_datasets.hub import hub
from lydite_datasets.jsonl_file import jsonl_file
from lydite_datasets.parquet_file import parquet_file

__all__ = ["arithmetic", "csv_file", "hub", "jsonl_file", "parquet_file"]


@hookimpl
def lydite_datasets() -> Mapping[str, Callable[..., Iterable[Sample]]]:
    """The data sets, by name."""
    return {"jsonl": jsonl_file, "csv": csv_file, "parquet": parquet_file, "hub": hub, "arithmetic": arithmetic}
